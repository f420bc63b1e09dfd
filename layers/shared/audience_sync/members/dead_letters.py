"""The messages of the dead letter queue."""

import json
from dataclasses import dataclass, field, replace
from typing import Any, Self

from audience_sync.clock import EpochMilliseconds
from audience_sync.errors import AudienceSyncError, InvalidMessage
from audience_sync.members.envelope import bounded, read_envelope
from audience_sync.members.membership import MembershipChange
from audience_sync.members.messages import ChangeMessage, DeliveryHistory, pack


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason a change could not be delivered."""

    reason: str  # code
    detail: str
    first_at: EpochMilliseconds  # at which the change was accepted
    last_at: EpochMilliseconds  # of the last attempt
    attempts: int = 1
    status: int | None = None  # HTTP status of Amazon's answer
    request_id: str = ""  # Amazon's id of the request or job

    @classmethod
    def of(
        cls, error: AudienceSyncError, *, attempts: int, first_at: EpochMilliseconds, last_at: EpochMilliseconds
    ) -> Self:
        """Describe an error."""
        status, request_id = getattr(error, "status", None), getattr(error, "request_id", "")
        return cls(error.reason, str(error), first_at, last_at, attempts, status, request_id)

    def as_json(self) -> dict[str, Any]:
        """The failure as written in a dead letter."""
        return {
            "reason": self.reason,
            "status": self.status,
            "detail": self.detail,
            "requestId": self.request_id,
            "attempts": self.attempts,
            "firstAt": self.first_at,
            "lastAt": self.last_at,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Read a failure, with defaults for missing fields."""
        return cls(
            str(fields.get("reason", "")),
            str(fields.get("detail", "")),
            bounded(fields.get("firstAt") or 0),
            bounded(fields.get("lastAt") or 0),
            bounded(fields.get("attempts") or 1) or 1,
            fields.get("status"),
            str(fields.get("requestId") or ""),
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead letter queue: one parked change with its failure, so that redriving needs no translation.

    A whole change message that SQS itself moved there, after too many receives, has no failure.
    """

    changes: tuple[MembershipChange, ...]
    failure: Failure | None
    history: DeliveryHistory = field(default_factory=DeliveryHistory)

    @classmethod
    def parked(cls, change: MembershipChange, failure: Failure) -> Self:
        """Park one change."""
        return cls((change,), failure)

    def body(self) -> str:
        """The message body for the dead letter queue."""
        (body,) = pack(self.changes, self.history)
        return f'{body[:-1]},"failure":{json.dumps(self.failure.as_json())}}}' if self.failure else body

    def redrive_bodies(self) -> list[str]:
        """The change messages to send for another attempt. A parked change was counted as parked: it is a replay."""
        return pack(self.changes, replace(self.history, was_counted=True) if self.failure else self.history)

    @classmethod
    def from_body(cls, body: str) -> Self:
        """Read a message body. Raises InvalidMessage."""
        envelope = read_envelope(body)
        message = ChangeMessage.from_envelope(envelope)
        fields = envelope.get("failure")
        try:
            failure = Failure.from_json(fields) if isinstance(fields, dict) else None
        except (ValueError, TypeError, OverflowError):
            raise InvalidMessage("the failure of a dead letter is mistyped") from None
        return cls(tuple(message.changes), failure, message.history)
