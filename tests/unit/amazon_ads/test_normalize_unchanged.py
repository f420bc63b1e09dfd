"""Normalization gives what its plain form gave, which is kept here: digests sent before depend on every character."""

import unicodedata

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audience_sync.amazon_ads.normalization import address, phone
from audience_sync.amazon_ads.normalization.fields import ascii_digits
from audience_sync.amazon_ads.normalization.word_tables import ADDRESS_WORDS, OTHER_ADDRESS_WORDS
from audience_sync.amazon_ads.normalize import COUNTRIES, MAX_LENGTH, _clean, _Lines, _visible, normalize

SEPARATORS = str.maketrans(dict.fromkeys(",![]{}()", " "))
HARD = (
    "\ufdfa\ufdfb\u3316\u332b\u33af\u3300\u33ff\ufb03\u00bd\u1fa7\u1f82\u0344\u0f73\u0130\u0131\u00df\u1e9e\u03a3\u03c3\u03c2"
    "\u0300\u0301\u0315\u0327\u0653\u0645\u0635\u3099\u30c8\u1100\u1161\u11a8\uac00\u200d\u00ad\u0001\ud800\udfff\u0668\u0966"
    "\uff11\U0001d7ce\u00e9\u00fc\u00d8\u00e6\u0416\u4e2d\U0001f600-#.,![]{}()/ abcC/OAPT#0159\t\u00a0\u2003"
)
LONG = st.text(st.sampled_from("\ufdfa\u0653a "), max_size=90)
texts = st.text(st.sampled_from(HARD) | st.characters(), max_size=60) | LONG
countries = st.sampled_from([None, "ZZ", *sorted(COUNTRIES)])


def plain_clean(value: str) -> str:
    if len(value) > MAX_LENGTH:
        return ""
    text = unicodedata.normalize("NFKC", value)
    if len(text) > MAX_LENGTH:
        return ""
    return "".join(map(_visible, text)).strip()


def plain_digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def plain_address(text: str, country: str | None) -> str:
    words = ADDRESS_WORDS.get(country or "", OTHER_ADDRESS_WORDS)
    upper = address._CARE_OF.sub(" ", text.upper())
    parts: list[str] = []
    for token in upper.translate(SEPARATORS).split():
        if "-" in token or "#" in token:
            parts.extend(address._abbreviate(piece.lower(), words) for piece in address._split(token))
        else:
            parts.append(address._abbreviate(token.lower(), words))
    return "".join(parts)


def plain_phonenumbers(text: str, country: str | None) -> str | None:
    if double_zero := phone._DOUBLE_ZERO.match(text):
        text = "+" + text[double_zero.end() :]
    elif country == "DE" and (before := phone._BEFORE_49.match(text)) and sum(map(str.isdecimal, text)) >= 11:
        text = "+" + text[before.end() :]
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


@given(texts)
@example("\ufdfa" * 56 + "a" * 16)
@example("\ufdfa" * 57)
@example("\u30c8\u3099" * 512)
@example("\u3316" * 170)
@example("\u3316" * 171)
def test_a_value_is_cleaned_as_by_the_plain_rule(value: str) -> None:
    assert _clean(value, _Lines()) == plain_clean(value)


@given(texts)
def test_digits_of_any_script_are_read_as_by_the_plain_rule(text: str) -> None:
    assert ascii_digits(text) == plain_digits(text)


def test_every_unicode_digit_is_read_as_by_the_plain_rule() -> None:
    digits = [char for char in map(chr, range(0x110000)) if char.isdecimal()]
    assert ascii_digits("".join(digits)) == plain_digits("".join(digits))


@given(texts.map(plain_clean), countries)
@example("ΟΔΟΣ, ΣΑΣ ΟΔΟΣ.Γ", None)  # a sigma is written otherwise at the end of a word
@example("c/o Ann, rue d'Été 12-A (APT#5)", "FR")
def test_an_address_is_abbreviated_as_by_the_plain_rule(text: str, country: str | None) -> None:
    assert address.normalize_address(text, country) == plain_address(text, country)


PHONE_PARTS = st.sampled_from(["0", "1", "49", "89", "2312555", " ", "  ", "     ", "-", "(", ")", "/", ".", "+", "#"])
EXTENSIONS = st.sampled_from(["x", " ext. ", ",", ",,", ";", ";ext=", "~", "*", "e", "/  x", "- ", "\u3000", "_"])


@given(st.lists(PHONE_PARTS | EXTENSIONS, max_size=16).map("".join), countries)
@example("089 2312555" + " " * 40 + "x 12", "DE")
@example("089 2312555" + "." * 40, "DE")
@example("." * 40 + "089 2312555", "DE")
@example("089 2312" + " " * 60 + "555", "DE")
def test_a_phone_number_is_read_as_by_the_plain_rule(text: str, country: str | None) -> None:
    text = text[: phone.MAX_LENGTH].strip()
    assert phone._read(text, country) == plain_phonenumbers(text, country)


@pytest.mark.parametrize("gap", ["~" * 21, " ~" * 11, "+" * 21, "_" * 30])
def test_a_gap_of_over_20_characters_makes_no_phone_number(gap: str) -> None:
    assert normalize("phone", f"0892{gap}312555", "DE") is None


def test_phonenumbers_never_parses_a_text_with_a_long_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    parse = phonenumbers.parse

    def counted(text: str, country: str | None) -> phonenumbers.PhoneNumber:
        asked.append(text)
        return parse(text, country)

    monkeypatch.setattr(phonenumbers, "parse", counted)
    for text in ("1" + "~" * 97 + "1", "+" * 99 + "1", "1" + " " * 97 + "1"):
        normalize("phone", text, "DE")
    assert asked == ["1 1"]
