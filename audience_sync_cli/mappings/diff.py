"""Compares two sets of mappings, as JSON, by mapping and field."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from audience_sync_cli.mappings.text import plain
from audience_sync_cli.screen import Screen

_DEFAULTS = {"trigger": None, "enabled": True, "enable_batching": True}
_STYLES = {"-": "red", "+": "green"}


class Absent:
    """The value of a field missing in a mapping; null is a value. ABSENT is the only instance."""


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class PartChange:
    """One part of a mapping: its trigger, a switch, or the directive of a field."""

    part: str  # trigger, enabled, enable_batching, or the name of a field
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """Return the change, without a missing side."""
        sides = {"before": self.before, "after": self.after}
        return {"part": self.part, **{name: value for name, value in sides.items() if value is not ABSENT}}


@dataclass(frozen=True, slots=True)
class MappingChange:
    """One mapping that is added, removed or changed."""

    name: str
    change: str  # added, removed, changed, moved
    parts: tuple[PartChange, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the change for the JSON output."""
        return {"mapping": self.name, "change": self.change, "parts": [each.as_json() for each in self.parts]}


def differences(before: Any, after: Any) -> list[MappingChange]:
    """Compare two lists of mappings. Skips entries that are not mappings, which a hand-written list may have.

    Returns:
        The changes, in the order of the new list, removed mappings last. A missing switch counts as Segment's default,
        so that writing it out is no change.
    """
    old, new = _by_name(before), _by_name(after)
    kept = [name for name in old if name in new]
    moved = {name for name, other in zip(kept, [name for name in new if name in old], strict=True) if name != other}
    found = []
    for name, mapping in new.items():
        parts = tuple(_changed(old.get(name, {}), mapping))
        if name not in old:
            found.append(MappingChange(name, "added", parts))
        elif parts:
            found.append(MappingChange(name, "changed", parts))
        elif name in moved:
            found.append(MappingChange(name, "moved"))
    removed = [name for name in old if name not in new]
    return found + [MappingChange(name, "removed", tuple(_changed(old[name], {}))) for name in removed]


def print_differences(screen: Screen, changes: Sequence[MappingChange]) -> None:
    """Print the changes: for each mapping the removed lines in red, and the added ones in green."""
    for each in changes:
        screen.say(f"{each.name}: {each.change}", style="bold")
        screen.facts({f"  {part.part}": _lines(part) for part in each.parts})


def _by_name(mappings: Any) -> dict[str, Mapping[str, Any]]:
    listed = mappings if isinstance(mappings, list) else []
    return {str(each.get("name")): _parts(each) for each in listed if isinstance(each, dict)}


def _parts(mapping: Mapping[str, Any]) -> dict[str, Any]:
    fields = mapping.get("fields")
    parts = {name: mapping.get(name, default) for name, default in _DEFAULTS.items()}
    return parts | (fields if isinstance(fields, dict) else {})


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[PartChange]:
    for name in {**before, **after}:
        sides = before.get(name, ABSENT), after.get(name, ABSENT)
        if _text(sides[0]) != _text(sides[1]) and not (ABSENT in sides and _is_default(name, sides)):
            yield PartChange(name, *sides)


def _is_default(name: str, sides: tuple[Any, Any]) -> bool:
    return name in _DEFAULTS and _DEFAULTS[name] in sides


def _text(value: Any) -> str:
    """Return a string that two values share only if they are the same JSON: in Python, 1, 1.0 and true are equal."""
    return "" if value is ABSENT else json.dumps(value, sort_keys=True)


def _lines(change: PartChange) -> Text:
    lines = []
    for sign, value in (("-", change.before), ("+", change.after)):
        if value is not ABSENT:
            text = str(value) if change.part == "trigger" else plain(value)
            lines.append(Text(f"{sign} {text}", style=_STYLES[sign]))
    return Text("\n").join(lines)
