"""The worker, with events as Lambda's poller makes them."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from botocore.exceptions import EndpointConnectionError

from audience_sync.aws.clients import client
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync.delivery.backoff import backoff
from audience_sync.delivery.context import Message
from audience_sync.delivery.stopping import RETURN_BEFORE, returned_if_stopped
from functions.worker import handler
from tests.support.cloud import AUDIENCE, CREDENTIALS, Cloud, Context
from tests.support.invocations import EMAIL, body, change, deliver
from tests.support.waiting import wait_until


def test_a_change_becomes_a_member(cloud: Cloud) -> None:
    assert deliver(cloud, body(change("cust_1"))) == []
    assert cloud.members()["cust_1"]["identifiers"] == {"email": [EMAIL]}


def test_the_log_separates_failed_uploads_from_parked_changes(cloud: Cloud, printed: Callable[[], str]) -> None:
    bad = change("cust_2")
    bad["record"]["hashedPII"] = [{"email": "not-a-digest"}]
    deliver(cloud, body(change("cust_1"), bad), "{")
    (line,) = [line for line in map(json.loads, printed().splitlines()) if line.get("message") == "delivery incomplete"]
    assert line["uploads_failed"] == {"request_rejected": 2}, "the whole upload, and the bad record alone"
    assert line["parked"] == {"request_rejected": 1, "message_not_json": 1}
    assert (line["deferred"], line["audience_ids"]) == ([], [AUDIENCE.audience_id])


def test_a_damaged_row_is_named_and_counted_and_holds_back_nobody_else(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    key = Sharding().key_of((AUDIENCE.audience_id, "cust_1"))
    damaged = {**key, "version": {"S": "1"}, "member": {"B": b"{}"}}
    cloud.client("dynamodb").put_item(TableName=cloud.name_of("MembershipTable"), Item=damaged)
    deliver(cloud, body(change("cust_1"), change("cust_2")))
    assert [*cloud.members()] == ["cust_2"]
    lines = [*map(json.loads, printed().splitlines())]
    (line,) = [line for line in lines if line.get("message") == "membership rows cannot be read"]
    assert (line["rows"], line["damaged"]) == ([{name: value["S"] for name, value in key.items()}], 1)
    assert [line["RowsUnreadable"] for line in lines if "RowsUnreadable" in line] == [[1.0]]


def test_an_unknown_field_of_a_record_is_reported_and_not_sent(cloud: Cloud, printed: Callable[[], str]) -> None:
    newer = change("cust_1")
    newer["record"]["measurements"] = [{"value": "of a later version, or a stranger's"}]
    assert deliver(cloud, body(newer, change("cust_2"))) == []
    listed = requests.get(f"{cloud.amazon_url}/sandbox/requests?since=0", timeout=60).json()
    (upload,) = [each["body"] for each in listed if each["path"] == "/amc/audiences/records"]
    assert [sorted(each) for each in upload["records"]] == [
        ["action", "countryCode", "externalUserId", "hashedPII"]
    ] * 2
    (line,) = [line for line in map(json.loads, printed().splitlines()) if "unknown fields" in line.get("message", "")]
    assert (line["level"], line["by_audience"]) == ("WARNING", {AUDIENCE.audience_id: 1})


def test_a_transient_error_defers_changes_and_logs_a_warning(cloud: Cloud, printed: Callable[[], str]) -> None:
    cloud.fault("/amc/audiences/records", {"status": 503})
    message = body(change("cust_1"))
    assert deliver(cloud, message) == [message]
    assert cloud.messages("DeadLetterQueue") == []
    (line,) = [line for line in map(json.loads, printed().splitlines()) if line.get("message") == "delivery incomplete"]
    assert (line["uploads_failed"], line["parked"]) == ({"service_unavailable": 1}, {})
    assert (line["deferred"], line["audience_ids"]) == (["service_unavailable"], [AUDIENCE.audience_id])
    assert (line["level"], time.time() - 600 < line["waits_since"] <= time.time() + 1) == ("WARNING", True)


def test_running_out_of_time_is_logged_without_a_warning(cloud: Cloud, printed: Callable[[], str]) -> None:
    message = body(change("cust_1"))
    assert deliver(cloud, message, context=Context(milliseconds=2_000)) == [message], "no time for an upload"
    (line,) = [line for line in map(json.loads, printed().splitlines()) if line.get("message") == "delivery incomplete"]
    assert (line["level"], line["deferred"]) == ("INFO", ["out_of_time"])


def test_messages_return_to_the_queue_when_an_invocation_is_stopped(cloud: Cloud) -> None:
    sqs, url, name = cloud.client("sqs"), cloud.name_of("ChangeQueue"), cloud.name_of("ChangeQueue")
    sqs.send_message(QueueUrl=url, MessageBody=body(change("cust_1")))
    since = time.time()
    (received,) = sqs.receive_message(QueueUrl=url)["Messages"]
    queue = Queue(sqs, url, time.monotonic)
    message = Message(received["MessageId"], received["ReceiptHandle"], received["Body"], 1, 0)
    with returned_if_stopped(queue, [message], Clock(), time.monotonic()):
        until = wait_until(lambda: cloud.queues.find(name).next_change() or 0.0, lambda due: due - since < 600)
    assert until == 0.0 or until - since >= backoff(1, 1.0) > RETURN_BEFORE


def test_a_throttled_message_stays_invisible_for_as_long_as_retry_after_says(cloud: Cloud) -> None:
    cloud.fault("/amc/audiences/records", {"status": 429, "headers": {"Retry-After": "2"}})
    deliver(cloud, body(change("cust_1")))
    counts = cloud.queues.counts(cloud.name_of("ChangeQueue"))
    assert (counts.visible, counts.in_flight) == (0, 1)
    (returned,) = cloud.client("sqs").receive_message(QueueUrl=cloud.name_of("ChangeQueue"), WaitTimeSeconds=10)[
        "Messages"
    ]
    assert json.loads(returned["Body"])["changes"][0]["record"]["externalUserId"] == "cust_1"


def test_logs_contain_ids_and_counts_but_no_identifier_and_no_secret(cloud: Cloud, printed: Callable[[], str]) -> None:
    bad = change("cust_2")
    bad["record"]["hashedPII"] = [{"email": "not-a-digest"}]
    deliver(cloud, body(change("cust_1"), bad))
    text = printed()
    assert AUDIENCE.audience_id in text
    assert "ChangesDelivered" in text
    assert not any(secret in text for secret in [*CREDENTIALS.values(), EMAIL, "not-a-digest", "Atza|"])
    assert all(json.loads(line) for line in text.splitlines())


def test_the_circuit_breaker_reads_its_state_with_a_one_second_timeout(cloud: Cloud) -> None:
    cloud.enter("WorkerFunction")
    config: Any = handler.dependencies().circuit_breakers._states.client.meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (1, 1.0, 1)


def test_no_secret_is_read_once_changes_have_gone_back(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is stopped over it has counted nothing, and its changes come twice."""
    deliver(cloud, body(change("cust_1", at=2)))
    called: list[str] = []

    def called_without_secrets(model: Any, **_: Any) -> None:
        called.append(model.name)
        if model.name == "GetSecretValue":
            raise EndpointConnectionError(endpoint_url="")

    def noting(service: str, **options: Any) -> Any:
        made = client(service, **options)
        made.meta.events.register("before-call", called_without_secrets)
        return made

    monkeypatch.setattr(handler, "client", noting)
    assert deliver(cloud, body(change("cust_1", exits=True), change("cust_2"))) == [], "cust_2 goes back in a copy"
    assert called[-1] == "SendMessageBatch"
    assert "GetSecretValue" in called
