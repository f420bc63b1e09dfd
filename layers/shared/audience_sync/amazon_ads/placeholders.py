"""Strings that databases, programs and spreadsheets write in place of a missing value. Pure."""

from hashlib import sha256

_PLACEHOLDERS = ["", " ", "0", "-", "null", "Null", "NULL", "(null)", "None", "nan", "NaN", "N/A", "undefined", "\\N"]
_IN_ANY_CASE = frozenset(text.strip().lower() for text in _PLACEHOLDERS)

DIGESTS_OF_NOTHING = frozenset({"0" * 64, *(sha256(text.encode()).hexdigest() for text in _PLACEHOLDERS)})
"""Digests that are never sent, since unrelated people would share them."""


def is_placeholder(text: str) -> bool:
    """Return whether a string stands for no value, in any case: NULL, nan, N/A, 0."""
    return text.strip().lower() in _IN_ANY_CASE
