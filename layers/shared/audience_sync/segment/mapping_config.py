"""The mappings of a destination: each has a trigger, and a directive for every field of a record."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from audience_sync.errors import InvalidMapping, InvalidTrigger
from audience_sync.fields import CONSENT_SIGNALS, FIELDS, LISTED
from audience_sync.members.membership import AUDIENCE_ID
from audience_sync.segment.budget import Budget
from audience_sync.segment.compiled_fields import FieldsReader, compile_fields, value_of
from audience_sync.segment.directives.compiler import (
    NO_VALUE,
    SAME_FOR_ALL,
    CompileContext,
    Reader,
    did_you_mean,
    display,
    is_fixed,
)
from audience_sync.segment.directives.values import UNDEFINED, materialize
from audience_sync.segment.mapping import DIRECTIVES, Event
from audience_sync.segment.row_membership import compile_membership
from audience_sync.segment.separators import SEPARATORS_EXPECTED, Split, split_at

MAX_MAPPINGS = 50  # for one destination, as in Segment
MAX_NAME = 100  # characters

_MEMBER = "external_user_id"
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_AUDIENCE_ID = re.compile(rf"(?=.*[0-9])(?:{AUDIENCE_ID.pattern})")  # a word without a digit is none
_FIELD_NAMES = tuple(field.name for field in FIELDS)
_LISTED = tuple(field.name for field in LISTED)
_PERSONAL = frozenset(field.name for field in FIELDS if field.personal)
_KEYS = ("name", "trigger", "membership", "fields", "enabled", "enable_batching", "separators")

_CHARACTERS_A_STEP = 8  # of a trigger; its shortest condition has as many

_CHARACTERS_SPLIT_A_STEP = 2  # at separators

type Trigger = Callable[[Event, Budget], bool]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping before compilation: its trigger, and the directive for each field."""

    name: str
    trigger: str
    fields: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    enable_batching: bool = True  # kept for compatibility with Segment; changes are always sent in batches
    membership: dict[str, Any] | None = None  # the values that state it, for events that Engage did not make
    separators: dict[str, str] = field(default_factory=dict)  # by field: characters between several values in a string


class _Field(NamedTuple):
    """The directive of one field, compiled."""

    read: Reader
    steps: int  # fixed cost per event


type _Checked = tuple[Mapping, Trigger, dict[str, _Field]]


class CompiledMapping:
    """A mapping that can be applied to events.

    Attributes:
        steps: the fixed cost of its fields; costs that depend on the event are charged to the budget.
        steps_of_member: the fixed cost of external_user_id.
        steps_of_audience: the fixed cost of audience_id.
        steps_of_trigger: the fixed cost of its trigger.
        membership: the values that state it; None if only Engage's events do.
    """

    def __init__(self, mapping: Mapping, applies_to: Trigger, fields: dict[str, _Field] | None = None) -> None:
        """Compile the fields.

        Args:
            mapping: one of parse_mappings, or DEFAULT_MAPPING.
            applies_to: the mapping's trigger, compiled.
            fields: the mapping's fields, if already compiled.

        Raises:
            InvalidMapping: names the mapping, the position, the fault and the remedy.
        """
        self.membership = compile_membership(mapping.membership)
        self.name = mapping.name
        self.is_enabled = mapping.enabled
        self.applies_to = applies_to if mapping.enabled else _applies_to_none
        compiled = _compile_fields(mapping) if fields is None else fields
        self.steps = sum(field.steps for field in compiled.values()) + (self.membership.steps if self.membership else 0)
        self.steps_of_member = compiled[_MEMBER].steps if _MEMBER in compiled else 0
        self.steps_of_audience = compiled["audience_id"].steps if "audience_id" in compiled else 0
        self.steps_of_trigger = len(mapping.trigger) // _CHARACTERS_A_STEP if mapping.enabled else 0
        self._readers = {name: field.read for name, field in compiled.items()}
        self._read = compile_fields([self._readers.get(name, NO_VALUE) for name in _FIELD_NAMES])

    def values_of(self, event: Event, budget: Budget) -> list[Any]:
        """Return the value of each of fields.FIELDS in one event; None if there is none.

        Args:
            event: the event.
            budget: the steps left for this event, shared with all triggers and mappings.

        Raises:
            RejectedEvent: the budget is used up.
        """
        return self._read(event if isinstance(event, dict) else dict(event), budget)

    def fields_of(self, event: Event, budget: Budget) -> dict[str, Any]:
        """Resolve the fields on one event. Omits fields without a value; null is a value. Raises as values_of."""
        read_from = event if isinstance(event, dict) else dict(event)
        found = ((name, materialize(read(read_from, budget))) for name, read in self._readers.items())
        return {name: value for name, value in found if value is not UNDEFINED}

    def member_of(self, event: Event, budget: Budget) -> Any:
        """Return the value of external_user_id; None if there is none. Raises as values_of."""
        read = self._readers.get(_MEMBER, NO_VALUE)
        return value_of(read, event if isinstance(event, dict) else dict(event), budget)

    @cached_property
    def read_audience(self) -> FieldsReader:
        """Reads audience_id alone, as a list of one. Compiled on first use."""
        return compile_fields([self._readers.get("audience_id", NO_VALUE)])


