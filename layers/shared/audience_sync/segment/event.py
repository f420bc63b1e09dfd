"""What a Segment event says of membership: enter, exit, erase or nothing, and when. It is read, never guessed."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from audience_sync.errors import RejectedEvent
from audience_sync.segment.outline import EventOutline

MAX_AHEAD = timedelta(minutes=5)  # a sender's clock may be a little fast; further ahead, it would outrank real changes

_SAFE_ID = re.compile(r"[A-Za-z0-9\-_.:]{1,100}")
_AUDIENCE_CLASSES = ("audience", "journey_step")


class Kind(StrEnum):
    """What an event asks for."""

    ENTER = "enter"
    EXIT = "exit"
    ERASE = "erase"  # a deletion notice: the member leaves every audience, and its identifiers are erased
    IGNORE = "ignore"  # not about an audience, or made by Segment's event tester


_STATED = {"true": Kind.ENTER, "false": Kind.EXIT}
_NAMED = {"Audience Entered": Kind.ENTER, "Audience Exited": Kind.EXIT}


@dataclass(frozen=True, slots=True)
class AudienceCall:
    """What one event says of membership. Mappings read everything else from the event itself."""

    kind: Kind
    at: int = 0  # epoch milliseconds
    message_id: str = ""  # safe to log and to store
    computation_key: str | None = None  # Segment's key of the audience, where the event names one
    country: Any = field(default=None, repr=False)  # as the audience's settings name it, unchecked
    rejection: tuple[str, str] | None = None  # reason and detail, where it states no valid change if a trigger holds


def read(element: Any, now: int) -> AudienceCall:
    """Read one element of a request body.

    Args:
        element: of any type.
        now: epoch milliseconds.

    Raises:
        RejectedEvent: not an event; names the fields at fault, never their values.
    """
    event = EventOutline.parse(element)
    if _is_test(event):
        return AudienceCall(Kind.IGNORE)
    if event.type != "delete" and not _is_about_an_audience(event):
        return AudienceCall(Kind.IGNORE)
    message_id = safe_id(event.message_id, event.raw)
    if event.type == "delete":
        return AudienceCall(Kind.ERASE, _occurred_at(event, now), message_id)
    key = event.personas.computation_key if event.personas else (event.properties or {}).get("audience_key")
    try:
        kind, at = _membership(event), _occurred_at(event, now)
    except RejectedEvent as rejection:
        return AudienceCall(Kind.ENTER, 0, message_id, rejection=(rejection.reason, rejection.detail))
    key = key if isinstance(key, str) and key else None
    return AudienceCall(kind, at, message_id, key, _settings(event).get("countryCode"))


def safe_id(message_id: Any, element: Any) -> str:
    """Return `message_id` if it is short and plain, else a digest of it, or of the whole element if there is none."""
    if isinstance(message_id, str) and _SAFE_ID.fullmatch(message_id):
        return message_id
    source = message_id if message_id not in (None, "") else element
    try:
        # What was parsed holds no cycles, and looking for them takes most of the time of a deep nesting.
        text = json.dumps(source, sort_keys=True, separators=(",", ":"), check_circular=False).encode()
    except RecursionError:  # read, but nested too deep to be written
        text = b"nested too deep"
    return f"sha256:{hashlib.sha256(text).hexdigest()[:32]}"


def _is_test(event: EventOutline) -> bool:
    """Return whether Segment's event tester made this event."""
    emitter = event.personas.event_emitter_id if event.personas else None
    user_id = event.raw.get("userId")
    return (
        (isinstance(event.message_id, str) and event.message_id.startswith("segment-test-message-"))
        or (isinstance(user_id, str) and user_id.startswith("test-user-"))
        or (isinstance(emitter, str) and emitter.startswith("event_tester_"))
    )


