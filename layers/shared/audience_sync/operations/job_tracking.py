"""Tracks Amazon's jobs. The 202 of an upload only means queued: the job decides.

Each job is checked until it has ended. The last due removal erases the identities under a deletion notice when its job
has ended well. What a job did not apply, or may not have applied, is owed again; a record that jobs reject twice is
parked, with the identities that another attempt needs. A job that had not ended at its first check is late: the rows
of its members are marked, so that contradicting changes wait, and uploads that it may have undone are sent again when
it has ended. So Amazon ends up with the newest change, in whatever order jobs end and however long they take.

Without the membership table the changes of a job are not kept: rejected ones can then only be counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import batched
from typing import NamedTuple, Protocol

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.destination import api_of
from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.timings import Timings
from audience_sync.clock import Clock, to_seconds
from audience_sync.errors import MovedOn, NotFound, OutOfTime, RequestRejected, RowKey, RowUnreadable, TransientError
from audience_sync.members.dead_letters import DeadLetter, Failure
from audience_sync.members.job_messages import JobMember, JobMessage
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.membership import Member, MembershipChange
from audience_sync.members.repetitions import MAX_DELAY, Wait, repetition_messages, with_due
from audience_sync.members.stores import MemberRows, MessageQueue
from audience_sync.operations.job_end import (
    after_end,
    is_concerned,
    is_refused,
    late_job,
    rejected_change,
)
from audience_sync.reasons import Reason

MEMBERS_AT_ONCE = 100  # the most that one read of the table returns
PARKED_AT_ONCE = 10  # members; the most that one SQS request accepts
RESERVE = 20.0  # seconds kept for one slow read, one slow write and requeueing the rest
# Seconds needed to begin a check: Amazon may take 30 to answer, and a token 15 before.
MIN_TIME_PER_CHECK = 45.0 + RESERVE
MAX_ROUNDS = 5  # attempts at a row that other workers write at the same time
MAX_MARKS = 20  # late jobs in one row; one member has no more in flight within 36 hours unless Amazon hangs


class JobReader(Protocol):
    """Amazon's jobs."""

    def job(self, job_id: str) -> JobReport:
        """Return the state of a job. Raises NotFound, TransientError."""


class JobOutcome(StrEnum):
    """The result of one check."""

    ENDED = "ended"
    UNFINISHED = "unfinished"  # the job has ended; some members need another check
    WAITING = "waiting"
    GIVEN_UP = "given_up"
    UNKNOWN = "unknown"  # to Amazon


@dataclass(frozen=True, slots=True)
class JobCheck:
    """One check of a job, for logs and metrics."""

    message: JobMessage
    report: JobReport | None  # None if Amazon does not know the job
    outcome: JobOutcome
    parked: int = 0  # changes that the job rejected, not for the first time
    counted: int = 0  # of these, counted as delivered before
    repeated: int = 0  # members for whom something is sent again: the job was late, failed, or is unknown
    erased: int = 0  # members whose identities were erased
    unread: frozenset[RowKey] = frozenset()  # damaged rows, whose members wait for another check


class JobContext(NamedTuple):
    """The collaborators and limits of tracking."""

    amazon: JobReader
    members: MemberRows
    changes: MessageQueue  # the change queue, for repetitions
    jobs: MessageQueue
    dead_letters: MessageQueue
    clock: Clock
    timings: Timings


class _Effect(NamedTuple):
    """The effect of a job's end on some of its members."""

    parked: int = 0
    counted: int = 0
    repeated: int = 0
    erased: int = 0
    damaged: tuple[tuple[JobMember, RowUnreadable], ...] = ()  # members whose row cannot be read

    def plus(self, other: "_Effect") -> "_Effect":
        return _Effect(
            self.parked + other.parked,
            self.counted + other.counted,
            self.repeated + other.repeated,
            self.erased + other.erased,
            self.damaged + other.damaged,
        )