def compile_mappings(
    mappings: Iterable[Mapping], compile_trigger: Callable[[str], Trigger]
) -> tuple[CompiledMapping, ...]:
    """Compile mappings; a disabled one applies to no event. Raises InvalidMapping, InvalidTrigger."""
    return tuple(CompiledMapping(mapping, compile_trigger(mapping.trigger)) for mapping in mappings)


def _applies_to_none(_event: Event, _budget: Budget) -> bool:
    return False


def parse_mappings(document: Any, compile_trigger: Callable[[str], Trigger]) -> tuple[Mapping, ...]:
    """Read and check a stored document of mappings, disabled ones included.

    Args:
        document: a list of up to 50 objects with `name`, `trigger`, `fields` and optionally `membership`, `enabled`,
            `enable_batching` and `separators`; or an object that holds the list under `mappings`.
        compile_trigger: raises InvalidTrigger if a trigger is ambiguous.

    Raises:
        InvalidMapping: lists every fault with its mapping, position and remedy.
    """
    return tuple(mapping for mapping, _, _ in _checked(document, compile_trigger))


def compile_document(document: Any, compile_trigger: Callable[[str], Trigger]) -> tuple[CompiledMapping, ...]:
    """Validate a stored document as parse_mappings does, and compile it in the same pass: large ones take a second."""
    return tuple(itertools.starmap(CompiledMapping, _checked(document, compile_trigger)))


def _checked(document: Any, compile_trigger: Callable[[str], Trigger]) -> list[_Checked]:
    """Return each mapping with its trigger and its fields, compiled. Raises InvalidMapping with every fault."""
    entries = document.get("mappings") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise InvalidMapping("mappings: must be a list; put the mapping, or all of them, in one: [...]")
    if len(entries) > MAX_MAPPINGS:
        raise InvalidMapping(f"mappings: {len(entries)} mappings; a destination has up to {MAX_MAPPINGS}, merge some")
    found: dict[str, _Checked] = {}
    faults: list[str] = []
    for position, entry in enumerate(entries):
        try:
            checked = _check_mapping(entry, f"mappings.{position}", compile_trigger)
        except InvalidMapping as invalid:
            faults += invalid.faults
            continue
        name = checked[0].name
        if name in found:
            faults.append(f"{_label(name)}: the name is taken; give each mapping its own")
        found[name] = checked
    if faults:
        raise InvalidMapping(*faults)
    return [*found.values()]


