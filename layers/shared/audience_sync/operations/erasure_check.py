"""Checks all erasures by their rows, records them as closed when nothing is left to do, and keeps them until then.

One pass over all people may take several runs: each continues where the last one stopped.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched
from typing import NamedTuple, Protocol, Self

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.timings import Timings
from audience_sync.aws.membership_rows import KEEP_EXIT, expires_at
from audience_sync.aws.membership_scan import NoticePage
from audience_sync.clock import Clock, to_milliseconds
from audience_sync.errors import RowKey
from audience_sync.members.erasure.review import is_past_due, rows_of
from audience_sync.members.erasure.status import (
    Erasure,
    Progress,
    erasure_status,
    is_closed,
    is_due_later,
    is_overdue,
    is_waiting,
    opened_at,
)
from audience_sync.members.erasure_steps import ErasureStep, StepKind, with_step
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Audience
from audience_sync.members.repetitions import deletion_messages
from audience_sync.members.stores import MemberRows, MessageQueue

ROWS_AT_ONCE = 2_000  # rows read between two checks of the time: 20 requests, less than a second
SETTLED = 3_600  # seconds; a notice is spread for the second time, and its exits are recorded, long before
RESERVE = 5.0  # seconds after the deadline in which what was found is still stored
EXPIRES_SOON = KEEP_EXIT - 5 * 86_400  # seconds; rows of an open erasure outlive Amazon's 30 days, whenever they begin


class Notices(Protocol):
    """The rows of all people who were named in a deletion notice or have denied consent."""

    def deletion_notices_after(self, position: str) -> Iterator[NoticePage]:
        """Yield them page by page from a position on; empty is the beginning. Raises Unavailable."""


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
    woken: int = 0  # people whose review is past due
    unread: set[RowKey] = field(default_factory=set)  # rows that cannot be read; their people count as open
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
    deadline: float  # monotonic seconds; people who are not checked by then are left to the next run


class PersonErasure(NamedTuple):
    """The status of one person's newest erasure, and the rows that show it."""

    everywhere: MemberState
    erasure: Erasure
    rows: Sequence[MemberState]  # of the audiences
    unread: frozenset[RowKey]  # rows that cannot be read


