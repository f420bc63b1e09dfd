"""One exchange with Amazon: the request as it is sent, and our error for each answer."""

from functools import partial
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.exchange import CONNECT_TIMEOUT, READ_TIMEOUT, Exchange, retry_after
from audience_sync.amazon_ads.login import AccessTokens, Login, Token
from audience_sync.errors import (
    AccessDenied,
    AudienceSyncError,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    RequestTooLarge,
    ServiceUnavailable,
    Throttled,
)
from tests.support.doubles.secrets import StoredSecret
from tests.support.doubles.wire import Reply

NOW = 1_800_000_000.0
IN_A_MINUTE = "Fri, 15 Jan 2027 08:01:00 GMT"


def call(amazon: Reply, body: bytes | None = None, **options: Any) -> Any:
    """Make one call with a token that is stored already."""
    secret = StoredSecret(Token("Atza|stored", NOW + 3000).as_json())
    with requests.Session() as session, requests.Session() as unused:
        session.mount("https://", amazon)
        login = Login(unused, "https://login.example", StoredSecret({"clientId": "client-1"}), lambda: NOW)
        tokens = AccessTokens(secret, login, lambda: NOW)
        exchange = Exchange(session, "https://amazon.example", tokens, monotonic=lambda: 5.0, now=lambda: NOW)
        return exchange.call("POST", "/path", "application/vnd.test+json", body=body, **options)


@pytest.mark.parametrize("body", [None, b"{}"])
def test_a_request_bypasses_proxies_and_has_every_header(monkeypatch: pytest.MonkeyPatch, body: bytes | None) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    amazon = Reply(200, b"[7]")
    assert call(amazon, body) == [7]
    (request,) = amazon.requests
    ours = {"Accept", "Content-Type", "Authorization", "Amazon-Advertising-API-ClientId"}
    assert {name: value for name, value in request.headers.items() if name in ours} == {
        "Accept": "application/vnd.test+json",
        "Authorization": "Bearer Atza|stored",
        "Amazon-Advertising-API-ClientId": "client-1",
    } | ({"Content-Type": "application/vnd.test+json"} if body else {})
    assert (amazon.options[0]["proxies"], amazon.options[0]["verify"]) == ({}, True)
    assert amazon.options[0]["timeout"] == (CONNECT_TIMEOUT, READ_TIMEOUT)


@pytest.mark.parametrize(
    ("answer", "error", "wait"),
    [
        pytest.param(partial(Reply, 300), ServiceUnavailable, None, id="300"),
        pytest.param(partial(Reply, 307, Location="https://other.example"), ServiceUnavailable, None, id="a redirect"),
        pytest.param(partial(Reply, 399), ServiceUnavailable, None, id="399"),
        pytest.param(partial(Reply, 425, Retry_After="7"), ServiceUnavailable, 7, id="425"),
        pytest.param(partial(Reply, 429, Retry_After=IN_A_MINUTE), Throttled, 60, id="429 with a date"),
        pytest.param(partial(Reply, 0, b"", requests.ConnectionError()), OutcomeUnknown, None, id="no cause"),
    ],
)
def test_a_temporary_failure_carries_retry_after(
    answer: partial[Reply], error: type[AudienceSyncError], wait: float | None
) -> None:
    amazon = answer()
    with pytest.raises(error) as caught:
        call(amazon, repeatable=False)
    assert getattr(caught.value, "retry_after", None) == wait
    assert len(amazon.requests) == 1, "redirects are not followed: they would carry the token elsewhere"


@pytest.mark.parametrize("status", [500, 502, 504])
def test_the_outcome_of_an_unrepeatable_call_is_unknown_after_500_502_or_504(status: int) -> None:
    for repeatable, error in ((True, ServiceUnavailable), (False, OutcomeUnknown)):
        with pytest.raises(error):
            call(Reply(status), repeatable=repeatable)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, RequestRejected) for status in (400, 415, 422, 501)),
        (403, AccessDenied),
        (404, NotFound),
        (413, RequestTooLarge),
    ],
)
def test_a_refused_request_is_a_permanent_error(status: int, error: type[RequestRejected]) -> None:
    with pytest.raises(error) as caught:
        call(Reply(status))
    assert (type(caught.value), caught.value.status) == (error, status)


@pytest.mark.parametrize(
    ("answer", "text", "request_id"),
    [
        pytest.param(partial(Reply, 400), "Amazon answered 400", "", id="nothing said"),
        pytest.param(partial(Reply, 400, b'["message"]'), "Amazon answered 400", "", id="not an object"),
        pytest.param(partial(Reply, 409, b'{"code": "duplicate"}'), "Amazon answered 409: duplicate", "", id="a code"),
        pytest.param(partial(Reply, 426, x_amzn_RequestId="a-1"), "Amazon answered 426", "a-1", id="an id"),
        pytest.param(
            partial(Reply, 400, x_amzn_RequestId="", x_amz_rid="B_2"), "Amazon answered 400", "B_2", id="the other id"
        ),
        pytest.param(partial(Reply, 400, x_amz_rid="ada@b.co"), "Amazon answered 400", "", id="a quotation for an id"),
    ],
)
def test_a_refusal_quotes_amazons_message_and_request_id(answer: partial[Reply], text: str, request_id: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        call(answer())
    assert (str(caught.value), caught.value.request_id) == (text, request_id)


def test_no_request_is_sent_without_time_left() -> None:
    amazon = Reply(200)
    with pytest.raises(ServiceUnavailable):
        call(amazon, timeout=0)
    assert not amazon.requests


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("120", 120.0, id="seconds"),
        pytest.param("9999", 900.0, id="too many seconds"),
        pytest.param("-1", 0.0, id="negative seconds"),
        pytest.param("Thu, 01 Jan 1970 00:02:00 GMT", 20.0, id="a date"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, id="a date that is over"),
        pytest.param("Fri, 01 Jan 2100 00:00:00 GMT", 900.0, id="a date far away"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="absent"),
        pytest.param("1e5", None, id="not plain digits"),
        pytest.param("soon", None, id="a word"),
    ],
)
def test_retry_after_is_0_to_900_seconds_or_none(header: str | None, expected: float | None) -> None:
    assert retry_after(header, now=100.0) == expected
