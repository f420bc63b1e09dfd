"""The filters of @liquid. Each maps a value, its arguments and the budget to the result of LiquidJS.

Filters that Segment disables are not here, and neither are those whose result depends on the machine, such as date.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.values import MAX_VALUES, UNDEFINED, WHITE_SPACE, is_absent, is_small, number_text
from audience_sync.segment.liquid.values import (
    BLANK,
    EMPTY,
    NIL,
    ValueTooLarge,
    as_text,
    bounded,
    calculable,
    is_true,
    number_of,
    plain,
    written,
)

type Function = Callable[[Any, Sequence[Any], Budget], Any]

MAX_REPLACED = 1_000_000  # characters before removals: bounds memory, not the result

_COMPARED = 100  # most characters of a pattern that a search compares at each position
_COMPARISONS_A_STEP = 256  # of two characters; the text is searched twice, to count and to replace
_CHARACTERS_A_STEP = 2  # that a white space pattern scans
_MAX_SAFE = 2**53 - 1  # JavaScript's largest integer without gaps
_SPACES = re.compile(f"[{WHITE_SPACE}]+")


class Filter(NamedTuple):
    """One filter: its function and number of arguments."""

    at_least: int
    at_most: int
    apply: Function


def _text(change: Callable[..., str], at_least: int = 0, at_most: int | None = None) -> Filter:
    """Build a filter from a function of strings; its arguments are also strings."""

    def apply(value: Any, arguments: Sequence[Any], budget: Budget) -> str:
        texts = [written(each, budget) for each in (value, *arguments)]
        for each in texts:
            budget.spend_on_text(each)
        for each in texts[1:]:  # most are search patterns
            budget.spend(len(texts[0]) * min(len(each), _COMPARED) // _COMPARISONS_A_STEP)
        result = bounded(change(*texts))
        budget.spend_on_text(result)
        return result

    return Filter(at_least, at_least if at_most is None else at_most, apply)


def _number(calculate: Callable[..., float], at_least: int = 0, at_most: int | None = None) -> Filter:
    """Build a filter from a function of numbers; anything else counts as 0."""

    def apply(value: Any, arguments: Sequence[Any], budget: Budget) -> float:
        return calculate(*(calculable(each, budget) for each in (value, *arguments)))

    return Filter(at_least, at_least if at_most is None else at_most, apply)


def _replace(text: str, pattern: str, replacement: str, *, limit: int = -1) -> str:
    found = text.count(pattern) if pattern else len(text)
    if len(text) + found * len(replacement) > MAX_REPLACED and limit < 0:
        raise ValueTooLarge
    if pattern or limit == 1:
        return text.replace(pattern, replacement, limit)
    return replacement.join(text)  # JavaScript splits at "" between the characters, not around them


def _replace_last(text: str, pattern: str, replacement: str) -> str:
    before, found, after = text.rpartition(pattern) if pattern else (text, "x", "")
    return f"{before}{replacement}{after}" if found else text


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:].lower()


def _squish(value: Any, _arguments: Sequence[Any], budget: Budget) -> str:
    text = written(value, budget)
    budget.spend(len(text) // _CHARACTERS_A_STEP)
    return _SPACES.sub(" ", text).strip(WHITE_SPACE)


def _divide(dividend: float, divisor: float, whole: float = 0.0) -> float:
    if divisor == 0:
        quotient = math.nan if dividend == 0 or math.isnan(dividend) else math.copysign(math.inf, dividend)
        quotient *= math.copysign(1, divisor)
    else:
        quotient = dividend / divisor
    return float(math.floor(quotient)) if whole and math.isfinite(quotient) else quotient


def _modulo(dividend: float, divisor: float) -> float:
    if divisor == 0 or not math.isfinite(dividend):
        return math.nan
    if math.isinf(divisor):
        return math.nan  # as in JavaScript: infinity has no remainder
    return math.fmod(math.fmod(dividend, divisor) + divisor, divisor)


def _round(number: float, places: float = 0.0) -> float:
    scaled = _shifted(abs(number), places)
    if not scaled <= _MAX_SAFE:
        return number
    return math.copysign(_shifted(float(math.floor(scaled + 0.5)), -places), number)


def _shifted(number: float, places: float) -> float:
    """Move the decimal point in the number's string: multiplying would add rounding errors."""
    mantissa, _, power = number_text(number).partition("e")
    try:
        return float(f"{mantissa}e{number_text(float(power or 0) + places)}")
    except ValueError:  # no whole number of places, or no finite number
        return math.nan


def _whole(round_it: Callable[[float], int]) -> Callable[[float], float]:
    return lambda number: float(round_it(number)) if math.isfinite(number) else number


def _size(value: Any, _arguments: Sequence[Any], _budget: Budget) -> int:
    value = plain(value)
    return len(value) if isinstance(value, str | list) else _length_of(value)


def _length_of(value: Any) -> Any:
    """Return JavaScript's `length`, which is an ordinary field in an object."""
    return (value.get("length") or 0) if isinstance(value, dict) else 0


def _item(position: int, value: Any, _arguments: Sequence[Any], _budget: Budget) -> Any:
    value = plain(value)
    if not isinstance(value, str | list) or (isinstance(value, str) and not value):
        return ""
    return value[position] if value else UNDEFINED


