"""How many records Amazon has received about each member: for each change that events stated, and after the last."""

from collections.abc import Iterator
from typing import NamedTuple

from audience_sync.membership import EVERY_AUDIENCE, MAX_IDENTITIES
from tests.soak.amazon import Member
from tests.soak.events import AUDIENCES
from tests.soak.simulation import Simulation

RENEWED = {audience.audience_id for audience in AUDIENCES if audience.settings.get("renew")}


class MemberUploads(NamedTuple):
    """The records about one member."""

    member: Member
    changes: int  # that events stated
    records: int
    after_last: int  # records since its last change was accepted, a repeated request included
    sent_again: int  # times since then that an operator redrove the member, or that a renewal may have sent it
    parts: int  # records that it takes to remove all its identities

    @property
    def per_change(self) -> float:
        """Records for each stated change."""
        return self.records / self.changes


def uploads_by_member(simulation: Simulation) -> Iterator[MemberUploads]:
    """Yield the uploads of every member about whom an event has stated something."""
    for member, stated in sorted(simulation.traffic.stated.items()):
        last = simulation.last_accepted.get(member, float("inf"))
        records = simulation.amazon.received.get(member, [])
        redrives = sum(at > last for at, whom in simulation.dead_letters.redrives if _is_about(whom, member))
        renewals = sum(at > last for at in simulation.renewals) if member[0] in RENEWED else 0
        identities = len(frozenset().union(*(change.identities for change in stated)))
        yield MemberUploads(
            member,
            len(stated),
            len(records),
            sum(at > last for at in records),
            redrives + renewals,
            max(1, -(-identities // MAX_IDENTITIES)),
        )


def _is_about(redriven: Member, member: Member) -> bool:
    return redriven[1] == member[1] and redriven[0] in (member[0], EVERY_AUDIENCE)
