"""Values are normalized alike in a batch and alone: digests sent before depend on every character."""

import json
import random
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audience_sync.amazon_ads.normalization.fields import NAME_LETTERS, POSTAL_CODES, ascii_digits
from audience_sync.amazon_ads.normalization.quick import MAX_LENGTH, RULES
from audience_sync.amazon_ads.normalization.word_tables import ADDRESS_WORDS, STATES
from audience_sync.amazon_ads.normalize import (
    COUNTRIES,
    _clean,
    _is_digest,
    _Lines,
    country_code,
    identifier,
    identifiers,
    identifiers_of_all,
    normalize,
)
from audience_sync.fields import IDENTIFIERS

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
AMAZON_NAMES = {field.name: field.amazon_name for field in IDENTIFIERS}
OUR_NAMES = {field.amazon_name: field.name for field in IDENTIFIERS}
PLACES = [None, "ZZ", *sorted(COUNTRIES)]
WORDS = [word for words in ADDRESS_WORDS.values() for word in words if word.isascii()]
NAMES = [name.title() for names in STATES.values() for name in names]
PIECES = [
    *"0123456789", *"abcxyzABCXYZ", *" .,-_@#/()+!'", "  ", "12", "@example.com", "@", "C/O ", "c/o", "Apt #5", "APT#5",
    "#", "# ", "12-A", "N.W.", "{", "[", "~", "+49 ", "0049", "089 ", "+1 (206) 555-01", "SW1A 1AA", "K1A 0B1",
    "98109-4417",
    *"äöüßøæéñçİŁ山\u0131\u03a3\u03c3\u03c2\u0391", "e\u0301", "São ", "Straße", "\u039f\u0394\u039f\u03a3-\u0391", "É",
    "\uff11", "\u0663", "Québec", "Île",
]  # fmt: skip
values = st.lists(st.sampled_from(PIECES) | st.sampled_from(WORDS) | st.sampled_from(NAMES), max_size=8).map("".join)


def kept(characters: str, text: str) -> str:
    return re.sub(f"[^{characters}]", "", text)


def plain_rule(field: str, text: str, country: str | None) -> str:
    """The rule of one field in its plain form; test_normalize_unchanged.py has those of address and phone."""
    match field:
        case "email":
            address = kept("a-z0-9._@-", text.lower())
            local, _, domain = address.partition("@")
            return address if local and "@" not in domain and "." in domain.strip(".") else ""
        case "first_name" | "last_name":
            return kept("a-z0-9", re.sub("[ßäöüøæ]", lambda found: NAME_LETTERS[found[0]], text.lower()))
        case "city":
            return kept("a-z0-9", text.lower())
        case "state":
            name = kept("A-Z", (unicodedata.normalize("NFKD", text) if country == "CA" else text).upper())
            return STATES.get(country or "", {}).get(name) or name[:2].lower()
        case "postal":
            code = kept("A-Z0-9", ascii_digits(text).upper())
            rule = POSTAL_CODES.get(country or "")
            return rule.cut(code.encode()).decode() if rule else code
    return RULES[field].normalize(text, country) or ""


def disagreement(field: str, value: str, country: str | None) -> str | None:
    """What a value becomes, in a batch or alone, if the plain rule gives something else; without the value."""
    code = country_code(country)
    (in_batch,) = RULES[field].normalize_ordinary([value], [code])
    alone = (normalize(field, value, country) or "").encode()
    found = {alone} if in_batch is None else {alone, in_batch}
    plain = plain_rule(field, _clean(value, _Lines()), code).encode()
    return None if found == {plain} else f"{field} in {country}: {found!r} for {plain!r}"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['field']}-{vector['input']!a:.40}")
def test_every_test_vector_has_its_digest_in_a_batch(vector: dict[str, Any]) -> None:
    field = OUR_NAMES.get(vector["field"], vector["field"])
    if isinstance(vector["input"], str) and not _is_digest(vector["input"].strip()):
        assert disagreement(field, vector["input"], vector["country"]) is None
    found = identifiers({field: vector["input"]}, vector["country"])
    expected = [{AMAZON_NAMES[field]: vector["sha256"]}] if vector["sha256"] else []
    assert found == expected


