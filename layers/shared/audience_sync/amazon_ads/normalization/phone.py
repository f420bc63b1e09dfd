"""Phone numbers: E.164 without the plus.

libphonenumber's rules decide, through the phonenumbers package. Importing it costs a cold start 11 ms (more on a small
function) and each number 12 µs, so ordinary numbers of the supported countries are read with the
table below, in 1 µs. The tests compare the table with the package.
"""

import re
from typing import NamedTuple

MAX_LENGTH = 100  # characters; phonenumbers accepts 250, but needs up to 7 ms for them
MAX_GAP = 20  # symbols in a row, several spaces counted as one; phonenumbers needs quadratic time


class _Plan(NamedTuple):
    """The part of a country's numbering plan that an ordinary number needs."""

    code: str  # calling code
    trunk: str  # prefix dialled inside the country, not part of the number; "" if there is none
    lengths: tuple[int, ...]  # all possible numbers of digits after code and trunk, ascending
    special: tuple[str, ...]  # first digits left to phonenumbers: prefixes, carriers, foreign calls


_PLANS = {
    "AE": _Plan("971", "0", (5, 6, 7, 8, 9, 10, 11, 12), ("0",)),
    "AU": _Plan("61", "0", (5, 6, 7, 8, 9, 10, 12), ("0", "1")),
    "BE": _Plan("32", "0", (8, 9), ("0",)),
    "BR": _Plan("55", "0", (8, 9, 10, 11), ("0", "90")),
    "CA": _Plan("1", "1", (10,), ("0", "1")),
    "DE": _Plan("49", "0", (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), ("0",)),
    "EG": _Plan("20", "0", (8, 9, 10), ("0",)),
    "ES": _Plan("34", "", (9,), ("0",)),
    "FR": _Plan("33", "0", (9,), ("0",)),
    "GB": _Plan("44", "0", (7, 9, 10), ("0", "180020")),
    "IN": _Plan("91", "0", (8, 9, 10, 11, 12, 13), ("0",)),
    "IT": _Plan("39", "", (6, 7, 8, 9, 10, 11, 12), ("00",)),  # an Italian 0 belongs to the number
    "JP": _Plan("81", "0", (8, 9, 10, 11, 12, 13, 14, 15, 16, 17), ("0", "10")),
    "MX": _Plan("52", "", (10,), ("0",)),
    "NL": _Plan("31", "0", (5, 6, 7, 8, 9, 10, 11), ("0",)),
    "PL": _Plan("48", "", (6, 7, 8, 9, 10), ("0",)),
    "SA": _Plan("966", "0", (9, 10), ("0",)),
    "SE": _Plan("46", "0", (6, 7, 8, 9, 10, 12), ("0",)),
    "SG": _Plan("65", "", (8, 10, 11), ("0",)),
    "TR": _Plan("90", "0", (7, 10, 12, 13), ("0",)),
    "US": _Plan("1", "1", (10,), ("0", "1")),
}
_CODE_DIGITS = 3  # no calling code is longer, starts with 0, or is the start of another
_BY_FIRST_DIGITS = {
    str(first): plan
    for plan in _PLANS.values()
    for first in range(
        int(plan.code) * 10 ** (_CODE_DIGITS - len(plan.code)),
        (int(plan.code) + 1) * 10 ** (_CODE_DIGITS - len(plan.code)),
    )
}

PUNCTUATION = " -./()"  # has no meaning in a number
_NO_PUNCTUATION = str.maketrans(dict.fromkeys(PUNCTUATION))
_GAP = re.compile(rf"[\w+][\W_]{{{MAX_GAP + 1},}}+(?=.)")
_SPACES = re.compile(" {2,}")
_DOUBLE_ZERO = re.compile(r"[^+0-9]*0[ ./()-]*0")
# As in "(office) +1 206 555 0142" or "030 123456 Durchwahl 12"; not digits that are part of a word or an address.
_AMONG_WORDS = re.compile(r"(?<![\w@.+-])\+?\(?\d[\d ()./-]*\d(?![\w@])")
_SHORTEST = 7  # digits of a number among words; fewer are an extension or the number of a house
_BEFORE_49 = re.compile(r"[^+0-9]*(?=4[ ./()-]*9)")


def normalize_phone(text: str, country: str | None) -> str | None:
    """Convert a number as people write it into calling code and national number.

    Args:
        text: cleaned text, its digits ASCII.
        country: ISO 3166-1 alpha-2; without it, only numbers with + or 00 are accepted.

    Returns:
        Digits, or None: not a number, too short or too long for its country, national without a country, or over
        MAX_GAP symbols in a row between two digits, which no real number has.
    """
    if len(text) > MAX_LENGTH:
        return None
    return from_table(text.translate(_NO_PUNCTUATION), country) or _from_phonenumbers(text, country)


def from_table(compact: str, country: str | None) -> str | None:
    """Read a number by the table alone; None if phonenumbers is needed."""
    international = compact.startswith(("+", "00"))
    digits = compact[2 if compact[0] == "0" else 1 :] if international else compact
    if not (digits.isascii() and digits.isdecimal()):
        return None
    plan = _BY_FIRST_DIGITS.get(digits[:_CODE_DIGITS]) if international else _PLANS.get(country or "")
    if plan is None:
        return None
    code, trunk, lengths, special = plan
    if not digits.startswith(code):
        national = digits.removeprefix(trunk)
    elif international or len(digits) > lengths[-1] or (country == "DE" and len(digits) >= 11):
        national = digits[len(code) :]
    else:  # the country's own code, or a national number that starts with the same digits
        return None
    return code + national if len(national) in lengths and not national.startswith(special) else None


def for_phonenumbers(text: str, country: str | None) -> str:
    """Return a number as input for phonenumbers, which treats several spaces as one. Empty if a gap is too long."""
    text = _SPACES.sub(" ", text)
    if _GAP.search(text):
        return ""
    if double_zero := _DOUBLE_ZERO.match(text):
        return "+" + text[double_zero.end() :]
    if country == "DE" and (before := _BEFORE_49.match(text)) and sum(map(str.isdecimal, text)) >= 11:
        return "+" + text[before.end() :]
    return text


def _from_phonenumbers(text: str, country: str | None) -> str | None:
    """Read the text with phonenumbers; if it is no number to that, read the one number among its words."""
    if found := _read(text, country):
        return found
    among_words = [each for each in _AMONG_WORDS.finditer(text) if sum(map(str.isdecimal, each[0])) >= _SHORTEST]
    if len(among_words) != 1 or any(map(str.isdecimal, text[: among_words[0].start()])):  # as of an extension
        return None
    return _read(among_words[0][0], country)


def _read(text: str, country: str | None) -> str | None:
    text = for_phonenumbers(text, country)
    if not text:
        return None
    import phonenumbers  # noqa: PLC0415  # most functions never get here; see above

    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
