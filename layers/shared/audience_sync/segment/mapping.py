"""Segment's mapping directives: compiled once, then resolved on any number of events."""

from collections.abc import Callable, Mapping
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.compiler import CompileContext, Reader
from audience_sync.segment.directives.paths import PATHS
from audience_sync.segment.directives.shapes import SHAPES
from audience_sync.segment.directives.texts import TEXTS
from audience_sync.segment.directives.values import UNDEFINED, materialize

type Event = Mapping[str, Any]
"""A Segment event, as parsed from JSON."""

DIRECTIVES = PATHS | TEXTS | SHAPES


def resolve(directive: Any, event: Event) -> Any:
    """Resolve a directive on one event. For more than one event, compile it once.

    Raises:
        InvalidMapping: as compile_directive.
        RejectedEvent: it needs more steps than one event may use.
    """
    return compile_directive(directive)(event)


def compile_directive(directive: Any, *, at: str = "directive") -> Callable[[Event], Any]:
    """Compile a directive into the function that resolves it.

    Args:
        directive: any JSON value, as in docs/mapping.md; anything but a directive is a constant.
        at: its position in the mapping, which errors name first.

    Returns:
        A function from an event to its value, which belongs to the event or to the directive: do not change
        it. None if there is no value; keys without a value are left out, list items become None. Whatever the event,
        the function raises only RejectedEvent, if it needs more steps than one event may use.

    Raises:
        InvalidMapping: the directive is invalid; names position, fault and remedy.
    """
    read = compile_field(directive, at=at)

    def value_of(event: Event) -> Any:
        value = read(event, Budget())
        return None if value is UNDEFINED else value

    return value_of


def compile_field(directive: Any, *, at: str) -> Callable[[Event, Budget], Any]:
    """Compile a directive that spends from a budget and returns UNDEFINED for no value, since null is one."""
    read = compile_reader(directive, at=at)
    return lambda event, budget: materialize(read(event if isinstance(event, dict) else dict(event), budget))


def compile_reader(directive: Any, *, at: str) -> Reader:
    """Compile as compile_field does, for events that are dicts; the result still has to be materialized."""
    return CompileContext(at, DIRECTIVES).compile(directive)
