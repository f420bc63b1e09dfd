"""The attributes of a queue at its creation, and their defaults."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.sqs.sqs_errors import InvalidAttributeName

MAX_BYTES = 1_048_576  # of one message, and of one batch in all
MAX_DELAY = 900  # seconds
MAX_VISIBILITY = 43_200  # seconds, 12 hours
MAX_WAIT = 20  # seconds

_FIELDS = {
    "MessageRetentionPeriod": "retention",
    "ReceiveMessageWaitTimeSeconds": "wait",
    "VisibilityTimeout": "visibility",
}


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The supported attributes, with the defaults of SQS."""

    retention: int = 345_600  # seconds, 4 days
    wait: int = 0  # seconds
    visibility: int = 30  # seconds
    dead_letter_queue: str | None = None  # name
    max_receives: int = 0  # receives of a message before it moves to the dead letter queue

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str]) -> "QueueSettings":
        """Read SQS attributes; all values are strings, even numbers. The template's linter knows their ranges.

        Raises:
            InvalidAttributeName: not one of the four that this server knows.
        """
        settings: dict[str, Any] = {}
        for name, value in attributes.items():
            if name == "RedrivePolicy":
                policy = json.loads(value)
                settings["dead_letter_queue"] = policy["deadLetterTargetArn"].rsplit(":", 1)[-1]
                settings["max_receives"] = int(policy["maxReceiveCount"])
            elif name in _FIELDS:
                settings[_FIELDS[name]] = int(value)
            else:
                raise InvalidAttributeName("Unknown Attribute. The local queue server does not know it.")
        return cls(**settings)
