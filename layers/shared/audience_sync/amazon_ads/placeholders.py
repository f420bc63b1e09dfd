"""Strings that databases, programs and spreadsheets write in place of a missing value. Pure."""

from hashlib import sha256

_PLACEHOLDERS = ["", " ", "0", "-", *"null (null) none NaN N/A #N/A #NV \\N undefined unknown".split()]
_FORMS = (str, str.lower, str.upper, str.capitalize)
_FILLED = {"0" * 64, "f" * 64}

DIGESTS_OF_NOTHING = frozenset(
    _FILLED | {sha256(form(text).encode()).hexdigest() for text in (*_PLACEHOLDERS, "test") for form in _FORMS}
)
"""Digests that are never sent, since unrelated people would share them."""

_IN_LOWER_CASE = DIGESTS_OF_NOTHING | {text.strip().lower() for text in _PLACEHOLDERS}


def is_placeholder(text: str) -> bool:
    """Return whether a string stands for nobody, in any case: NULL, nan, zeros, or the digest of such a string."""
    return (lower := text.strip().lower()) in _IN_LOWER_CASE or not lower.strip("0-_")
