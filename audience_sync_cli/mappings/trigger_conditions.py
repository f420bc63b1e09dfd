"""The single conditions of a trigger, to explain why it does not hold."""

from collections.abc import Iterator, Mapping
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.fql.tokens import FqlToken, read_token
from audience_sync.segment.trigger import compile_trigger

_LENGTHS = {"contains": 6, "match": 6}  # tokens of a function; a comparison has three


def failing_conditions(trigger: str, event: Mapping[str, Any]) -> list[str]:
    """Return the conditions that an event does not fulfil, as written in a trigger that compile_trigger accepts."""
    return [text for text in _conditions(trigger) if not compile_trigger(f"{text} ")(event, Budget())]


def _conditions(trigger: str) -> Iterator[str]:
    tokens = list(_tokens(trigger))
    position = 0
    while position < len(tokens):
        first = tokens[position]
        if first.kind not in ("name", "!"):
            position += 1
            continue
        position += first.kind == "!"
        position += _LENGTHS.get(tokens[position].text, 3)
        last = tokens[position - 1]
        yield trigger[first.start : last.start + len(last.text)]


def _tokens(trigger: str) -> Iterator[FqlToken]:
    token = read_token(trigger, 0)
    while token.kind != "end":
        yield token
        token = read_token(trigger, token.start + len(token.text))
