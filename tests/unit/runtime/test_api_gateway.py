"""HTTP behind API Gateway: what is read of a request, and which answer an error gets."""

import base64
import json
import time
from typing import Any

import pytest

from audience_sync.errors import (
    AudienceSyncError,
    CredentialMissing,
    InvalidAudience,
    InvalidRequest,
    NotFound,
    OutOfTime,
    SettingFault,
    Throttled,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from audience_sync.runtime.api_gateway import (
    MIN_LEFT,
    RETRY_AFTER,
    UNAUTHORIZED,
    Request,
    answer,
    deadline,
    error_answer,
)
from tests.support.doubles.lambda_context import Context

JSON = {"content-type": "application/json"}


def test_header_names_of_a_request_are_lower_case() -> None:
    event = {
        "routeKey": "POST /v1/events",
        "headers": {"Content-Type": "application/json", "X-Api-Key": "Key"},
        "queryStringParameters": {"key": "k"},
        "body": "{}",
        "isBase64Encoded": False,
        "requestContext": {"http": {"sourceIp": "192.0.2.1"}},
    }
    headers = {"content-type": "application/json", "x-api-key": "Key"}
    assert Request.of(event) == Request("POST /v1/events", headers, {"key": "k"}, b"{}", "192.0.2.1")


@pytest.mark.parametrize("event", [{}, {"headers": None, "queryStringParameters": None, "body": None}])
def test_missing_parts_of_an_event_are_empty(event: dict[str, Any]) -> None:
    assert Request.of(event) == Request("", {}, {}, b"")


@pytest.mark.parametrize(
    ("body", "is_base64", "expected"),
    [
        pytest.param(base64.b64encode(b"\xff\x00").decode(), True, b"\xff\x00", id="bytes in Base64"),
        pytest.param("aGk=", False, b"aGk=", id="a text that looks like Base64"),
        pytest.param("é", False, "é".encode(), id="a text beyond ASCII"),
        pytest.param("\ud800", False, b"\xed\xa0\x80", id="half a surrogate pair, which no one else may trip over"),
    ],
)
def test_the_body_is_the_bytes_that_were_received(body: str, is_base64: bool, expected: bytes) -> None:
    assert Request.of({"body": body, "isBase64Encoded": is_base64}).body == expected


def test_a_body_over_the_limit_is_too_large() -> None:
    request = Request("", JSON, {}, b'{"a":1}')
    assert request.json_object(max_bytes=7) == {"a": 1}
    with pytest.raises(TooLarge) as refused:
        request.json_object(max_bytes=6)
    assert "6 bytes" in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "body", "error"),
    [
        pytest.param({}, b"{}", UnsupportedMediaType, id="no content type"),
        pytest.param(JSON | {"content-encoding": "gzip"}, b"{}", UnsupportedMediaType, id="compressed"),
        pytest.param(JSON, b"{", InvalidRequest, id="not JSON"),
        pytest.param(JSON, b'{"a":NaN}', InvalidRequest, id="NaN"),
        pytest.param(JSON, b"\xff", InvalidRequest, id="not UTF-8"),
        pytest.param(JSON, b"[" * 100_000, InvalidRequest, id="nested too deep"),
        pytest.param(JSON, b"[]", InvalidRequest, id="an array"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(
    headers: dict[str, str], body: bytes, error: type[InvalidRequest]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Request("", headers, {}, body).json_object(max_bytes=1_000_000)
    assert type(refused.value) is error


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        pytest.param(None, 102.5, id="no limit: the budget"),
        pytest.param(Context(10_000), 102.5, id="enough time: the budget"),
        pytest.param(Context(2_000), 101.5, id="little time: half a second before the function is stopped"),
        pytest.param(Context(1_000), 100.5, id="the least with which it begins"),
    ],
)
def test_an_answer_is_due_within_the_budget_and_before_the_function_is_stopped(
    context: Context | None, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    assert deadline(context, 2.5) == expected


def test_a_request_without_enough_time_left_is_refused() -> None:
    with pytest.raises(OutOfTime):
        deadline(Context(int(MIN_LEFT * 1000) - 1), 2.5)


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        pytest.param(Unauthorized("the cause"), 401, UNAUTHORIZED, id="no valid credential"),
        pytest.param(CredentialMissing("the cause"), 401, UNAUTHORIZED, id="no credential"),
        pytest.param(TooLarge("over 5 bytes"), 413, {"error": "over 5 bytes"}, id="too large"),
        pytest.param(UnsupportedMediaType("send JSON"), 415, {"error": "send JSON"}, id="not JSON"),
        pytest.param(InvalidRequest("no name"), 400, {"error": "no name"}, id="not usable"),
        pytest.param(NotFound("Amazon answered 404", status=404), 400, {"error": "Amazon answered 404"}, id="Amazon's"),
        pytest.param(
            InvalidAudience([SettingFault("ttl", "1 to 397 days", "shorten it")]),
            400,
            {
                "error": "these settings need attention: ttl",
                "faults": [{"field": "ttl", "allowed": "1 to 397 days", "remedy": "shorten it"}],
            },
            id="settings",
        ),
    ],
)
def test_a_request_error_is_answered_with_its_status(
    error: AudienceSyncError, status: int, body: dict[str, Any]
) -> None:
    answered = error_answer(error)
    assert (answered["statusCode"], json.loads(answered["body"])) == (status, body)
    assert "Retry-After" not in answered["headers"]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        pytest.param(Unavailable("the queue, in detail"), RETRY_AFTER, id="no time given"),
        pytest.param(Throttled("slow down", retry_after=2.0), RETRY_AFTER, id="a short time"),
        pytest.param(Throttled("slow down", retry_after=30.2), 31, id="a long time, rounded up"),
        pytest.param(AudienceSyncError("not expected"), RETRY_AFTER, id="any other error"),
    ],
)
def test_an_internal_failure_is_a_503_with_retry_after_and_no_details(error: AudienceSyncError, seconds: int) -> None:
    answered = error_answer(error)
    assert (answered["statusCode"], answered["headers"]["Retry-After"]) == (503, str(seconds))
    assert json.loads(answered["body"]) == {"error": "temporarily unavailable"}


def test_an_answer_is_json_and_not_cacheable() -> None:
    assert answer(200, {"a": [1, 2]}, {"X": "y"}) == {
        "statusCode": 200,
        "headers": {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X": "y",
        },
        "body": '{"a":[1,2]}',
    }
