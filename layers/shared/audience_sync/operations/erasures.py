"""Check of all erasures: judged from their rows, recorded as closed when nothing is left to do, and kept until then.

One pass over all people may take several runs: each continues where the last one stopped.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched
from typing import NamedTuple, Protocol, Self

from audience_sync.amazon_ads.apis import rows_of
from audience_sync.amazon_ads.timings import Timings
from audience_sync.aws.membership_rows import KEEP_EXIT, StoredMember, expires_at
from audience_sync.clock import Clock, to_milliseconds
from audience_sync.members.erasure import ErasureStep, StepKind, with_step
from audience_sync.members.erasure_state import (
    Erasure,
    Progress,
    is_closed,
    is_due_later,
    is_overdue,
    is_waiting,
    judge,
    opened_at,
)
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Audience
from audience_sync.members.repetitions import deletion_messages
from audience_sync.members.stores import MemberRows, MessageQueue

ROWS_AT_ONCE = 2_000  # rows read between two checks of the time: 20 requests, less than a second
SETTLED = 3_600  # seconds; a notice is spread for the second time, and its exits are recorded, long before
RESERVE = 5.0  # seconds after the deadline in which what was found is still stored
EXPIRES_SOON = KEEP_EXIT // 2  # seconds; the rows of an open erasure are then kept longer


class Notices(Protocol):
    """The rows of all people who were named in a deletion notice or have denied consent."""

    def deletion_notices_after(self, position: str) -> Iterator[tuple[list[StoredMember], str]]:
        """Yield them page by page, each with the position after it; empty is the beginning. Raises Unavailable."""


class Pass(NamedTuple):
    """How far a pass over all people is, between two runs."""

    position: str = ""  # after the people who were checked; empty at its beginning
    began: int = 0  # epoch seconds
    overdue: int = 0  # found so far
    last_began: int = 0  # of the last complete pass, epoch seconds; 0 if there was none

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Self:
        """Read it as it was stored; a new pass without fields."""
        numbers = {name: int(value) for name, value in fields.items() if name != "position" and name in cls._fields}
        return cls(fields.get("position", ""), **numbers)

    @property
    def fields(self) -> dict[str, str]:
        """The strings to store."""
        return {name: str(value) for name, value in self._asdict().items()}


@dataclass(slots=True)
class ErasureReport:
    """The result of one run."""

    open: int = 0
    overdue: int = 0  # of these, in the whole pass so far
    waiting: int = 0  # for Amazon alone
    closed: int = 0  # recorded as closed now
    asked_again: int = 0  # people whose deletion is due, and was queued
    is_complete: bool = False  # everybody was checked since the pass began
    unchecked_since: int = 0  # epoch seconds; everybody was checked since then
    left: Pass = field(default_factory=Pass)  # for the next run


class ErasureContext(NamedTuple):
    """The collaborators and limits of one run."""

    notices: Notices
    members: MemberRows
    audiences: Sequence[Audience]  # listed and unlinked ones
    timings: Timings
    jobs: MessageQueue  # the job queue, for deletions that are due
    clock: Clock
    overdue_after: float  # days
    deadline: float  # monotonic seconds; people who are not judged by then are left to the next run


def judged(
    people: Iterable[MemberState], audiences: Sequence[Audience], members: MemberRows, timings: Timings, now: float
) -> Iterator[tuple[MemberState, Erasure, list[MemberState]]]:
    """Judge the newest erasure of each person. Yields the row of all audiences, the judgement, and the other rows.

    Args:
        people: their rows of all audiences.
        audiences: listed and unlinked ones.
        members: their other rows are read there.
        timings: how long Amazon may take with an upload.
        now: epoch seconds.

    Raises:
        Unavailable: the membership table does not answer, or a row cannot be read.
    """
    ids = {each.audience_id for each in audiences}
    for some in batched(people, max(1, ROWS_AT_ONCE // (len(audiences) + 1))):
        states = members.read(
            (audience_id, each.member[1])
            for each in some
            for audience_id in (ids if each.plan is None else ids & each.plan.known_in)
        )
        for each in some:
            rows = rows_of(each.member[1], audiences, states, timings)
            yield each, judge(each, rows, ids, now), [row.state for row in rows]


def check_erasures(context: ErasureContext, begun: Pass) -> ErasureReport:
    """Count the erasures that are not closed, and record which are done or only wait for Amazon.

    Those, and people for whom nothing can be done yet, are not judged again: Amazon may take a month. A deletion that
    is due and was not accepted is queued again. The rows of an open erasure are kept.

    Args:
        context: collaborators and limits.
        begun: where the last run stopped.

    Raises:
        Unavailable: the membership table or the job queue does not answer, or a row cannot be read.
    """
    now = context.clock.now()
    began = begun.began if begun.position else int(now)
    report = ErasureReport(overdue=begun.overdue, unchecked_since=begun.last_began or began)
    position = begun.position
    for page, after in context.notices.deletion_notices_after(position):
        if not _check(context, [each.state for each in page if each.expires_at > now], report, now):
            report.left = Pass(position, began, report.overdue, begun.last_began)
            return report
        position = after
    report.is_complete, report.unchecked_since, report.left = True, began, Pass(last_began=began)
    return report


def _check(context: ErasureContext, page: Iterable[MemberState], report: ErasureReport, now: float) -> bool:
    """Check the people of one page. If there is no time for all of them, returns False and counts none."""
    left = [each for each in page if not is_closed(each)]
    found = _Page(now, context.overdue_after)
    people = [each for each in left if not found.is_skipped(each)]
    if context.clock.monotonic() >= context.deadline:  # also checked here: on most pages, nobody has to be judged
        return False
    for state, erasure, rows in judged(people, context.audiences, context.members, context.timings, now):
        if context.clock.monotonic() >= context.deadline:
            break
        found.add(state, erasure, rows)
    else:
        report.open += found.open
        report.overdue += found.overdue
        report.waiting += found.waiting
    for body, delay in deletion_messages(dict.fromkeys(found.due, now), now):
        context.jobs.send([body], deadline=context.deadline + RESERVE, delay=delay)
    report.asked_again += len(found.due)
    written = [each for each in context.members.write(found.writes) if isinstance(each, MemberState)]
    report.closed += sum(map(is_closed, written))
    return found.judged == len(people)


@dataclass(slots=True)
class _Page:
    """The erasures of one page that are not closed."""

    now: float  # epoch seconds
    overdue_after: float  # days
    open: int = 0
    overdue: int = 0
    waiting: int = 0
    judged: int = 0
    writes: list[MemberState] = field(default_factory=list)
    due: list[str] = field(default_factory=list)  # people whose deletion was not accepted

    def is_skipped(self, everywhere: MemberState) -> bool:
        """Count an erasure for which nothing can be done yet, without reading the person's other rows."""
        if is_waiting(everywhere, self.now):
            self.waiting += 1
            return True
        if not is_due_later(everywhere, self.now):
            return False
        if everywhere.plan and everywhere.plan.known_in:
            self.open += 1
            self.overdue += is_overdue(opened_at(everywhere), self.now, self.overdue_after)
        return True

    def add(self, everywhere: MemberState, erasure: Erasure, rows: Iterable[MemberState]) -> None:
        """Add an erasure as it was judged."""
        self.judged += 1
        self.open += erasure.progress is Progress.OPEN
        self.overdue += erasure.is_overdue(self.now, self.overdue_after)
        self.waiting += erasure.progress is Progress.AMAZON_DELETES
        if erasure.progress is Progress.OPEN:
            self.writes += _kept(everywhere, erasure, rows, self.now)
        elif erasure.notices[-1].ended < to_milliseconds(self.now - SETTLED):
            self.writes.append(_with_end(everywhere, erasure, to_milliseconds(int(self.now))))
        if erasure.deletion is not None and erasure.deletion <= to_milliseconds(self.now):
            self.due.append(everywhere.member[1])


def _kept(everywhere: MemberState, erasure: Erasure, rows: Iterable[MemberState], now: float) -> Iterator[MemberState]:
    """Yield those rows of an open erasure that would expire soon, to be kept: it is never forgotten."""
    for state in (everywhere, *(each for each in rows if erasure.audiences[each.member[0]].missing)):
        if expires_at(state) < now + EXPIRES_SOON:
            yield replace(state, keep_until=int(now) + KEEP_EXIT)


def _with_end(state: MemberState, erasure: Erasure, now: int) -> MemberState:
    if erasure.progress is Progress.CLOSED:
        step = ErasureStep(StepKind.CLOSED, "", erasure.since, now)
    else:
        step = ErasureStep(StepKind.WAITING, "", erasure.since, erasure.until or now)
    return replace(state, erasure=with_step(state.erasure, step))
