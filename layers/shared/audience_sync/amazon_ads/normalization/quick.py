"""Quick ways to normalize ordinary values: short, printable and in ASCII. They give what the rules give.

Every function takes such a value, untrimmed, and a country (ISO 3166-1 alpha-2 or None). It returns the bytes to hash,
empty where the rule leaves nothing, or None where the rule has to decide. Work on bytes with a table takes a tenth of
the time of the same work on text. tests/unit/amazon_ads/test_quick.py compares with the rules.
"""

from collections.abc import Callable

from audience_sync.amazon_ads.normalization import fields
from audience_sync.amazon_ads.normalization.address import SEPARATORS
from audience_sync.amazon_ads.normalization.phone import PUNCTUATION, from_table
from audience_sync.amazon_ads.normalization.word_tables import ADDRESS_WORDS, OTHER_ADDRESS_WORDS, STATES

type QuickRule = Callable[[str, str | None], bytes | None]

MAX_LENGTH = 63  # characters; with one more, a value may be a digest

_TO_LOWER = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")
_TO_UPPER = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TO_WORDS = bytes.maketrans(SEPARATORS.encode(), b" " * len(SEPARATORS))
_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123))
_DIGITS = b"0123456789"
_NO_EMAIL, _NO_WORD, _NO_LETTER = (
    bytes(set(range(128)) - set(_LETTERS + more)) for more in (_DIGITS + b"._@-", _DIGITS, b"")
)
_PUNCTUATION = PUNCTUATION.encode()


def _email(value: str, _country: str | None) -> bytes:
    address = value.encode().translate(_TO_LOWER, _NO_EMAIL)
    local, _, domain = address.partition(b"@")
    return address if local and b"@" not in domain and b"." in domain.strip(b".") else b""


def _phone(value: str, country: str | None) -> bytes | None:
    number = from_table(value.encode().translate(None, _PUNCTUATION).decode(), country)
    return number.encode() if number else None


def _word(value: str, _country: str | None) -> bytes:
    return value.encode().translate(_TO_LOWER, _NO_WORD)


def _state(value: str, country: str | None) -> bytes:
    name = value.encode().translate(_TO_UPPER, _NO_LETTER).decode()
    return (STATES.get(country or "", {}).get(name) or name[:2].lower()).encode()


def _postal(value: str, country: str | None) -> bytes:
    raised = value.encode().translate(_TO_UPPER)
    rule = fields.POSTAL_CODES.get(country or "")
    if rule is None:
        return raised.translate(None, fields.NOT_CODE)
    code = raised.translate(None, rule.deleted)[: rule.length]
    return code if rule.shape.fullmatch(code.decode()) else b""


def _address(value: str, country: str | None) -> bytes | None:
    line = value.lower()
    if "-" in line or "." in line or "c/o" in line:
        return None
    text = line.encode().translate(_TO_WORDS).decode()
    if "#" in text:
        # "apt #5" and "apt#5" are three words; what else stands around the sign may keep them together.
        before, _, after = text.partition("#")
        unit, number = before.rpartition(" ")[2], after.partition(" ")[0]
        if (unit and not unit.isalpha()) or (number and not number.isalnum()) or "#" in after:
            return None
        text = f"{before} # {after}"
    words = ADDRESS_WORDS.get(country or "", OTHER_ADDRESS_WORDS)
    return "".join([words.get(word, word) for word in text.split()]).encode()


QUICK_RULES: dict[str, QuickRule] = {
    "email": _email,
    "phone": _phone,
    "first_name": _word,
    "last_name": _word,
    "address": _address,
    "city": _word,
    "state": _state,
    "postal": _postal,
}
"""By identifier."""
