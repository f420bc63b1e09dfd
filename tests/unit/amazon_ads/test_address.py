"""Street addresses: how a line is split into words, and which table abbreviates them."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.normalization.word_tables import ADDRESS_WORDS, OTHER_ADDRESS_WORDS, STATES
from audience_sync.amazon_ads.normalize import normalize


@pytest.mark.parametrize(
    ("written", "normalized"),
    [
        pytest.param("c/o Smith, 1 Elm Road", "smith1elmrd", id="care of"),
        pytest.param("1 Elm Road,C/O Smith", "1elmrdsmith", id="care of after a comma"),
        pytest.param("1 Disc/Over Road", "1disc/overrd", id="a slash inside a word"),
        pytest.param("1 C/Oak Road", "1c/oakrd", id="a word that begins like care of"),
        pytest.param("1-2-B Elm", "1-2-belm", id="two dashes"),
        pytest.param("12- Elm", "12-elm", id="nothing after the dash"),
        pytest.param("12-West", "12w", id="the part after the dash is looked up"),
        pytest.param("12-Apt#5", "12aptnumber5", id="dash, then number sign"),
        pytest.param("Apt#5-B/2", "aptnumber5-b/2", id="number sign, then dash and slash"),
        pytest.param("#", "number", id="number sign alone"),
        pytest.param("Apt.#5", "apt#5", id="a dot keeps the number sign in its word"),
        pytest.param("É#5", "é#5", id="letters beyond A-Z before a number sign"),
        pytest.param("5 Elm.Road", "5elmrd", id="the parts between dots are looked up"),
        pytest.param("No Name Road", "numbernamerd", id="no is number, whatever it means"),
        pytest.param("...", None, id="only dots"),
    ],
)
def test_an_address_line_is_split_and_abbreviated(written: str, normalized: str | None) -> None:
    assert normalize("address", written, "US") == normalized


@pytest.mark.parametrize(
    ("country", "written", "normalized"),
    [
        pytest.param("GB", "Elm Terrace Center", "elmterracecentre", id="GB"),
        pytest.param("UK", "Elm Terrace Center", "elmterracecentre", id="UK is GB"),
        pytest.param("ES", "Pza Mayor 1", "plazamayor1", id="ES: and is what others become"),
        pytest.param("DE", "Plaza 1", "plz1", id="DE: general table"),
        pytest.param(None, "Plaza 1", "plz1", id="no country: general table"),
    ],
)
def test_abbreviations_depend_on_the_country(country: str | None, written: str, normalized: str) -> None:
    assert normalize("address", written, country) == normalized


@given(st.text(st.characters(), max_size=40), st.sampled_from([*ADDRESS_WORDS, "DE", None]))
def test_an_address_has_no_white_space_or_separators(written: str, country: str | None) -> None:
    normalized = normalize("address", written, country)
    assert normalized is None or not (set(normalized) & set(",![]{}()") or any(map(str.isspace, normalized)))


def test_the_abbreviation_tables_have_not_changed() -> None:
    """A changed word changes digests that Amazon already holds: it needs a reason, and a new value here."""
    tables = json.dumps([ADDRESS_WORDS, OTHER_ADDRESS_WORDS, STATES], sort_keys=True, ensure_ascii=False)
    assert (
        hashlib.sha256(tables.encode()).hexdigest()
        == "6ee37dd641c5b8384e46d54ff39089a1ff8ab0388437bb357d6249838221cfed"
    )


def test_every_key_of_the_word_tables_can_match() -> None:
    for words in (*ADDRESS_WORDS.values(), OTHER_ADDRESS_WORDS):
        assert all(key == key.lower() and key.split() == [key] for key in words)
    for states in STATES.values():
        assert all(name.isascii() and name.isalpha() and name.isupper() and len(name) > 2 for name in states)
        assert all(len(code) <= 2 and code.islower() for code in states.values())
