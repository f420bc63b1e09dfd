"""The normalization rule of every identifier, for one value or the values of many people at once.

The ordinary values (short, printable and composed) of one field are joined into one text, a line for each person, so
that character replacement runs once for all of them. It works on bytes, which is ten times faster: a table changes
characters, others are deleted. The rest is a function of that text and the countries.
"""

import re
import unicodedata
from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

from audience_sync.amazon_ads.normalization.address import SEPARATORS, normalize_address
from audience_sync.amazon_ads.normalization.fields import NAME_LETTERS, POSTAL_CODES, ascii_digits
from audience_sync.amazon_ads.normalization.phone import PUNCTUATION, from_table, normalize_phone
from audience_sync.amazon_ads.normalization.word_tables import ADDRESS_WORDS, OTHER_ADDRESS_WORDS, STATES

MAX_LENGTH = 63  # characters; with one more, a value may be a digest

_UPPER, _LOWER, _DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz", b"0123456789"
_LETTERS = _UPPER + _LOWER
_TO_LOWER = bytes.maketrans(_UPPER, _LOWER)
_TO_UPPER = bytes.maketrans(_LOWER, _UPPER)
_TO_WORDS = bytes.maketrans(_UPPER + SEPARATORS.encode(), _LOWER + b" " * len(SEPARATORS))
_STATES: dict[str | None, dict[bytes, bytes]] = {
    country: {name.encode(): code.encode() for name, code in names.items()} for country, names in STATES.items()
}
_NO_STATES: dict[bytes, bytes] = {}
_ADDRESS = rb"(?:[a-z0-9._-]++@[a-z0-9_-]++\.[a-z0-9_-][a-z0-9._-]*+)?+"  # or an empty line
_ADDRESSES = re.compile(rb"%b(?:\n%b)*+" % (_ADDRESS, _ADDRESS))


type _Countries = Sequence[str | None]


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "ignore")


class Rule(NamedTuple):
    """The normalization of one field."""

    table: bytes | None  # replacement of each character
    deleted: bytes  # deleted first
    rest: Callable[[bytes, _Countries], list[bytes | None]] | None = None  # if this is not all; None for a hard line
    encode: Callable[[str], bytes] = _ascii  # for text beyond ASCII
    hard: Callable[[str, str | None], str | None] | None = None  # for hard lines, and all that are not ordinary
    countries: Container[str | None] | None = ()  # with a rule of their own; None for all

    def normalize(self, text: str, country: str | None) -> str | None:
        """Normalize one value.

        Args:
            text: as one line of printable, composed characters.
            country: ISO 3166-1 alpha-2 or None.

        Returns:
            The string to hash; None or empty if nothing is left.
        """
        if self.hard:
            return self.hard(text, country)
        (line,) = self._normalize([text], [country])
        return line.decode() if line else None

    def normalize_ordinary(self, values: Sequence[Any], countries: _Countries) -> list[bytes | None]:
        """Normalize the ordinary values of one field.

        Args:
            values: of any type, one for each person.
            countries: ISO 3166-1 alpha-2 or None, one for each person.

        Returns:
            For each person the bytes to hash, empty if nothing is left; None if `normalize` has to decide.
        """
        if None in values:
            values = ["" if value is None else value for value in values]
        if self._are_ordinary(values):
            return self._normalize(values, countries)
        is_ordinary = [self._are_ordinary([value]) for value in values]
        found = self._normalize(
            [each if fits else "" for each, fits in zip(values, is_ordinary, strict=True)], countries
        )
        return [each if fits else None for each, fits in zip(found, is_ordinary, strict=True)]

    def _are_ordinary(self, values: Sequence[Any]) -> bool:
        try:
            text = "".join(values)
        except TypeError:  # not all are strings
            return False
        return (
            text.isprintable()
            and (len(text) <= MAX_LENGTH or max(map(len, values)) <= MAX_LENGTH)
            and (text.isascii() or unicodedata.is_normalized("NFKC", "\n".join(values)))
        )

    def _normalize(self, texts: Sequence[str], countries: _Countries) -> list[bytes | None]:
        text = "\n".join(texts)
        encoded = text.encode() if text.isascii() else self.encode(text)
        changed = encoded.translate(self.table, self.deleted)
        return self.rest(changed, countries) if self.rest else [*changed.split(b"\n")]


