"""What must be remembered of an upload until Amazon's job for it has ended, and how it travels in a message."""

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from audience_sync.errors import InvalidMessage

MAX_NAMED = 240_000  # bytes of member ids in one message


@dataclass(frozen=True, slots=True)
class JobMessage:
    """One job to follow up."""

    job_id: str
    audience_id: str
    sent_at: int  # epoch milliseconds of the upload
    members: tuple[str, ...]  # external user ids in it
    asked: int = 0  # times we have asked already
    again: bool = False  # a repetition of changes that were delivered already: what becomes of it counts no more

    def body(self) -> str:
        """The message as the job queue carries it."""
        told: dict[str, Any] = {
            "v": 1,
            "jobId": self.job_id,
            "audienceId": self.audience_id,
            "sentAt": self.sent_at,
            "asked": self.asked,
            "members": self.members,
        }
        return json.dumps(told | ({"again": True} if self.again else {}), separators=(",", ":"))

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
                told.get("again") is True,
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise InvalidMessage("the message names no job") from None


def job_messages(
    job_id: str, audience_id: str, members: Sequence[str], sent_at: int, again: Container[tuple[str, str]] = ()
) -> list[str]:
    """Lay out what must be remembered of one upload; in several messages where its members fill more than one.

    Args:
        job_id: of the upload.
        audience_id: where it went.
        members: external user ids in it.
        sent_at: epoch milliseconds.
        again: audience and id of members for whom it was a repetition; they get messages of their own.
    """
    size = max(1, MAX_NAMED // (max((len(member) for member in members), default=0) + 3))
    return [
        JobMessage(job_id, audience_id, sent_at, tuple(few), again=repeated).body()
        for repeated in (False, True)
        for few in _pieces([each for each in members if ((audience_id, each) in again) is repeated], size)
    ]


def _pieces(members: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (members[start : start + size] for start in range(0, len(members), size))
