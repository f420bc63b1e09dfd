"""Which country codes Amazon takes, and how it writes them."""

import pytest

from audience_sync.amazon_ads.countries import ACCEPTED, accepted_country
from local.amazon.countries import ACCEPTED as DESCRIBED
from local.amazon.countries import MATCHED


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(" de\n", "DE", id="in small letters, with white space"),
        pytest.param("uk", "GB", id="the United Kingdom's other code"),
        pytest.param("unknown", "UNKNOWN", id="Amazon's word for none"),
        pytest.param("XX", None, id="a code of no country"),
        pytest.param(" usa ", "US", id="three letters"),
        pytest.param("AAA", None, id="three letters of no country"),
        pytest.param("United States", "US", id="an English name"),
        pytest.param("The NETHERLANDS", "NL", id="a name with an article"),
        pytest.param("Turkiye", "TR", id="a name without its accents"),
        pytest.param("Trinidad & Tobago", "TT", id="a name with a sign"),
        pytest.param("U.K.", "GB", id="an abbreviation with dots"),
        pytest.param("Deutschland", "DE", id="a German name"),
        pytest.param(" ÖSTERREICH", "AT", id="a German name in capitals"),
        pytest.param("Grossbritannien", "GB", id="a German name without its sharp s"),
        pytest.param("Allemagne", None, id="a name in another language"),
        pytest.param("a" * 1_000_000, None, id="a long text"),
        pytest.param("-", None, id="a dash"),
        pytest.param("", None, id="empty"),
        pytest.param(["US"], None, id="a list"),
    ],
)
def test_a_country_code_is_converted_to_amazons_spelling(value: object, expected: str | None) -> None:
    assert accepted_country(value) == expected


def test_every_country_in_which_amazon_matches_has_a_german_name() -> None:
    names = """
    Ägypten Australien Belgien Brasilien Deutschland Frankreich Indien Italien Japan Kanada Mexiko Niederlande Polen
    Saudi-Arabien Schweden Singapur Spanien Türkei Vereinigte_Arabische_Emirate Vereinigte_Staaten Großbritannien
    """
    assert {accepted_country(each.replace("_", " ")) for each in names.split()} == MATCHED


def test_country_codes_match_amazons_api_description() -> None:
    assert ACCEPTED == DESCRIBED
