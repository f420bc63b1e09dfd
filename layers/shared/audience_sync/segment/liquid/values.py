"""Values as in LiquidJS, so by JavaScript's rules: writing, comparing, counting and member access.

Source: LiquidJS 10.30, which tests/contract/segment compares with.
"""

import math
import re
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.values import (
    MAX_TEXT,
    UNDEFINED,
    WHITE_SPACE,
    is_absent,
    is_number,
    is_small,
    list_position,
    text_of,
)

_STEPS_A_HALF = 4  # to encode a lone surrogate; JSON can carry many
_STEPS_TO_COMPARE = 10  # an item of a list with another value

_NUMBER = re.compile(r"[+-]?(?:(?:\d++(?:\.\d*+)?+|\.\d++)(?:e[+-]?\d++)?+|infinity)", re.ASCII | re.IGNORECASE)
_INFINITY = re.compile(r"[+-]?Infinity")
_OTHER_BASE = re.compile(r"0(?:x[0-9a-f]++|o[0-7]++|b[01]++)", re.IGNORECASE)


class ValueTooLarge(Exception):
    """A value is beyond the bounds of directives/values.py: the directive then has no value."""


class ValueMissing(Exception):
    """A value is empty in a template that needs all of its values: the directive then has no value."""


class Named:
    """The literals `empty` and `blank`, which are equal to many values."""

    def __init__(self, name: str) -> None:
        self.name = name


EMPTY, BLANK, NIL = Named("empty"), Named("blank"), Named("nil")


def plain(value: Any) -> Any:
    """Return the value of a literal outside comparisons."""
    if value is NIL:
        return None
    return "" if isinstance(value, Named) else value


def is_empty(value: Any) -> bool:
    """Return whether an output would write nothing for a value."""
    return is_absent(plain(value)) or value in ("", [])


def written(value: Any, budget: Budget) -> str:
    """Return a value as an output writes it: nothing for null, the items of a list one after the other.

    Raises:
        TooLarge: the string would be too long, or the list too large.
        RejectedEvent: the budget is used up.
    """
    value = plain(value)
    if isinstance(value, str):
        return bounded(value)
    if isinstance(value, list):
        if not is_small(value, budget):
            raise ValueTooLarge
        return bounded(_joined(value, budget))
    return as_text(value, budget)


def _joined(values: list[Any], budget: Budget) -> str:
    return "".join(_joined(each, budget) if isinstance(each, list) else written(each, budget) for each in values)


def as_text(value: Any, budget: Budget) -> str:
    """Return a value as JavaScript converts it to a string; null and missing are empty. Raises as `written`."""
    text = text_of(value, budget)
    if not isinstance(text, str):
        raise ValueTooLarge
    return bounded(text)


def bounded(text: str) -> str:
    """Return the string if it is within the bounds. Raises TooLarge."""
    if len(text) > MAX_TEXT:
        raise ValueTooLarge
    return text


def is_true(value: Any) -> bool:
    """Return whether a condition holds: anything but false, null and missing does, "" included."""
    return not (is_absent(plain(value)) or value is False)


def number_of(value: Any, budget: Budget) -> float:
    """Return a value as JavaScript's Number converts it; NaN if it is not a number. Raises as `written`."""
    value = plain(value)
    if value is None or isinstance(value, bool):
        return float(value or 0)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, list):
        value = as_text(value, budget)
    if not isinstance(value, str):
        return math.nan
    budget.spend_on_text(bounded(value))
    return _parsed(value.strip(WHITE_SPACE))


def _parsed(text: str) -> float:
    if not text:
        return 0.0
    if _OTHER_BASE.fullmatch(text):
        return float(int(text, 0)) if len(text) < 250 else math.inf  # a float has at most 1,024 bits
    if not _NUMBER.fullmatch(text) or ("f" in text.lower() and not _INFINITY.fullmatch(text)):
        return math.nan
    return float(text)


def calculable(value: Any, budget: Budget) -> float:
    """Return a value as a number for filters; 0 if it is not a number. Raises as `written`."""
    number = number_of(value, budget)
    return 0.0 if math.isnan(number) else number


