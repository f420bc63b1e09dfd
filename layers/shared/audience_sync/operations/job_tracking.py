"""Tracks Amazon's jobs: checks each until it has ended, publishes sizes, and parks what the job rejected.

A job that failed as a whole applied no record: all its members are parked, for an operator to inspect and redrive.
Without the membership table the changes of a job are not kept: what it rejected can then only be counted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import batched
from typing import NamedTuple, Protocol

from audience_sync.amazon_ads.job import JobReport
from audience_sync.clock import Clock
from audience_sync.errors import NotFound, OutOfTime, RequestRejected, TransientError
from audience_sync.membership import Member, MembershipChange
from audience_sync.messages import DeadLetter, Failure, JobMessage

MAX_AGE = 36 * 3600  # seconds; Amazon shows members within 36 hours, so a job that has not ended by then never will
MAX_CHECK_INTERVAL = 900.0  # seconds between two checks; SQS delays no message longer
READ_AT_ONCE = 100  # members; the table answers for as many in one request
PARKED_AT_ONCE = 10  # members; the dead letters take as many in one request
RESERVE = 20.0  # seconds kept while dead letters are sent: for one slow read, one slow send and requeueing the rest
# Seconds without which no check begins: Amazon may take 30 to answer, and a token 15 before.
MIN_TIME_PER_CHECK = 45.0 + RESERVE


class Jobs(Protocol):
    """Amazon's jobs."""

    def job(self, job_id: str) -> JobReport:
        """Return the state of a job. Raises NotFound, TransientError."""


class Members(Protocol):
    """The membership table."""

    def unchanged_since(self, members: Iterable[Member], moment: float) -> list[MembershipChange]:
        """Return the newest changes of those members that have not changed since `moment`, in epoch seconds."""


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
    untracked: int = 0  # records that it rejected, whose changes are not kept


class _Rejection(NamedTuple):
    """One record that took no effect."""

    member: str  # external user id
    reason: str
    detail: str


class JobTracker:
    """Checks jobs, one message at a time."""

    def __init__(self, amazon: Jobs, members: Members | None, jobs: Queue, dead_letters: Queue, clock: Clock) -> None:
        """Take the collaborators: Amazon, the table where it is kept, job queue, dead letters, clock."""
        self._amazon = amazon
        self._members = members
        self._jobs = jobs
        self._dead_letters = dead_letters
        self._clock = clock

    def check(self, message: JobMessage, *, deadline: float) -> JobCheck:
        """Ask Amazon about one job, and act on the answer.

        Args:
            message: names the job.
            deadline: monotonic seconds at which the function is stopped.

        Raises:
            TransientError, RequestRejected: nothing is decided; the message must come back.
        """
        is_old = self._clock.now_ms() - message.sent_at > MAX_AGE * 1000
        if self._clock.monotonic() > deadline - MIN_TIME_PER_CHECK:
            # Stopped during one check, the function would return all its messages to the queue, checked ones too.
            raise OutOfTime("no time left to check the job", retry_after=None)
        try:
            report = self._amazon.job(message.job_id)
        except NotFound:
            return JobCheck(message, None, JobOutcome.UNKNOWN)
        except (TransientError, RequestRejected):
            if is_old:  # counted, before SQS drops the message
                return JobCheck(message, None, JobOutcome.GIVEN_UP)
            raise
        if not report.is_final:
            if is_old:
                return JobCheck(message, report, JobOutcome.GIVEN_UP)
            self._check_again(message, deadline)
            return JobCheck(message, report, JobOutcome.WAITING)
        rejections = list(_rejections(message, report))
        if self._members is None:
            return JobCheck(message, report, JobOutcome.ENDED, untracked=len(rejections))
        parked, left = self._park(self._members, message, rejections, deadline)
        if left:
            self._check_again(replace(message, members=left), deadline)
        return JobCheck(message, report, JobOutcome.UNFINISHED if left else JobOutcome.ENDED, parked)

    def _check_again(self, message: JobMessage, deadline: float) -> None:
        interval = min(MAX_CHECK_INTERVAL, 60.0 * 2.0 ** min(message.checks, 16))
        self._jobs.send([replace(message, checks=message.checks + 1).body()], deadline=deadline, delay=interval)

    def _park(
        self, table: Members, message: JobMessage, rejections: Sequence[_Rejection], deadline: float
    ) -> tuple[int, tuple[str, ...]]:
        """Park the members whose newest change is the rejected one; one that has changed since has a newer upload.

        Returns:
            How many were parked, and the members that are left, for want of time or because a queue failed.

        Raises:
            TransientError: all of them are left.
        """
        parked = done = 0
        try:
            for some in batched(rejections, READ_AT_ONCE):
                named = [(message.audience_id, rejection.member) for rejection in some]
                changes = {change.member[1]: change for change in table.unchanged_since(named, message.sent_at / 1000)}
                for ten in batched(some, PARKED_AT_ONCE):
                    parked += self._send(message, [each for each in ten if each.member in changes], changes, deadline)
                    done += len(ten)
        except TransientError:
            if not done:
                raise
        return parked, tuple(rejection.member for rejection in rejections[done:])

    def _send(
        self,
        message: JobMessage,
        rejections: Sequence[_Rejection],
        changes: dict[str, MembershipChange],
        deadline: float,
    ) -> int:
        """Send the dead letters of a few rejections, and return how many."""
        if self._clock.monotonic() > deadline - RESERVE:
            raise OutOfTime("no time left to park all of them", retry_after=None)
        by_reason: dict[str, list[str]] = {}
        for each in rejections:
            failure = Failure(
                each.reason, each.detail, message.sent_at, self._clock.now_ms(), request_id=message.job_id
            )
            by_reason.setdefault(each.reason, []).append(DeadLetter.parked(changes[each.member], failure).body())
        for reason, bodies in by_reason.items():
            self._dead_letters.send(bodies, deadline=deadline, attributes={"reason": reason})
        return len(rejections)


def _rejections(message: JobMessage, report: JobReport) -> Iterator[_Rejection]:
    """Yield those of a message whose records took no effect; other members of the job are in messages of their own."""
    for member in message.members:
        if member in report.rejected:
            yield _Rejection(member, reason="job_rejected", detail=report.rejected[member])
        elif report.has_failed:
            yield _Rejection(member, reason="job_failed", detail="Amazon's job failed")
