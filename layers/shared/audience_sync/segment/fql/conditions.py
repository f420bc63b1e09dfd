"""The fields and values of a condition, and the comparisons that Segment makes as written."""

from dataclasses import dataclass
from typing import Literal

from audience_sync.segment.fql.refusals import TriggerRefusal
from audience_sync.segment.fql.tokens import FqlToken, path_of, refuse

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "starts with", "ends with"]
Value = str | float | bool | None

OPERATORS: dict[str, Operator] = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

_TEXTS = ("type", "event", "name", "userId")
_OBJECTS = ("properties", "traits", "context")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one field. `path` starts at the root of the event."""

    path: tuple[str, ...]
    operator: Operator
    value: Value
    negated: bool = False


def field_of(token: FqlToken) -> tuple[str, ...]:
    """Return the path of a name. Refuses a name that is not a field."""
    path = path_of(token.text)
    root, steps = path[0], path[1:]
    if root in _TEXTS and steps:
        refuse(TriggerRefusal.BELOW_TEXT, token.start + token.text.index("."))
    if root in _OBJECTS and not steps:
        refuse(TriggerRefusal.WHOLE_OBJECT, token.start)
    if root not in _TEXTS + _OBJECTS:
        words = {"not": TriggerRefusal.NOT, "and": TriggerRefusal.WORD, "or": TriggerRefusal.WORD}
        refuse(words.get(token.text.lower(), TriggerRefusal.FIELD), token.start)
    return path


def value_of(token: FqlToken) -> Value:
    """Return the value in a comparison."""
    if token.kind == "text":
        return token.text[1:-1]
    if token.kind == "number":
        return float(token.text)
    if token.kind == "null":
        return None
    if token.text not in _BOOLEANS:
        refuse(TriggerRefusal.VALUE, token.start)
    return _BOOLEANS[token.text]


def misreading(path: tuple[str, ...], operator: Operator, value: Value) -> TriggerRefusal | None:
    """Return why the engine would not make this comparison as written; None if it would."""
    number = isinstance(value, float)
    if operator not in ("=", "!="):
        return None if number else TriggerRefusal.ORDER
    if value is None:
        return TriggerRefusal.NULL_AS_TEXT if path[0] in ("type", "event") else None
    if (number and path[0] in _TEXTS) or (isinstance(value, bool) and path[0] in ("type", "event", "name")):
        return TriggerRefusal.AS_TEXT
    if isinstance(value, bool) and operator == "!=":
        return TriggerRefusal.NOT_BOOLEAN
    return None


def pattern_of(token: FqlToken) -> tuple[Operator, str]:
    """Return the test of a match pattern, and its text without the star."""
    pattern = token.text[1:-1]
    if pattern.count("*") != 1 or "*" not in (pattern[0], pattern[-1]):
        refuse(TriggerRefusal.PATTERN, token.start)
    return ("starts with", pattern[:-1]) if pattern.endswith("*") else ("ends with", pattern[1:])
