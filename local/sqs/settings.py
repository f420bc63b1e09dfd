"""The attributes of a queue: their ranges, their defaults, and how they are spelled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from local.sqs.errors import InvalidAttributeName, InvalidAttributeValue

MESSAGE_LIMIT = 1_048_576  # bytes: one message, and one batch in all
LONGEST_DELAY = 900  # seconds
LONGEST_VISIBILITY = 43_200  # seconds, 12 hours
OLDEST_DEFERRED_CHANGE_AGE = 20  # seconds


@dataclass(frozen=True, slots=True)
class _Range:
    field: str
    lowest: int
    highest: int


# Source: Amazon SQS API Reference, SetQueueAttributes. Seconds, except MaximumMessageSize in bytes.
_RANGES = {
    "DelaySeconds": _Range("delay", 0, LONGEST_DELAY),
    "MaximumMessageSize": _Range("message_limit", 1_024, MESSAGE_LIMIT),
    "MessageRetentionPeriod": _Range("retention", 60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": _Range("wait", 0, OLDEST_DEFERRED_CHANGE_AGE),
    "VisibilityTimeout": _Range("visibility", 0, LONGEST_VISIBILITY),
}
# Remembered and given back; nothing here depends on them.
_INERT = {"KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "Policy", "RedriveAllowPolicy", "SqsManagedSseEnabled"}
SETTABLE = {*_RANGES, *_INERT, "RedrivePolicy"}


@dataclass(frozen=True, slots=True)
class RedrivePolicy:
    """When to give up on a message, and where it goes then."""

    dead_letters: str  # queue name
    max_receives: int
    text: str = field(compare=False)  # as it was set


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The attributes that can be set; the defaults are those of SQS."""

    delay: int = 0  # seconds
    message_limit: int = MESSAGE_LIMIT  # bytes
    retention: int = 345_600  # seconds, 4 days
    wait: int = 0  # seconds
    visibility: int = 30  # seconds
    redrive: RedrivePolicy | None = None
    inert: Mapping[str, str] = field(default_factory=dict)

    def with_attributes(self, attributes: Mapping[str, str]) -> "QueueSettings":
        """These settings, changed by SQS attributes (all values are strings, the numbers too).

        Raises:
            InvalidAttributeName: unknown, read-only, or of FIFO queues, which this server does not have.
            InvalidAttributeValue: out of range, or a redrive policy that is not one.
        """
        changed: QueueSettings = self
        for name, value in attributes.items():
            if name in _RANGES:
                whole: Any = _whole(name, value)  # Any, since the field's name is not known to the type checker
                changed = replace(changed, **{_RANGES[name].field: whole})
            elif name == "RedrivePolicy":
                changed = replace(changed, redrive=_redrive(value) if value else None)
            elif name in _INERT:
                changed = replace(changed, inert={**changed.inert, name: value})
            else:
                raise InvalidAttributeName("Unknown Attribute for a standard queue.")
        return changed

    def attributes(self) -> dict[str, str]:
        """The same as SQS spells it."""
        numbers = {name: str(getattr(self, known.field)) for name, known in _RANGES.items()}
        redrive = {"RedrivePolicy": self.redrive.text} if self.redrive else {}
        return {**numbers, **redrive, **self.inert}


def _whole(name: str, value: str) -> int:
    known = _RANGES[name]
    if not (value.isascii() and value.isdigit() and known.lowest <= int(value[:10]) <= known.highest):
        raise InvalidAttributeValue(f"Invalid value for the parameter {name}: {known.lowest} to {known.highest}.")
    return int(value)


def _redrive(text: str) -> RedrivePolicy:
    try:
        policy = json.loads(text)
        target, receives = str(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"])
    except (ValueError, TypeError, KeyError):
        raise InvalidAttributeValue(
            "Invalid value for the parameter RedrivePolicy: deadLetterTargetArn and maxReceiveCount are needed."
        ) from None
    if not target.startswith("arn:") or not 1 <= receives <= 1_000:
        raise InvalidAttributeValue(
            "Invalid value for the parameter RedrivePolicy: an ARN, and maxReceiveCount from 1 to 1000, are needed."
        )
    return RedrivePolicy(target.rsplit(":", 1)[-1], receives, text)
