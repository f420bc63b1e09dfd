"""Membership in a Segment event: enter, exit, erase or none, and its time. Read from the event, never guessed."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType
from typing import Any

from audience_sync.clock import MAX_AHEAD
from audience_sync.errors import RejectedEvent
from audience_sync.reasons import Reason

type _Object = dict[str, Any]

# Not what may be a phone number, SHA-1 or SHA-256: those are personal data.
_SAFE_ID = re.compile(
    r"(?!(?:[._:-]*[0-9]){7,15}[._:-]*\Z)(?!(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64})\Z)[A-Za-z0-9._:-]{1,100}"
)
AUDIENCE_CLASSES = ("audience", "journey_step")

# The types that an event needs. Segment adds other fields without notice.
_TEXT_OR_NULL = (str, NoneType)
_OBJECT_OR_NULL = (dict, NoneType)
_OUTLINE = (
    ("type", (str,)),
    ("event", _TEXT_OR_NULL),
    ("context", _OBJECT_OR_NULL),
    ("properties", _OBJECT_OR_NULL),
    ("traits", _OBJECT_OR_NULL),
)
_TIMES = (("timestamp", "timestamp"), ("originalTimestamp", "original_timestamp"), ("receivedAt", "received_at"))


class EventKind(StrEnum):
    """The membership change that an event requests."""

    ENTER = "enter"
    EXIT = "exit"
    ERASE = "erase"  # a deletion notice: the member leaves every audience, and its identifiers are erased
    UNSTATED = "unstated"  # ignored, unless a mapping's membership decides, or finds a listed audience in it
    IGNORE = "ignore"  # about a computed trait, or made by Segment's event tester


_STATED = {True: EventKind.ENTER, False: EventKind.EXIT, "true": EventKind.ENTER, "false": EventKind.EXIT}
NAMED = {"Audience Entered": EventKind.ENTER, "Audience Exited": EventKind.EXIT}


@dataclass(slots=True)  # frozen would cost a third of the time to read an event
class AudienceCall:
    """The membership part of one event. Mappings read everything else from the event itself."""

    kind: EventKind
    at: int = 0  # epoch milliseconds
    message_id: str = ""  # safe to log and to store
    computation_key: str | None = None  # Segment's key of the audience, if the event has one
    country: Any = field(default=None, repr=False)  # from the audience's settings, unchecked
    rejection: tuple[Reason, str] | None = None  # reason and detail, if the event is invalid once a trigger holds


def read(element: Any, now: int, *, needs_time: bool = False) -> AudienceCall:
    """Read one element of a request body.

    Args:
        element: of any type.
        now: epoch milliseconds.
        needs_time: whether to reject an event without a time of its own; otherwise it happened now.

    Raises:
        RejectedEvent: not an event; names the fields at fault, never their values.
    """
    event, personas = _outlined(element)
    if is_test(event, personas):
        return AudienceCall(EventKind.IGNORE)
    is_deletion = event["type"] == "delete"
    if not is_deletion and not _is_about_an_audience(event, personas):
        if personas and personas.get("computation_class") not in (None, *AUDIENCE_CLASSES):
            return AudienceCall(EventKind.IGNORE)
        return AudienceCall(EventKind.UNSTATED, computation_key=_computation_key(event, personas))
    message_id = safe_id(event.get("messageId"), event)
    if is_deletion:
        return AudienceCall(EventKind.ERASE, _occurred_at(event, now, needs_time=needs_time), message_id)
    key = _computation_key(event, personas)
    try:
        kind, at = _membership(event, personas, key), _occurred_at(event, now, needs_time=needs_time)
    except RejectedEvent as rejection:
        return AudienceCall(EventKind.ENTER, 0, message_id, rejection=(rejection.reason, rejection.detail))
    return AudienceCall(kind, at, message_id, key, country_of(event, personas))


def read_row(event: _Object, now: int, *, needs_time: bool = False) -> AudienceCall:
    """Read an event whose membership a mapping states, as `read`: all but the kind. Raises RejectedEvent."""
    _, personas = _outlined(event)
    message_id, key = safe_id(event.get("messageId"), event), _computation_key(event, personas)
    at = _occurred_at(event, now, needs_time=needs_time)
    return AudienceCall(EventKind.UNSTATED, at, message_id, key, country=country_of(event, personas))


def _outlined(element: Any) -> tuple[_Object, _Object | None]:
    """Return the event and its `context.personas`, in which Engage describes the audience.

    Raises:
        RejectedEvent: not an event; names the fields at fault, never their values.
    """
    if not isinstance(element, dict):
        raise RejectedEvent(Reason.NOT_AN_EVENT)
    context = element.get("context")
    personas = context.get("personas") if type(context) is dict else None
    faults = [name for name, types in _OUTLINE if type(element.get(name)) not in types]
    if faults or not _is_readable(personas):
        listed = ", ".join(sorted({*faults, *([] if _is_readable(personas) else ["context"])}))
        raise RejectedEvent(Reason.NOT_AN_EVENT, f"missing or mistyped: {listed}; {Reason.NOT_AN_EVENT.remedy}")
    return element, personas


def _is_readable(personas: Any) -> bool:
    return personas is None or (
        type(personas) is dict
        and type(personas.get("computation_class")) in _TEXT_OR_NULL
        and type(personas.get("computation_key")) in _TEXT_OR_NULL
    )


def safe_id(message_id: Any, element: Any) -> str:
    """Return `message_id` if it is short and plain, else a digest of it, or of the whole element if there is none.

    To order the changes of a member, the same for each copy of an event. `shown_id` is for logs and answers.
    """
    if type(message_id) is str and _SAFE_ID.fullmatch(message_id):
        return message_id
    source = message_id if message_id not in (None, "") else element
    try:
        # Parsed JSON has no cycles; checking for them dominates the time for deep nesting.
        text = json.dumps(source, sort_keys=True, separators=(",", ":"), check_circular=False).encode()
    except RecursionError:  # parsed, but nested too deep to serialise
        text = b"nested too deep"
    return f"sha256:{hashlib.sha256(text).hexdigest()[:32]}"


def shown_id(message_id: Any, index: int) -> str:
    """Return `message_id` for logs and answers if it is short and plain, else the place of the event in its body.

    A digest would be personal data: whoever sends an address in its place could look it up.
    """
    return message_id if type(message_id) is str and _SAFE_ID.fullmatch(message_id) else f"event-{index}"


def is_test(event: _Object, personas: _Object | None) -> bool:
    """Return whether Segment's event tester made this event."""
    message_id, user_id = event.get("messageId"), event.get("userId")
    emitter = personas.get("event_emitter_id") if personas else None
    return (
        (type(message_id) is str and message_id.startswith("segment-test-message-"))
        or (type(user_id) is str and user_id.startswith("test-user-"))
        or (type(emitter) is str and emitter.startswith("event_tester_"))
    )