@given(st.sampled_from(sorted(RULES)), values | st.text(max_size=MAX_LENGTH), st.sampled_from(PLACES))
@example("address", "1 Main St Apt #5", "US")
@example("address", "Unit5#B # C", "US")
@example("address", "Apt 5A#B", "US")
@example("email", "ada@example.", None)
@example("email", "ada@.example", None)
@example("address", "ÉT#5", "FR")
@example("address", "\u039f\u0394\u039f\u03a3-\u0391 12-\u0392", "GB")
def test_a_value_is_normalized_as_by_the_plain_rule(field: str, value: str, country: str | None) -> None:
    assert disagreement(field, value, country) is None


@pytest.mark.parametrize(
    ("field", "value", "normalized"),
    [
        pytest.param("phone", "(206) 555-0142", b"12065550142", id="a national phone number"),
        pytest.param("address", "Rua São João", "ruasãojoão".encode(), id="letters beyond ASCII"),
        pytest.param("last_name", "Größe", b"groesse", id="letters that are spelled out"),
        pytest.param("city", "München", b"mnchen", id="letters that are dropped"),
        pytest.param("email", "jöe@example.com", b"je@example.com", id="an address beyond ASCII"),
    ],
)
def test_ordinary_values_take_the_quick_path(field: str, value: str, normalized: bytes) -> None:
    assert RULES[field].normalize_ordinary([value], ["US"]) == [normalized]


@pytest.mark.slow
def test_100_000_generated_values_are_normalized_as_by_the_plain_rules() -> None:
    choose = random.Random(20_261_126)
    parts = [*PIECES, *WORDS, *NAMES]
    for _ in range(100_000):
        value = "".join(choose.choices(parts, k=choose.randint(1, 5)))
        assert disagreement(choose.choice(list(RULES)), value, choose.choice(PLACES)) is None


COUNTRY_AND_TRAITS = st.tuples(
    st.sampled_from(PLACES), st.dictionaries(st.sampled_from(sorted(RULES)), values | st.text() | st.integers())
)


@given(st.lists(COUNTRY_AND_TRAITS, min_size=1, max_size=6))
def test_a_batch_has_the_digests_of_its_single_fields(people: list[tuple[str | None, dict[str, Any]]]) -> None:
    columns = [[traits.get(name) for _, traits in people] for name in AMAZON_NAMES]
    found = identifiers_of_all(columns, [country for country, _ in people])
    for (country, traits), identities in zip(people, found, strict=True):
        single = {AMAZON_NAMES[name]: identifier(name, value, country) for name, value in traits.items()}
        expected = {name: digest for name, digest in single.items() if digest}
        assert identities == ([expected] if expected else [])
        assert identifiers(traits, country) == identities


@given(st.lists(COUNTRY_AND_TRAITS, min_size=1, max_size=4), st.integers(2, 3))
def test_hashing_repeated_values_once_changes_no_digest(
    people: list[tuple[str | None, dict[str, Any]]], times: int
) -> None:
    columns = [[traits.get(name) for _, traits in people] * times for name in AMAZON_NAMES]
    countries = [country for country, _ in people] * times
    once = identifiers_of_all(columns, countries)
    assert identifiers_of_all(columns, countries, repeats=True) == once


@pytest.mark.parametrize(
    "value", [True, 1, 1.0, "1", None, [], {}, 10**200, "x" * 1_025], ids=lambda value: repr(value)[:20]
)
def test_1_true_and_the_string_1_are_different_values(value: Any) -> None:
    columns = [[value, 1, True, "1"]] * len(AMAZON_NAMES)
    once = identifiers_of_all(columns, ["US"] * 4)
    assert identifiers_of_all(columns, ["US"] * 4, repeats=True) == once


@pytest.mark.parametrize("name", sorted(RULES))
@given(values, st.sampled_from(PLACES))
def test_a_country_that_a_rule_ignores_changes_no_digest(name: str, value: str, country: str | None) -> None:
    known = RULES[name].countries
    if known is not None and country_code(country) not in known:
        assert identifier(name, value, country) == identifier(name, value, None)


@pytest.mark.parametrize("length", [MAX_LENGTH, MAX_LENGTH + 1])
def test_only_64_hex_digits_are_a_digest(length: int) -> None:
    text = "a" * length
    (found,) = identifiers({"last_name": text}, "US")
    assert (found["lastname"] == text) is (length == 64)
