"""Detects triggers that no event can fulfil: a mistake that loses every event of the mapping.

A trigger is a choice between lists of conditions that must hold together. It can hold if, in an event of one type, each
field has a value that fulfils all conditions on it. A few values derived from the conditions decide that.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise, product
from typing import Any

from audience_sync.segment.fql.conditions import Condition
from audience_sync.segment.fql.grammar import Group, parse
from audience_sync.segment.trigger import holds_for

MAX_LISTS = 2_000  # to try; a trigger with more is assumed to hold for some event

# Fields that an audience event of each type lacks. An event of another type is read only by a mapping with membership.
_MISSING: dict[str | None, tuple[str, ...]] = {"track": ("name", "traits"), "identify": ("name", "event", "properties")}
_ANY_TYPE: dict[str | None, tuple[str, ...]] = {None: ()}

_SEPARATORS = "\u2063\u2064"  # invisible: no trigger that a person writes contains them


def can_hold(trigger: str, *, of_rows: bool = False) -> bool:
    """Return whether some event can fulfil a trigger: an audience event, or one of any type if the mapping is of rows.

    True if that takes too long. Raises InvalidTrigger.
    """
    lists, missing = _lists(parse(trigger)), _ANY_TYPE if of_rows else _MISSING
    return any(_can_hold(each, missing) for each in islice(lists, MAX_LISTS)) or next(lists, None) is not None


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


def _can_hold(conditions: Sequence[Condition], missing: Mapping[Any, tuple[str, ...]]) -> bool:
    by_path: dict[tuple[str, ...], list[Condition]] = {}
    for condition in conditions:
        by_path.setdefault(condition.path, []).append(condition)
    return any(
        all(
            any(all(holds_for(each, value) for each in together) for value in _candidates(kind, lacks, path, together))
            for path, together in by_path.items()
        )
        for kind, lacks in missing.items()
    )


def _candidates(
    kind: str | None, lacks: tuple[str, ...], path: tuple[str, ...], conditions: Iterable[Condition]
) -> Iterator[Any]:
    """Yield values of one field: if any value fulfils all of its conditions, one of these does."""
    if (kind and path == ("type",)) or path[0] in lacks:
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