def _is_about_an_audience(event: _Object, personas: _Object | None) -> bool:
    """Return whether the event is about membership at all. Computed traits, for example, are not."""
    if event["type"] not in ("track", "identify"):
        return False
    if personas is None:
        return event["type"] == "track" and event.get("event") in NAMED
    computation_class = personas.get("computation_class")
    if computation_class is None:
        return personas.get("computation_key") is not None  # the boolean under the key states the change
    return computation_class in AUDIENCE_CLASSES


def _computation_key(event: _Object, personas: _Object | None) -> str | None:
    """Return Segment's key of the audience; None if the event has none."""
    key = (event.get("properties") or {}).get("audience_key") if personas is None else personas.get("computation_key")
    return key if isinstance(key, str) and key else None


def _membership(event: _Object, personas: _Object | None, key: str | None) -> EventKind:
    """Decide whether the member enters or exits.

    The boolean under the computation key decides, in `properties` or `traits`; older journeys write it as text. A
    journey step without one is an entry. The event's name, which customers may change, decides only if Segment sent
    no personas context; if it is one of Segment's own names, it must not contradict the boolean.

    Raises:
        RejectedEvent: undecided, or the event contradicts itself.
    """
    stated = _stated(event, key) if key else None
    named = NAMED.get(event.get("event") or "") if event["type"] == "track" else None
    if stated and named and stated is not named:
        raise RejectedEvent(Reason.MEMBERSHIP_CONTRADICTORY)
    if stated:
        return stated
    if personas is None and named:
        return named
    if personas is not None and personas.get("computation_class") == "journey_step":
        if named is EventKind.EXIT:
            raise RejectedEvent(
                Reason.MEMBERSHIP_CONTRADICTORY,
                "the event's name says exit, but a journey step without a boolean is an entry; send the boolean",
            )
        return EventKind.ENTER
    raise RejectedEvent(Reason.MEMBERSHIP_UNDECIDED)