class JobTracker:
    """Checks jobs, one message at a time."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._clock = context.clock

    def check(self, message: JobMessage, *, deadline: float) -> JobCheck:
        """Ask Amazon about one job and act on the answer.

        Args:
            message: names the job.
            deadline: monotonic seconds at which Lambda stops the function.

        Raises:
            TransientError, RequestRejected: nothing is decided; the message must come back.
            InvalidMessage: of an API that only a newer version knows, which also knows what the end proves.
        """
        api_of(message.destination)  # raises
        age = self._clock.now() - to_seconds(message.sent_at)
        if self._clock.monotonic() > deadline - MIN_TIME_PER_CHECK:
            # Stopped during a check, the function would return all its messages to the queue, even checked ones.
            raise OutOfTime("no time left to check the job", retry_after=None)
        timing = self._context.timings.of(message.destination)
        if not has_jobs(message.destination):
            return self._without_job(message, age, timing, deadline)
        # A job first checked later than expected may have ended late.
        message = replace(message, is_late=message.is_late or age > timing.effective_after)
        try:
            report: JobReport | None = self._context.amazon.job(message.job_id)
        except NotFound:  # it counts as ended
            report = None
        except (TransientError, RequestRejected):
            if age > timing.longest_job:  # counted, before SQS drops the message
                return self._end(message, None, JobOutcome.GIVEN_UP, deadline)
            if message.is_late:
                self._mark(message)
            raise
        if report is None:
            return self._end(message, None, JobOutcome.UNKNOWN, deadline)
        if report.is_final:
            return self._end(message, report, JobOutcome.ENDED, deadline)
        if age > timing.longest_job:
            return self._end(message, None, JobOutcome.GIVEN_UP, deadline)
        self._mark(message)
        self._check_again(replace(message, is_late=True), deadline)
        return JobCheck(message, report, JobOutcome.WAITING)

    def _without_job(self, message: JobMessage, age: float, timing: Timing, deadline: float) -> JobCheck:
        """End an upload that Amazon reports on to nobody when it must have taken effect, and wait until then."""
        if age >= timing.effective_after:
            return self._end(message, JobReport("ACCEPTED"), JobOutcome.ENDED, deadline)
        self._check_again(message, deadline)
        return JobCheck(message, None, JobOutcome.WAITING)

    def _check_again(self, message: JobMessage, deadline: float) -> None:
        """Queue the next check, on a full minute or a quarter of an hour: so copies of a message meet, and are one."""
        now, again = self._clock.now(), replace(message, checks=message.checks + 1)
        wait = Wait.of(now + min(MAX_DELAY, 60.0 * 2.0 ** min(message.checks, 16)), now, is_fixed=False)
        self._context.jobs.send([again.body()], deadline=deadline, delay=wait.delay)

    def _mark(self, message: JobMessage) -> None:
        """Mark the rows of a late job's members, so that contradicting changes wait until it has ended."""
        if message.checks:
            return
        table = self._context.members
        by_member = {(message.audience_id, each.member): late_job(message, each) for each in message.members}

        def marked(state: MemberState) -> MemberState:
            marks = {each.job_id: each for each in (*state.late_jobs, by_member[state.member])}
            newest_first = sorted(marks.values(), key=lambda each: (-each.sent_at, each.job_id))
            return replace(state, late_jobs=tuple(newest_first[:MAX_MARKS]))

        for some in batched(by_member, MEMBERS_AT_ONCE):
            update(table, table.readable(some)[0], marked)

    def _end(self, message: JobMessage, report: JobReport | None, outcome: JobOutcome, deadline: float) -> JobCheck:
        """Act on the end of a job, some members at a time. If time runs out, the rest wait for another check.

        So do members whose row is damaged, for as long as any job may take: it may be restored.
        """
        effect, done = _Effect(), 0
        concerned = [each for each in message.members if is_concerned(message, report, each)]
        try:
            parks = bool(report and report.rejected)
            for some in batched(concerned, PARKED_AT_ONCE if parks else MEMBERS_AT_ONCE):
                effect = effect.plus(self._end_some(message, report, some, deadline))
                done += len(some)
        except TransientError:
            if not done:
                raise
        longest = self._context.timings.of(message.destination).longest_job
        may_be_restored = self._clock.now() - to_seconds(message.sent_at) <= longest
        left = (*(each for each, _ in effect.damaged if may_be_restored), *concerned[done:])
        if left:
            self._check_again(replace(message, members=left), deadline)
        unread = frozenset(error.key for _, error in effect.damaged)
        return JobCheck(
            message,
            report,
            JobOutcome.UNFINISHED if left else outcome,
            *(effect.parked, effect.counted, effect.repeated, effect.erased),
            unread=unread,
        )

    def _end_some(
        self, message: JobMessage, report: JobReport | None, members: Sequence[JobMember], deadline: float
    ) -> _Effect:
        table = self._context.members
        if self._clock.monotonic() > deadline - RESERVE:
            raise OutOfTime("no time left for all members of the job", retry_after=None)
        states, damaged = table.readable([(message.audience_id, each.member) for each in members])
        known = [(each, state) for each in members if (state := states.get((message.audience_id, each.member)))]
        refused = [
            (each, change)
            for each, state in known
            if is_refused(report, each, state) and (change := rejected_change(each, state)) is not None
        ]
        self._park(message, report, refused, deadline)
        by_member = {state.member: each for each, state in known}
        timing = self._context.timings.of(message.destination)

        def ended(state: MemberState) -> MemberState:
            each, now = by_member[state.member], int(self._clock.now())
            return after_end(state, message, report, each, now=now, timing=timing)

        rows = update(table, states, ended)
        erased = sum(len(after.identities) < len(before.identities) for before, after in rows)
        may_owe = message.is_late or report is None or report.has_failed or report.rejected
        repeated = self._repeat([after for _, after in rows], timing, deadline) if may_owe else 0
        counted = sum(not member.was_counted for member, _ in refused)
        unread = tuple((each, error) for each in members if (error := damaged.get((message.audience_id, each.member))))
        return _Effect(len(refused), counted, repeated, erased, unread)

    def _repeat(self, states: Sequence[MemberState], timing: Timing, deadline: float) -> int:
        """Queue due repetitions. Returns the number of members."""
        due = [*with_due(states, timing)]
        for bodies, delay in repetition_messages(due, self._clock.now()):
            self._context.changes.send(bodies, deadline=deadline, delay=delay)
        return len(due)

    def _park(
        self,
        message: JobMessage,
        report: JobReport | None,
        refused: Sequence[tuple[JobMember, MembershipChange]],
        deadline: float,
    ) -> None:
        failure = Failure(Reason.JOB_REJECTED, "", message.sent_at, self._clock.now_ms(), request_id=message.job_id)
        details = report.rejected if report else {}
        for some in batched(refused, PARKED_AT_ONCE):
            bodies = [
                DeadLetter.parked(change, replace(failure, detail=details[each.member])).body() for each, change in some
            ]
            self._context.dead_letters.send(bodies, deadline=deadline, attributes={"reason": failure.reason})


def update(
    table: MemberRows, states: Mapping[Member, MemberState], change: Callable[[MemberState], MemberState]
) -> list[tuple[MemberState, MemberState]]:
    """Change rows as they were read, or as others have changed them since. Returns all rows, before and after.

    A row that needs no change may have got it by this very write: its answer was lost, and the client has made it
    again, or the message came back. So what follows from a row is found by looking at it, whoever has written it.

    Raises:
        Unavailable, MovedOn: some rows may be written.
    """
    before, rows = states, list[tuple[MemberState, MemberState]]()
    for _ in range(MAX_ROUNDS):
        after = {member: change(state) for member, state in states.items()}
        to_write = [state for member, state in after.items() if state != states[member]]
        rows += [(before[member], state) for member, state in after.items() if state == states[member]]
        results = table.write(to_write)
        failed = [each for each in results if isinstance(each, TransientError) and not isinstance(each, MovedOn)]
        if failed:
            raise failed[0]
        rows += [(before[each.member], each) for each in results if isinstance(each, MemberState)]
        left = [each.member for each, result in zip(to_write, results, strict=True) if isinstance(result, MovedOn)]
        if not left:
            return rows
        states = table.read(left)
    raise MovedOn("the rows of some members keep changing")