def _is_about_an_audience(event: EventOutline) -> bool:
    """Return whether the event concerns membership at all. Computed traits, for one, do not."""
    if event.type not in ("track", "identify"):
        return False
    if event.personas is None:
        return event.type == "track" and event.name in _NAMED
    if event.personas.computation_class is None:
        return event.personas.computation_key is not None  # the boolean decides what it says of membership
    return event.personas.computation_class in _AUDIENCE_CLASSES


def _membership(event: EventOutline) -> Kind:
    """Decide whether the member enters or exits.

    The boolean under the computation key decides, in `properties` or `traits`; older journeys write it as text. A
    journey step without one is an entry. The event's name, which customers may change, decides only where Segment
    sent no personas context, and must not contradict the boolean where it is one of Segment's own.

    Raises:
        RejectedEvent: undecided, or the event contradicts itself.
    """
    stated = _stated(event)
    named = _NAMED.get(event.name or "") if event.type == "track" else None
    if stated and named and stated != named:
        raise RejectedEvent(
            "membership_contradictory",
            "event says one thing and the boolean under the computation key another; send the event as Segment made it",
        )
    if stated:
        return stated
    if event.personas is None and named:
        return named
    if event.personas is not None and event.personas.computation_class == "journey_step":
        if named is Kind.EXIT:
            raise RejectedEvent(
                "membership_contradictory",
                "the event's name says exit, and a journey step without a boolean is an entry; send the boolean along",
            )
        return Kind.ENTER
    raise _undecided()


def _stated(event: EventOutline) -> Kind | None:
    key = event.personas.computation_key if event.personas else (event.properties or {}).get("audience_key")
    if not isinstance(key, str) or not key:
        return None
    found: set[Kind] = set()
    holders = [holder for holder in (event.properties, event.traits) if holder and key in holder]
    for holder in holders:
        value = holder[key]
        if value is True or value is False:
            found.add(Kind.ENTER if value else Kind.EXIT)
        elif isinstance(value, str) and value in _STATED:
            found.add(_STATED[value])
    if len(found) > 1:
        raise RejectedEvent(
            "membership_contradictory", "properties and traits disagree under the computation key; map one of them"
        )
    if holders and not found:
        raise _undecided()  # there is a value, and it is no boolean
    return found.pop() if found else None


def _undecided() -> RejectedEvent:
    return RejectedEvent(
        "membership_undecided",
        "no boolean under properties[computation_key] or traits[computation_key]; narrow the mapping's trigger to "
        "events that state membership",
    )


def _occurred_at(event: EventOutline, now: int) -> int:
    """Return the time of the event, epoch milliseconds: `timestamp`, `originalTimestamp`, `receivedAt`, else now.

    Raises:
        RejectedEvent: the time cannot be read, or lies more than five minutes ahead.
    """
    for name in ("timestamp", "original_timestamp", "received_at"):
        value = getattr(event, name)
        if value is None or value == "":
            continue
        at = _epoch_milliseconds(value)
        if at is None:
            raise RejectedEvent("time_unreadable", f"{name} is not an ISO 8601 time; send Segment's own")
        if at > now + MAX_AHEAD.total_seconds() * 1000:
            raise RejectedEvent("time_ahead", f"{name} is more than 5 minutes ahead; correct the sender's clock")
        return at
    return now


def _epoch_milliseconds(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _settings(event: EventOutline) -> dict[str, Any]:
    """Return the audience's settings in the event: the top-level extras, else those in `audience_settings`.

    Webhook Audiences merges the customer's extras into every event; other destinations leave them as JSON text.
    They may refine a change (its country) but never say where it goes.
    """
    settings = event.personas.audience_settings if event.personas else None
    inner = settings.get("extras", settings) if isinstance(settings, dict) else None
    if isinstance(inner, str):
        try:
            inner = json.loads(inner)
        except (ValueError, RecursionError):
            inner = None
    return (inner if isinstance(inner, dict) else {}) | {
        name: event.raw[name] for name in ("countryCode",) if name in event.raw
    }
