"""What an answer says of an audience that is not listed: what was looked for, where that can be no personal data."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.ingest.unknown_audience import unknown_audience

LISTED = 200  # characters of a detail that an answer shows


@pytest.mark.parametrize(
    ("mapped", "key", "part"),
    [
        pytest.param(None, "winback_4q8zt", 'the computation key "winback_4q8zt"; create it', id="a key"),
        pytest.param("", "winback_4q8zt", 'the computation key "winback_4q8zt"', id="a key, and an empty id"),
        pytest.param(None, "ada@example.com", "the computation key; create it", id="an address as key"),
        pytest.param(None, "Ada Lovelace", "the computation key; create it", id="a name as key"),
        pytest.param(None, "12065550142", "the computation key; create it", id="a phone number as key"),
        pytest.param(None, "k" * 81, "the computation key; create it", id="a long key"),
        pytest.param("379909525712777677", "winback", "the mapped audience_id 379909525712777677 is", id="an id"),
        pytest.param(379909525712777677, None, "the mapped audience_id 379909525712777677 is", id="an id as number"),
        pytest.param(" 379909525712777677 ", None, "audience_id 379909525712777677 is", id="an id with spaces"),
        pytest.param("120655501421234", None, "the mapped audience_id is", id="what may be a phone number"),
        pytest.param("ada@example.com", "winback", "audience_id is not an Amazon id", id="an address as id"),
        pytest.param({"a": 1}, "winback", "audience_id is not an Amazon id", id="an object as id"),
        pytest.param(4.18e17, "winback", "audience_id is not an Amazon id", id="an id through a double"),
    ],
)
def test_an_unknown_audience_is_named_only_if_its_id_cannot_be_personal(
    mapped: Any, key: str | None, part: str
) -> None:
    assert part in unknown_audience(mapped, key).detail


@given(st.none() | st.text() | st.from_regex(r"[0-9]{1,22}", fullmatch=True), st.from_regex(r"[a-z_0-9]+"))
def test_the_detail_of_an_unknown_audience_fits_200_characters(mapped: Any, key: str) -> None:
    error = unknown_audience(mapped, key)
    assert error.reason == "audience_unknown"
    assert len(error.detail) <= LISTED
