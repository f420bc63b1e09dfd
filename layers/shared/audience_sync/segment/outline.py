"""The outline of a Segment event: the fields that decide membership, their types checked.

Written by hand, not as a pydantic model: loading pydantic would make the start of ingest a third longer, for ten fields
(docs/performance.md). tests/unit/segment/test_outline.py compares the two.
"""

from dataclasses import dataclass, field
from typing import Any, Self

from audience_sync.errors import RejectedEvent


@dataclass(frozen=True, slots=True)
class Personas:
    """`context.personas`: what Engage says of the audience an event is about."""

    computation_class: str | None = None
    computation_key: str | None = None
    audience_settings: Any = field(default=None, repr=False)
    event_emitter_id: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class EventOutline:
    """One Segment call, reduced to what decides membership; Segment adds other fields without notice."""

    type: str
    name: str | None
    personas: Personas | None  # None where Engage sent none
    # What a sender may fill with anything stays out of the repr.
    message_id: Any = field(repr=False)
    properties: dict[str, Any] | None = field(repr=False)
    traits: dict[str, Any] | None = field(repr=False)
    timestamp: Any = field(repr=False)
    original_timestamp: Any = field(repr=False)
    received_at: Any = field(repr=False)
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, element: Any) -> Self:
        """Read one element of a request body.

        Raises:
            RejectedEvent: not an event; names the fields at fault, never their values.
        """
        if not isinstance(element, dict):
            raise RejectedEvent("not_an_event", "an event is a JSON object with a type; map data to the whole event")
        read = element.get
        type_: Any = read("type")
        name, context, properties, traits = read("event"), read("context"), read("properties"), read("traits")
        is_valid = {  # in the order of the alphabet, in which they are named
            "context": _is_valid(context),
            "event": _is_optional(str, name),
            "properties": _is_optional(dict, properties),
            "traits": _is_optional(dict, traits),
            "type": isinstance(type_, str),
        }
        if not all(is_valid.values()):
            fields = ", ".join(each for each, valid in is_valid.items() if not valid)
            raise RejectedEvent("not_an_event", f"missing or mistyped: {fields}; map data to the whole event")
        return cls(
            type_,
            name,
            _personas(context.get("personas")) if context else None,
            read("messageId"),
            properties,
            traits,
            read("timestamp"),
            read("originalTimestamp"),
            read("receivedAt"),
            element,
        )


def _personas(found: dict[str, Any] | None) -> Personas | None:
    if found is None:
        return None
    read = found.get
    return Personas(
        read("computation_class"), read("computation_key"), read("audience_settings"), read("event_emitter_id")
    )


def _is_valid(context: Any) -> bool:
    """Return whether the type of `context` is right, and of what we read in it."""
    if not _is_optional(dict, context):
        return False
    personas = (context or {}).get("personas")
    return _is_optional(dict, personas) and all(
        _is_optional(str, (personas or {}).get(name)) for name in ("computation_class", "computation_key")
    )


def _is_optional(kind: type, value: Any) -> bool:
    return value is None or isinstance(value, kind)