def equal(left: Any, right: Any, budget: Budget) -> bool:
    """Return whether two values are equal. Types count: "1" is not 1. Raises as `written`."""
    for literal, value in ((left, right), (right, left)):
        if isinstance(literal, Named):
            return _equals_literal(literal, value, budget)
    if isinstance(left, str) and isinstance(right, str) and len(left) == len(right):  # others differ immediately
        budget.spend_on_text(left)
    if isinstance(left, list):
        return isinstance(right, list) and _same_items(left, right, budget)
    if isinstance(left, dict | bool) or isinstance(right, bool):
        return left is right
    if is_absent(left) or is_absent(right):
        return left is right
    return is_number(left) is is_number(right) and bool(left == right)


def _same_items(left: list[Any], right: list[Any], budget: Budget) -> bool:
    if not (is_small(left, budget) and is_small(right, budget)):
        raise ValueTooLarge
    return len(left) == len(right) and all(equal(one, other, budget) for one, other in zip(left, right, strict=True))


def _equals_literal(literal: Named, value: Any, budget: Budget) -> bool:
    if literal is NIL:
        return is_absent(plain(value)) and value not in (EMPTY, BLANK)
    if isinstance(value, Named):
        return literal is BLANK and value is NIL
    if isinstance(value, str | list | dict) and not value:
        return True
    if literal is BLANK and isinstance(value, str):
        budget.spend_on_text(value)
        return not value.strip(WHITE_SPACE)
    return literal is BLANK and (is_absent(value) or value is False)


def is_less(left: Any, right: Any, budget: Budget, *, or_equal: bool) -> bool:
    """Return whether left is less than right, or equal: strings by their characters, all else by number.

    Raises as `written`.
    """
    if isinstance(left, Named) or isinstance(right, Named):
        return False
    left, right = (_primitive(each, budget) for each in (left, right))
    if isinstance(left, str) and isinstance(right, str):
        low, high = (_code_units(each, budget) for each in (left, right))
        return low <= high if or_equal else low < high
    if UNDEFINED in (left, right):
        return False
    small, large = number_of(left, budget), number_of(right, budget)
    return small <= large if or_equal else small < large


def _code_units(text: str, budget: Budget) -> bytes:
    """Return a string as JavaScript compares it. Raises RejectedEvent if the budget is used up."""
    budget.spend_on_text(text)
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError:  # lone surrogates, which Python handles one by one
        budget.spend(len(text) * _STEPS_A_HALF)
        return text.encode("utf-16-be", "surrogatepass")


def _primitive(value: Any, budget: Budget) -> Any:
    return as_text(value, budget) if isinstance(value, list | dict) else value


def contains(holder: Any, wanted: Any, budget: Budget) -> bool:
    """Return whether a list has an item, or a string a substring. Raises as `written`."""
    if isinstance(holder, list):
        budget.spend(len(holder) * _STEPS_TO_COMPARE)
        return any(equal(each, wanted, budget) for each in holder)
    if not isinstance(holder, str):
        return False
    wanted = plain(wanted)
    text = {id(None): "null", id(UNDEFINED): "undefined"}.get(id(wanted)) or as_text(wanted, budget)
    budget.spend_on_text(holder)
    return text in holder


def property_of(value: Any, name: str | int) -> Any:
    """Return a member by name or position, or `size`, `first` or `last`."""
    if is_absent(value):
        return value
    if isinstance(value, dict):
        return _of_object(value, str(name))
    if isinstance(value, list | str):
        return _of_list(value, name)
    return UNDEFINED


def _of_object(value: dict[str, Any], name: str) -> Any:
    found = value.get(name, UNDEFINED)
    return len(value) if found is UNDEFINED and name == "size" else found


def _of_list(value: list[Any] | str, name: str | int) -> Any:
    if name == "size":
        return len(value)
    if isinstance(value, list) and name in ("first", "last"):
        name = 0 if name == "first" else -1
    position = list_position(name) if isinstance(name, str) else name
    if isinstance(name, int) and name < 0:
        position = len(value) + name if isinstance(value, list) else -1
    return value[position] if 0 <= position < len(value) else UNDEFINED
