"""The words of a trigger. Tokens are read one at a time, so that the first fault in the text is the one reported."""

import re
from typing import NamedTuple, NoReturn

from audience_sync.errors import InvalidTrigger
from audience_sync.segment.fql.refusals import Refusal

# What must follow a word, number or text. Segment's engine knows no other white space, not even a carriage return.
_END = r"(?=[ \t\n,\])]|\Z)"

# A backslash makes any character part of a name, except those at which the engine splits names all the same, and those
# of which it would escape only the first half (it counts in UTF-16).
_ESCAPED = r"\\[^.\[\]\ud800-\udfff\U00010000-\U0010ffff]"

# The engine looks for its words at the start of every part, so "properties.or " is no name. When it looks for "null" at
# the end of "properties.n=5", it loses the value.
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


class Token(NamedTuple):
    """A word of the text. `kind`: word, null, name, number, text, operator, end, or a mark: ( ) , !"""

    kind: str
    text: str
    start: int  # characters from the start of the trigger


def read_token(trigger: str, position: int) -> Token:
    """Read the token at `position`, or after the white space there; an "end" token where the text ends.

    Raises:
        InvalidTrigger: no token of the language starts there.
    """
    start = _space_end(trigger, position)
    if start == len(trigger):
        return Token("end", "", start)
    found = _TOKEN.match(trigger, start)
    if found is None:
        _refuse_characters(trigger, start)
    kind = str(found.lastgroup)
    return Token(found[0] if kind == "mark" else kind, found[0], start)


def path_of(name: str) -> tuple[str, ...]:
    """Split a name at its dots and remove the backslashes."""
    return tuple(_ESCAPE.sub(r"\1", name).split("."))


def refuse(refusal: Refusal, position: int) -> NoReturn:
    """Raise InvalidTrigger with the refusal's message."""
    raise InvalidTrigger(refusal.value, position=position)


def _space_end(trigger: str, position: int) -> int:
    space = _SPACE.match(trigger, position)
    return space.end() if space else position


def _refuse_characters(trigger: str, start: int) -> NoReturn:
    """Raise the refusal for the characters at `start`; for a name, the one for what follows its readable beginning."""
    name = _START_OF_NAME.match(trigger, start)
    at = name.end() if name else start
    rest = trigger[at : at + 2]
    if rest.startswith("\\"):
        refuse(Refusal.ESCAPE, at)
    if name:
        if rest.startswith("."):
            refuse(Refusal.NAME_PART, at + 1)
        refuse(Refusal.NAME_END, at)
    if rest.startswith("'"):
        refuse(Refusal.SINGLE_QUOTES, at)
    if rest.startswith('"'):
        closing = trigger.find('"', at + 1)
        refuse(*((Refusal.OPEN_TEXT, at) if closing < 0 else (Refusal.SWALLOWED, closing + 1)))
    if rest in ("!=", "<=", ">="):
        refuse(Refusal.OPERATOR_SPACE, at + 2)
    if rest.startswith("!"):
        refuse(Refusal.NEGATION, at)
    refuse(Refusal.NUMBER if _START_OF_NUMBER.match(rest) else Refusal.CHARACTER, at)
