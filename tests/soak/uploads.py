"""How many records Amazon has received about each member: for each change that events stated, and after the last.

A member's uploads are bounded by the member's changes, however long jobs take. An enter is one record. An exit or a
deletion notice is two: the removal, and its repetition if an enter was under way when it was sent. A notice may
take two more: a last removal when nothing from before can take effect any more, up to 37 hours later, and the enter
after it.

What may follow the last change is counted in the same way, from the changes of its last minute: they may not have
been sent yet, when it was accepted. A handful of records more is allowed, Profile.spare_records: for changes from
before that still waited for jobs, each of which may be sent, and for two workers that had the member at once. So the
last enter of a quiet member may be followed by six records, and a notice by nine; a protocol that repeats sends
hundreds, or does so for ever. Scenarios have a stricter bound.

What a fault adds cannot be told for each member: an upload whose answer is lost is made again, and so is one whose
job's message was not stored, for as long as that fails. So with faults there is a larger constant: more than was ever
seen, and far below what goes on for ever.

A redrive or a renewal sends a member again, as if an event had done so.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from audience_sync.amazon_ads.apis import upload_rules
from audience_sync.members.membership import EVERY_AUDIENCE
from tests.soak.events import StatedChange, audiences_of
from tests.soak.held import Member
from tests.soak.simulation import Simulation

AT_ONCE = 60.0  # seconds within which changes were accepted that may all be unsent: two windows of the worker, and more
AGAIN = 2  # records for a redrive or a renewal: a removal, and the enter after it


class MemberUploads(NamedTuple):
    """The records about one member."""

    member: Member
    changes: int  # that events stated
    records: int
    allowed: int  # records, for all its changes
    after_last: int  # records since its last change was accepted, a repeated request included
    allowed_after: int

    @property
    def is_repeated(self) -> bool:
        """Whether more was sent than the changes explain, after the last of them or altogether."""
        return self.records > self.allowed or self.after_last > self.allowed_after


def uploads_by_member(simulation: Simulation) -> Iterator[MemberUploads]:
    """Yield the uploads of every member about whom an event has stated something."""
    destinations = {each.audience_id: each.destination for each in audiences_of(simulation.profile.datasets)}
    renewed = {each.audience_id for each in simulation.listed if each.settings.get("renew")}
    for member, stated in sorted(simulation.traffic.stated.items()):
        last = simulation.last_accepted.get(member, float("inf"))
        records = simulation.amazon.received.get(member, [])
        redrives = [at for at, whom in simulation.dead_letters.redrives if _is_about(whom, member)]
        again = [*redrives, *(simulation.renewals if member[0] in renewed else [])]
        recent = [change for change in stated if simulation.accepted_at.get(change, last) > last - AT_ONCE]
        # What a removal of many identities takes: a record holds a hundred, a member of a dataset ten.
        at_most = upload_rules(destinations[member[0]]).max_identities
        parts = max(1, -(-len(frozenset().union(*(change.identities for change in stated))) // at_most))
        spare = simulation.profile.spare_records + 2 * any(change.erase for change in stated)
        yield MemberUploads(
            member,
            len(stated),
            len(records),
            parts * (_needed(stated) + AGAIN * len(again) + spare),
            sum(at > last for at in records),
            parts * (_needed(recent) + AGAIN * sum(at > last for at in again) + spare),
        )


def _needed(changes: Iterable[StatedChange]) -> int:
    """Return how many records changes may take, each for itself."""
    return sum(2 if change.exits else 1 for change in changes)


def _is_about(redriven: Member, member: Member) -> bool:
    return redriven[1] == member[1] and redriven[0] in (member[0], EVERY_AUDIENCE)
