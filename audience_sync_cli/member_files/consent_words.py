"""The words of a consent column: a yes or no in English, German, French or Spanish, also as Excel writes it. Pure."""

from collections.abc import Collection, Mapping
from typing import Any

_YES, _NO = "granted yes y true 1 ja j wahr oui vrai sí si verdadero", "denied no n false 0 nein falsch non faux falso"
_MEANS = dict.fromkeys(_YES.split(), "GRANTED") | dict.fromkeys(_NO.split(), "DENIED")


def consent_of(value: Any) -> Any:
    """Return GRANTED or DENIED for a known word, and anything else as it is."""
    return _MEANS.get(_word(value), value)


def known_word(value: Any) -> str:
    """Return what a cell says, for a count: a known word, or "empty" or "other", since it may be of a wrong column."""
    word = _word(value)
    return word if word in _MEANS else "other" if word else "empty"


def says_no(words: Collection[str]) -> bool:
    """Return whether one of some words is a no."""
    return any(_MEANS.get(word) == "DENIED" for word in words)


def words_text(counts: Mapping[str, int]) -> str:
    """Format the counts of words, most first: 2 ja → GRANTED, 1 nein → DENIED, 1 empty."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{rows:,} {word}{f' → {_MEANS[word]}' if word in _MEANS else ''}" for word, rows in ordered)


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip().casefold()