def _split(value: Any, arguments: Sequence[Any], budget: Budget) -> list[str]:
    text, separator = (written(each, budget) for each in (value, arguments[0]))
    budget.spend(len(text))
    parts = text.split(separator) if separator else list(text)
    while parts and not parts[-1]:
        parts.pop()
    if len(parts) > MAX_VALUES:
        raise ValueTooLarge
    return parts


def _join(value: Any, arguments: Sequence[Any], budget: Budget) -> str:
    value = plain(value)
    values = [] if is_absent(value) else value if isinstance(value, list) else [value]
    given = plain(arguments[0]) if arguments else None
    separator = " " if is_absent(given) else written(given, budget)
    if not is_small(values, budget):
        raise ValueTooLarge
    if sum(map(len, texts := [as_text(each, budget) for each in values])) + len(separator) * len(texts) > MAX_REPLACED:
        raise ValueTooLarge
    return bounded(separator.join(texts))


def _slice(value: Any, arguments: Sequence[Any], budget: Budget) -> Any:
    value = plain(value)
    if is_absent(value):
        return []
    whole = value if isinstance(value, list) else written(value, budget)
    budget.spend(len(whole))
    begin, length = number_of(arguments[0], budget), number_of(_given(arguments, 1, 1), budget)
    begin += len(whole) if begin < 0 else 0
    if begin < 0 or length < 0:
        return whole[:0]
    if isinstance(whole, list):
        return whole[_count(begin, int) : _count(begin + length, int)]
    start = _count(begin, math.ceil)
    return whole[start : start + _count(length, math.ceil)]


def _truncate(value: Any, arguments: Sequence[Any], budget: Budget) -> Any:
    text, length = written(value, budget), number_of(_given(arguments, 0, 50), budget)
    dots = written(_given(arguments, 1, "..."), budget)
    if len(text) <= max(_count(length, math.ceil), 0):
        return value
    return bounded(text[: _count(max(length - len(dots), 0.0), math.ceil)] + dots)


def _strip_filter(change: Callable[[str, str], str]) -> Filter:
    """Build a filter that strips white space, or the given characters."""

    def apply(value: Any, arguments: Sequence[Any], budget: Budget) -> str:
        text, given = written(value, budget), _given(arguments, 0, "")
        budget.spend_on_text(text)
        is_empty = is_absent(given) or given is False or given == 0 or given is EMPTY or given is BLANK or given is NIL
        characters = WHITE_SPACE if is_empty else written(given, budget) or WHITE_SPACE
        budget.spend(len(text) * len(characters) // _COMPARISONS_A_STEP)  # each character is compared with them
        return change(text, characters)

    return Filter(0, 1, apply)


def _given(arguments: Sequence[Any], position: int, otherwise: Any) -> Any:
    """Return an argument, or its default if it is left out or has no value."""
    value = arguments[position] if position < len(arguments) else UNDEFINED
    return otherwise if value is UNDEFINED else value


def _count(number: float, round_it: Callable[[float], int]) -> int:
    """Return a number as a count of characters or items; none for NaN, all for infinity."""
    return 0 if math.isnan(number) else round_it(max(-1e9, min(number, 1e9)))


def _default(value: Any, arguments: Sequence[Any], _budget: Budget) -> Any:
    value = plain(value)
    if isinstance(value, str | list):
        return value or arguments[0]
    return value if is_true(value) else arguments[0]


FILTERS: dict[str, Filter] = {
    "append": _text(lambda text, more: text + more, 1),
    "prepend": _text(lambda text, more: more + text, 1),
    "downcase": _text(str.lower),
    "upcase": _text(str.upper),
    "capitalize": _text(_capitalize),
    "strip": _strip_filter(str.strip),
    "lstrip": _strip_filter(str.lstrip),
    "rstrip": _strip_filter(str.rstrip),
    "strip_newlines": _text(lambda text: text.replace("\r\n", "").replace("\n", "")),
    "squish": Filter(0, 0, _squish),
    "remove": _text(lambda text, part: _replace(text, part, ""), 1),
    "remove_first": _text(lambda text, part: _replace(text, part, "", limit=1), 1),
    "remove_last": _text(lambda text, part: _replace_last(text, part, ""), 1),
    "replace": _text(_replace, 2),
    "replace_first": _text(partial(_replace, limit=1), 2),
    "replace_last": _text(_replace_last, 2),
    "truncate": Filter(0, 2, _truncate),
    "slice": Filter(1, 2, _slice),
    "split": Filter(1, 1, _split),
    "join": Filter(0, 1, _join),
    "first": Filter(0, 0, partial(_item, 0)),
    "last": Filter(0, 0, partial(_item, -1)),
    "size": Filter(0, 0, _size),
    "default": Filter(1, 1, _default),
    "plus": _number(lambda left, right: left + right, 1),
    "minus": _number(lambda left, right: left - right, 1),
    "times": _number(lambda left, right: left * right, 1),
    "divided_by": _number(_divide, 1, 2),
    "modulo": _number(_modulo, 1),
    "round": _number(_round, 0, 1),
    "ceil": _number(_whole(math.ceil)),
    "floor": _number(_whole(math.floor)),
    "abs": _number(abs),
    "at_least": _number(max, 1),
    "at_most": _number(min, 1),
}

DISABLED = frozenset(
    """
    array_to_sentence_string concat find find_exp find_index find_index_exp group_by group_by_exp has has_exp map
    newline_to_br reject reject_exp reverse sort sort_natural uniq where_exp type
    """.split()
)
"""Filters that Segment disables: a mapping that uses one also fails there."""
