"""Splits strings that hold several values, such as two e-mail addresses with a semicolon between them."""

import re
from collections.abc import Callable
from typing import Any

from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.compiler import Reader
from audience_sync.segment.directives.values import MAX_TEXT, materialize

MAX_SEPARATORS = 10  # characters; any one of them separates
CHARACTERS_SPLIT_A_STEP = 2
STEPS_AN_ITEM = 2  # of a list, whether or not there is anything to split: a body has room for a million ones

SEPARATORS_EXPECTED = (
    f"must be a string of 1 to {MAX_SEPARATORS} characters, none of them a letter, a digit or one of @ . _ - +"
)

type Split = Callable[[Any], Any]
"""Returns a list of the values in a string or in the strings of a list; anything else unchanged."""


def split_at(separators: Any) -> Split | None:
    """Return the function that splits at any of the characters; None if they cannot be separators."""
    if not isinstance(separators, str) or not 1 <= len(separators) <= MAX_SEPARATORS:
        return None
    if any(character.isalnum() or character in "@._-+" for character in separators):
        return None
    pattern = re.compile(f"[{re.escape(separators)}]")

    def split(value: Any) -> Any:
        if isinstance(value, list):
            return [part for each in value for part in (split(each) if isinstance(each, str) else [each])]
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            return value
        return [part for part in pattern.split(value) if part and not part.isspace()]

    return split


def split_reader(reader: Reader, split: Split) -> Reader:
    """Return a reader that splits what the given one returns."""

    def read(event: Any, budget: Budget) -> Any:
        value = materialize(reader(event, budget))
        if isinstance(value, list):
            budget.spend(len(value) * STEPS_AN_ITEM)
        texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
        budget.spend(sum(map(len, texts)) // CHARACTERS_SPLIT_A_STEP)
        return split(value)

    return read
