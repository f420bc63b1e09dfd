"""Tracks Amazon's jobs. The 202 of an upload means queued, no more: the job decides.

Each job is checked until it has ended. Ended well, it erases what a deletion notice asked for. What it rejected is
parked, with the identities that another attempt needs. One that had not ended when it was first checked is late: its
members' rows are marked meanwhile, so that nothing is erased which it may bring back, and in the end the newest change
of each member that says otherwise is sent once more. So the last word at Amazon is the newest change, in whatever order
jobs end and however long they take.

Without the membership table the changes of a job are not kept: what it rejected can then only be counted.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import batched
from typing import NamedTuple, Protocol

from audience_sync.amazon_ads.job import JobReport
from audience_sync.clock import Clock
from audience_sync.errors import MovedOn, NotFound, OutOfTime, RequestRejected, TransientError
from audience_sync.member_state import MemberState, removed
from audience_sync.membership import Member, MembershipChange, Version
from audience_sync.messages import DeadLetter, DeliveryHistory, Failure, JobMember, JobMessage, pack
from audience_sync.operations.job_end import Rejection, contradicting, is_concerned, rejected_change, rejections

MAX_AGE = 36 * 3600  # seconds; Amazon shows members within 36 hours, so a job that has not ended by then never will
MAX_CHECK_INTERVAL = 900.0  # seconds between two checks; SQS delays no message longer
MEMBERS_AT_ONCE = 100  # the table answers for as many in one request
PARKED_AT_ONCE = 10  # members; the dead letters take as many in one request
RESERVE = 20.0  # seconds kept for one slow read, one slow write and requeueing the rest
# Seconds without which no check begins: Amazon may take 30 to answer, and a token 15 before.
MIN_TIME_PER_CHECK = 45.0 + RESERVE
MAX_ROUNDS = 5  # attempts at a row that others write at the same time


class Jobs(Protocol):
    """Amazon's jobs."""

    def job(self, job_id: str) -> JobReport:
        """Return the state of a job. Raises NotFound, TransientError."""


class Members(Protocol):
    """The membership table."""

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        """Read states, consistently. Raises Unavailable."""

    def write(self, states: Sequence[MemberState]) -> list[MemberState | TransientError]:
        """Write states, each unless its row has changed since it was read."""


class Queue(Protocol):
    """A queue to send to."""

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        """Store all bodies, visible after `delay` seconds. Raises Unavailable unless all are stored."""


class JobOutcome(StrEnum):
    """The result of one check."""

    ENDED = "ended"
    UNFINISHED = "unfinished"  # the job has ended, and some members are left for another check
    WAITING = "waiting"
    GIVEN_UP = "given_up"
    UNKNOWN = "unknown"  # to Amazon


@dataclass(frozen=True, slots=True)
class JobCheck:
    """One check of a job, for logs and metrics."""

    message: JobMessage
    report: JobReport | None  # None where Amazon knows no such job
    outcome: JobOutcome
    parked: int = 0  # changes that the job rejected
    counted: int = 0  # of these, those that had been counted as delivered
    repeated: int = 0  # members whose newest change is sent once more
    erased: int = 0  # members whose identities were erased
    untracked: int = 0  # records that it rejected, whose changes are not kept


class JobContext(NamedTuple):
    """What tracking needs."""

    amazon: Jobs
    members: Members | None  # None where the table is not kept
    changes: Queue  # the change queue, for repetitions
    jobs: Queue
    dead_letters: Queue
    clock: Clock
    in_time: float  # seconds after an upload within which a job is expected to have ended