def _check_mapping(entry: Any, at: str, compile_trigger: Callable[[str], Trigger]) -> _Checked:
    if not isinstance(entry, dict):
        raise InvalidMapping(f"{at}: must be an object; give one with name, trigger and fields")
    name, trigger = entry.get("name"), entry.get("trigger")
    faults = [*_unknown(entry, _KEYS, "key")]
    if isinstance(name, str) and name.strip() and len(name) <= MAX_NAME:
        at = _label(name)
    else:
        faults.append(f"name: must be a string of 1 to {MAX_NAME} characters; name the mapping")
    applies_to: Trigger = _applies_to_none
    try:
        if isinstance(trigger, str):
            applies_to = compile_trigger(trigger)
        else:
            faults.append(f"trigger: must be a string; give a condition, such as {DEFAULT_TRIGGER}")
    except InvalidTrigger as error:
        faults.append(f"trigger: {error}")
    try:
        compile_membership(entry.get("membership"))
    except InvalidMapping as invalid:
        faults += invalid.faults
    compiled = _check_fields(entry.get("fields"), faults)
    _check_separators(entry.get("separators", {}), compiled, faults)
    switches = ("enabled", "enable_batching")
    faults += (f"{name}: must be true or false" for name in switches if not isinstance(entry.get(name, True), bool))
    if faults:
        raise InvalidMapping(*(f"{at}: {fault}" for fault in faults))
    return Mapping(**entry), applies_to, compiled


def _check_fields(fields: Any, faults: list[str]) -> dict[str, _Field]:
    """Compile the fields of a mapping, and append their faults."""
    if not isinstance(fields, dict):
        faults.append("fields: must be an object; give a directive for each field")
        return {}
    faults += (f"fields: {fault}" for fault in _unknown(fields, _FIELD_NAMES, "field"))
    if _MEMBER not in fields:
        faults.append(f"fields: {_MEMBER} is missing; every record needs one, map it")
    compiled: dict[str, _Field] = {}
    for name, directive in fields.items():
        if name not in _FIELD_NAMES:
            continue
        try:
            compiled[name] = _compile_field(name, directive)
        except InvalidMapping as invalid:
            faults += invalid.faults
        else:
            fault = _constant_fault(name, directive, compiled[name].read)
            faults += [f"fields.{name}: {fault}"] if fault else []
    return compiled


def _check_separators(separators: Any, compiled: dict[str, _Field], faults: list[str]) -> None:
    """Split the fields of a mapping at their separators, and append the faults."""
    if not isinstance(separators, dict):
        faults.append('separators: must be an object; give the separators of a field, such as {"email": ";"}')
        return
    known = tuple(name for name in _LISTED if name in compiled)
    for name in separators:
        if name not in known:
            listed = ", ".join(known) or "map email or phone"
            faults.append(
                f"separators.{display(name)}: not a mapped field that can have several values; known: {listed}"
            )
    for name in known:
        if name not in separators:
            continue
        if split := split_at(separators[name]):
            compiled[name] = _separated(compiled[name], split)
        else:
            faults.append(f"separators.{name}: {SEPARATORS_EXPECTED}")


