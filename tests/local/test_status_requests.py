"""An opened request shows the shape of its body: names, kinds and numbers of entries, and no value."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.amazon.ledger import RequestEntry
from local.status.requests import opened_request, request_line, shape

BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(min_size=1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
)


def entry(path: str = "/amc/audiences/records", raw: bytes | None = b"{}", method: str = "POST") -> RequestEntry:
    return RequestEntry(7, 1.0, method, path, "", {"Content-Type": "application/json"}, raw, 202)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("secret", "string of 6 characters", id="a string"),
        pytest.param(17, "number", id="a number"),
        pytest.param(True, "true or false", id="true"),
        pytest.param(None, None, id="nothing"),
        pytest.param([], [], id="an empty list"),
        pytest.param([{"a": "x"}, {"a": "y"}, {"a": "z"}], [{"a": "string of 1 character"}, "and 2 more"], id="a list"),
    ],
)
def test_every_value_is_replaced_by_its_type(value: Any, shown: Any) -> None:
    assert shape(value) == shown


def kinds(value: Any) -> set[str]:
    """The texts in a shape, those that it adds included."""
    if isinstance(value, dict):
        return set().union(*map(kinds, value.values()))
    if isinstance(value, list):
        return set().union(*map(kinds, value))
    return {value} if isinstance(value, str) else set()


@given(BODIES)
def test_no_value_of_a_body_is_in_its_shape(body: Any) -> None:
    for text in kinds(shape(body)):
        assert text in ("number", "true or false") or text.startswith(("string of ", "and "))
    json.dumps(shape(body))


@pytest.mark.parametrize(
    ("path", "raw", "audience_id"),
    [
        pytest.param("/amc/audiences/records", b'{"audienceId": 418, "records": []}', "418", id="in the body"),
        pytest.param("/adm/audiences/adm-ds-1/members", b'{"members": []}', "adm-ds-1", id="a dataset"),
        pytest.param("/amc/audiences/metadata/419", b"", "419", id="in the path"),
        pytest.param("/amc/audiences/records", None, None, id="a body that is no longer kept"),
        pytest.param("/auth/o2/token", b"grant_type=refresh_token", None, id="none"),
    ],
)
def test_a_request_names_its_audience_if_it_has_one(path: str, raw: bytes | None, audience_id: str | None) -> None:
    assert request_line(entry(path, raw)).audience_id == audience_id


@pytest.mark.parametrize(("raw", "body"), [(None, None), (b"", None), (b"not json", "string of 8 characters")])
def test_a_body_without_json_or_no_longer_kept_can_be_opened(raw: bytes | None, body: str | None) -> None:
    assert opened_request(entry(raw=raw))["body"] == body
