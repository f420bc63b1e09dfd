"""Identifiers: the test vectors, what never happens, and what is left out."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience_sync.amazon_ads.normalization.fields import _digits
from audience_sync.amazon_ads.normalization.word_tables import STATES
from audience_sync.amazon_ads.normalize import COUNTRIES, MAX_LENGTH, country_code, identifier, identifiers, normalize
from audience_sync.fields import IDENTIFIERS
from tests.support.builders import sha256
from tests.support.steps import counted_steps

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors.json").read_text())
FIELDS = tuple(identifier.name for identifier in IDENTIFIERS)
A_DIGEST = sha256("abc@example.com")

countries = st.sampled_from([*sorted(COUNTRIES), "IE", "ZZ", "uk", "", "Narnia", None])


@pytest.mark.parametrize(
    "vector", [pytest.param(v, id=f"{v['field']}-{v['country']}-{v['input']!a:.40}") for v in VECTORS]
)
def test_every_test_vector_has_its_digest(vector: dict[str, Any]) -> None:
    field, value, country = vector["field"], vector["input"], vector["country"]
    assert normalize(field, value, country) == vector["normalized"]
    assert identifier(field, value, country) == vector["sha256"]


def test_vectors_cover_every_field_and_supported_country() -> None:
    assert {v["country"] for v in VECTORS} - {None} == COUNTRIES
    assert {v["field"] for v in VECTORS} == {field.replace("_", "") for field in FIELDS}
    assert len(VECTORS) == 292


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="null"),
        pytest.param(True, id="boolean"),
        pytest.param(2025550143.0, id="float"),
        pytest.param(["abc@example.com"], id="list"),
        pytest.param({"value": "abc@example.com"}, id="object"),
        pytest.param(b"abc@example.com", id="bytes"),
        pytest.param("", id="empty text"),
        pytest.param(" \t\u3000\u200b\x00", id="white space and invisible characters"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param("a" * (MAX_LENGTH + 1), id="longer than any identifier"),
        pytest.param("\ufdfa" * MAX_LENGTH, id="longer than any identifier once in compatibility form"),
        pytest.param(10**100, id="integer longer than any identifier"),
    ],
)
@pytest.mark.parametrize("field", FIELDS)
def test_an_unusable_value_is_left_out(field: str, value: object) -> None:
    assert normalize(field, value, "US") is None
    assert identifier(field, value, "US") is None


@pytest.mark.parametrize("country", sorted(STATES))
def test_a_state_code_normalizes_to_itself(country: str) -> None:
    for code in STATES[country].values():
        assert normalize("state", code, country) == code


@pytest.mark.parametrize("field", FIELDS)
def test_a_digest_is_passed_on_in_lower_case(field: str) -> None:
    for written in (A_DIGEST, A_DIGEST.upper(), f" {A_DIGEST}\n", "\ufeff" + A_DIGEST):
        assert normalize(field, written, "US") is None
        assert identifier(field, written, "US") == A_DIGEST


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "digest",
    ["0" * 64, "f" * 64, *map(sha256, ["", " ", "0", "NULL", "None", "none", "NaN", "n/a", "Unknown", "test", "\\N"])],
)
def test_the_digest_of_a_placeholder_is_left_out(field: str, digest: str) -> None:
    """Thousands of people would share it, and the removal of one might remove them all."""
    assert identifier(field, digest, "US") is None
    assert identifier(field, digest.upper(), "US") is None


def test_a_name_that_is_also_a_placeholder_is_hashed() -> None:
    assert [identifier("last_name", name, "US") for name in ("Null", "Nan")] == [sha256("null"), sha256("nan")]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        pytest.param("email", "a" * 52 + "@example.com", id="e-mail address"),
        pytest.param("last_name", "g" * 64, id="name"),
        pytest.param("last_name", "a" * 63 + "g", id="name of hexadecimal digits except for its end"),
        pytest.param("last_name", "g" + "a" * 63, id="name of hexadecimal digits except for its beginning"),
        pytest.param("city", "a" * 31 + "gg" + "a" * 31, id="city of hexadecimal digits except for its middle"),
    ],
)
def test_clear_text_of_64_characters_is_hashed(field: str, text: str) -> None:
    assert len(text) == len(A_DIGEST)
    assert normalize(field, text, "US") == text
    assert identifier(field, text, "US") == sha256(text)


def test_an_unknown_field_raises_a_value_error_that_names_it() -> None:
    for call in (normalize, identifier):
        with pytest.raises(ValueError, match="'shoe_size'"):
            call("shoe_size", "44", "US")
    with pytest.raises(ValueError, match="'shoe_size'"):
        identifiers({"email": "abc@example.com", "shoe_size": "44"}, "US")


@given(st.text(st.characters(), min_size=1, max_size=20), countries)
@settings(deadline=None)
def test_nfc_and_nfd_have_the_same_digest(text: str, country: str | None) -> None:
    for field in FIELDS:
        composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
        assert normalize(field, composed, country) == normalize(field, decomposed, country)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        pytest.param(" de\n", "DE", id="blanks and case"),
        pytest.param("uk", "GB", id="uk is gb"),
        pytest.param(" " * (MAX_LENGTH - 2) + "US", "US", id="as many blanks as a value may have"),
        pytest.param(" " * (MAX_LENGTH - 1) + "US", None, id="one more"),
        pytest.param("IE", "IE", id="not supported, still a country"),
        pytest.param("Germany", None, id="a name"),
        pytest.param("U1", None, id="a digit"),
        pytest.param("ÄÖ", None, id="not ASCII"),
        pytest.param("ß", None, id="two letters only in upper case"),
        pytest.param(["US"], None, id="list"),
    ],
)
def test_a_country_code_is_two_ascii_letters(written: object, code: str | None) -> None:
    assert country_code(written) == code


@pytest.mark.parametrize(
    ("country", "written", "code"),
    [
        *(pytest.param(each, "28013-1234 X", "28013", id=f"{each}: five digits") for each in "US FR DE ES IT".split()),
        *(pytest.param(each, "2801", None, id=f"{each}: four digits") for each in "US FR DE ES IT".split()),
        pytest.param("IN", "110 001 Delhi", "110001", id="IN: six digits"),
        pytest.param("IN", "11000", None, id="IN: five digits"),
        pytest.param("CA", "1K1 A0B", None, id="CA: a digit first"),
    ],
)
def test_a_postal_code_is_cut_to_its_countrys_length_or_left_out(country: str, written: str, code: str | None) -> None:
    assert normalize("postal", written, country) == code


def test_a_postal_code_may_have_the_digits_of_any_script() -> None:
    assert normalize("postal", "\u0661\u0660\u0660\u0660\u0661-\u0661", "US") == "10001"


@pytest.mark.parametrize(
    ("written", "code"), [("1234", "1234"), ("12A34", "1234"), ("123456", "1234"), ("123", ""), ("123A", ""), ("", "")]
)
def test_a_numeric_postal_code_needs_its_full_length(written: str, code: str) -> None:
    assert _digits(4).cut(written.encode()) == code.encode()


@pytest.mark.parametrize("written", ["ada@example.", "ada@.example", "ada@example", "@example.com", "a@b@example.com"])
def test_an_email_address_has_one_at_sign_and_a_dot_inside_its_domain(written: str) -> None:
    assert normalize("email", written, None) is None


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a" * 1_000_000, id="megabyte"),
        pytest.param("\u0301" * 1_000_000, id="megabyte of accents"),
        pytest.param("9" * MAX_LENGTH, id="digits"),
        pytest.param("-#" * (MAX_LENGTH // 2), id="dashes and number signs"),
        pytest.param("A" * (MAX_LENGTH - 1) + "#", id="letters before a number sign"),
        pytest.param("." * MAX_LENGTH, id="dots"),
        pytest.param("C/O " * (MAX_LENGTH // 4), id="care of"),
        pytest.param("@" * MAX_LENGTH, id="at signs"),
        pytest.param("\ufdfa" * (MAX_LENGTH // 18), id="characters that become 18 each"),
        pytest.param("1" + " " * 98 + "x", id="blanks in a phone number"),
        pytest.param("1" * 50 + " x" * 25, id="extension after extension"),
        pytest.param("1" + ";ext=" * 19, id="extensions without digits"),
    ],
)
@pytest.mark.timeout(60)  # seconds; it takes 1 ms, and a regular expression that backtracks takes years
def test_work_is_linear_in_the_length_of_a_value(field: str, value: str) -> None:
    normalize("phone", "+43 1 234567", None)  # loads phonenumbers
    with counted_steps() as steps:
        normalize(field, value, "US")
    assert steps.lines < 20 * MAX_LENGTH  # lines of Python; 4 for each character at most
