"""Segment's mapping directives: compiled once, then resolved on any number of events."""

from collections.abc import Callable
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.compiler import CompileContext
from audience_sync.segment.directives.paths import PATHS
from audience_sync.segment.directives.shapes import SHAPES
from audience_sync.segment.directives.texts import TEXTS
from audience_sync.segment.directives.values import UNDEFINED, materialize

type Event = dict[str, Any]
"""A Segment event, as parsed from JSON."""

DIRECTIVES = PATHS | TEXTS | SHAPES


def resolve(directive: Any, event: Event) -> Any:
    """Resolve a directive on one event; None if there is no value. Raises as compile_directive and its function."""
    value = compile_directive(directive)(event, Budget())
    return None if value is UNDEFINED else value


def compile_directive(directive: Any, *, at: str = "directive") -> Callable[[Event, Budget], Any]:
    """Compile a directive into the function that resolves it.

    Args:
        directive: any JSON value, as in docs/mapping.md; anything but a directive is a constant.
        at: its position in the mapping, which errors name first.

    Returns:
        A function from an event and its budget to the value, which belongs to the event or to the directive: do not
        change it. UNDEFINED if there is no value, since null is one; keys without a value are left out, list items
        become None. Whatever the event, the function raises only RejectedEvent, if the budget is used up.

    Raises:
        InvalidMapping: the directive is invalid; names position, fault and remedy.
    """
    read = CompileContext(at, DIRECTIVES).compile(directive)
    return lambda event, budget: materialize(read(event, budget))
