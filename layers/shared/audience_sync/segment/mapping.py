"""Finds values in events by Segment's mapping directives: compiled once, then used on any number of events."""

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
        RejectedEvent: resolving it takes more steps than one event may.
    """
    return compile_directive(directive)(event)


def compile_directive(directive: Any, *, at: str = "directive") -> Callable[[Event], Any]:
    """Read a directive and return the function that resolves it.

    Args:
        directive: any JSON value, as in docs/mapping.md; what is no directive is its own value.
        at: where it is in the mapping; the position that errors name starts with it.

    Returns:
        A function from an event to its value, which belongs to the event or to the directive: read it, do not change
        it. None where there is no value; objects lack the keys that have none, and lists hold None there. Whatever the
        event, the function raises nothing but RejectedEvent, where it takes more steps than one event may.

    Raises:
        InvalidMapping: the directive is wrong whatever the event; names position, fault and remedy.
    """
    read = compile_field(directive, at=at)

    def value_of(event: Event) -> Any:
        value = read(event, Budget())
        return None if value is UNDEFINED else value

    return value_of


def compile_field(directive: Any, *, at: str) -> Callable[[Event, Budget], Any]:
    """As compile_directive, but take the steps from a budget, and give UNDEFINED for no value, since null is one."""
    read = compile_reader(directive, at=at)
    return lambda event, budget: materialize(read(event if isinstance(event, dict) else dict(event), budget))


def compile_reader(directive: Any, *, at: str) -> Reader:
    """As compile_field, for events that are dicts; what the directive built still has to be materialized."""
    return CompileContext(at, DIRECTIVES).compile(directive)
