"""The rules of single fields, except phone and address: which characters stay, and what the others become.

Every rule takes cleaned text and a country (ISO 3166-1 alpha-2 or None), and returns text that may be empty.
"""

import re
import unicodedata
from typing import NamedTuple

from audience_sync.amazon_ads.normalization.word_tables import STATES

_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
_DIGITS = "0123456789"
_OTHER_DIGIT = re.compile(r"[^\D0-9]")


def _ascii_except(kept: str) -> bytes:
    """The ASCII characters to delete. Deleting from bytes takes a tenth of the time of a regular expression."""
    return bytes(code for code in range(128) if chr(code) not in kept)


_NOT_EMAIL = _ascii_except(_LOWER + _DIGITS + "._@-")
_NOT_WORD = _ascii_except(_LOWER + _DIGITS)
_NOT_CODE = _ascii_except(_UPPER + _DIGITS)
_NOT_UPPER = _ascii_except(_UPPER)
_NOT_DIGIT = _ascii_except(_DIGITS)

# The six letters that Amazon's tool spells out, in names only. Any other accented letter is dropped.
NAME_LETTERS = {"ß": "ss", "ä": "ae", "ö": "oe", "ü": "ue", "ø": "o", "æ": "ae"}
_NAME_LETTERS = str.maketrans(NAME_LETTERS)


class PostalCode(NamedTuple):
    """How a country's codes are shortened, and what they must then look like."""

    deleted: bytes
    length: int  # characters that are kept
    shape: re.Pattern[bytes] | None  # None for all digits

    def cut(self, code: bytes) -> bytes:
        """Shorten a code of upper-case letters and digits; empty where it is none of the country."""
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


def normalize_email(text: str, _country: str | None) -> str:
    """Keep a-z 0-9 . _ @ and -, then ask for something before one @ and a dot inside what follows."""
    address = _without(_NOT_EMAIL, text.lower())
    local, _, domain = address.partition("@")
    return address if local and "@" not in domain and "." in domain.strip(".") else ""


def normalize_name(text: str, _country: str | None) -> str:
    """Spell out six letters, then keep a-z and 0-9: Müller becomes mueller, José becomes jos."""
    lower = text.lower()
    return _without(_NOT_WORD, lower if lower.isascii() else lower.translate(_NAME_LETTERS))


def normalize_city(text: str, _country: str | None) -> str:
    """Keep a-z and 0-9. No letter is spelled out: München becomes mnchen, as in Amazon's own digests."""
    return _without(_NOT_WORD, text.lower())


def normalize_state(text: str, country: str | None) -> str:
    """Look the name up, or take its first two letters: Bavaria becomes by, Bayern ba."""
    if country == "CA" and not text.isascii():
        text = unicodedata.normalize("NFKD", text)  # Québec: e and an accent, which is dropped
    name = _without(_NOT_UPPER, text.upper())
    return STATES.get(country or "", {}).get(name) or name[:2].lower()


def normalize_postal(text: str, country: str | None) -> str:
    """Upper case, A-Z and 0-9; where a country's codes have one shape, cut to its length, and empty unless it fits.

    A lost leading zero is not restored: Amazon's tool drops such codes too.
    """
    code = _without(_NOT_CODE, ascii_digits(text).upper())
    rule = POSTAL_CODES.get(country or "")
    return rule.cut(code.encode()).decode() if rule else code


def ascii_digits(text: str) -> str:
    """Write the decimal digits of every script as 0 to 9."""
    if text.isascii() or not _OTHER_DIGIT.search(text):
        return text
    return "".join([_DIGITS[unicodedata.decimal(char)] if char.isdecimal() else char for char in text])


def _without(deleted: bytes, text: str) -> str:
    """Delete all characters beyond ASCII, and these."""
    return text.encode("ascii", "ignore").translate(None, deleted).decode("ascii")
