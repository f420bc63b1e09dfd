"""The envelope of every message: JSON in ASCII, so that characters are bytes, with a version.

SQS refuses some control characters that JSON allows.
"""

import json
import re
from typing import Any, TypeGuard

from audience_sync.errors import InvalidMessage
from audience_sync.json_input import parse_json
from audience_sync.members.membership import AUDIENCE_ID, Destination
from audience_sync.reasons import Reason

MESSAGE_VERSION = 1
MAX_MESSAGE_BYTES = 240_000  # bytes of one body; four fit into one SendMessageBatch
MAX_ATTEMPTS = 1_000_000  # more than any message can have
# Epoch milliseconds of the years 1 and 9999: outside, no time can be printed.
MIN_TIME, MAX_TIME = -62_135_596_800_000, 253_402_300_799_999
# Limits of one change. Ingest keeps them; a change from another sender that exceeds one would fit into no row.
MAX_MESSAGE_ID = 128  # characters; ingest keeps 100 of Segment's, and imports write their own
MAX_CONSENT = 50_000  # characters of all signals, of which two have up to 16,384 each
MAX_FIELDS = 16  # of one identity; Amazon has eight
MAX_TEXT = 64  # characters of a digest, its name or a country
MAX_DESTINATION = 1_000  # bytes; it is part of a row's key, of which DynamoDB allows 1,024
EXTERNAL_USER_ID = re.compile(r"[0-9a-zA-Z_-]{1,128}")  # Amazon's pattern
_SURROGATE = "\\ud"  # begins every escape of one


def read_envelope(body: str) -> dict[str, Any]:
    """Read the envelope of any message. Raises InvalidMessage."""
    try:
        parsed = parse_json(body)
        # Half a surrogate pair is valid in JSON, but cannot be sent in a record.
        if _SURROGATE in body.lower():
            json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidMessage("the message is not JSON", reason=Reason.MESSAGE_NOT_JSON) from None
    if not isinstance(parsed, dict) or parsed.get("v") != MESSAGE_VERSION:
        raise InvalidMessage(f"the message is not of version {MESSAGE_VERSION}", reason=Reason.MESSAGE_VERSION_UNKNOWN)
    return parsed


def destination_in(envelope: dict[str, Any]) -> Destination:
    """Read the destination of a message. Raises InvalidMessage."""
    fields = envelope.get("destination", {name: envelope.get(name) for name in ("connectionId", "targetTypes")})
    if not isinstance(fields, dict):
        raise InvalidMessage("destination is not an object")
    types = fields.get("targetTypes") or []
    if not isinstance(types, list) or not all(isinstance(each, str) for each in types):
        raise InvalidMessage("targetTypes is not a list of strings")
    # A row with another type in it could not be read again.
    if not all(isinstance(value, str | None) for name, value in fields.items() if name != "targetTypes"):
        raise InvalidMessage("a field of the destination is mistyped")
    destination = Destination.of(fields)
    if len(destination.encode()) > MAX_DESTINATION:
        raise InvalidMessage("destination is too long")
    return destination


def is_audience_id(value: Any) -> TypeGuard[str]:
    """Return whether a value is the id of an audience or dataset."""
    return isinstance(value, str) and AUDIENCE_ID.fullmatch(value) is not None


def is_time(value: Any) -> bool:
    """Return whether a value is a time in epoch milliseconds."""
    return type(value) is int and MIN_TIME <= value <= MAX_TIME


def bounded(value: Any) -> int:
    """Read a time or a count. Raises ValueError, TypeError, OverflowError."""
    number = int(value)
    if not MIN_TIME <= number <= MAX_TIME:
        raise ValueError
    return number


def checked_member_id(value: Any) -> str:
    """Read an external user id. Raises ValueError, TypeError."""
    if not EXTERNAL_USER_ID.fullmatch(value):
        raise ValueError
    return str(value)
