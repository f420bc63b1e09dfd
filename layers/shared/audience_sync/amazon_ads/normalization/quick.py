"""Quick ways to normalize ordinary values: short, printable and in ASCII. They give what the rules give.

For each identifier, a table changes the characters and others are deleted, which takes a tenth of the time on bytes.
The rest is a function of these bytes and a country (ISO 3166-1 alpha-2 or None). It returns the bytes to hash, empty
where the rule leaves nothing, or None where the rule has to decide. tests/unit/amazon_ads/test_quick.py compares.
"""

from collections.abc import Callable
from typing import NamedTuple

from audience_sync.amazon_ads.normalization.address import SEPARATORS
from audience_sync.amazon_ads.normalization.fields import POSTAL_CODES
from audience_sync.amazon_ads.normalization.phone import PUNCTUATION, from_table
from audience_sync.amazon_ads.normalization.word_tables import ADDRESS_WORDS, OTHER_ADDRESS_WORDS, STATES

MAX_LENGTH = 63  # characters; with one more, a value may be a digest

_UPPER, _LOWER, _DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz", b"0123456789"
_LETTERS = _UPPER + _LOWER
_TO_LOWER = bytes.maketrans(_UPPER, _LOWER)
_TO_UPPER = bytes.maketrans(_LOWER, _UPPER)
_TO_WORDS = bytes.maketrans(_UPPER + SEPARATORS.encode(), _LOWER + b" " * len(SEPARATORS))
_NO_STATES: dict[str, str] = {}


def _all_but(kept: bytes) -> bytes:
    return bytes(code for code in range(128) if code not in kept)


def _email(address: bytes, _country: str | None) -> bytes:
    local, _, domain = address.partition(b"@")
    return address if local and b"@" not in domain and b"." in domain.strip(b".") else b""


def _phone(compact: bytes, country: str | None) -> bytes | None:
    number = from_table(compact.decode(), country)
    return number.encode() if number else None


def _state(name: bytes, country: str | None) -> bytes:
    letters = name.decode()
    return (STATES.get(country or "", _NO_STATES).get(letters) or letters[:2].lower()).encode()


def _postal(code: bytes, country: str | None) -> bytes:
    rule = POSTAL_CODES.get(country or "")
    if rule is None:
        return code
    code = code.translate(None, rule.deleted)[: rule.length]
    return code if rule.shape.fullmatch(code.decode()) else b""


def _is_two_words(word: str) -> bool:
    """Return whether a word such as "12-a" may be split; "12-14" and "saint-denis" stay whole."""
    before, _, after = word.rpartition("-")
    return before.isdecimal() and not after.isdecimal()


def _address(line: bytes, country: str | None) -> bytes | None:
    text = line.decode()
    if "." in text or "c/o" in text or ("-" in text and any(map(_is_two_words, text.split()))):
        return None
    if "#" in text:
        # "apt #5" and "apt#5" are three words; what else stands around the sign may keep them together.
        before, _, after = text.partition("#")
        unit, number = before.rpartition(" ")[2], after.partition(" ")[0]
        if (unit and not unit.isalpha()) or (number and not number.isalnum()) or "#" in after:
            return None
        text = f"{before} # {after}"
    words = ADDRESS_WORDS.get(country or "", OTHER_ADDRESS_WORDS)
    return "".join([words.get(word, word) for word in text.split()]).encode()


class QuickRule(NamedTuple):
    """How an ordinary value of one field is normalized."""

    table: bytes | None  # what each character becomes
    deleted: bytes  # before that
    rest: Callable[[bytes, str | None], bytes | None] | None  # where this is not all


_WORD = QuickRule(_TO_LOWER, _all_but(_LETTERS + _DIGITS), None)
QUICK_RULES = {
    "email": QuickRule(_TO_LOWER, _all_but(_LETTERS + _DIGITS + b"._@-"), _email),
    "phone": QuickRule(None, PUNCTUATION.encode(), _phone),
    "first_name": _WORD,
    "last_name": _WORD,
    "address": QuickRule(_TO_WORDS, b"", _address),
    "city": _WORD,
    "state": QuickRule(_TO_UPPER, _all_but(_LETTERS), _state),
    "postal": QuickRule(_TO_UPPER, _all_but(_LETTERS + _DIGITS), _postal),
}
"""By identifier."""
