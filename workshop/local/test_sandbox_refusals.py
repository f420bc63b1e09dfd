import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from local.amazon.records import read_upload
from local.amazon.refusals import Refusal, json_object
from local.amazon.validation import check_acceptance, check_audience_update, check_new_audience, check_new_connection
from tests.support import sandbox_bodies as bodies
from tests.support.sandbox_bodies import Row

type Check = Callable[[dict[str, Any]], object]


def rows(*tables: tuple[str, Check, list[Row]]) -> list[Any]:
    return [
        pytest.param(check, body, named, id=f"{kind}: {name}")
        for kind, check, table in tables
        for name, body, named in table
    ]


@pytest.mark.parametrize(
    ("check", "body", "named"),
    rows(
        ("upload", read_upload, bodies.REFUSED_UPLOADS),
        ("audience", check_new_audience, bodies.REFUSED_AUDIENCES),
        ("update", check_audience_update, bodies.REFUSED_UPDATES),
        ("connection", check_new_connection, bodies.REFUSED_CONNECTIONS),
        ("terms", check_acceptance, bodies.REFUSED_ACCEPTANCES),
    ),
)
def test_an_invalid_body_is_refused_with_the_field_at_fault(check: Check, body: dict[str, Any], named: str) -> None:
    with pytest.raises(Refusal, match=re.escape(named)) as refusal:
        check(body)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("check", "body", "_"),
    rows(
        ("upload", read_upload, bodies.TAKEN_UPLOADS),
        ("audience", check_new_audience, bodies.TAKEN_AUDIENCES),
        ("update", check_audience_update, bodies.TAKEN_UPDATES),
        ("connection", check_new_connection, bodies.TAKEN_CONNECTIONS),
    ),
)
def test_a_body_within_the_limits_is_accepted(check: Check, body: dict[str, Any], _: str) -> None:
    check(body)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half an object"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": "\xff"}', id="not UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', id="a byte order mark"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", id="a number of 5,000 digits"),
        pytest.param(b"[" * 100_000, id="endless nesting"),
    ],
)
def test_a_body_that_is_not_one_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal):
        json_object(raw)


@pytest.mark.parametrize("written", ["1.0", "418273650912345679.0", "4e17", '"1"', "true"])
def test_an_id_that_is_not_plain_digits_is_refused(written: str) -> None:
    body = json_object(b'{"audienceId": %s, "records": [%s]}' % (written.encode(), json.dumps(bodies.RECORD).encode()))
    with pytest.raises(Refusal, match="can not be converted to a Long"):
        read_upload(body)


def test_a_refusal_never_repeats_a_value() -> None:
    with pytest.raises(Refusal) as refusal:
        read_upload(bodies.upload(externalUserId="ada@example.com"))
    assert "ada" not in refusal.value.message
