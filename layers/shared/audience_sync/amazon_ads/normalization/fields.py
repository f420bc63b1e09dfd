"""Letters, digits and postal codes that need more than deleting characters."""

import re
import unicodedata
from typing import NamedTuple

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"
_OTHER_DIGIT = re.compile(r"[^\D0-9]")


def _ascii_except(kept: str) -> bytes:
    """Return the ASCII characters to delete. Deleting from bytes is ten times faster than a regular expression."""
    return bytes(code for code in range(128) if chr(code) not in kept)


_NOT_CODE = _ascii_except(_UPPER + _DIGITS)
_NOT_DIGIT = _ascii_except(_DIGITS)

# The six letters that Amazon's tool spells out, in names only. Any other accented letter is dropped.
NAME_LETTERS = {"ß": "ss", "ä": "ae", "ö": "oe", "ü": "ue", "ø": "o", "æ": "ae"}


class PostalCode(NamedTuple):
    """The length and format of a country's postal codes."""

    deleted: bytes
    length: int  # characters kept
    shape: re.Pattern[bytes] | None  # None for all digits

    def cut(self, code: bytes) -> bytes:
        """Shorten a code of upper-case letters and digits; empty if it is not one of the country."""
        code = (code if self.shape is None and code.isdigit() else code.translate(None, self.deleted))[: self.length]
        fits = len(code) == self.length if self.shape is None else self.shape.fullmatch(code)
        return code if fits else b""


def _digits(count: int) -> PostalCode:
    return PostalCode(_NOT_DIGIT, count, None)


POSTAL_CODES = {
    **dict.fromkeys(("US", "FR", "DE", "ES", "IT"), _digits(5)),
    "IN": _digits(6),
    "JP": _digits(7),
    "CA": PostalCode(_NOT_CODE, 6, re.compile(b"([A-Z][0-9]){3}")),
    "GB": PostalCode(_NOT_CODE, 7, re.compile(b"([A-Z]{1,2}[0-9]{2,3}|[A-Z]{1,2}[0-9][A-Z][0-9])[A-Z]{2}")),
}


def ascii_digits(text: str) -> str:
    """Replace the decimal digits of every script by 0 to 9."""
    if text.isascii() or not _OTHER_DIGIT.search(text):
        return text
    return "".join([_DIGITS[unicodedata.decimal(char)] if char.isdecimal() else char for char in text])
