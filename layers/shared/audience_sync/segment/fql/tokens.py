"""The tokens of a trigger. They are read one at a time, so that the first fault is the one reported."""

import re
from typing import NamedTuple, NoReturn

from audience_sync.errors import InvalidTrigger
from audience_sync.segment.fql.refusals import TriggerRefusal

# The end of a word, number or string. Segment's engine knows no other white space, not even a carriage return.
_END = r"(?=[ \t\n,\])]|\Z)"

# A backslash makes any character part of a name, except separators, at which the engine splits regardless, and
# characters of two UTF-16 units, of which it would escape only the first half.
_ESCAPED = r"\\[^.\[\]\ud800-\udfff\U00010000-\U0010ffff]"

# The engine looks for its words at the start of every part, so "properties.or " is not a name. It also looks for "null"
# in "properties.n=5", and loses the value.
_PART = rf"(?!(?:and|or|null){_END}|n=[0-9]\Z)(?:[A-Za-z_]|{_ESCAPED})(?:[A-Za-z0-9_-]|{_ESCAPED})*+"
_NAME = rf"{_PART}(?:\.{_PART})*+"

_SPACE = re.compile(r"[ \t\n]*+")
_START_OF_NAME = re.compile(_NAME)
_START_OF_NUMBER = re.compile(r"[+-]|\.?[0-9]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_TOKEN = re.compile(
    rf"""
      (?P<word>     (?:and|or){_END} )
    | (?P<null>     null{_END} )
    | (?P<name>     {_NAME}(?=[ \t\n,\])(=!]|\Z) )
    | (?P<number>   [+-]?+[0-9]++(?:\.[0-9]++)?+{_END} )
    | (?P<text>     "[^"]*+"{_END} )
    | (?P<operator> = | (?:!=|<=|>=){_END} | [<>](?!=) )
    | (?P<mark>     [(),] | !(?=[A-Za-z(]) )
    """,
    re.VERBOSE,
)


class FqlToken(NamedTuple):
    """A token of the trigger. `kind`: word, null, name, number, text, operator, end, or a mark: ( ) , !"""

    kind: str
    text: str
    start: int  # characters from the start of the trigger


def read_token(trigger: str, position: int) -> FqlToken:
    """Read the token at `position`, after any white space; an "end" token at the end of the trigger.

    Raises:
        InvalidTrigger: no token starts there.
    """
    start = _space_end(trigger, position)
    if start == len(trigger):
        return FqlToken("end", "", start)
    found = _TOKEN.match(trigger, start)
    if found is None:
        _refuse_characters(trigger, start)
    kind = str(found.lastgroup)
    return FqlToken(found[0] if kind == "mark" else kind, found[0], start)


def path_of(name: str) -> tuple[str, ...]:
    """Split a name at its dots and remove the backslashes."""
    return tuple(_ESCAPE.sub(r"\1", name).split("."))


def refuse(refusal: TriggerRefusal, position: int) -> NoReturn:
    """Raise InvalidTrigger with the refusal's message."""
    raise InvalidTrigger(refusal.value, position=position)


def _space_end(trigger: str, position: int) -> int:
    space = _SPACE.match(trigger, position)
    return space.end() if space else position


def _refuse_characters(trigger: str, start: int) -> NoReturn:
    """Raise the refusal for the characters at `start`; for a name, for the first unreadable part."""
    name = _START_OF_NAME.match(trigger, start)
    at = name.end() if name else start
    rest = trigger[at : at + 2]
    if rest.startswith("\\"):
        refuse(TriggerRefusal.ESCAPE, at)
    if name:
        if rest.startswith("."):
            refuse(TriggerRefusal.NAME_PART, at + 1)
        refuse(TriggerRefusal.NAME_END, at)
    if rest.startswith("'"):
        refuse(TriggerRefusal.SINGLE_QUOTES, at)
    if rest.startswith('"'):
        closing = trigger.find('"', at + 1)
        refuse(*((TriggerRefusal.OPEN_TEXT, at) if closing < 0 else (TriggerRefusal.SWALLOWED, closing + 1)))
    if rest in ("!=", "<=", ">="):
        refuse(TriggerRefusal.OPERATOR_SPACE, at + 2)
    if rest.startswith("!"):
        refuse(TriggerRefusal.NEGATION, at)
    refuse(TriggerRefusal.NUMBER if _START_OF_NUMBER.match(rest) else TriggerRefusal.CHARACTER, at)
