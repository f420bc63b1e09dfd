"""Compares two sets of mappings, as JSON, by mapping and field."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.mappings.text import plain

_DEFAULTS: dict[str, Any] = {
    "trigger": None,
    "membership": None,
    "enabled": True,
    "enable_batching": True,
    "separators": {},
}
_SIDES = (("before", "-", "red"), ("after", "+", "green"))

type Difference = dict[str, Any]  # mapping: its name; change: added, removed, changed or moved; parts


def differences(before: Any, after: Any) -> list[Difference]:
    """Compare two lists of mappings. Skips entries that are not mappings, which a hand-written list may have.

    Returns:
        The changes for the JSON output, in the order of the new list, removed mappings last. A missing switch counts as
        Segment's default, so that writing it out is no change.
    """
    old, new = _by_name(before), _by_name(after)
    kept = [name for name in old if name in new]
    moved = {name for name, other in zip(kept, [name for name in new if name in old], strict=True) if name != other}
    found = []
    for name in [*new, *(name for name in old if name not in new)]:
        parts = _changed(old.get(name, {}), new.get(name, {}))
        change = "added" if name not in old else "removed" if name not in new else "changed" if parts else "moved"
        if change != "moved" or name in moved:
            found.append({"mapping": name, "change": change, "parts": parts})
    return found


def print_differences(screen: Screen, changes: Sequence[Difference]) -> None:
    """Print the changes: for each mapping the removed lines in red, and the added ones in green."""
    for each in changes:
        screen.say(f"{each['mapping']}: {each['change']}", style="bold")
        screen.facts({f"  {part['part']}": _lines(part) for part in each["parts"]})


def _by_name(mappings: Any) -> dict[str, Mapping[str, Any]]:
    listed = mappings if isinstance(mappings, list) else []
    return {str(each.get("name")): _parts(each) for each in listed if isinstance(each, dict)}


def _parts(mapping: Mapping[str, Any]) -> dict[str, Any]:
    fields = mapping.get("fields")
    parts = {name: mapping.get(name, default) for name, default in _DEFAULTS.items()}
    return parts | (fields if isinstance(fields, dict) else {})


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the triggers, switches and directives of fields that differ, without a missing side; null is a value."""
    changed = []
    for name in {**before, **after}:
        sides = {label: side[name] for label, side in (("before", before), ("after", after)) if name in side}
        # As JSON, because in Python 1, 1.0 and true are equal.
        is_same = len({json.dumps(value, sort_keys=True) for value in sides.values()}) == 1
        is_default = name in _DEFAULTS and _DEFAULTS[name] in sides.values()
        if not (is_same if len(sides) == len(_SIDES) else is_default):
            changed.append({"part": name, **sides})
    return changed


def _lines(part: Mapping[str, Any]) -> Text:
    shown = str if part["part"] == "trigger" else plain
    lines = [Text(f"{sign} {shown(part[side])}", style=style) for side, sign, style in _SIDES if side in part]
    return Text("\n").join(lines)
