"""The mappings of a destination: a trigger, and for every field of a record the directive that finds it."""

import re
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Event
from dataclasses import dataclass, field
from typing import Any

from audience_sync.errors import InvalidMapping, InvalidTrigger
from audience_sync.fields import FIELDS
from audience_sync.segment.directives.compiler import did_you_mean, display
from audience_sync.segment.directives.values import UNDEFINED
from audience_sync.segment.mapping import compile_field

MAX_MAPPINGS = 50  # for one destination, as in Segment
MAX_NAME = 100  # characters

_COUNTRY = re.compile(r"[A-Za-z]{2}")
_AUDIENCE_ID = re.compile(r"[0-9]{1,20}")
_FIELD_NAMES = tuple(field.name for field in FIELDS)
_PERSONAL = frozenset(field.name for field in FIELDS if field.personal)
_KEYS = ("name", "trigger", "fields", "enabled", "enable_batching")

type Trigger = Callable[[Event[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Mapping:
    """What to make of the events that a trigger selects: a directive for each field, not compiled yet."""

    name: str
    trigger: str
    fields: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    enable_batching: bool = True  # kept as Segment has it; changes are always sent in batches


class CompiledMapping:
    """A mapping ready for events."""

    def __init__(self, mapping: Mapping, applies_to: Trigger) -> None:
        """Compile the fields.

        Args:
            mapping: one of parse_mappings, or DEFAULT_MAPPING.
            applies_to: the mapping's trigger, compiled.

        Raises:
            InvalidMapping: names the mapping, the position, the fault and the remedy.
        """
        self.name = mapping.name
        self.is_enabled = mapping.enabled
        self.applies_to = applies_to
        self._readers = _readers(mapping)

    def fields_of(self, event: Event[str, Any]) -> dict[str, Any]:
        """Resolve the fields on one event. Those without a value are left out; null is a value."""
        return {name: value for name, read in self._readers if (value := read(event)) is not UNDEFINED}


def compile_mappings(
    mappings: Iterable[Mapping], compile_trigger: Callable[[str], Trigger]
) -> tuple[CompiledMapping, ...]:
    """Compile mappings; a disabled one applies to no event. Raises InvalidMapping, and what compile_trigger raises."""
    return tuple(
        CompiledMapping(mapping, compile_trigger(mapping.trigger) if mapping.enabled else _never)
        for mapping in mappings
    )


def _never(_: Event[str, Any]) -> bool:
    return False


def parse_mappings(document: Any, check_trigger: Callable[[str], object]) -> tuple[Mapping, ...]:
    """Read and check a stored document of mappings, disabled ones too.

    Args:
        document: a list of up to 50 objects with `name`, `trigger`, `fields` and, where wanted, `enabled` and
            `enable_batching`; or an object that holds the list under `mappings`.
        check_trigger: raises InvalidTrigger where a trigger has no plain meaning; its result is not used.

    Raises:
        InvalidMapping: names the mapping, the position, the fault and the remedy.
    """
    listed = document.get("mappings") if isinstance(document, dict) else document
    if not isinstance(listed, list):
        raise InvalidMapping("mappings: not a list; put the mapping, or all of them, in one: [...]")
    if len(listed) > MAX_MAPPINGS:
        raise InvalidMapping(f"mappings: {len(listed)} of them; a destination has up to {MAX_MAPPINGS}, merge some")
    mappings: dict[str, Mapping] = {}
    for position, told in enumerate(listed):
        mapping = _mapping(told, f"mappings.{position}")
        if mapping.name in mappings:
            raise InvalidMapping(f"{_title(mapping.name)}: the name is taken; give each mapping its own")
        _readers(mapping)
        _check_constants(mapping)
        try:
            check_trigger(mapping.trigger)
        except InvalidTrigger as error:
            raise InvalidMapping(f"{_title(mapping.name)}: trigger: {error}") from None
        mappings[mapping.name] = mapping
    return tuple(mappings.values())


def _readers(mapping: Mapping) -> list[tuple[str, Callable[[Event[str, Any]], Any]]]:
    try:
        return [(name, compile_field(told, at=f"fields.{name}")) for name, told in mapping.fields.items()]
    except InvalidMapping as error:
        raise InvalidMapping(f"{_title(mapping.name)}: {error}") from None


def _mapping(told: Any, at: str) -> Mapping:
    if not isinstance(told, dict):
        raise InvalidMapping(f"{at}: not an object; give one with name, trigger and fields")
    name = told.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
        raise InvalidMapping(f"{at}.name: not a text of 1 to {MAX_NAME} characters; name the mapping")
    _check_known(told, _KEYS, "key", _title(name))
    if not isinstance(told.get("trigger"), str):
        raise InvalidMapping(f"{_title(name)}: trigger: not a text; give a condition, such as {DEFAULT_TRIGGER}")
    fields = told.get("fields")
    if not isinstance(fields, dict):
        raise InvalidMapping(f"{_title(name)}: fields: not an object; give a directive for each field")
    _check_known(fields, _FIELD_NAMES, "field", f"{_title(name)}: fields")
    if "external_user_id" not in fields:
        raise InvalidMapping(f"{_title(name)}: fields: external_user_id is missing; every record needs one, map it")
    for switch in ("enabled", "enable_batching"):
        if not isinstance(told.get(switch, True), bool):
            raise InvalidMapping(f"{_title(name)}: {switch}: neither true nor false; choose one")
    return Mapping(name, told["trigger"], fields, told.get("enabled", True), told.get("enable_batching", True))


def _check_constants(mapping: Mapping) -> None:
    """Refuse what would give everybody the same: most often a path without its directive."""
    for name, told in mapping.fields.items():
        if _reads(told):
            continue
        at = f"{_title(mapping.name)}: fields.{name}"
        if isinstance(told, str) and (told.startswith("$.") or "{{" in told):
            directive = "@path" if told.startswith("$.") else "@template"
            raise InvalidMapping(f'{at}: a plain text; did you mean {{"{directive}": "{display(told)}"}}?')
        if name in _PERSONAL:
            raise InvalidMapping(
                f"{at}: the same for every member; give a directive that reads the event, such as @path"
            )
        if name == "country" and isinstance(told, str) and not _COUNTRY.fullmatch(told):
            raise InvalidMapping(f"{at}: no country code; give two letters, such as US")
        if name == "audience_id" and not _AUDIENCE_ID.fullmatch(str(told)):
            raise InvalidMapping(f"{at}: no audience id; give Amazon's number, or a directive that finds it")


def _reads(told: Any) -> bool:
    """Tell whether a directive looks at the event."""
    match told:
        case {"@path": _} | {"@arrayPath": _}:
            return True
        case {"@template": str(text)}:
            return "{{" in text
        case dict():
            return any(map(_reads, told.values()))
        case list():
            return any(map(_reads, told))
    return False


def _check_known(told: dict[Any, Any], known: tuple[str, ...], kind: str, at: str) -> None:
    for name in told:
        if name not in known:
            raise InvalidMapping(
                f"{at}: unknown {kind} {display(name)}{did_you_mean(name, known)}; known: {', '.join(known)}"
            )


def _title(name: str) -> str:
    return f'mapping "{display(name)}"'


def first_of(test: str, *paths: str) -> Any:
    """Return the directive that gives the first of several paths that passes the test, `exists` or `blank`."""
    path = {"@path": paths[0]}
    if len(paths) == 1:
        return path
    return {"@if": {test: path, "then": path, "else": first_of(test, *paths[1:])}}


def _trait(name: str, also: str = "", inside: str = "") -> Any:
    """Look for a trait where track and identify events carry it, in both ways to write its name, and in the address."""
    names = [f"address.{inside}"] * bool(inside) + [name] + [also] * bool(also)
    return first_of("blank", *(f"$.{holder}.{each}" for holder in ("properties", "traits") for each in names))


def _signal(name: str) -> Any:
    # A consent signal of false is an answer, which the test for blank would pass over.
    return first_of("exists", f"$.properties.{name}", f"$.traits.{name}")


DEFAULT_TRIGGER = 'type = "track" or type = "identify"'
"""By type alone: customers rename events, and what an event does to a member is read from the event, not from here."""

DEFAULT_MAPPING = Mapping(
    name="Default",
    trigger=DEFAULT_TRIGGER,
    fields={
        "external_user_id": {"@path": "$.userId"},
        "audience_id": {"@path": "$.context.personas.external_audience_id"},
        "email": first_of("blank", "$.context.traits.email", "$.properties.email", "$.traits.email"),
        "phone": _trait("phone"),
        "first_name": _trait("first_name", also="firstName"),
        "last_name": _trait("last_name", also="lastName"),
        "address": _trait("address", inside="street"),
        "city": _trait("city", inside="city"),
        "state": _trait("state", inside="state"),
        "postal": _trait("postal", also="postalCode", inside="postalCode"),
        "amzn_ad_storage": _signal("amznAdStorage"),
        "amzn_user_data": _signal("amznUserData"),
        "tcf": _signal("tcf"),
        "gpp": _signal("gpp"),
    },
)
"""Segment's own default, extended: traits of identify events, camelCase names and Segment's address object are read
too; an empty value gives way to the next; the IP address, which would leave in clear text, is not mapped."""
