"""What became of an upload: ask Amazon until its job has ended, tell the sizes, and park what the job rejected.

A job that failed as a whole took no record in: all its members are parked, for someone to look and redrive. Without
the membership table nobody has the changes of a job any more: what it rejected can then only be counted.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from audience_sync.amazon_ads.job import JobReport
from audience_sync.errors import NotFound, RequestRejected, TransientError
from audience_sync.jobs import JobMessage
from audience_sync.membership import MembershipChange, pack

Member = tuple[str, str]  # audience, external user id

MAX_AGE = 36 * 3600  # seconds; Amazon shows members within 36 hours, and a job that is not over by then is none
MAX_PAUSE = 900.0  # seconds between two questions; SQS delays no message longer
READ_AT_ONCE = 100  # members; the table answers for as many in one request
PARKED_AT_ONCE = 10  # members; the dead letters take as many in one request
RESERVE = 20.0  # seconds kept back while letters go out: for one slow read, one slow send and putting back who is left
MIN_TIME_PER_CHECK = (
    45.0 + RESERVE
)  # seconds without which no look begins: Amazon may take 30 to answer, and a token 15 before


class Jobs(Protocol):
    """Amazon's jobs."""

    def job(self, job_id: str) -> JobReport:
        """Return how a job stands. Raises NotFound, TransientError."""


class Members(Protocol):
    """The membership table."""

    def settled_before(self, members: Iterable[Member], moment: float) -> list[MembershipChange]:
        """Return the newest changes of those members who have not changed since `moment`, in epoch seconds."""


class Sink(Protocol):
    """A queue to send to."""

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        """Store all bodies, visible after `delay` seconds. Raises Unavailable unless all are stored."""


@dataclass(frozen=True, slots=True)
class JobCheck:
    """What one look at a job has shown, for logs and metrics."""

    message: JobMessage
    report: JobReport | None  # None where Amazon knows no such job
    outcome: str  # ended, unfinished (some members are left for another look), waiting, given_up, unknown
    parked: int = 0  # changes that the job rejected
    unparkable: int = 0  # records that it rejected, and nobody has their changes


class Clock(NamedTuple):
    """The times that matter here."""

    now: Callable[[], int]  # epoch milliseconds
    monotonic: Callable[[], float]  # seconds


class _Refusal(NamedTuple):
    """One record that took no effect."""

    member: str  # external user id
    reason: str
    detail: str


class JobTracker:
    """Follows jobs up, one message at a time."""

    def __init__(self, amazon: Jobs, members: Members | None, jobs: Sink, dead_letters: Sink, clock: Clock) -> None:
        """Hand in the collaborators: Amazon, the table where it is kept, job queue, dead letters, clock."""
        self._amazon = amazon
        self._members = members
        self._jobs = jobs
        self._dead_letters = dead_letters
        self._clock = clock

    def check(self, message: JobMessage, *, deadline: float) -> JobCheck:
        """Ask about one job, and act on the answer.

        Args:
            message: names the job.
            deadline: monotonic seconds at which the function is stopped.

        Raises:
            TransientError, RequestRejected: nothing is decided; the message must come back.
        """
        is_old = self._clock.now() - message.sent_at > MAX_AGE * 1000
        if self._clock.monotonic() > deadline - MIN_TIME_PER_CHECK:
            # Stopped over one answer, the function would give back all its messages, those that are done with, too.
            raise TransientError("no time left to ask about the job", reason="out_of_time")
        try:
            report = self._amazon.job(message.job_id)
        except NotFound:
            return JobCheck(message, None, "unknown")
        except (TransientError, RequestRejected):
            if is_old:  # counted, before SQS drops the question
                return JobCheck(message, None, "given_up")
            raise
        if not report.is_final:
            if is_old:
                return JobCheck(message, report, "given_up")
            self._ask_again(message, deadline)
            return JobCheck(message, report, "waiting")
        refusals = list(_refusals(message, report))
        if self._members is None:
            return JobCheck(message, report, "ended", unparkable=len(refusals))
        parked, left = self._park(self._members, message, refusals, deadline)
        if left:
            self._ask_again(replace(message, members=left), deadline)
        return JobCheck(message, report, "unfinished" if left else "ended", parked)

    def _ask_again(self, message: JobMessage, deadline: float) -> None:
        pause = min(MAX_PAUSE, 60.0 * 2.0 ** min(message.asked, 16))
        self._jobs.send([replace(message, asked=message.asked + 1).body()], deadline=deadline, delay=pause)

    def _park(
        self, table: Members, message: JobMessage, refusals: Sequence[_Refusal], deadline: float
    ) -> tuple[int, tuple[str, ...]]:
        """Park those whose newest change is the rejected one; whoever has changed since has a new upload.

        Returns:
            How many letters went out, and the members that are left, for want of time or of a queue.

        Raises:
            TransientError: all of them are left.
        """
        parked = done = 0
        try:
            for few in _pieces(refusals, READ_AT_ONCE):
                named = [(message.audience_id, refusal.member) for refusal in few]
                changes = {change.member[1]: change for change in table.settled_before(named, message.sent_at / 1000)}
                for ten in _pieces(few, PARKED_AT_ONCE):
                    parked += self._send(message, [each for each in ten if each.member in changes], changes, deadline)
                    done += len(ten)
        except TransientError:
            if not done:
                raise
        return parked, tuple(refusal.member for refusal in refusals[done:])

    def _send(
        self,
        message: JobMessage,
        refusals: Sequence[_Refusal],
        changes: dict[str, MembershipChange],
        deadline: float,
    ) -> int:
        """Send the letters of a few refusals, and return how many there are."""
        if self._clock.monotonic() > deadline - RESERVE:
            raise TransientError("no time left to park all of them", reason="out_of_time")
        for reason in {refusal.reason for refusal in refusals}:
            letters = [
                self._letter(message, changes[refusal.member], refusal)
                for refusal in refusals
                if refusal.reason == reason
            ]
            self._dead_letters.send(letters, deadline=deadline, attributes={"reason": reason})
        return len(refusals)

    def _letter(self, message: JobMessage, change: MembershipChange, refusal: _Refusal) -> str:
        story: dict[str, Any] = {
            "reason": refusal.reason,
            "status": None,
            "detail": refusal.detail,
            "requestId": message.job_id,
            "attempts": 1,
            "firstAt": message.sent_at,
            "lastAt": self._clock.now(),
        }
        (body,) = pack([change])
        return json.dumps(json.loads(body) | {"parked": story}, separators=(",", ":"))


def _refusals(message: JobMessage, report: JobReport) -> Iterator[_Refusal]:
    """Yield those of a message whose records took no effect; the others of the job stand in messages of their own."""
    for member in message.members:
        if member in report.rejected:
            yield _Refusal(member, reason="job_rejected", detail=report.rejected[member])
        elif report.has_failed:
            yield _Refusal(member, reason="job_failed", detail="Amazon's job failed")


def _pieces[Each](each: Sequence[Each], size: int) -> Iterator[Sequence[Each]]:
    return (each[start : start + size] for start in range(0, len(each), size))
