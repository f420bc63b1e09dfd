"""Erasures of all people: judged from their rows, and recorded as closed when nothing is left to do."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import batched
from typing import Protocol

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.aws.membership_rows import StoredMember
from audience_sync.clock import Clock
from audience_sync.erasure import ErasureStep, StepKind, with_step
from audience_sync.erasure_state import Erasure, PersonRow, Progress, is_closed, is_waiting, judge
from audience_sync.errors import TransientError
from audience_sync.member_state import MemberState, Timing
from audience_sync.membership import Audience, Destination, Member

ROWS_AT_ONCE = 2_000  # rows read between two checks of the time: 20 requests, less than a second
SETTLED = 3_600  # seconds; a notice is spread for the second time, and its exits are recorded, long before
type TimingOf = Callable[[Destination], Timing]


class Members(Protocol):
    """The membership table."""

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        """Read states, consistently. Raises Unavailable."""

    def write(self, states: Sequence[MemberState]) -> list[MemberState | TransientError]:
        """Write states, each unless its row has changed since it was read."""


class Notices(Protocol):
    """The rows of all people who were named in a deletion notice or have denied consent."""

    def deletion_notices(self) -> Iterator[list[StoredMember]]:
        """Yield them page by page. Raises Unavailable."""


@dataclass(slots=True)
class ErasureReport:
    """The result of one check."""

    open: int = 0
    overdue: int = 0  # of these
    waiting: int = 0  # for Amazon alone
    closed: int = 0  # recorded as closed now
    is_complete: bool = True  # False if time ran out


def judged(
    people: Iterable[MemberState], audiences: Sequence[Audience], members: Members, timing_of: TimingOf, now: float
) -> Iterator[tuple[MemberState, Erasure]]:
    """Judge the newest erasure of each person.

    Args:
        people: their rows of all audiences.
        audiences: listed and unlinked ones.
        members: their other rows are read there.
        timing_of: returns how long Amazon may take with an upload.
        now: epoch seconds.

    Raises:
        Unavailable: the membership table does not answer, or a row cannot be read.
    """
    for some in batched(people, max(1, ROWS_AT_ONCE // (len(audiences) + 1))):
        states = members.read((audience.audience_id, each.member[1]) for each in some for audience in audiences)
        for each in some:
            yield each, judge(each, rows_of(each.member[1], audiences, states, timing_of), now)


def rows_of(
    person: str, audiences: Iterable[Audience], states: Mapping[Member, MemberState], timing_of: TimingOf
) -> list[PersonRow]:
    """Return the person's rows among some states, as they are judged."""
    return [
        PersonRow(state, timing_of(audience.destination), has_jobs(audience.destination))
        for audience in audiences
        if (state := states.get((audience.audience_id, person)))
    ]


def check_erasures(
    notices: Notices,
    members: Members,
    audiences: Sequence[Audience],
    timing_of: TimingOf,
    clock: Clock,
    *,
    overdue_after: float,
    deadline: float,
) -> ErasureReport:
    """Count the erasures that are not closed, and record for which nothing is left to do, or only to wait for Amazon.

    Their rows are not read again: a person may be a month in waiting for Amazon.

    Args:
        notices: of all people.
        members: the membership table.
        audiences: listed and unlinked ones.
        timing_of: returns how long Amazon may take with an upload.
        clock: of this run.
        overdue_after: days.
        deadline: monotonic seconds; what is not judged by then is left to the next check.

    Raises:
        Unavailable: the membership table does not answer, or a row cannot be read.
    """
    report, now = ErasureReport(), clock.now()
    for page in notices.deletion_notices():
        left = [each.state for each in page if each.expires_at > now and not is_closed(each.state)]
        people = [each for each in left if not is_waiting(each, now)]
        report.waiting += len(left) - len(people)
        done: list[MemberState] = []
        for state, erasure in judged(people, audiences, members, timing_of, now):
            if clock.monotonic() >= deadline:
                report.is_complete = False
                break
            report.open += erasure.progress is Progress.OPEN
            report.overdue += erasure.is_overdue(now, overdue_after)
            report.waiting += erasure.progress is Progress.AMAZON_DELETES
            if erasure.progress is not Progress.OPEN and erasure.notices[-1].ended < (now - SETTLED) * 1000:
                done.append(_with_end(state, erasure, int(now) * 1000))
        written = [each for each in members.write(done) if isinstance(each, MemberState)]
        report.closed += sum(map(is_closed, written))
        if not report.is_complete:
            break
    return report


def _with_end(state: MemberState, erasure: Erasure, now: int) -> MemberState:
    if erasure.progress is Progress.CLOSED:
        step = ErasureStep(StepKind.CLOSED, "", erasure.since, now)
    else:
        step = ErasureStep(StepKind.WAITING, "", erasure.since, erasure.until or now)
    return replace(state, erasure=with_step(state.erasure, step))