def _stated(event: _Object, key: str) -> EventKind | None:
    """Return the change that the boolean under the computation key states; None if there is no value."""
    found: EventKind | None = None
    has_value = False
    for holder in (event.get("properties"), event.get("traits")):
        if not holder or key not in holder:
            continue
        has_value = True
        value = holder[key]
        says = _STATED.get(value) if isinstance(value, (bool, str)) else None
        if found and says and says is not found:
            raise RejectedEvent(
                Reason.MEMBERSHIP_CONTRADICTORY,
                "properties and traits disagree under the computation key; map one of them",
            )
        found = found or says
    if has_value and not found:
        raise RejectedEvent(Reason.MEMBERSHIP_UNDECIDED)  # the value is not a boolean
    return found


def _occurred_at(event: _Object, now: int, *, needs_time: bool) -> int:
    """Return the time of the event, epoch milliseconds: `timestamp`, `originalTimestamp`, `receivedAt`; at most now.

    Raises:
        RejectedEvent: the time cannot be read, is before 1970, is more than five minutes ahead, or is needed.
    """
    for name, in_words in _TIMES:
        value = event.get(name)
        if value is None or value == "":
            continue
        at = _epoch_milliseconds(value)
        if at is None:
            raise RejectedEvent(Reason.TIME_UNREADABLE, f"{in_words} is not an ISO 8601 time; send Segment's own")
        if at < 0:
            raise RejectedEvent(Reason.TIME_TOO_OLD, f"{in_words} is before 1970; send Segment's own")
        if at > now + MAX_AHEAD:
            raise RejectedEvent(
                Reason.TIME_AHEAD, f"{in_words} is more than 5 minutes ahead; correct the sender's clock"
            )
        return min(at, now)
    if needs_time:
        raise RejectedEvent(Reason.TIME_MISSING)
    return now


def _epoch_milliseconds(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def country_of(event: _Object, personas: _Object | None) -> Any:
    """Return `countryCode` of the audience's settings: from the top-level extras, else from `audience_settings`.

    Webhook Audiences merges the customer's extras into every event; other destinations send them as a JSON string.
    They may refine a change (its country) but never set its destination.
    """
    if "countryCode" in event:
        return event["countryCode"]
    settings = personas.get("audience_settings") if personas else None
    inner = settings.get("extras", settings) if isinstance(settings, dict) else None
    if isinstance(inner, str):
        try:
            inner = json.loads(inner)
        except (ValueError, RecursionError):
            return None
    return inner.get("countryCode") if isinstance(inner, dict) else None


def why_ignored(element: Any) -> str | None:
    """Return why `read` ignores an event, for diagnosis; None if it does not.

    Raises:
        RejectedEvent: as `read`.
    """
    event, personas = _outlined(element)
    if is_test(event, personas):
        return "Segment's event tester made it"
    if event["type"] == "delete" or _is_about_an_audience(event, personas):
        return None
    if event["type"] not in ("track", "identify"):
        return "its type is neither track nor identify"
    if personas is None:
        return "it is not about an audience: it has no context.personas, and its name is not Audience Entered or Exited"
    if personas.get("computation_class") is None:
        return "it is not about an audience: context.personas has no computation_key"
    return "it is not about an audience: context.personas.computation_class is neither audience nor journey_step"
