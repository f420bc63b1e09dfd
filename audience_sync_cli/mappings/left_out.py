"""The reason why a trait is not used as an identifier, in plain words, for diagnosis. Ingest does not use it.

`normalize` decides. Only if it returns nothing is the reason worked out, from the same rules, so that this module
always agrees with the record that is sent.
"""

import hashlib
import re
from collections.abc import Callable

from audience_sync.amazon_ads.normalization.fields import POSTAL_CODES, ascii_digits
from audience_sync.amazon_ads.normalization.phone import MAX_GAP, for_phonenumbers
from audience_sync.amazon_ads.normalization.phone import MAX_LENGTH as MAX_PHONE
from audience_sync.amazon_ads.normalize import MAX_LENGTH, country_code, identifier

type Reason = Callable[[str, str | None], str]

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    float: "a number with decimals",
    list: "a list",
    dict: "an object",
}
_PHONE_LIKE = re.compile(r"[0-9]")


def why_left_out(field: str, value: object, country: str | None) -> str | None:
    """Return why a value is not used, without the value; None if it is used. Arguments and errors as of `normalize`."""
    if identifier(field, value, country) is not None:
        return None
    if not isinstance(value, str):
        kind = _KINDS.get(type(value), "a number of too many digits")
        return kind if value is None or type(value) is int else f"{kind}; expected a string or a whole number"
    return _unusable(value) or _REASONS.get(field, _no_characters)(value, country_code(country))


def _unusable(value: str) -> str | None:
    if len(value) > MAX_LENGTH:
        return f"over {MAX_LENGTH:,} characters"
    if not "".join(filter(str.isprintable, value)).strip():
        return "empty"
    if value.strip().lower() == hashlib.sha256(b"").hexdigest():
        return "the SHA-256 of an empty string, which unrelated people would share"
    return None


def _email(text: str, _country: str | None) -> str:
    if text.count("@") != 1:
        return "no @ in it" if "@" not in text else "more than one @"
    local, _, domain = text.partition("@")
    if "." not in domain.strip(". "):
        return "no dot inside the part after the @"
    if not local.strip():
        return "nothing before the @"
    return "not an address once characters other than a to z, digits, dot, _ and - are dropped"


def _phone(text: str, country: str | None) -> str:
    if len(text) > MAX_PHONE:
        return f"over {MAX_PHONE} characters"
    if not _PHONE_LIKE.search(ascii_digits(text)):
        return "no digits in it"
    number = for_phonenumbers(ascii_digits(text).strip(), country)
    if not number:
        return f"over {MAX_GAP} symbols in a row between two digits"
    place = f"a number of {country}" if country else "a number"
    import phonenumbers  # noqa: PLC0415  # slow to load, and most traits do not need it

    if "+" not in number and country not in phonenumbers.SUPPORTED_REGIONS:
        return "it has no calling code such as +1, and no country is known for it"
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException as error:
        return {
            error.INVALID_COUNTRY_CODE: "no country has its calling code",
            error.TOO_LONG: f"too long for {place}",
        }.get(error.error_type, f"too short for {place}" if ascii_digits(text).strip().isdecimal() else "not a number")
    results = phonenumbers.ValidationResult
    return {
        results.TOO_SHORT: f"too short for {place}",
        results.IS_POSSIBLE_LOCAL_ONLY: f"too short for {place}: the area code is missing",
        results.TOO_LONG: f"too long for {place}",
        results.INVALID_COUNTRY_CODE: "no country has its calling code",
    }.get(phonenumbers.is_possible_number_with_reason(parsed), f"wrong number of digits for {place}")


def _postal(_text: str, country: str | None) -> str:
    rule = POSTAL_CODES.get(country or "")
    if rule is None:
        return "none of its characters is kept: the rule keeps A to Z and digits"
    return f"not a postal code of {country}, even when cut to {rule.length} characters"


def _no_characters(_text: str, _country: str | None) -> str:
    return "none of its characters is kept: the rule keeps a to z and digits"


_REASONS: dict[str, Reason] = {
    "email": _email,
    "phone": _phone,
    "address": lambda _text, _country: "nothing but separators",
    "state": lambda _text, _country: "none of its characters is kept: the rule keeps A to Z",
    "postal": _postal,
}
