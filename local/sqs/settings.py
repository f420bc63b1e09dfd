"""The attributes of a queue at its creation: ranges and defaults."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.sqs.errors import InvalidAttributeName, InvalidAttributeValue

MAX_BYTES = 1_048_576  # of one message, and of one batch in all
MAX_DELAY = 900  # seconds
MAX_VISIBILITY = 43_200  # seconds, 12 hours
MAX_WAIT = 20  # seconds

# Attribute, field, lowest and highest value in seconds. Source: Amazon SQS API Reference, SetQueueAttributes.
_RANGES = {
    "DelaySeconds": ("delay", 0, MAX_DELAY),
    "MessageRetentionPeriod": ("retention", 60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": ("wait", 0, MAX_WAIT),
    "VisibilityTimeout": ("visibility", 0, MAX_VISIBILITY),
}


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The supported attributes, with the defaults of SQS."""

    delay: int = 0  # seconds
    retention: int = 345_600  # seconds, 4 days
    wait: int = 0  # seconds
    visibility: int = 30  # seconds
    dead_letter_queue: str | None = None  # name
    max_receives: int = 0  # receives of a message before it moves to the dead letter queue

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str]) -> "QueueSettings":
        """Read SQS attributes; all values are strings, even numbers.

        Raises:
            InvalidAttributeName: not one of the five that this server knows.
            InvalidAttributeValue: out of range, or not a valid redrive policy.
        """
        settings: dict[str, Any] = {}
        for name, value in attributes.items():
            if name in _RANGES:
                settings[_RANGES[name][0]] = _seconds(name, value)
            elif name == "RedrivePolicy":
                settings |= _redrive(value)
            else:
                raise InvalidAttributeName("Unknown Attribute. The local queue server does not know it.")
        return cls(**settings)


def _seconds(name: str, value: str) -> int:
    _, lowest, highest = _RANGES[name]
    if not (value.isascii() and value.isdigit() and lowest <= int(value[:10]) <= highest):
        raise InvalidAttributeValue(f"Invalid value for the parameter {name}: {lowest} to {highest}.")
    return int(value)


def _redrive(text: str) -> dict[str, Any]:
    try:
        policy = json.loads(text)
        target, receives = str(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"])
    except (ValueError, TypeError, KeyError):
        target, receives = "", 0
    if not target.startswith("arn:") or not 1 <= receives <= 1_000:
        raise InvalidAttributeValue(
            "Invalid value for the parameter RedrivePolicy: deadLetterTargetArn, and maxReceiveCount from 1 to 1000, "
            "are needed."
        )
    return {"dead_letter_queue": target.rsplit(":", 1)[-1], "max_receives": receives}
