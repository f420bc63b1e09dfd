"""Detects triggers that no event can fulfil: a mistake that loses every event of the mapping.

A trigger is a choice between lists of conditions that must hold together. It can hold if, in an event of one type, each
field has a value that fulfils all conditions on it. A few values derived from the conditions decide that.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise, product
from typing import Any

from audience_sync.segment.fql.conditions import Condition
from audience_sync.segment.fql.grammar import Group, parse
from audience_sync.segment.trigger import holds_for

MAX_LISTS = 2_000  # to try; a trigger with more is assumed to hold for some event

# Fields that an audience event of each type lacks; no other type reaches a trigger.
_MISSING = {"track": ("name", "traits"), "identify": ("name", "event", "properties")}

_SEPARATORS = "\u2063\u2064"  # invisible: no trigger that a person writes contains them


def can_hold(trigger: str) -> bool:
    """Return whether some audience event can fulfil a trigger; True if that takes too long. Raises InvalidTrigger."""
    lists = _lists(parse(trigger))
    return any(map(_can_hold, islice(lists, MAX_LISTS))) or next(lists, None) is not None


def _lists(node: Condition | Group) -> Iterator[Sequence[Condition]]:
    """Yield the lists of conditions; at least one list must hold."""
    if isinstance(node, Condition):
        yield (node,)
    elif node.word == "or":
        for part in node.parts:
            yield from _lists(part)
    else:
        for chosen in product(*(tuple(_lists(part)) for part in node.parts)):
            yield tuple(chain.from_iterable(chosen))


def _can_hold(conditions: Sequence[Condition]) -> bool:
    by_path: dict[tuple[str, ...], list[Condition]] = {}
    for condition in conditions:
        by_path.setdefault(condition.path, []).append(condition)
    return any(
        all(
            any(all(holds_for(each, value) for each in together) for value in _candidates(kind, path, together))
            for path, together in by_path.items()
        )
        for kind in _MISSING
    )


def _candidates(kind: str, path: tuple[str, ...], conditions: Iterable[Condition]) -> Iterator[Any]:
    """Yield values of one field: if any value fulfils all of its conditions, one of these does."""
    if path == ("type",) or path[0] in _MISSING[kind]:
        yield kind if path == ("type",) else None
        return
    yield from (None, True, False)
    yield from (each.value for each in conditions)
    numbers = sorted({each.value for each in conditions if isinstance(each.value, float)})
    if numbers:
        yield from (numbers[0] - 1, numbers[-1] + 1)
        yield from ((low + high) / 2 for low, high in pairwise(numbers))
    yield from (_text(conditions, separator) for separator in _SEPARATORS)


def _text(conditions: Iterable[Condition], separator: str) -> str:
    """Return the shortest string that the conditions require."""
    wanted: dict[str, list[str]] = {"starts with": [], "contains": [], "ends with": []}
    for each in conditions:
        if each.operator in wanted and not each.negated:
            wanted[each.operator].append(str(each.value))
    start, end = (max(wanted[name], key=len, default="") for name in ("starts with", "ends with"))
    return separator.join([start, *wanted["contains"], end])
