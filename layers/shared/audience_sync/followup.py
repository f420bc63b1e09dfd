"""What became of an upload: ask Amazon until its job has ended, tell the sizes, and park what the job rejected.

A job that failed as a whole took no record in: all its members are parked, for someone to look and redrive.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from audience_sync.amazon_ads.job import JobReport
from audience_sync.errors import InvalidMessage, NotFound
from audience_sync.membership import MembershipChange, pack

Member = tuple[str, str]

MAX_AGE = 36 * 3600  # seconds; Amazon shows members within 36 hours, and a job that is not over by then is none
MAX_PAUSE = 900.0  # seconds between two questions; SQS delays no message longer
MAX_NAMED = 240_000  # bytes of member ids in one message


@dataclass(frozen=True, slots=True)
class JobMessage:
    """One job to follow up."""

    job_id: str
    audience_id: str
    sent_at: int  # epoch milliseconds of the upload
    members: tuple[str, ...]  # external user ids in it
    asked: int = 0  # times we have asked already

    def body(self) -> str:
        """The message as the job queue carries it."""
        told = {
            "v": 1,
            "jobId": self.job_id,
            "audienceId": self.audience_id,
            "sentAt": self.sent_at,
            "asked": self.asked,
            "members": self.members,
        }
        return json.dumps(told, separators=(",", ":"))

    @classmethod
    def from_body(cls, body: str) -> "JobMessage":
        """Read a message body. Raises InvalidMessage."""
        try:
            told = json.loads(body)
            return cls(
                str(told["jobId"]),
                str(told["audienceId"]),
                int(told["sentAt"]),
                tuple(str(member) for member in told["members"]),
                int(told.get("asked", 0)),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise InvalidMessage("the message names no job") from None


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
class Finding:
    """What one look at a job has shown, for logs and metrics."""

    message: JobMessage
    report: JobReport | None  # None where Amazon knows no such job
    outcome: str  # ended, waiting, given_up, unknown
    parked: int = 0  # changes that the job rejected


class FollowUp:
    """Follows jobs up, one message at a time."""

    def __init__(self, amazon: Jobs, members: Members, jobs: Sink, dead_letters: Sink, now: Callable[[], int]) -> None:
        """Hand in the collaborators: Amazon, table, job queue, dead letters; `now` in epoch milliseconds."""
        self._amazon = amazon
        self._members = members
        self._jobs = jobs
        self._dead_letters = dead_letters
        self._now = now

    def look(self, message: JobMessage, *, deadline: float) -> Finding:
        """Ask about one job, and act on the answer.

        Raises:
            TransientError: nothing is decided; the message must come back.
        """
        try:
            report = self._amazon.job(message.job_id)
        except NotFound:
            return Finding(message, None, "unknown")
        if not report.is_final:
            if self._now() - message.sent_at > MAX_AGE * 1000:
                return Finding(message, report, "given_up")
            pause = min(MAX_PAUSE, 60.0 * 2.0 ** min(message.asked, 16))
            self._jobs.send([replace(message, asked=message.asked + 1).body()], deadline=deadline, delay=pause)
            return Finding(message, report, "waiting")
        parked = self._park(message, report.rejected, deadline, reason="job_rejected")
        if report.has_failed:
            others = {member: "Amazon's job failed" for member in message.members if member not in report.rejected}
            parked += self._park(message, others, deadline, reason="job_failed")
        return Finding(message, report, "ended", parked)

    def _park(self, message: JobMessage, rejected: dict[str, str], deadline: float, *, reason: str) -> int:
        """Park those whose newest change is the rejected one; whoever has changed since has a new upload."""
        changes = self._unchanged(message, rejected)
        letters = [self._letter(message, change, rejected[change.member[1]], reason) for change in changes]
        if letters:
            self._dead_letters.send(letters, deadline=deadline, attributes={"reason": reason})
        return len(letters)

    def _unchanged(self, message: JobMessage, members: Iterable[str]) -> list[MembershipChange]:
        ours = set(message.members)  # the others of the job stand in messages of their own
        named = [(message.audience_id, member) for member in members if member in ours]
        return self._members.settled_before(named, message.sent_at / 1000) if named else []

    def _letter(self, message: JobMessage, change: MembershipChange, detail: str, reason: str) -> str:
        story: dict[str, Any] = {
            "reason": reason,
            "status": None,
            "detail": detail,
            "requestId": message.job_id,
            "attempts": 1,
            "firstAt": message.sent_at,
            "lastAt": self._now(),
        }
        (body,) = pack([change])
        return json.dumps(json.loads(body) | {"parked": story}, separators=(",", ":"))


def job_messages(job_id: str, audience_id: str, members: Sequence[str], sent_at: int) -> list[str]:
    """Lay out what must be remembered of one upload; in several messages where its members fill more than one."""
    size = max(1, MAX_NAMED // (max((len(member) for member in members), default=0) + 3))
    return [
        JobMessage(job_id, audience_id, sent_at, tuple(members[start : start + size])).body()
        for start in range(0, len(members), size)
    ]
