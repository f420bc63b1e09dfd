"""The ingest handler, with events as API Gateway sends them."""

import base64
import gc
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.members.membership import EVERY_AUDIENCE
from audience_sync.reasons import Reason
from audience_sync.runtime.api_gateway import UNAUTHORIZED
from functions.ingest import handler
from local.sample_profiles import Person, audience_event, segment_request
from local.template import ROOT
from tests.support.cloud import AUDIENCE, EVENT_KEY, SIGNING_SECRET, Cloud, Context
from tests.support.long_timeouts import LONG_CONTEXT, LONG_TIMEOUT, client
from tests.support.steps import counted_steps

EXAMPLES = ROOT / "events/segment"
ENTERED = (EXAMPLES / "01-track-entered-full-pii.json").read_bytes()
EXITED = (EXAMPLES / "02-track-exited-full-pii.json").read_bytes()
JSON = {"content-type": "application/json"}
WITH_KEY = JSON | {"authorization": f"Bearer {EVENT_KEY}"}
FORM = WITH_KEY | {"content-type": "text/plain"}


def http(
    body: bytes, headers: dict[str, str], *, route: str = "POST /v1/events", encode: bool = False
) -> dict[str, Any]:
    text = base64.b64encode(body).decode() if encode else body.decode()
    return {"version": "2.0", "routeKey": route, "headers": headers, "body": text, "isBase64Encoded": encode}


def post(
    cloud: Cloud,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    context: Context | None = None,
    encode: bool = False,
    **variables: str,
) -> tuple[int, dict[str, Any]]:
    cloud.enter("IngestFunction", **variables)
    event = http(body, WITH_KEY if headers is None else headers, encode=encode)
    answer = handler.lambda_handler(event, context or Context())
    assert len(answer["body"]) < 8000
    return answer["statusCode"], json.loads(answer["body"])


def people(count: int) -> list[dict[str, Any]]:
    at = datetime.now(UTC)
    return [
        audience_event(Person(n), enters=True, at=at, audience_id=AUDIENCE.audience_id, key="lapsed_premium_buyers")
        for n in range(count)
    ]


def test_an_accepted_request_logs_at_most_0_3_kb(cloud: Cloud, printed: Callable[[], str]) -> None:
    post(cloud, ENTERED)
    printed()
    post(cloud, ENTERED)
    (line,) = [line for line in printed().splitlines() if '"_aws"' in line]
    assert len(line) < 0.3 * 1024 - 26 < len(line) + 80, "bytes; CloudWatch adds 26 to each line"


def test_an_accepted_change_is_queued_with_hashed_identifiers(cloud: Cloud) -> None:
    status, answer = post(cloud, ENTERED)
    assert (status, answer) == (200, {"accepted": 1, "ignored": 0, "rejected": 0, "rejections": []})
    (message,) = cloud.messages()
    assert (message["v"], message["audienceId"], message["connectionId"]) == (1, AUDIENCE.audience_id, None)
    (change,) = message["changes"]
    assert change["record"]["hashedPII"][0]["email"] == hashlib.sha256(b"maya.okafor@example.com").hexdigest()


@pytest.fixture
def thresholds_of_python() -> Iterator[None]:
    """Those of the garbage collector as a new process has them, not as the tests run with."""
    thresholds = gc.get_threshold()
    gc.set_threshold(2_000, 10, 10)
    yield
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("thresholds_of_python")
def test_the_garbage_collector_does_not_run_during_a_request(cloud: Cloud) -> None:
    post(cloud, ENTERED)
    body = json.dumps(people(500)).encode()
    runs: list[str] = []

    def note(phase: str, _: dict[str, int]) -> None:
        runs.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        assert post(cloud, body)[1]["accepted"] == 500
    finally:
        gc.callbacks.remove(note)
    assert runs == []


def test_a_base64_encoded_body_is_decoded(cloud: Cloud) -> None:
    assert post(cloud, ENTERED, encode=True)[0] == 200


def test_a_signed_event_needs_no_key(cloud: Cloud) -> None:
    signature = hmac.new(SIGNING_SECRET.encode(), ENTERED, hashlib.sha1).hexdigest()
    assert post(cloud, ENTERED, JSON | {"x-signature": signature})[0] == 200


