"""The places in an event that a directive reads, for diagnosis. Ingest does not use it.

The directive runs as usual, on a copy of the event that records each read, so this works for every directive, present
and future.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from audience_sync.segment.directives.values import UNDEFINED, Undefined


@dataclass(frozen=True, slots=True)
class Lookup:
    """One place that was read, and its value: UNDEFINED if missing."""

    path: str  # as @path writes it, such as $.traits.email or $.products[0].id
    value: Any | Undefined = field(repr=False)


def lookups_of(read: Callable[[dict[str, Any]], object], event: dict[str, Any]) -> list[Lookup]:
    """Return the fields that a compiled directive or trigger reads in an event, in order. Raises RejectedEvent.

    Each field once, without the objects on the way to it. Empty for a constant.
    """
    lookups: list[Lookup] = []
    read(_recording(event, "$", lookups))
    innermost = [
        lookup
        for lookup, following in zip_longest(lookups, lookups[1:])
        if following is None or not following.path.startswith((f"{lookup.path}.", f"{lookup.path}["))
    ]
    return list({lookup.path: lookup for lookup in innermost}.values())


class _Object(dict[str, Any]):
    """An object of the event that records the names read."""

    __slots__ = ("lookups", "path")
    path: str
    lookups: list[Lookup]

    def get(self, name: str, default: Any = None) -> Any:
        value = super().get(name, default)
        step = f".{name}" if name.isidentifier() else f"['{name}']"
        self.lookups.append(Lookup(f"{self.path}{step}", value if name in self else UNDEFINED))
        return value


class _List(list[Any]):
    """A list of the event that records the positions read."""

    __slots__ = ("lookups", "path")
    path: str
    lookups: list[Lookup]

    def __getitem__(self, position: Any) -> Any:
        value = super().__getitem__(position)
        self.lookups.append(Lookup(f"{self.path}[{position}]", value))
        return value


def _recording(value: Any, path: str, lookups: list[Lookup]) -> Any:
    """Return a copy that records its reads in `lookups`."""
    copy: Any
    if isinstance(value, dict):
        copy = _Object(
            (name, _recording(inner, f"{path}.{name}" if name.isidentifier() else f"{path}['{name}']", lookups))
            for name, inner in value.items()
        )
    elif isinstance(value, list):
        copy = _List(_recording(inner, f"{path}[{position}]", lookups) for position, inner in enumerate(value))
    else:
        return value
    copy.path, copy.lookups = path, lookups
    return copy
