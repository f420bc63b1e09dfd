r"""Parses a trigger into its conditions, or refuses it with the position of the fault.

    trigger   = part { "and" part } | part { "or" part }
    part      = condition | "(" condition { "and" condition } ")" | "(" condition { "or" condition } ")"
    condition = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
              | [ "!" ] ( "contains" | "match" ) "(" field "," text ")"
    field     = "type" | "event" | "name" | "userId" | ( "properties" | "traits" | "context" ) "." part { "." part }
    value     = text | number | "true" | "false" | "null"

Work is linear in the length of the trigger, which is bounded; recursion is at most one group deep.

Source: the behaviour of @segment/destination-subscriptions 3.37 with @segment/fql-ts 1.10, compared in tests/contract.
"""

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from audience_sync.segment.fql.conditions import OPERATORS, Condition, field_of, misreading, pattern_of, value_of
from audience_sync.segment.fql.refusals import TriggerRefusal
from audience_sync.segment.fql.tokens import FqlToken, read_token, refuse

MAX_LENGTH = 4096  # characters; Segment's own form makes a few hundred

Word = Literal["and", "or"]

_FUNCTIONS = ("contains", "match")
_LONE_SURROGATE = re.compile(
    r"[\ud800-\udfff]"
)  # half a surrogate pair; JavaScript finds it inside a whole character, Python does not


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that must all hold ("and") or of which one must ("or"); a single part has either word."""

    word: Word
    parts: tuple["Condition | Group", ...]


def parse(trigger: str) -> Group:
    """Parse a trigger.

    Raises:
        InvalidTrigger: the trigger is ambiguous, or Segment's engine reads it differently.
    """
    if len(trigger) > MAX_LENGTH:
        refuse(TriggerRefusal.TOO_LONG, MAX_LENGTH)
    if surrogate := _LONE_SURROGATE.search(trigger):
        refuse(TriggerRefusal.CHARACTER, surrogate.start())
    return _FqlParser(trigger).trigger()


class _FqlParser:
    """Recursive descent. Tokens are read only when needed, so that faults are found in reading order."""

    def __init__(self, trigger: str) -> None:
        self._trigger = trigger
        self._position = 0
        self._lookahead: FqlToken | None = None
        self._in_group = False
        self._early_ends: list[FqlToken] = []  # words after a function in a group, at which the engine ends the group

    def trigger(self) -> Group:
        if self._peek().kind == "end":
            refuse(TriggerRefusal.EMPTY, 0)
        level = self._level()
        if self._peek().kind != "end":
            self._refuse_missing_word()
        for early_end in self._early_ends:
            # The engine reads the rest of the group as part of this level: harmless if the word is the same.
            if len(level.parts) > 1 and level.word != early_end.text:
                refuse(TriggerRefusal.FUNCTION_NOT_LAST, early_end.start)
        return level

    def _level(self) -> Group:
        word: Word | None = None
        parts = [self._part()]
        while self._peek().kind == "word":
            token = self._next()
            if word is not None and token.text != word:
                refuse(TriggerRefusal.MIXED, token.start)
            word = "or" if token.text == "or" else "and"
            parts.append(self._part())
        return Group(word or "and", tuple(parts))

    def _part(self) -> Condition | Group:
        token = self._next()
        if token.kind == "(":
            return self._group(token)
        if token.kind == "!":
            return self._negated()
        if token.kind != "name":
            refuse(TriggerRefusal.NO_CONDITION, token.start)
        if token.text in _FUNCTIONS:
            return self._function(token, negated=False)
        return self._comparison(token)

    def _group(self, opening: FqlToken) -> Group:
        if self._in_group:
            refuse(TriggerRefusal.NESTED, opening.start)
        self._in_group = True
        level = self._level()
        if self._peek().kind == "end":
            refuse(TriggerRefusal.OPEN_GROUP, opening.start)
        if self._peek().kind != ")":
            self._refuse_missing_word()
        self._in_group = False
        self._next()
        return level

    def _negated(self) -> Condition:
        token = self._next()
        if token.kind == "(":
            refuse(TriggerRefusal.NEGATED_GROUP, token.start - 1)
        if token.text not in _FUNCTIONS:
            refuse(TriggerRefusal.NEGATION, token.start - 1)
        return self._function(token, negated=True)

    def _function(self, function: FqlToken, *, negated: bool) -> Condition:
        self._expect("(")
        field = self._expect("name")
        path = field_of(field)
        if path == ("type",):
            refuse(TriggerRefusal.TYPE_IN_FUNCTION, field.start)
        self._expect(",")
        text = self._expect("text")
        self._expect(")")
        if self._in_group and self._peek().kind == "word":
            self._early_ends.append(self._peek())
        if function.text == "contains":
            return Condition(path, "contains", text.text[1:-1], negated)
        operator, wanted = pattern_of(text)
        return Condition(path, operator, wanted, negated)

    def _comparison(self, field: FqlToken) -> Condition:
        path = field_of(field)
        token = self._next()
        if token.kind != "operator":
            refuse(TriggerRefusal.OPERATOR, token.start)
        operator = OPERATORS[token.text]
        value_token = self._next()
        value = value_of(value_token)
        if misread := misreading(path, operator, value):
            refuse(misread, value_token.start)
        return Condition(path, operator, value)

    def _expect(self, kind: str) -> FqlToken:
        token = self._next()
        if token.kind != kind:
            refuse(TriggerRefusal.FUNCTION, token.start)
        return token

    def _peek(self) -> FqlToken:
        if self._lookahead is None:
            self._lookahead = read_token(self._trigger, self._position)
        return self._lookahead

    def _next(self) -> FqlToken:
        token = self._peek()
        self._position = token.start + len(token.text)
        self._lookahead = None
        return token

    def _refuse_missing_word(self) -> NoReturn:
        token = self._peek()
        if token.kind == ")":
            refuse(TriggerRefusal.STRAY_PARENTHESIS, token.start)
        refuse(TriggerRefusal.WORD if token.text.lower() in ("and", "or") else TriggerRefusal.NO_WORD, token.start)
