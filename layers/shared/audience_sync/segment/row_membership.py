"""The membership of warehouse rows and other events that Engage did not make, by values that a mapping names."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from audience_sync.errors import InvalidMapping
from audience_sync.segment.budget import Budget
from audience_sync.segment.compiled_fields import value_of
from audience_sync.segment.directives.compiler import CompileContext, Constant, Reader, did_you_mean, display
from audience_sync.segment.directives.values import text_of
from audience_sync.segment.event import EventKind
from audience_sync.segment.mapping import DIRECTIVES, Event

MAX_VALUES = 100  # that enter, and that exit

_KEYS = ("value", "enter", "exit")
_LISTS = {"enter": EventKind.ENTER, "exit": EventKind.EXIT}


class RowMembership(NamedTuple):
    """The key `membership` of a mapping, compiled."""

    read: Reader
    steps: int  # fixed cost per event
    kinds: Mapping[str, EventKind]  # by the text of the value

    def kind_of(self, event: Event, budget: Budget) -> EventKind | None:
        """Return the change that an event states; None for any other value. Raises RejectedEvent: budget used up."""
        value = value_of(self.read, event, budget)
        if not isinstance(value, str | int | float):
            return None
        text = text_of(value, budget)
        return self.kinds.get(text) if isinstance(text, str) else None


def compile_membership(written: Any) -> RowMembership | None:
    """Compile the key `membership` of a mapping, None if it is absent. Raises InvalidMapping with every fault."""
    if written is None:
        return None
    if not isinstance(written, dict):
        raise InvalidMapping("membership: must be an object; give one with value, enter and exit")
    faults = [
        f"membership: unknown key {display(name)}{did_you_mean(name, _KEYS)}; known: {', '.join(_KEYS)}"
        for name in written
        if name not in _KEYS
    ]
    kinds: dict[str, EventKind] = {}
    for name, kind in _LISTS.items():
        faults += _add_values(kinds, name, kind, written.get(name, []))
    if not faults and not kinds:
        faults.append("membership: names no value; list those that enter and those that exit")
    context = CompileContext("membership.value", DIRECTIVES)
    read: Reader | None = None
    try:
        read = context.compile(written.get("value"))
        if isinstance(read, Constant):
            faults.append("membership.value: the same for every event; give a directive, such as a @path")
    except InvalidMapping as invalid:
        faults += invalid.faults
    if faults or read is None:
        raise InvalidMapping(*faults)
    return RowMembership(read, context.steps, kinds)


def _add_values(kinds: dict[str, EventKind], name: str, kind: EventKind, listed: Any) -> list[str]:
    """Add the values of one list by their text, and return its faults."""
    if not isinstance(listed, list) or len(listed) > MAX_VALUES:
        return [f"membership.{name}: must be a list of up to {MAX_VALUES} values"]
    faults = []
    for position, value in enumerate(listed):
        text = text_of(value, Budget()) if isinstance(value, str | int | float) else ""
        if not isinstance(text, str) or not text:
            faults.append(f"membership.{name}.{position}: must be a string, a number, true or false, and not empty")
        elif kinds.setdefault(text, kind) is not kind:
            faults.append(f"membership: {display(text)} is in enter and in exit; leave it in one")
    return faults
