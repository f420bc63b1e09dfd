"""The reason why a trait is not used as an identifier, for diagnosis and files. Ingest does not use it.

`normalize` decides. Only if it returns nothing is the reason worked out, from the same rules, so that this module
always agrees with the record that is sent.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from audience_sync.amazon_ads.normalization.fields import POSTAL_CODES, ascii_digits
from audience_sync.amazon_ads.normalization.phone import MAX_GAP, for_phonenumbers
from audience_sync.amazon_ads.normalization.phone import MAX_LENGTH as MAX_PHONE
from audience_sync.amazon_ads.normalize import MAX_BITS, MAX_LENGTH, country_code, identifier
from audience_sync.amazon_ads.placeholders import DIGESTS_OF_NOTHING


class Unusable(NamedTuple):
    """A reason why a value is not used, and what to do at the source."""

    code: str
    means: str  # in a list of counts: 2 too short
    remedy: str


class Dropped(NamedTuple):
    """Why normalization drops a value; holds no part of it."""

    reason: Unusable
    detail: str  # in plain words, of this value


AS_TEXT = "format the column as text in the spreadsheet, and export it again"
EMPTY = Unusable("empty", "empty", "leave it out")
NOT_TEXT = Unusable("not_text", "not text", "give a string or a whole number")
TOO_LONG = Unusable("too_long", "too long", "give one value, without anything else")
TOO_SHORT = Unusable("too_short", "too short", "give the whole number, with its area code")
SCIENTIFIC_NOTATION = Unusable("scientific_notation", "in scientific notation", AS_TEXT)
HASHED_NOTHING = Unusable("hashed_nothing", "the SHA-256 of no value", "leave it empty instead")
NO_CALLING_CODE = Unusable("no_calling_code", "without calling code or country", "begin with +, or give the country")
CALLING_CODE_UNKNOWN = Unusable(
    "calling_code_unknown", "with an unknown calling code", "correct the digits after the +"
)
NOT_A_NUMBER = Unusable("not_a_number", "not a phone number", "give the digits of one number, or nothing")
SEVERAL_ADDRESSES = Unusable("several_addresses", "several addresses in one value", "say what separates them")
NOT_AN_ADDRESS = Unusable("not_an_address", "not an e-mail address", "give one such as name@example.com, or nothing")
DIGIT_MISSING = Unusable("digit_missing", "one digit short, perhaps a leading 0", AS_TEXT)
NOT_A_POSTAL_CODE = Unusable("not_a_postal_code", "not a postal code of the country", "correct the code or the country")
OVER_LIMIT = Unusable("over_limit", "beyond those that Amazon takes of one member", "put the ones in use first")
NO_CHARACTERS = Unusable("no_characters", "no letter or digit that Amazon uses", "give it in Latin letters, or nothing")

type _Explain = Callable[[str, str | None], Dropped]

_KINDS: dict[type, str] = {bool: "true or false", float: "a number with decimals", list: "a list", dict: "an object"}
_PHONE_LIKE = re.compile(r"[0-9]")
_SCIENTIFIC = re.compile(r"[0-9]+([.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)
# In practice, E.164 numbers have seven to fifteen digits. A database id may look the same.
_PHONE_NUMBER = re.compile(r"[0-9]{7,15}")


def is_scientific(text: str) -> bool:
    """Return whether a spreadsheet may have shortened a long number to this: 4.93017E+11."""
    return bool(_SCIENTIFIC.fullmatch(text))


def looks_like_a_phone_number(member_id: str) -> bool:
    """Return whether a member id could be a phone number. Other numbers of that length look the same."""
    return _PHONE_NUMBER.fullmatch(member_id.strip()) is not None


def why_unusable(field: str, value: object, country: str | None) -> Dropped | None:
    """Return why a value is not used; None if it is used. Arguments and errors as of `normalize`."""
    if identifier(field, value, country) is not None:
        return None
    if value is None:
        return Dropped(EMPTY, "null")
    if type(value) is int:
        if value.bit_length() > MAX_BITS:
            return Dropped(TOO_LONG, "a number of too many digits")
        value = str(value)
    if not isinstance(value, str):
        return Dropped(NOT_TEXT, f"{_KINDS.get(type(value), 'no text')}; expected a string or a whole number")
    return _unusable(field, value) or _EXPLAIN.get(field, _no_characters)(value, country_code(country))


def _unusable(field: str, value: str) -> Dropped | None:
    if len(value) > MAX_LENGTH:
        return Dropped(TOO_LONG, f"over {MAX_LENGTH:,} characters")
    if not "".join(filter(str.isprintable, value)).strip():
        return Dropped(EMPTY, "empty")
    if value.strip().lower() in DIGESTS_OF_NOTHING:
        detail = "the SHA-256 of an empty string or a placeholder such as null, which unrelated people would share"
        return Dropped(HASHED_NOTHING, detail)
    if field in ("phone", "postal") and is_scientific(value.strip()):
        return Dropped(SCIENTIFIC_NOTATION, "in scientific notation, as a spreadsheet shows long numbers")
    return None


def _email(text: str, _country: str | None) -> Dropped:
    if text.count("@") > 1:
        return Dropped(SEVERAL_ADDRESSES, "more than one @")
    local, at, domain = text.partition("@")
    if not at:
        detail = "no @ in it"
    elif "." not in domain.strip(". "):
        detail = "no dot inside the part after the @"
    elif not local.strip():
        detail = "nothing before the @"
    else:
        detail = "not an address once characters other than a to z, digits, dot, _ and - are dropped"
    return Dropped(NOT_AN_ADDRESS, detail)


def _phone(text: str, country: str | None) -> Dropped:
    if len(text) > MAX_PHONE:
        return Dropped(TOO_LONG, f"over {MAX_PHONE} characters")
    if not _PHONE_LIKE.search(ascii_digits(text)):
        return Dropped(NOT_A_NUMBER, "no digits in it")
    number = for_phonenumbers(ascii_digits(text).strip(), country)
    if not number:
        return Dropped(NOT_A_NUMBER, f"over {MAX_GAP} symbols in a row between two digits")
    place = f"a number of {country}" if country else "a number"
    import phonenumbers  # noqa: PLC0415  # slow to load, and most traits do not need it

    if "+" not in number and country not in phonenumbers.SUPPORTED_REGIONS:
        return Dropped(NO_CALLING_CODE, "it has no calling code such as +1, and no country is known for it")
    short, long = Dropped(TOO_SHORT, f"too short for {place}"), Dropped(TOO_LONG, f"too long for {place}")
    unknown = Dropped(CALLING_CODE_UNKNOWN, "no country has its calling code")
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException as error:
        is_short = ascii_digits(text).strip().isdecimal()
        return {error.INVALID_COUNTRY_CODE: unknown, error.TOO_LONG: long}.get(
            error.error_type, short if is_short else Dropped(NOT_A_NUMBER, "not a number")
        )
    results = phonenumbers.ValidationResult
    return {
        results.TOO_SHORT: short,
        results.IS_POSSIBLE_LOCAL_ONLY: short._replace(detail=f"{short.detail}: the area code is missing"),
        results.TOO_LONG: long,
        results.INVALID_COUNTRY_CODE: unknown,
    }.get(
        phonenumbers.is_possible_number_with_reason(parsed),
        Dropped(NOT_A_NUMBER, f"wrong number of digits for {place}"),
    )


def _postal(text: str, country: str | None) -> Dropped:
    rule = POSTAL_CODES.get(country or "")
    if rule is None:
        return Dropped(NO_CHARACTERS, "none of its characters is kept: the rule keeps A to Z and digits")
    if rule.shape is None and (digits := ascii_digits(text).strip()).isdecimal() and len(digits) == rule.length - 1:
        detail = f"{len(digits)} digits, and a postal code of {country} has {rule.length}: a leading 0 may be lost"
        return Dropped(DIGIT_MISSING, detail)
    return Dropped(NOT_A_POSTAL_CODE, f"not a postal code of {country}, even when cut to {rule.length} characters")


def _no_characters(_text: str, _country: str | None) -> Dropped:
    return Dropped(NO_CHARACTERS, "none of its characters is kept: the rule keeps a to z and digits")


_EXPLAIN: dict[str, _Explain] = {
    "email": _email,
    "phone": _phone,
    "address": lambda _text, _country: Dropped(NO_CHARACTERS, "nothing but separators"),
    "state": lambda _text, _country: Dropped(NO_CHARACTERS, "none of its characters is kept: the rule keeps A to Z"),
    "postal": _postal,
}