def person_erasures(
    people: Iterable[MemberState], audiences: Sequence[Audience], members: MemberRows, timings: Timings, now: float
) -> Iterator[PersonErasure]:
    """Yield the status of each person's newest erasure.

    Args:
        people: their rows of all audiences.
        audiences: listed and unlinked ones.
        members: their other rows are read there.
        timings: how long Amazon may take with an upload.
        now: epoch seconds.

    Raises:
        Unavailable: the membership table does not answer.
    """
    ids = {each.audience_id for each in audiences}
    for some in batched(people, max(1, ROWS_AT_ONCE // (len(audiences) + 1))):
        states, damaged = members.readable(
            (audience_id, each.member[1])
            for each in some
            for audience_id in (ids if each.plan is None else ids & each.plan.known_in)
        )
        for each in some:
            person = each.member[1]
            rows = rows_of(person, audiences, states, timings.of, has_jobs)
            unread = {place: error.key for place in ids if (error := damaged.get((place, person)))}
            erasure = erasure_status(each, rows, ids, now, unread.keys())
            yield PersonErasure(each, erasure, [row.state for row in rows], frozenset(unread.values()))


def check_erasures(context: ErasureContext, begun: Pass) -> ErasureReport:
    """Count the erasures that are not closed, and record which are done or only wait for Amazon.

    Those, and people for whom nothing can be done yet, are not checked again: Amazon may take a month. But first, all
    people whose review is past due are queued: Amazon has refused the deletion, or the message that wakes them is lost.
    The rows of an open erasure are kept. One that cannot be read counts as open and holds back nobody else.

    Args:
        context: collaborators and limits.
        begun: where the last run stopped.

    Raises:
        Unavailable: the membership table or the job queue does not answer.
    """
    now = context.clock.now()
    began = begun.began if begun.position else int(now)
    report = ErasureReport(overdue=begun.overdue, unchecked_since=begun.last_began or began)
    position = begun.position
    for page in context.notices.deletion_notices_after(position):
        if not _check(context, page, report, now):
            report.left = Pass(position, began, report.overdue, begun.last_began)
            return report
        position = page.position
    report.is_complete, report.unchecked_since, report.left = True, began, Pass(last_began=began)
    return report


def _check(context: ErasureContext, page: NoticePage, report: ErasureReport, now: float) -> bool:
    """Check the people of one page. If there is no time for all of them, returns False and counts none."""
    stored = [each.state for each in page.stored if each.expires_at > now]
    unread = {error.key for error in page.unread.values()}
    found = _Page(now, open=len(page.unread), unread=unread)
    if context.clock.monotonic() >= context.deadline:  # also checked here: on most pages, nobody has to be checked
        return False
    past_due = [each.member[1] for each in stored if is_past_due(each, now)]
    for body, delay in deletion_messages(dict.fromkeys(past_due, now), now):
        context.jobs.send([body], deadline=context.deadline + RESERVE, delay=delay)
    report.woken += len(past_due)
    people = [each for each in stored if not is_closed(each) and not found.is_skipped(each)]
    for person in person_erasures(people, context.audiences, context.members, context.timings, now):
        if context.clock.monotonic() >= context.deadline:
            break
        found.add(person)
    else:
        report.open += found.open
        report.overdue += found.overdue
        report.waiting += found.waiting
        report.unread |= found.unread
    written = [each for each in context.members.write(found.writes) if isinstance(each, MemberState)]
    report.closed += sum(map(is_closed, written))
    return found.checked == len(people)


@dataclass(slots=True)
class _Page:
    """The erasures of one page that are not closed."""

    now: float  # epoch seconds
    open: int = 0
    overdue: int = 0
    waiting: int = 0
    checked: int = 0
    unread: set[RowKey] = field(default_factory=set)
    writes: list[MemberState] = field(default_factory=list)

    def is_skipped(self, everywhere: MemberState) -> bool:
        """Count an erasure for which nothing can be done yet, without reading the person's other rows."""
        if is_waiting(everywhere, self.now):
            self.waiting += 1
            return True
        if not is_due_later(everywhere, self.now):
            return False
        if everywhere.plan and everywhere.plan.known_in:
            self.open += 1
            self.overdue += is_overdue(opened_at(everywhere), self.now)
        return True

    def add(self, person: PersonErasure) -> None:
        erasure = person.erasure
        self.checked += 1
        self.unread |= person.unread
        self.open += erasure.progress is Progress.OPEN
        self.overdue += erasure.is_overdue(self.now)
        self.waiting += erasure.progress is Progress.AMAZON_DELETES
        if erasure.progress is Progress.OPEN:
            self.writes += _kept(person, self.now)
        elif erasure.notices[-1].ended < to_milliseconds(self.now - SETTLED):
            self.writes.append(_with_end(person.everywhere, erasure, to_milliseconds(int(self.now))))


def _kept(person: PersonErasure, now: float) -> Iterator[MemberState]:
    """Yield those rows of an open erasure that would expire soon, to be kept: it is never forgotten."""
    for state in (person.everywhere, *person.rows):
        if expires_at(state) < now + EXPIRES_SOON:
            yield replace(state, keep_until=int(now) + KEEP_EXIT)


def _with_end(state: MemberState, erasure: Erasure, now: int) -> MemberState:
    if erasure.progress is Progress.CLOSED:
        step = ErasureStep(StepKind.CLOSED, "", erasure.since, now)
    else:
        step = ErasureStep(StepKind.WAITING, "", erasure.since, erasure.until or now)
    return replace(state, erasure=with_step(state.erasure, step))