class _Effect(NamedTuple):
    """What the end of a job means for some of its members."""

    parked: int = 0
    counted: int = 0
    repeated: int = 0
    erased: int = 0

    def plus(self, other: "_Effect") -> "_Effect":
        return _Effect(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class JobTracker:
    """Checks jobs, one message at a time."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._clock = context.clock

    def check(self, message: JobMessage, *, deadline: float) -> JobCheck:
        """Ask Amazon about one job, and act on the answer.

        Args:
            message: names the job.
            deadline: monotonic seconds at which the function is stopped.

        Raises:
            TransientError, RequestRejected: nothing is decided; the message must come back.
        """
        age = (self._clock.now_ms() - message.sent_at) / 1000
        if self._clock.monotonic() > deadline - MIN_TIME_PER_CHECK:
            # Stopped during one check, the function would return all its messages to the queue, checked ones too.
            raise OutOfTime("no time left to check the job", retry_after=None)
        # A job that was first checked later than expected may have ended late.
        message = replace(message, is_late=message.is_late or age > self._context.in_time)
        try:
            report: JobReport | None = self._context.amazon.job(message.job_id)
        except NotFound:  # it counts as ended
            report = None
        except (TransientError, RequestRejected):
            if age > MAX_AGE:  # counted, before SQS drops the message
                return self._end(message, None, JobOutcome.GIVEN_UP, deadline)
            if message.is_late:
                self._mark(message)
            raise
        if report is None:
            return self._end(message, None, JobOutcome.UNKNOWN, deadline)
        if report.is_final:
            return self._end(message, report, JobOutcome.ENDED, deadline)
        if age > MAX_AGE:
            return self._end(message, None, JobOutcome.GIVEN_UP, deadline)
        self._mark(message)
        self._check_again(replace(message, is_late=True), deadline)
        return JobCheck(message, report, JobOutcome.WAITING)

    def _check_again(self, message: JobMessage, deadline: float) -> None:
        interval = min(MAX_CHECK_INTERVAL, 60.0 * 2.0 ** min(message.checks, 16))
        again = replace(message, checks=message.checks + 1)
        self._context.jobs.send([again.body()], deadline=deadline, delay=interval)

    def _mark(self, message: JobMessage) -> None:
        """Mark the rows of a late job's enters: nothing that it may bring back is erased before its end."""
        table = self._context.members
        if table is None or message.checks:
            return
        enters = [(message.audience_id, each.member) for each in message.members if not each.removes]

        def marked(state: MemberState) -> MemberState:
            return replace(state, late_jobs=tuple(sorted({*state.late_jobs, message.job_id})))

        for some in batched(enters, MEMBERS_AT_ONCE):
            _update(table, some, marked)

    def _end(self, message: JobMessage, report: JobReport | None, outcome: JobOutcome, deadline: float) -> JobCheck:
        """Act on the end of a job, some members at a time; those left for want of time are left to another check."""
        if self._context.members is None:
            untracked = len(list(rejections(message, report)))
            return JobCheck(message, report, outcome, untracked=untracked)
        effect, done = _Effect(), 0
        concerned = [each for each in message.members if is_concerned(message, report, each)]
        try:
            rejects = any(True for _ in rejections(message, report))
            for some in batched(concerned, PARKED_AT_ONCE if rejects else MEMBERS_AT_ONCE):
                effect = effect.plus(self._end_some(self._context.members, message, report, some, deadline))
                done += len(some)
        except TransientError:
            if not done:
                raise
        left = tuple(concerned[done:])
        if left:
            self._check_again(replace(message, members=left), deadline)
        return JobCheck(message, report, JobOutcome.UNFINISHED if left else outcome, *effect)

    def _end_some(
        self,
        table: Members,
        message: JobMessage,
        report: JobReport | None,
        members: Sequence[JobMember],
        deadline: float,
    ) -> _Effect:
        if self._clock.monotonic() > deadline - RESERVE:
            raise OutOfTime("no time left for all members of the job", retry_after=None)
        states = table.read([(message.audience_id, each.member) for each in members])
        known = [(each, state) for each in members if (state := states.get((message.audience_id, each.member)))]
        rejected = {rejection.member.member: rejection for rejection in rejections(message, report)}
        refused = [
            (rejected[each.member], change)
            for each, state in known
            if each.member in rejected and (change := rejected_change(each, state)) is not None
        ]
        self._park(message, refused, deadline)
        failed = [rejection.member for rejection, _ in refused if rejection.member.removes]
        if failed:
            self._keep(table, message, failed)
        repeating = [
            change
            for each, state in known
            if message.is_late
            and (each.member not in rejected or state.must_erase)
            and (change := contradicting(each, state, message.sent_at)) is not None
        ]
        self._context.changes.send(pack(repeating, DeliveryHistory(is_replay=True)), deadline=deadline)
        marked = [each for each, state in known if message.job_id in state.late_jobs]
        if marked:
            self._unmark(table, message, marked)
        erased = 0
        if report is not None:
            erasing = [each for each, _ in known if each.erases and each.member not in rejected]
            erased = self._erase(table, message, erasing)
        counted = sum(not rejection.member.is_replay for rejection, _ in refused)
        return _Effect(len(refused), counted, len(repeating), erased)

    def _park(
        self, message: JobMessage, refused: Sequence[tuple["Rejection", MembershipChange]], deadline: float
    ) -> None:
        for some in batched(refused, PARKED_AT_ONCE):
            by_reason: dict[str, list[str]] = {}
            for rejection, change in some:
                failure = Failure(
                    rejection.reason, rejection.detail, message.sent_at, self._clock.now_ms(), request_id=message.job_id
                )
                by_reason.setdefault(rejection.reason, []).append(DeadLetter.parked(change, failure).body())
            for reason, bodies in by_reason.items():
                self._context.dead_letters.send(bodies, deadline=deadline, attributes={"reason": reason})

    def _keep(self, table: Members, message: JobMessage, members: Sequence[JobMember]) -> None:
        """Keep what a failed removal was to remove, for as long as it takes to send it once more."""

        def kept(state: MemberState) -> MemberState:
            is_last = state.exited * 1000 <= message.sent_at
            return replace(state, removal_failed=True) if is_last else state

        _update(table, [(message.audience_id, each.member) for each in members], kept)

    def _unmark(self, table: Members, message: JobMessage, members: Sequence[JobMember]) -> None:
        def unmarked(state: MemberState) -> MemberState:
            return replace(state, late_jobs=tuple(each for each in state.late_jobs if each != message.job_id))

        _update(table, [(message.audience_id, each.member) for each in members], unmarked)

    def _erase(self, table: Members, message: JobMessage, members: Sequence[JobMember]) -> int:
        """Erase what the job removed and a deletion notice concerns, where no late job may bring it back."""
        until = {(message.audience_id, each.member): Version.from_text(each.version).at for each in members}

        def erased(state: MemberState) -> MemberState:
            return state if state.late_jobs else removed(state, min(state.erase_until, until[state.member]))

        return _update(table, [(message.audience_id, each.member) for each in members], erased)


def _update(table: Members, members: Sequence[Member], change: Callable[[MemberState], MemberState]) -> int:
    """Change the states of members that have a row. Returns how many were changed. Raises Unavailable, MovedOn."""
    left, changed = list(members), 0
    for _ in range(MAX_ROUNDS):
        states = [(state, change(state)) for state in table.read(left).values()] if left else []
        results = table.write([new for old, new in states if new != old])
        failed = [each for each in results if isinstance(each, TransientError)]
        other = next((each for each in failed if not isinstance(each, MovedOn)), None)
        if other is not None:
            raise other
        changed += len(results) - len(failed)
        if not failed:
            return changed
        left = [
            new.member
            for (old, new), result in zip([pair for pair in states if pair[1] != pair[0]], results, strict=True)
            if isinstance(result, MovedOn)
        ]
    raise MovedOn("the rows of some members keep changing")