def test_work_grows_linearly_with_the_number_of_events(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "BUDGET", LONG_TIMEOUT)
    monkeypatch.setattr(handler, "client", client)
    body, headers = segment_request(people(1000), EVENT_KEY, SIGNING_SECRET)
    post(cloud, ENTERED)  # makes the function warm
    event = http(body, headers)
    with counted_steps() as steps:
        answer = handler.lambda_handler(event, LONG_CONTEXT)
    assert steps.lines < 1000 * 3_000, "lines of Python; some 800 for each event"
    assert len(cloud.messages()) < 10, "and few messages"
    assert json.loads(answer["body"])["accepted"] == 1000
    assert len({change["record"]["externalUserId"] for change in cloud.changes()}) == 1001


@pytest.mark.parametrize(
    ("body", "headers", "status", "error", "reason"),
    [
        pytest.param(b"{", WITH_KEY, 400, "the body is not JSON", "invalid_request", id="malformed JSON"),
        pytest.param(b" \n", WITH_KEY, 400, "the body is empty", "invalid_request", id="empty body"),
        pytest.param(b"[]", WITH_KEY, 400, "an empty array", "invalid_request", id="empty array"),
        pytest.param(b" " * 5_000_000, WITH_KEY, 413, "over 4500000 bytes", "too_large", id="5 MB"),
        pytest.param(ENTERED, FORM, 415, "application/json", "unsupported_media_type", id="wrong type"),
        pytest.param(ENTERED, JSON, 401, "unauthorized", "", id="no credential"),
        pytest.param(b" " * 5_000_000, JSON, 401, "unauthorized", "", id="no credential, and 5 MB"),
        pytest.param(ENTERED, {"content-type": "text/plain"}, 401, "unauthorized", "", id="no credential, wrong type"),
        pytest.param(b"{", JSON | {"x-api-key": "wrong"}, 401, "unauthorized", "", id="wrong key, and nothing parsed"),
    ],
)
def test_an_invalid_request_gets_a_4xx_that_names_the_fault_and_counts_as_rejected_if_its_sender_may_send(
    cloud: Cloud, printed: Callable[[], str], body: bytes, headers: dict[str, str], status: int, error: str, reason: str
) -> None:
    got, answer = post(cloud, body, headers)
    assert got == status
    assert error in answer["error"]
    assert cloud.messages() == []
    output = printed()
    rejected = {name: value for name, value in counted(output).items() if name.startswith("EventsRejected")}
    assert rejected == ({"EventsRejected": 1.0, "EventsRejectedByReason": 1.0} if reason else {})
    sums = [line["by_reason"] for line in map(json.loads, output.splitlines()) if "by_reason" in line]
    assert sums == ([{reason: 1}] if reason else []), "`audience-sync rejections` reads it"
    assert all(Reason(reason).remedy for each in sums for reason in each)


