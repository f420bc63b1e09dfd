"""Segment triggers: compiled once, then evaluated on any number of events."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from audience_sync.segment.budget import ASCII_A_STEP, Budget
from audience_sync.segment.fql.conditions import Condition
from audience_sync.segment.fql.grammar import Group, parse

Predicate = Callable[[Mapping[str, Any], Budget], bool]
type Test = Callable[[Any, Budget], bool]

_END_TESTS: dict[str, Callable[[str, str], bool]] = {"starts with": str.startswith, "ends with": str.endswith}
_NUMBER_TESTS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


_SHORT_TEXT = 64  # characters; a search is as cheap as any other test
_COMPARISONS_A_STEP = 512  # character comparisons of a search


def matches(trigger: str, event: Mapping[str, Any]) -> bool:
    """Return whether `event` fulfils `trigger`.

    Raises:
        InvalidTrigger: as compile_trigger.
        RejectedEvent: the trigger needs more steps than one event may use.
    """
    return compile_trigger(trigger)(event, Budget())


@lru_cache(maxsize=128)  # over twice the 50 mappings allowed: the current version and the one before
def compile_trigger(trigger: str) -> Predicate:
    """Compile a trigger into the function that decides whether an event fulfils it.

    Args:
        trigger: up to 4,096 characters of FQL, as in docs/triggers.md.

    Returns:
        A function of the event and its budget. Raises RejectedEvent if the budget is used up.

    Raises:
        InvalidTrigger: the trigger is ambiguous, or Segment's engine reads it differently; holds the position of the
            fault, in characters from 0, and the remedy.
    """
    return _predicate(parse(trigger))


def holds_for(condition: Condition, value: Any) -> bool:
    """Return whether one condition holds for a value of its field. Raises RejectedEvent, as `matches`."""
    return _test(condition)(value, Budget())


def _predicate(node: Condition | Group) -> Predicate:
    if isinstance(node, Condition):
        return _condition(node)
    parts = tuple(_predicate(part) for part in node.parts)
    if len(parts) == 1:
        return parts[0]
    if node.word == "and":
        return _all(parts)
    return _one_of(node.parts) or _any(parts)


def _one_of(parts: Sequence[Condition | Group]) -> Predicate | None:
    """Compile `type = "track" or type = "identify"`, the condition of most mappings, as one lookup.

    Returns:
        None unless every part compares the same top-level field with a string.
    """
    roots, wanted = set[str](), set[str]()
    for part in parts:
        if not isinstance(part, Condition) or part.operator != "=" or len(part.path) != 1:
            return None
        if not isinstance(part.value, str):
            return None
        roots.add(part.path[0])
        wanted.add(part.value)
    if len(roots) > 1:
        return None
    root, texts = roots.pop(), frozenset(wanted)
    return lambda event, _: isinstance(value := event.get(root), str) and value in texts


def _all(parts: tuple[Predicate, ...]) -> Predicate:
    return lambda event, budget: all(part(event, budget) for part in parts)


def _any(parts: tuple[Predicate, ...]) -> Predicate:
    return lambda event, budget: any(part(event, budget) for part in parts)


def _condition(condition: Condition) -> Predicate:
    root, steps = condition.path[0], condition.path[1:]
    holds = _test(condition)
    if not steps:
        return lambda event, budget: holds(event.get(root), budget)
    return lambda event, budget: holds(_value_at(event.get(root), steps), budget)


def _value_at(value: Any, steps: tuple[str, ...]) -> Any:
    """Return the value at a path of names and list positions; None if there is nothing.

    As in Segment's engine, a value that is empty in JavaScript's sense ends the path and is the result. Unlike
    there, inherited members, list lengths and the characters of strings are not reached: no event contains them.
    """
    for step in steps:
        if isinstance(value, (dict, Mapping)):
            value = value.get(step)
        elif isinstance(value, list):
            value = _item_at(value, step)
        elif not value:
            return value
        else:
            return None
    return value


def _item_at(values: list[Any], step: str) -> Any:
    # A position as JavaScript writes it: "07" is a name. The bound keeps int() cheap.
    if len(step) > 9 or not (step.isascii() and step.isdecimal()) or str(int(step)) != step:
        return None
    return values[int(step)] if int(step) < len(values) else None


def _test(condition: Condition) -> Test:
    wanted = condition.value
    if condition.operator == "contains":
        return _search(str(wanted), negated=condition.negated)
    if condition.operator in _END_TESTS:
        return _end_test(_END_TESTS[condition.operator], str(wanted), negated=condition.negated)
    if isinstance(wanted, float):
        return _number_test(_NUMBER_TESTS[condition.operator], wanted)
    if isinstance(wanted, bool):
        return lambda value, _: value is wanted
    # A string or null, under = or !=: no other type equals either, and a missing value counts as null.
    if condition.operator == "=":
        return lambda value, _: value == wanted
    return lambda value, _: value != wanted


def _search(wanted: str, *, negated: bool) -> Test:
    def holds(value: Any, budget: Budget) -> bool:
        if not isinstance(value, str):
            return False
        if len(value) > _SHORT_TEXT:
            budget.spend(_steps_to_search(len(value), len(wanted)))
        return (wanted in value) is not negated

    return holds


def _steps_to_search(text: int, wanted: int) -> int:
    """Return the steps for the slowest search of `wanted` characters in `text` characters.

    Python compares every pair of characters of a short text and a short pattern; other searches are linear in the
    text. The bounds come from CPython's Objects/stringlib/fastsearch.h.
    """
    if text < 2_500:
        return text * wanted // _COMPARISONS_A_STEP
    if text < 30_000:
        return text * min(wanted, 100) // _COMPARISONS_A_STEP
    return text // ASCII_A_STEP


def _end_test(test: Callable[[str, str], bool], wanted: str, *, negated: bool) -> Test:
    return lambda value, _: isinstance(value, str) and test(value, wanted) is not negated


def _number_test(compare: Callable[[float, float], bool], wanted: float) -> Test:
    return lambda value, _: (
        isinstance(value, (int, float)) and not isinstance(value, bool) and compare(_javascript_number(value), wanted)
    )


def _javascript_number(number: float) -> float:
    """Round an integer to a JavaScript number: 2**53 + 1 becomes 2**53, and 10**400 infinity."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
