"""A fast path for the usual Engage event, which is about one audience. Its results equal `event.read`.

Each value is looked up once, in Engage's usual place; anything else is left to
`event.read`. tests/unit/segment/test_quick_event.py compares.
"""

from datetime import UTC, datetime
from typing import Any

from audience_sync.segment.event import (
    AUDIENCE_CLASSES,
    MAX_AHEAD,
    NAMED,
    AudienceCall,
    Kind,
    country_of,
    is_test,
    safe_id,
)

# The object in which each type of call states membership, then the object of the other type.
_HOLDERS = {"track": ("properties", "traits"), "identify": ("traits", "properties")}


def read_ordinary(event: Any, now: int) -> AudienceCall | None:
    """Read an event that states membership of one audience, at a time in UTC.

    Args:
        event: of any type.
        now: epoch milliseconds.

    Returns:
        The result of `event.read`; None if that has to decide.
    """
    try:
        personas = event["context"]["personas"]
        key, message_id = personas["computation_key"], event["messageId"]
        holder, other = _HOLDERS[event["type"]]
        enters = event[holder][key]
        kind = Kind.ENTER if enters is True else Kind.EXIT
        contradicts = NAMED.get(name := event.get("event"), kind) is not kind
        moment = datetime.fromisoformat(event["timestamp"])
    except (LookupError, TypeError, ValueError):  # also if a value has another type
        return None
    if (
        type(enters) is not bool
        or contradicts
        or (type(name) is not str and name is not None)
        or event.get(other) is not None
        or personas.get("computation_class") not in AUDIENCE_CLASSES
        or type(key) is not str
        or not key
        or moment.tzinfo is not UTC
        or is_test(event, personas)
    ):
        return None
    at = round(moment.timestamp() * 1000)
    if not 0 <= at <= now + MAX_AHEAD:
        return None
    return AudienceCall(kind, min(at, now), safe_id(message_id, event), key, country_of(event, personas))