def _separated(field: _Field, split: Split) -> _Field:
    def read(event: Any, budget: Budget) -> Any:
        value = materialize(field.read(event, budget))
        texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
        budget.spend(sum(map(len, texts)) // _CHARACTERS_SPLIT_A_STEP)
        return split(value)

    return _Field(read, field.steps)


def _compile_fields(mapping: Mapping) -> dict[str, _Field]:
    faults: list[str] = []
    try:
        compiled = {name: _compile_field(name, directive) for name, directive in mapping.fields.items()}
        _check_separators(mapping.separators, compiled, faults)
    except InvalidMapping as invalid:
        faults += invalid.faults
    if faults:
        raise InvalidMapping(*(f"{_label(mapping.name)}: {fault}" for fault in faults))
    return compiled


def _compile_field(name: str, directive: Any) -> _Field:
    context = CompileContext(f"fields.{name}", DIRECTIVES, needs_all=name == _MEMBER)
    return _Field(context.compile(directive), context.steps)


def _constant_fault(name: str, value: Any, read: Reader) -> str | None:
    """Explain a wrong constant: usually a path without its directive, or a personal field with a fixed value."""
    if _reads_event(value) and not (name == _MEMBER and is_fixed(read)):
        return None
    if isinstance(value, str) and (value.startswith("$.") or "{{" in value):
        directive = "@path" if value.startswith("$.") else "@template"
        return f'a plain string; did you mean {{"{directive}": "{display(value)}"}}?'
    if name in _PERSONAL:
        return SAME_FOR_ALL
    if name == "country" and isinstance(value, str) and not _COUNTRY.fullmatch(value):
        return "not a country code; give two letters, such as US"
    if name == "audience_id" and not _AUDIENCE_ID.fullmatch(str(value)):
        return "not an audience id; give Amazon's id, or a directive that finds it"
    return None


def _reads_event(directive: Any) -> bool:
    """Return whether a directive reads the event; otherwise its value is the same for every event."""
    match directive:
        case {"@path": _} | {"@arrayPath": _}:
            return True
        case {"@template": str(text)}:
            return "{{" in text
        case {"@liquid": str(text)}:
            return "{{" in text or "{%" in text
        case dict():
            return any(map(_reads_event, directive.values()))
        case list():
            return any(map(_reads_event, directive))
    return False


def _unknown(names: Iterable[Any], known: tuple[str, ...], kind: str) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"unknown {kind} {display(name)}{did_you_mean(name, known)}; known: {', '.join(known)}"


def _label(name: str) -> str:
    return f'mapping "{display(name)}"'


def first_passing(test: str, *paths: str) -> Any:
    """Return a directive for the first path that passes the test, `exists` or `blank`; else the last."""
    path = {"@path": paths[0]}
    if len(paths) == 1:
        return path
    return {"@if": {test: path, "then": path, "else": first_passing(test, *paths[1:])}}


def _trait(name: str, *, camel_case: str = "", in_address: str = "") -> Any:
    """Return a directive for a trait of track and identify events, in both spellings and in the address object."""
    names = [f"address.{in_address}"] * bool(in_address) + [name] + [camel_case] * bool(camel_case)
    paths = (f"$.{parent}.{spelling}" for parent in ("properties", "traits") for spelling in names)
    return first_passing("blank", *paths)


def _consent_signal(name: str) -> Any:
    # A consent signal of false is a value, which the test for blank would skip.
    return first_passing("exists", f"$.properties.{name}", f"$.traits.{name}")


DEFAULT_TRIGGER = 'type = "track" or type = "identify"'
"""By type alone: customers rename events, and the event itself says whether the member enters or exits."""

DEFAULT_MAPPING = Mapping(
    name="Default",
    trigger=DEFAULT_TRIGGER,
    fields={
        "external_user_id": {"@path": "$.userId"},
        "audience_id": {"@path": "$.context.personas.external_audience_id"},
        "email": first_passing("blank", "$.context.traits.email", "$.properties.email", "$.traits.email"),
        "phone": _trait("phone"),
        "first_name": _trait("first_name", camel_case="firstName"),
        "last_name": _trait("last_name", camel_case="lastName"),
        "address": _trait("address", in_address="street"),
        "city": _trait("city", in_address="city"),
        "state": _trait("state", in_address="state"),
        "postal": _trait("postal", camel_case="postalCode", in_address="postalCode"),
        **{field.name: _consent_signal(field.amazon_name) for field in CONSENT_SIGNALS if field.name != "ip"},
    },
)
"""Segment's own default, extended: traits of identify events, camelCase names and Segment's address object are also
read; if a value is empty, the next path is tried; the IP address, which would be in plain text, is not mapped."""