def test_a_rejected_event_gets_400_so_that_segment_does_not_retry_and_its_reason_is_logged(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    status, answer = post(cloud, (EXAMPLES / "08-track-email-as-userid.json").read_bytes())
    assert (status, answer["accepted"], answer["rejected"]) == (400, 0, 1)
    (rejection,) = answer["rejections"]
    assert (rejection["index"], rejection["reason"]) == (0, "member_id_invalid")
    assert "@sha256" in rejection["detail"]
    (line,) = [json.loads(each) for each in printed().splitlines() if '"event rejected"' in each]
    assert (line["message_id"], line["reason"], line["detail"]) == (
        rejection["messageId"],
        rejection["reason"],
        rejection["detail"],
    )


def test_the_log_counts_identities_beyond_amazons_limit(cloud: Cloud, printed: Callable[[], str]) -> None:
    event = json.loads((EXAMPLES / "01-track-entered-full-pii.json").read_bytes())
    event["context"]["traits"]["email"] = [f"{number}@example.com" for number in range(103)]
    assert post(cloud, json.dumps(event).encode())[0] == 200
    (line,) = [json.loads(each) for each in printed().splitlines() if '"identities left out"' in each]
    assert (line["level"], line["identities"]) == ("WARNING", 3)


def test_a_denial_of_consent_is_accepted_and_counted_as_consent_denied(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    denies = (EXAMPLES / "11-track-eu-consent-denied.json").read_bytes()
    status, answer = post(cloud, denies)
    assert (status, answer) == (
        200,
        {"accepted": 1, "ignored": 0, "rejected": 0, "rejections": [], "consentDenied": 1},
    )
    (message,) = cloud.messages()
    assert message["audienceId"] == EVERY_AUDIENCE
    lines = [json.loads(line) for line in printed().splitlines()]
    (each,) = [line for line in lines if line.get("message") == "consent denied"]
    assert (each["reason"], each["message_id"]) == ("consent_denied", json.loads(denies)["messageId"])
    (total,) = [line for line in lines if line.get("message") == "events rejected"]
    assert (total["rejected"], total["by_reason"]) == (0, {"consent_denied": 1})
    assert [line["EventsRejectedByReason"] for line in lines if line.get("reason") and "_aws" in line] == [[1.0]]


def test_an_event_that_one_audience_of_a_shared_key_rejects_is_accepted_and_counted_as_partly_rejected(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    table = cloud.audiences
    another = replace(AUDIENCE, audience_id="7", also=True)
    for each in (another, replace(another, audience_id="d-1", destination=ads_data_manager())):
        table.put(each, created=0)
    status, answer = post(cloud, ENTERED)
    assert (status, answer["accepted"], answer["rejected"], answer["partlyRejected"]) == (200, 1, 0, 1)
    (rejection,) = answer["rejections"]
    assert (rejection["audienceId"], rejection["reason"]) == ("d-1", "consent_missing")
    assert sorted(message["audienceId"] for message in cloud.messages()) == [AUDIENCE.audience_id, "7"]
    lines = [json.loads(line) for line in printed().splitlines()]
    (each,) = [line for line in lines if line.get("message") == "event rejected"]
    assert (each["audience_id"], each["reason"]) == ("d-1", "consent_missing")
    (total,) = [line for line in lines if line.get("message") == "events rejected"]
    assert (total["rejected"], total["partly_rejected"], total["by_reason"]) == (0, 1, {"consent_missing": 1})
    assert [line["EventsRejectedByReason"] for line in lines if line.get("reason") and "_aws" in line] == [[1.0]]


def test_an_enter_over_33_days_old_is_rejected_by_default(cloud: Cloud) -> None:
    status, answer = post(cloud, ENTERED, ACCEPT_OLD_EVENTS="no")
    assert (status, answer["rejections"][0]["reason"]) == (400, "time_too_old")
    assert cloud.messages() == []
    assert post(cloud, EXITED, ACCEPT_OLD_EVENTS="no")[0] == 200
    assert post(cloud, ENTERED, ACCEPT_OLD_EVENTS="yes")[0] == 200


def test_all_rejections_are_counted_and_the_first_20_are_listed(cloud: Cloud) -> None:
    bad = [event | {"userId": "not an id"} for event in people(300)]
    status, answer = post(cloud, json.dumps(bad + people(1)).encode())
    assert (status, answer["accepted"], answer["rejected"], len(answer["rejections"])) == (200, 1, 300, 20)


def test_an_unreadable_secret_gets_503_with_a_credential_and_401_without_one(cloud: Cloud) -> None:
    cloud.put_secret("IngestSecret", "not json")
    assert post(cloud, ENTERED) == (503, {"error": "temporarily unavailable"})
    assert post(cloud, ENTERED, JSON) == (401, UNAUTHORIZED)


def counted(printed: str) -> dict[str, float]:
    """The metrics that a function has printed."""
    metrics = [json.loads(line) for line in printed.splitlines() if line.startswith('{"_aws"')]
    return {name: values[0] for each in metrics for name, values in each.items() if isinstance(values, list)}


@pytest.mark.parametrize(
    ("headers", "metrics"),
    [
        pytest.param({"user-agent": "curl/8.5.0"}, ["RequestsWithoutCredential"], id="a scanner"),
        pytest.param({"x-api-key": "a-wrong-key-of-good-length"}, ["RequestsUnauthorized"], id="a wrong key"),
        pytest.param({"x-signature": "0" * 40}, ["RequestsUnauthorized"], id="a wrong signature"),
        pytest.param(
            {"user-agent": "Segment (Actions)"},
            ["RequestsUnauthorized", "RequestsWithoutCredential"],
            id="a mapping that has lost its header",
        ),
        pytest.param(
            {"user-agent": "Segment.io/1.0"},
            ["RequestsUnauthorized", "RequestsWithoutCredential"],
            id="a classic destination that has lost its header",
        ),
    ],
)
def test_wrong_and_missing_credentials_have_separate_metrics_and_segment_counts_in_both(
    cloud: Cloud, printed: Callable[[], str], headers: dict[str, str], metrics: list[str]
) -> None:
    assert post(cloud, ENTERED, JSON | headers)[0] == 401
    assert sorted(counted(printed())) == metrics


def test_a_request_from_outside_allowed_sources_is_refused_before_the_secret_is_read(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    cloud.put_secret("IngestSecret", "not json: reading it would be a 503")
    cloud.enter("IngestFunction", ALLOWED_SOURCES="192.0.2.0/24")
    request = http(ENTERED, WITH_KEY) | {"requestContext": {"http": {"sourceIp": "198.51.100.7"}}}
    answer = handler.lambda_handler(request, Context())
    assert (answer["statusCode"], json.loads(answer["body"])) == (401, UNAUTHORIZED)
    output = printed()
    assert counted(output) == {"RequestsWithoutCredential": 1.0, "RequestsFromOtherSources": 1.0}
    assert [line for line in output.splitlines() if not line.startswith('{"_aws"')] == [], "no line for each request"


def test_a_request_from_an_allowed_address_still_needs_a_credential(cloud: Cloud) -> None:
    cloud.enter("IngestFunction", ALLOWED_SOURCES="192.0.2.0/24")
    context = {"requestContext": {"http": {"sourceIp": "192.0.2.7"}}}
    assert handler.lambda_handler(http(ENTERED, WITH_KEY) | context, Context())["statusCode"] == 200
    assert handler.lambda_handler(http(ENTERED, JSON) | context, Context())["statusCode"] == 401


def test_every_use_of_a_previous_key_is_counted_and_any_key_is_logged_once_an_hour(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    previous = "event-key-of-last-month-2"
    cloud.put_secret("IngestSecret", {"eventKey": EVENT_KEY, "previousEventKey": previous})
    assert post(cloud, ENTERED, JSON | {"x-api-key": previous})[0] == 200
    for key in (previous, EVENT_KEY, EVENT_KEY):
        assert handler.lambda_handler(http(ENTERED, JSON | {"x-api-key": key}), Context())["statusCode"] == 200
    lines = [json.loads(line) for line in printed().splitlines()]
    used = [line["entry"] for line in lines if line.get("message") == "credential used"]
    assert used == ["previousEventKey", "eventKey"]
    assert sum(sum(line.get("PreviousEventKeyUsed", [])) for line in lines) == 2


@pytest.mark.parametrize(("days_left", "counted"), [pytest.param(60, 0, id="later"), pytest.param(7, 1, id="soon")])
def test_a_source_key_that_expires_soon_is_counted_once_an_hour(
    cloud: Cloud, printed: Callable[[], str], days_left: int, counted: int
) -> None:
    key, last = "an-event-key-of-emea-0001", datetime.now(UTC).date() + timedelta(days=days_left)
    of_source = {"eventKey.emea": {"key": key, "expiresOn": last.isoformat()}}
    cloud.put_secret("IngestSecret", {"eventKey": EVENT_KEY} | of_source)
    assert post(cloud, ENTERED, JSON | {"x-api-key": key})[0] == 200
    for each in (key, EVENT_KEY):
        assert handler.lambda_handler(http(ENTERED, JSON | {"x-api-key": each}), Context())["statusCode"] == 200
    lines = [json.loads(line) for line in printed().splitlines()]
    assert sum(sum(line.get("SourceKeyExpiring", [])) for line in lines) == counted


def test_health_needs_no_credential(cloud: Cloud) -> None:
    answer = handler.lambda_handler(http(b"", {}, route="GET /v1/health"), Context())
    assert (answer["statusCode"], cloud.messages()) == (200, [])


def test_a_missing_environment_variable_is_named_in_the_log(cloud: Cloud, printed: Callable[[], str]) -> None:
    cloud.enter("IngestFunction")
    cloud.monkeypatch.delenv("AUDIENCE_TABLE")
    assert handler.lambda_handler(http(ENTERED, WITH_KEY), Context())["statusCode"] == 503
    assert "missing or invalid in the environment: AUDIENCE_TABLE" in printed()
