"""What the stack stores about people, read for many at a time: their rows, their dead letters and their erasures."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import batched
from typing import TYPE_CHECKING, NamedTuple

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.errors import RowUnreadable
from audience_sync.members.erasure.review import rows_of
from audience_sync.members.erasure.status import Progress, erasure_status
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import EVERY_AUDIENCE, Audience
from audience_sync.operations.erasure_check import ROWS_AT_ONCE
from audience_sync_cli.frame.errors import sentence
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.members.erasure_report import Person
from audience_sync_cli.stack.dead_letters import DeadLetterMessage
from audience_sync_cli.stack.peeking import peek
from audience_sync_cli.stack.presentation import caveats_about

if TYPE_CHECKING:
    from audience_sync_cli.frame.stacks import Stack  # loads boto3, which completion must not


class Known(NamedTuple):
    """What is stored about one person; nothing, if the id is unknown."""

    member: str
    rows: Sequence[tuple[Audience, MemberState]]  # the audiences with a row of the person
    parked: Sequence[DeadLetterMessage]
    erasure: Person | None  # None if no deletion notice or denied consent is recorded
    caveats: Sequence[str]  # sentences about audiences that another system may have filled
    damaged: Sequence[RowUnreadable]  # the person's rows that cannot be read

    @property
    def is_unknown(self) -> bool:
        """Whether no audience and no dead letter knows the id, nor knew it when a notice was recorded."""
        was_unknown = self.erasure is None or self.erasure.erasure.progress is Progress.UNKNOWN
        return was_unknown and not self.rows and not self.parked and not self.damaged


def people(session: Session, members: Sequence[str]) -> Iterator[Known]:
    """Yield what is stored about each person, in the given order. Shows progress."""
    audiences, wanted = session.audiences.with_unlinked(), {*members}
    found, unread = peek(session, lambda each: each.is_about(wanted))
    parked: defaultdict[str, list[DeadLetterMessage]] = defaultdict(list)
    for message in found:
        for member in wanted.intersection(message.members):
            parked[member].append(message)
    by_id = {each.audience_id: each for each in audiences}
    backups, caveats = backups_of(session.stack), caveats_about(audiences)
    with session.screen.progress("reading members", len(members), unit="people") as bar:
        for some in batched(members, max(1, ROWS_AT_ONCE // (len(by_id) + 1))):
            keys = [(place, member) for member in some for place in (EVERY_AUDIENCE, *by_id)]
            states, unreadable = session.members.readable(keys)
            for member in some:
                damaged = {place: error for (place, person), error in unreadable.items() if person == member}
                rows = [(each, state) for each in audiences if (state := states.get((each.audience_id, member)))]
                erasure = None
                if everywhere := states.get((EVERY_AUDIENCE, member)):
                    in_audiences = rows_of(member, audiences, states, session.timings.of, has_jobs)
                    status = erasure_status(everywhere, in_audiences, by_id.keys(), session.now(), damaged.keys())
                    lost = status.audiences.keys() - {each.audience_id for each, _ in rows}
                    without_row = [by_id[each] for each in by_id if each in lost]
                    has_event_queue = session.stack.event_queue is not None
                    erasure = Person(
                        everywhere, status, rows, without_row, parked[member], backups, unread, has_event_queue, caveats
                    )
                bar.advance()
                yield Known(member, rows, parked[member], erasure, caveats, [*damaged.values()])


def backups_of(stack: "Stack") -> float:
    """Return the seconds for which automatic backups of the membership table keep what is deleted from it."""
    return float(stack.parameters.get("RecoveryPeriodInDays", 35)) * DAY  # AWS's default


def label(audience: Audience) -> str:
    """Return the name of an audience, and whether it is unlinked."""
    return (audience.name or audience.audience_id) + ("" if audience.unlinked_at is None else " (unlinked)")


def about_damaged(rows: Iterable[RowUnreadable]) -> list[str]:
    """Return a sentence about each damaged row."""
    return [f"{sentence(str(each))} {sentence(each.reason.remedy)}" for each in rows]
