"""Which country codes Amazon takes, and how it writes them."""

import pytest

from audience_sync.amazon_ads.countries import ACCEPTED, accepted_country


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(" de\n", "DE", id="in small letters, with white space"),
        pytest.param("uk", "GB", id="the United Kingdom's other code"),
        pytest.param("unknown", "UNKNOWN", id="Amazon's word for none"),
        pytest.param("XX", None, id="a code of no country"),
        pytest.param("USA", None, id="three letters"),
        pytest.param("", None, id="empty"),
        pytest.param(["US"], None, id="a list"),
    ],
)
def test_a_country_code_is_converted_to_amazons_spelling(value: object, expected: str | None) -> None:
    assert accepted_country(value) == expected


def test_uk_is_not_an_accepted_country_code() -> None:
    assert "UK" not in ACCEPTED
