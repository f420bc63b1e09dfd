"""Phone numbers: the table must agree with phonenumbers, and ordinary numbers must not import it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audience_sync.amazon_ads.normalization.phone import _NO_PUNCTUATION, _PLANS, _from_phonenumbers, _Plan, from_table
from audience_sync.amazon_ads.normalize import COUNTRIES, normalize

PREFIXES = ("", "+", "00", "0", "1", *(lead + plan.code for plan in _PLANS.values() for lead in ("", "+", "00")))
# Beginnings with a meaning of their own: trunk, carrier and international prefixes, toll-free numbers.
BEGINNINGS = (
    "",
    "0",
    "00",
    "1",
    "9",
    "90",
    "49",
    "010",
    "011",
    "0011",
    "14",
    "180020",
    "1831",
    "000",
    "15",
    "21",
    "39",
)


@st.composite
def written_numbers(draw: st.DrawFn) -> str:
    digits = draw(st.sampled_from(BEGINNINGS)) + draw(st.text("0123456789", min_size=2, max_size=14))
    number = draw(st.sampled_from(PREFIXES)) + digits
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(number)))
        number = number[:at] + draw(st.sampled_from(" -./()")) + number[at:]
    return number


@given(written_numbers(), st.sampled_from([*_PLANS, "IE", "ZZ", None]))
@settings(deadline=None, max_examples=600)
def test_the_table_never_disagrees_with_phonenumbers(written: str, country: str | None) -> None:
    by_table = from_table(written.translate(_NO_PUNCTUATION), country)
    if by_table is not None:
        assert by_table == _from_phonenumbers(written, country)


@pytest.mark.parametrize(("country", "plan"), _PLANS.items())
def test_the_table_agrees_with_the_metadata_of_phonenumbers(country: str, plan: _Plan) -> None:
    main = phonenumbers.region_code_for_country_code(int(plan.code))  # its lengths hold for all with that code
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(main)
    own = phonenumbers.PhoneMetadata.metadata_for_region(country)
    assert metadata is not None
    assert metadata.general_desc is not None
    assert own is not None
    assert own.country_code == int(plan.code)
    assert (own.national_prefix or "") == plan.trunk
    assert metadata.general_desc.possible_length == plan.lengths


def test_the_table_covers_the_supported_countries() -> None:
    assert set(_PLANS) == COUNTRIES


VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors.json").read_text())
ORDINARY = {  # the first number of each country
    each["country"]: each["input"] for each in reversed(VECTORS) if each["field"] == "phone" and each["country"]
}


@pytest.mark.parametrize(("country", "written"), ORDINARY.items())
def test_an_ordinary_number_of_every_country_is_read_from_the_table(country: str, written: str) -> None:
    national = from_table(written.translate(_NO_PUNCTUATION), country)
    assert national is not None
    for international in (f"+{national}", f"00{national}"):
        assert from_table(international, country) == national
        assert from_table(international, None) == national


@pytest.mark.parametrize(
    ("digits", "country", "number"),
    [
        pytest.param("491713920014", "DE", "491713920014", id="DE: the code and 10 digits"),
        pytest.param("49171392001", "DE", "49171392001", id="DE: 11 digits in all"),
        pytest.param("4917139200", "DE", None, id="DE: fewer, which may begin with an area code"),
        pytest.param("33199001234", "FR", "33199001234", id="FR: longer than a national number"),
        pytest.param("919876543210", "IN", None, id="IN: as long as a national number may be"),
        pytest.param("461234567890", "SE", None, id="SE: just as long as the longest national number"),
    ],
)
def test_leading_digits_are_a_calling_code_only_if_the_number_would_be_too_long_without_one(
    digits: str, country: str, number: str | None
) -> None:
    assert from_table(digits, country) == number


def test_a_phone_number_has_at_most_100_characters() -> None:
    assert normalize("phone", "202" + " " * 90 + "5550143", "US") == "12025550143"
    assert normalize("phone", "202" + " " * 91 + "5550143", "US") is None


def test_ordinary_numbers_do_not_load_phonenumbers() -> None:
    program = f"""
import sys
from audience_sync.amazon_ads.normalize import normalize
for country, written in {ORDINARY!r}.items():
    assert normalize("phone", written, country), country
assert "phonenumbers" not in sys.modules
assert normalize("phone", "+43 1 234567", None) == "431234567"
assert "phonenumbers" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("written", "country", "expected"),
    [
        pytest.param("+49 (0)30 23125555", "US", "493023125555", id="a trunk zero in brackets"),
        pytest.param("(0044) 20 7946 0958", "US", "442079460958", id="00 in brackets"),
        pytest.param("Tel. +44 20 7946 0958", "US", "442079460958", id="words in front"),
        pytest.param("+49 30 123456 Durchwahl 12", "US", "4930123456", id="an extension in German"),
        pytest.param("(office) +1 206 555 0142", "US", "12065550142", id="a word in brackets"),
        pytest.param("Büro 030 123456, Frau Weber", "DE", "4930123456", id="words on both sides"),
        pytest.param("office 206 555 0142 or 206 555 0143 evenings", "US", None, id="two numbers"),
        pytest.param("0 ext. 2065550142", "AE", None, id="an extension alone"),
        pytest.param("a2065550142@example.com", "US", None, id="an e-mail address"),
        pytest.param("tel:+1-202-555-0143;ext=9", None, "12025550143", id="a tel address"),
        pytest.param("011 44 20 7946 0958", "US", "442079460958", id="the international prefix of the US"),
        pytest.param("49\u2013171\u20133920014", "DE", "491713920014", id="German code, dashes beyond ASCII"),
        pytest.param("49\u2013171\u2013392001", "DE", "49171392001", id="German code, 11 digits in all"),
        pytest.param("4 9 171 3920014\u2013", "DE", "491713920014", id="German code, its digits apart"),
        pytest.param("0043 1 234567", None, "431234567", id="00 and a country without a table row"),
        pytest.param("49384011", "DE", "4949384011", id="49 and short: an area code"),
        pytest.param("919876543210", "IN", "919876543210", id="own code without plus, not too long for a number"),
        pytest.param("+43 1 234567", "US", "431234567", id="a country without a table row"),
        pytest.param("01 234 5678", "IE", "35312345678", id="national number of such a country"),
        pytest.param("1" * 101, "US", None, id="too long to be read"),
        pytest.param("+", "GB", None, id="a plus"),
    ],
)
def test_phone_numbers_are_read_in_common_notations(written: str, country: str, expected: str | None) -> None:
    assert normalize("phone", written, country) == expected


@given(written_numbers(), st.sampled_from([*_PLANS, None]))
@example("0183167129", "AU")
@settings(deadline=None, max_examples=500)
def test_a_number_with_a_plus_does_not_depend_on_the_country(written: str, country: str | None) -> None:
    number = normalize("phone", written, country)
    # What looks like one more prefix is taken off once more: a zero, in Australia also 1831 and 1832 (hidden caller).
    if number is not None and "0" not in number[1:5] and not number.startswith(("611831", "611832")):
        assert normalize("phone", f"+{number}", "US") == number
        assert normalize("phone", f"+{number}", None) == number


@given(st.text("0123456789+-/.() ;,#xXetabc:=%\u0663\uff0b\uff0d\u200d", max_size=60), st.sampled_from([*_PLANS, None]))
@settings(deadline=None, max_examples=500)
def test_any_text_gives_digits_or_none(written: str, country: str | None) -> None:
    number = normalize("phone", written, country)
    assert number is None or (number.isascii() and number.isdecimal())
