"""Why a trait is left out: said exactly where it is, in plain words, and without the value."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.normalize import identifier
from audience_sync.fields import IDENTIFIERS
from audience_sync_cli.frame.unusable import why_unusable

NAMES = [field.name for field in IDENTIFIERS]
NUMBERS = st.from_regex(r"\+?[0-9 ()-]{0,20}", fullmatch=True)
TEXTS = st.text(alphabet="ab@.-_ +0159ÄьП東\u200b,#", max_size=12)
OTHERS: Any = st.integers() | st.none() | st.floats() | st.booleans() | st.lists(st.none())
VALUES: Any = TEXTS | NUMBERS | st.text() | OTHERS


@given(st.sampled_from(NAMES), VALUES, st.sampled_from([None, "US", "DE", "GB", "SG", "CN", "XX", "uk", ""]))
def test_a_reason_is_given_if_and_only_if_normalization_drops_a_value(
    field: str, value: Any, country: str | None
) -> None:
    assert (why_unusable(field, value, country) is None) is (identifier(field, value, country) is not None)


@pytest.mark.parametrize(
    ("field", "value", "country", "reason"),  # in words, or as it is counted
    [
        pytest.param("phone", "206-555-010", "US", "[too_short]", id="phone: a digit is missing"),
        pytest.param("phone", 555, "US", "[too_short]", id="phone: an integer"),
        pytest.param("phone", "206 555 0100 / 206 555 0199", "US", "[too_long]", id="phone: two numbers"),
        pytest.param("phone", "1.20656E+10", "US", "[scientific_notation]", id="phone: as a spreadsheet shows it"),
        pytest.param("phone", "1,20656e10", "US", "[scientific_notation]", id="phone: the same with a comma"),
        pytest.param("email", "a@x.co; b@y.co", "US", "[several_addresses]", id="email: two addresses"),
        pytest.param("postal", "9810", "US", "[digit_missing]", id="postal: four digits"),
        pytest.param("postal", "981", "US", "[not_a_postal_code]", id="postal: three digits"),
        pytest.param("city", " ", "US", "[empty]", id="city: a space"),
        pytest.param("phone", "555", "US", "too short for a number of US", id="phone: too short"),
        pytest.param("phone", "555 0199", "US", "the area code is missing", id="phone: no area code"),
        pytest.param("phone", "206555014200000000", "US", "too long for a number of US", id="phone: too long"),
        pytest.param("phone", "2065550142", None, "no country is known", id="phone: national without a country"),
        pytest.param("phone", "2065550142", "XX", "no country is known", id="phone: national, of no country"),
        pytest.param("phone", "+999123456789", "US", "no country has its calling code", id="phone: calling code"),
        pytest.param("phone", "none", "US", "no digits", id="phone: a word"),
        pytest.param("phone", "2" * 101, "US", "over 100 characters", id="phone: too many characters"),
        pytest.param("phone", "206" + "*" * 30 + "5550142", "US", "over 20 symbols in a row", id="phone: a gap"),
        pytest.param("email", "ada", None, "no @", id="email: no @"),
        pytest.param("email", "a@b@c.co", None, "more than one @", id="email: two @"),
        pytest.param("email", "ada@com", None, "no dot", id="email: no dot"),
        pytest.param("email", "@b.co", None, "nothing before the @", id="email: nothing before"),
        pytest.param("email", "ада@b.co", None, "dropped", id="email: another script"),
        pytest.param("postal", "123", "US", "not a postal code of US", id="postal: shape"),
        pytest.param("postal", "北京", "CN", "none of its characters", id="postal: another script"),
        pytest.param("first_name", "Ада", None, "none of its characters", id="name: another script"),
        pytest.param("last_name", "-", None, "none of its characters", id="name: a dash"),
        pytest.param("city", "東京", "JP", "none of its characters", id="city: another script"),
        pytest.param("state", "北", None, "none of its characters", id="state: another script"),
        pytest.param("address", ",,", "US", "separators", id="address: separators"),
        pytest.param("email", True, None, "true or false", id="a boolean"),
        pytest.param("phone", 1.5, None, "a number with decimals", id="a float"),
        pytest.param("email", ["a@b.co", "c@d.co"], None, "a list", id="a list"),
        pytest.param("city", {"name": "Bonn"}, None, "an object", id="an object"),
        pytest.param("email", None, None, "null", id="null"),
        pytest.param("email", " \u200b", None, "empty", id="nothing visible"),
        pytest.param("phone", 10**99, None, "too many digits", id="a long number"),
        pytest.param("email", "x" * 1_025, None, "over 1,024 characters", id="too long"),
        pytest.param("email", hashlib.sha256(b"").hexdigest(), None, "of an empty string", id="the digest of nothing"),
        pytest.param("email", "0" * 64, None, "or a placeholder", id="a digest of zeros"),
    ],
)
def test_each_reason_is_in_words_and_is_counted(field: str, value: Any, country: str | None, reason: str) -> None:
    found = why_unusable(field, value, country)
    assert found is not None
    assert reason in f"{found.detail} [{found.reason.code}]"
    assert not isinstance(value, str) or len(value) < 3 or value not in found.detail
