"""The stored document of a destination's mappings: its form, its limits, and every fault in it."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from audience_sync.errors import InvalidMapping, InvalidTrigger
from audience_sync.fields import FIELDS, LISTED
from audience_sync.members.membership import AUDIENCE_ID
from audience_sync.segment.compiled_mapping import (
    MEMBER_ID,
    CompiledField,
    CompiledMapping,
    Mapping,
    Trigger,
    compile_field,
)
from audience_sync.segment.default_mapping import DEFAULT_TRIGGER
from audience_sync.segment.directives.compiler import SAME_FOR_ALL, Reader, did_you_mean, display, is_fixed
from audience_sync.segment.row_membership import compile_membership
from audience_sync.segment.separators import SEPARATORS_EXPECTED, split_at

MAX_MAPPINGS = 50  # for one destination, as in Segment
MAX_NAME = 100  # characters

_COUNTRY = re.compile(r"[A-Za-z]{2}")
_AUDIENCE_ID = re.compile(rf"(?=.*[0-9])(?:{AUDIENCE_ID.pattern})")  # a word without a digit is none
_FIELD_NAMES = tuple(field.name for field in FIELDS)
_LISTED = tuple(field.name for field in LISTED)
_PERSONAL = frozenset(field.name for field in FIELDS if field.personal)
_KEYS = ("name", "trigger", "membership", "fields", "enabled", "enable_batching", "separators")

type _Checked = tuple[Mapping, Trigger, dict[str, CompiledField]]


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
    applies_to: Trigger | None = None
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
    separators = entry.get("separators", {})
    compiled = _check_fields(entry.get("fields"), separators if isinstance(separators, dict) else {}, faults)
    faults += _separator_faults(separators, compiled)
    switches = ("enabled", "enable_batching")
    faults += (f"{name}: must be true or false" for name in switches if not isinstance(entry.get(name, True), bool))
    if faults or applies_to is None:
        raise InvalidMapping(*(f"{at}: {fault}" for fault in faults))
    return Mapping(**entry), applies_to, compiled


def _check_fields(fields: Any, separators: dict[str, Any], faults: list[str]) -> dict[str, CompiledField]:
    """Compile the fields of a mapping, and append their faults."""
    if not isinstance(fields, dict):
        faults.append("fields: must be an object; give a directive for each field")
        return {}
    faults += (f"fields: {fault}" for fault in _unknown(fields, _FIELD_NAMES, "field"))
    if MEMBER_ID not in fields:
        faults.append(f"fields: {MEMBER_ID} is missing; every record needs one, map it")
    compiled: dict[str, CompiledField] = {}
    for name, directive in fields.items():
        if name not in _FIELD_NAMES:
            continue
        try:
            compiled[name] = compile_field(name, directive, separators.get(name))
        except InvalidMapping as invalid:
            faults += invalid.faults
        else:
            fault = _constant_fault(name, directive, compiled[name].read)
            faults += [f"fields.{name}: {fault}"] if fault else []
    return compiled


def _separator_faults(separators: Any, compiled: dict[str, CompiledField]) -> Iterator[str]:
    if not isinstance(separators, dict):
        yield 'separators: must be an object; give the separators of a field, such as {"email": ";"}'
        return
    known = [name for name in _LISTED if name in compiled]
    for name, written in separators.items():
        if name not in known:
            listed = ", ".join(known) or "map email or phone"
            yield f"separators.{display(name)}: not a mapped field that can have several values; known: {listed}"
        elif not split_at(written):
            yield f"separators.{name}: {SEPARATORS_EXPECTED}"


def _constant_fault(name: str, value: Any, read: Reader) -> str | None:
    """Explain a wrong constant: usually a path without its directive, or a personal field with a fixed value."""
    if _reads_event(value) and not (name == MEMBER_ID and is_fixed(read)):
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
