"""JSON values by JavaScript's rules: missing and empty values, and conversion to strings.

Mappings are written for Segment's engine, which is JavaScript. Ids and templates depend on its number
format; conditions depend on its empty values. Sources: ECMA-262, Number::toString, Array.prototype.join and
JSON.stringify; tests/contract/segment compares with the engine itself.
"""

import json
import math
import re
from typing import Any, Final

from audience_sync.segment.budget import OTHERS_A_STEP, Budget

MAX_TEXT = 32_768  # characters; the whole event is at most 32 kB when it enters Segment
MAX_VALUES = 10_000  # inside one list or object that has to be walked
MAX_NESTING = 100  # levels of such a list or object
WHITE_SPACE = (  # as trimmed by JavaScript, not Python
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

_STEPS_TO_ENCODE = 10  # one value as JSON
_STEPS_FOR_FLOAT = 20  # to format it as JavaScript does
_DIGITS_A_STEP = 3  # of an integer; JSON can hold 4,300, and formatting takes quadratic time

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LIST_POSITION = re.compile(r"0|[1-9][0-9]{0,9}")


class Undefined:
    """JavaScript's undefined: the value of anything missing. UNDEFINED is the only instance."""

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined()


class ObjectValue(dict[str, Any]):
    """An object that a mapping built, which may still hold UNDEFINED. Objects of the event never do."""


class ListValue(list[Any]):
    """A list that a mapping built, which may still hold UNDEFINED."""


def materialize(value: Any) -> Any:
    """Remove UNDEFINED from values that a mapping built: drops keys, turns list items into null. Keeps event values."""
    if type(value) is ObjectValue:
        return {key: materialize(inner) for key, inner in value.items() if inner is not UNDEFINED}
    if type(value) is ListValue:
        return [None if inner is UNDEFINED else materialize(inner) for inner in value]
    return value


def is_truthy(value: Any) -> bool:
    """Return whether `if (value)` holds in JavaScript, for which empty lists and objects are true."""
    return bool(value) or isinstance(value, dict | list)


def is_absent(value: Any) -> bool:
    """Return whether a value is missing or null."""
    return value is UNDEFINED or value is None


def is_blank(value: Any, budget: Budget) -> bool:
    """Return whether a value is missing, null, or loosely equal to "": 0, false and [] are, " " is not."""
    return is_absent(value) or (text_of(value, budget) == "" if isinstance(value, list) else not is_truthy(value))


def has_gap(value: Any) -> bool:
    """Return whether a value is empty, or is built by a mapping and holds an empty one. 0 and false are not empty."""
    if type(value) in (ObjectValue, ListValue):
        return not value or any(map(has_gap, value.values() if isinstance(value, dict) else value))
    return is_absent(value) or value in ("", [], {})


def is_number(value: Any) -> bool:
    """Return whether a value is a number; JSON's booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def list_position(key: str) -> int:
    """Return a name as a list position; -1 if it is not one."""
    return int(key) if _LIST_POSITION.fullmatch(key) else -1


def is_small(value: Any, budget: Budget, *, steps: int = 2) -> bool:
    """Return whether a value is small enough to walk: its strings, numbers, values and nesting are within bounds.

    Args:
        value: any.
        budget: pays for this walk and the next one.
        steps: for each value, both walks together.

    Raises:
        RejectedEvent: the budget is used up.
    """
    level, characters, values = [value], 0, 0
    for _ in range(MAX_NESTING):
        below: list[Any] = []
        for inner in level:
            if isinstance(inner, dict | list):
                values += len(inner)
                if values > MAX_VALUES:  # before the values are copied: there may be millions
                    return False
                budget.spend((len(inner) + 1) * steps)
                characters += sum(map(len, inner)) if isinstance(inner, dict) else 0
                below += inner.values() if isinstance(inner, dict) else inner
            elif isinstance(inner, str):
                characters += len(inner)
            elif isinstance(inner, int | float):
                characters += _spend_on_number(inner, budget)
        if characters > MAX_TEXT:
            return False
        if not below:
            budget.spend(characters // OTHERS_A_STEP)
            return True
        level = below
    return False


def text_of(value: Any, budget: Budget) -> str | Undefined:
    """Return a value as JavaScript converts it to a string; null and missing are empty.

    Ints are written in full: ids beyond 2**53 would lose their last digits in JavaScript.

    Returns:
        UNDEFINED for a string or list beyond the bounds of this module.
    """
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else UNDEFINED
    if isinstance(value, list):
        return _joined(value) if is_small(value, budget) else UNDEFINED
    if isinstance(value, int | float):
        _spend_on_number(value, budget)
    return _scalar_text(value)


def number_text(number: float) -> str:
    """Return a number as JavaScript writes it: 1 for 1.0, 0 for -0.0, 1e+21, 1e-7, 123450000000000000000."""
    if isinstance(number, int):
        return str(number)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    if "e" not in (plain := repr(number)):
        return plain.removesuffix(".0")
    mantissa, _, exponent = plain.removeprefix("-").partition("e")
    text = mantissa.replace(".", "")  # at most 17 digits
    point = 1 + int(exponent)  # digits before the decimal point: at least 17, or at most -4
    if 0 < point <= 21:
        text = text.ljust(point, "0")
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        text = f"{text[0]}.{text[1:]}" if len(text) > 1 else text
        text = f"{text}e{point - 1:+d}"
    return f"-{text}" if number < 0 else text


def json_text(value: Any, budget: Budget) -> str | Undefined:
    """Return the result of JSON.stringify: compact, with JavaScript's numbers and order of keys.

    Returns:
        UNDEFINED for no value, or one beyond the bounds of this module.
    """
    if value is UNDEFINED or not is_small(value, budget, steps=_STEPS_TO_ENCODE):
        return UNDEFINED
    text = _encoded(value)
    return text if len(text) <= MAX_TEXT else UNDEFINED


def entries(value: dict[str, Any] | list[Any] | str) -> list[tuple[str, Any]]:
    """Return keys and values in JavaScript's order: names that are list positions first, by number."""
    if not isinstance(value, dict):
        return [(str(position), inner) for position, inner in enumerate(value)]
    numbered = sorted((key for key in value if _LIST_POSITION.fullmatch(key)), key=int)
    if not numbered:
        return list(value.items())
    positions = set(numbered)
    return [(key, value[key]) for key in [*numbered, *(key for key in value if key not in positions)]]


def without_lone_surrogates(text: str) -> str:
    """Replace lone surrogates, which JSON can hold and UTF-8 cannot, as JavaScript does on output."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def _spend_on_number(number: float, budget: Budget) -> int:
    """Spend the steps for writing a number, and return its approximate length."""
    if isinstance(number, float):
        budget.spend(_STEPS_FOR_FLOAT)
        return 0  # at most 24 characters: negligible
    digits = number.bit_length() * 3 // 10
    if digits > 100:
        budget.spend(digits // _DIGITS_A_STEP)
    return digits


def _scalar_text(value: Any) -> str:
    if is_absent(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if is_number(value) else "[object Object]"


def _joined(values: list[Any]) -> str:
    return ",".join(
        _joined(value) if isinstance(value, list) else value if isinstance(value, str) else _scalar_text(value)
        for value in values
    )


def _encoded(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{_quoted(key)}:{_encoded(inner)}" for key, inner in entries(value) if inner is not UNDEFINED)
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_encoded, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if is_absent(value) or (isinstance(value, float) and not math.isfinite(value)):
        return "null"
    return _scalar_text(value)


def _quoted(text: str) -> str:
    # As in JavaScript, lone surrogates are escaped as \ud800 to \udfff.
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
