"""The words of a consent column: a yes or no in English, German, French or Spanish, also as Excel writes it. Pure."""

from collections.abc import Collection, Mapping
from typing import Any

from audience_sync_cli.frame.plain_text import plain

_YES = "granted yes y true t 1 on ja j wahr oui o vrai sí si s verdadero"
_NO = "denied no n false f 0 off nein falsch non faux falso"
_AROUND = " .!'\"=[]()"  # of a word, as exports write it
_MEANS = dict.fromkeys(_YES.split(), "GRANTED") | dict.fromkeys(_NO.split(), "DENIED")


def consent_of(value: Any) -> Any:
    """Return GRANTED or DENIED for a known word, and anything else as it is."""
    return _MEANS.get(_word(value), value)


def known_word(value: Any) -> str:
    """Return what a cell says, for a count: a known word, or "empty" or "other", since it may be of a wrong column."""
    word = _word(value)
    return word if word in _MEANS else "other" if word else "empty"


def says_no(words: Collection[str]) -> bool:
    """Return whether a column with these words, or empty cells, says no of somebody."""
    meanings = {_MEANS.get(word) for word in words}
    return "DENIED" in meanings or ("GRANTED" in meanings and "empty" in words)


def words_text(counts: Mapping[str, int]) -> str:
    """Format the counts of words, most first: 2 ja → GRANTED, 1 nein → DENIED, 1 empty."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{rows:,} {word}{f' → {_MEANS[word]}' if word in _MEANS else ''}" for word, rows in ordered)


def _word(value: Any) -> str:
    """Return the word in a cell: without what exports put around it, and of 1.0 the 1."""
    return "" if value is None else plain(str(value)).strip().casefold().removesuffix(".0").strip(_AROUND)