def _all_but(kept: bytes) -> bytes:
    """Return the characters to delete; line ends are kept."""
    return bytes(code for code in range(128) if code not in kept + b"\n")


def _name(text: str) -> bytes:
    """Spell out six letters: Müller becomes mueller, José becomes jos."""
    lower = text.lower()
    for letter, letters in NAME_LETTERS.items():
        lower = lower.replace(letter, letters)
    return _ascii(lower)


def _lower(text: str) -> bytes:
    """Drop letters beyond ASCII: München becomes mnchen, as in Amazon's own digests."""
    return _ascii(text.lower())


def _email(text: bytes, _: _Countries) -> list[bytes | None]:
    """Require something before a single @, and a dot inside the part after it."""
    lines = text.split(b"\n")
    if _ADDRESSES.fullmatch(text):
        return [*lines]
    return [
        line if (parts := line.split(b"@")) and len(parts) == 2 and parts[0] and b"." in parts[1].strip(b".") else b""
        for line in lines
    ]


def _phone(text: bytes, countries: _Countries) -> list[bytes | None]:
    return [
        (number.encode() if (number := from_table(line, country)) else None) if line else b""
        for line, country in zip(text.decode().split("\n"), countries, strict=True)
    ]


def _hard_phone(text: str, country: str | None) -> str | None:
    return normalize_phone(ascii_digits(text), country)


def _state(text: bytes, countries: _Countries) -> list[bytes | None]:
    """Look up the name, else keep its first two letters: Bavaria becomes by, Bayern ba."""
    names = text.split(b"\n")
    if not text.isascii():
        names = [
            name if name.isascii() else _reduced(name.decode(), country)
            for name, country in zip(names, countries, strict=True)
        ]
    return [
        _STATES.get(country, _NO_STATES).get(name) or name[:2].lower()
        for name, country in zip(names, countries, strict=True)
    ]


def _reduced(name: str, country: str | None) -> bytes:
    text = unicodedata.normalize("NFKD", name) if country == "CA" else name  # there, only the accent is dropped
    return _ascii(text.upper()).translate(None, _DELETED_IN_STATES)


def _code(text: str) -> bytes:
    return _ascii(ascii_digits(text).upper())


def _postal(text: bytes, countries: _Countries) -> list[bytes | None]:
    """Cut a code to the length of its country, and drop it unless it fits.

    A lost leading zero is not restored: Amazon's tool drops such codes too.
    """
    return [
        rule.cut(line) if (rule := POSTAL_CODES.get(country or "")) else line
        for line, country in zip(text.split(b"\n"), countries, strict=True)
    ]


def _address_text(text: str) -> bytes:
    return text.upper().lower().encode()  # "ß" becomes "ss", as in the rule


def _address(text: bytes, countries: _Countries) -> list[bytes | None]:
    """Look up each word. A line with a sign that may split or join words is for the rule of one line."""
    return [
        None
        if "-" in line or "." in line or "#" in line or "c/o" in line
        else "".join([words.get(word, word) for word in line.split()]).encode()
        for line, words in zip(
            text.decode().split("\n"),
            [ADDRESS_WORDS.get(country or "", OTHER_ADDRESS_WORDS) for country in countries],
            strict=True,
        )
    ]


_DELETED_IN_STATES = _all_but(_LETTERS)
_DELETED_IN_WORDS = _all_but(_LETTERS + _DIGITS)
_DELETED_IN_EMAIL = _all_but(_LETTERS + _DIGITS + b"._@-")
RULES = {
    "email": Rule(_TO_LOWER, _DELETED_IN_EMAIL, _email, _lower),
    "phone": Rule(None, PUNCTUATION.encode(), _phone, str.encode, _hard_phone, countries=None),
    "first_name": Rule(_TO_LOWER, _DELETED_IN_WORDS, encode=_name),
    "last_name": Rule(_TO_LOWER, _DELETED_IN_WORDS, encode=_name),
    "address": Rule(_TO_WORDS, b"", _address, _address_text, normalize_address, countries=ADDRESS_WORDS),
    "city": Rule(_TO_LOWER, _DELETED_IN_WORDS, encode=_lower),
    "state": Rule(_TO_UPPER, _DELETED_IN_STATES, _state, str.encode, countries=STATES.keys() | {"CA"}),
    "postal": Rule(_TO_UPPER, _all_but(_LETTERS + _DIGITS), _postal, _code, countries=POSTAL_CODES),
}
"""By identifier."""
