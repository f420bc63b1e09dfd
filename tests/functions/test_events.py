"""The events handler, with messages of the event queue as Lambda hands them over."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.ingest import message_intake
from functions.events import handler
from tests.functions.test_ingest import ENTERED, EXAMPLES, EXITED, http, people, post
from tests.support.cloud import AUDIENCE, Cloud, Context

REJECTED = (EXAMPLES / "08-track-email-as-userid.json").read_bytes()
JAM = {"Id": "0", "Code": "InternalError", "SenderFault": False}


def records(*bodies: bytes, sent: float | None = None) -> dict[str, Any]:
    sent_at = str(round((time.time() if sent is None else sent) * 1000))
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "receiptHandle": f"receipt-{number}",
                "body": body.decode(),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": sent_at},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            }
            for number, body in enumerate(bodies)
        ]
    }


def receive(cloud: Cloud, *bodies: bytes, context: Context | None = None) -> list[int]:
    """Hand messages over, and return the numbers of those that stay in the queue."""
    cloud.enter("EventsFunction")
    answer = handler.lambda_handler(records(*bodies), context or Context(30_000))
    return [int(each["itemIdentifier"].removeprefix("message-")) for each in answer["batchItemFailures"]]


def dead(cloud: Cloud) -> list[tuple[str, dict[str, str]]]:
    found = cloud.queues.peek(cloud.name_of("EventsDeadLetterQueue"))
    return [(message.body, dict(message.attributes)) for message in found]


def metrics(printed: str) -> dict[str, int]:
    totals: dict[str, int] = {}
    for line in map(json.loads, printed.splitlines()):
        for each in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for name in (metric["Name"] for metric in each["Metrics"]):
                key = f"{name} {line['reason']}" if "reason" in line else name
                totals[key] = totals.get(key, 0) + round(sum(line[name]))
    return totals


def test_http_and_queue_make_the_same_changes_from_the_same_body(cloud: Cloud) -> None:
    batch = json.dumps([{"json": each} for each in people(3)]).encode()
    bodies = [ENTERED, EXITED, batch]
    for body in bodies:
        assert post(cloud, body)[0] == 200
    by_http = cloud.changes()
    assert receive(cloud, *bodies) == []
    assert cloud.changes()[len(by_http) :] == by_http
    assert len(cloud.messages()) == len(bodies) + 1, "they share a message"
    assert dead(cloud) == []


def test_a_message_needs_no_event_key_and_no_secret_is_read(cloud: Cloud) -> None:
    cloud.put_secret("IngestSecret", "not JSON")
    assert receive(cloud, ENTERED) == []
    assert len(cloud.changes()) == 1


def test_rejections_are_counted_and_logged_as_by_http(cloud: Cloud, printed: Callable[[], str]) -> None:
    post(cloud, REJECTED)
    by_http = printed()
    assert receive(cloud, REJECTED, ENTERED) == []
    at_queue = printed()
    reasons = {"EventsRejected": 1, "EventsRejectedByReason member_id_invalid": 1}
    assert metrics(by_http) == reasons
    assert metrics(at_queue) == reasons | {"EventsAccepted": 1, "ChangesAccepted": 1}
    one, other = (json.loads(line) for line in at_queue.splitlines() if '"event rejected"' in line)
    told = ("reason", "detail", "message_id")
    assert [one[name] for name in told] == [other[name] for name in told]
    assert "entryPoint" not in one
    assert other["entryPoint"] == "queue"
    assert dead(cloud) == [], "as by HTTP, a rejected event is not kept"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b'{"email": "maya.okafor@example.com"', "invalid_request", id="not JSON"),
        pytest.param(b'"maya.okafor@example.com"', "invalid_request", id="not an event"),
        pytest.param(b"[]", "invalid_request", id="no event"),
        pytest.param(b"[" + b"1," * 10_000 + b"1]", "too_large", id="10,001 events"),
        pytest.param(b"{" * handler.LARGEST_WITH_REASON, "invalid_request", id="the largest with a reason"),
        pytest.param(b"{" * 2**20, "invalid_request", id="the largest that SQS accepts"),
    ],
)
def test_a_body_that_no_retry_can_mend_goes_to_the_dead_letters_at_once(
    cloud: Cloud, printed: Callable[[], str], body: bytes, reason: str
) -> None:
    assert receive(cloud, ENTERED, body, EXITED) == []
    assert dead(cloud) == [(body.decode(), {"reason": reason} if len(body) < 2**20 else {})]
    assert len(cloud.changes()) == 2, "the messages beside it are taken in"
    shown = printed()
    assert metrics(shown) == {
        "EventsAccepted": 2,
        "ChangesAccepted": 2,
        "EventsRejected": 1,
        f"EventsRejectedByReason {reason}": 1,
    }
    (line,) = [json.loads(each) for each in shown.splitlines() if '"request refused"' in each]
    assert (line["reason"], line["entryPoint"]) == (reason, "queue")
    assert "maya" not in shown


def test_a_message_stays_if_one_of_its_changes_cannot_be_queued_and_queued_changes_are_counted(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, printed: Callable[[], str]
) -> None:
    other = replace(AUDIENCE, audience_id="418273650912345679")
    cloud.audiences.put(other, created=0)
    elsewhere = ENTERED.replace(AUDIENCE.audience_id.encode(), other.audience_id.encode())
    cloud.enter("EventsFunction")
    sqs: Any = handler.dependencies().dead_letters._client
    send = sqs.send_message_batch

    def jam_one(*, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803 - boto3's names
        passed = [each for each in Entries if other.audience_id not in each["MessageBody"]]
        return (send(QueueUrl=QueueUrl, Entries=passed) if passed else {}) | {"Failed": [JAM]}

    monkeypatch.setattr(sqs, "send_message_batch", jam_one)
    monkeypatch.setattr(handler, "CLOCK", handler.CLOCK._replace(now=lambda: 1_774_000_400.0))
    both = b"[%b,%b]" % (EXITED, elsewhere)
    answer = handler.lambda_handler(records(ENTERED, both, ENTERED, elsewhere, sent=1_774_000_000), Context(30_000))
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["message-1", "message-3"]
    assert len(cloud.changes()) == 3
    counted = {"EventsAccepted": 2, "ChangesAccepted": 3, "RequestsUnavailable": 2, "OldestFailedEventAge": 400}
    assert metrics(printed()) == counted


def test_changes_are_counted_before_the_next_are_queued_since_the_function_may_be_stopped_there(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, printed: Callable[[], str]
) -> None:
    cloud.enter("EventsFunction")
    monkeypatch.setattr(message_intake, "SENT_TOGETHER", 2)
    counted: list[int] = []
    handler.dependencies().dead_letters._client.meta.events.register(
        "before-call.sqs", lambda **_: counted.append(metrics(printed()).get("ChangesAccepted", 0))
    )
    handler.lambda_handler(records(*[ENTERED] * 5), Context(30_000))
    assert [*counted, metrics(printed())["ChangesAccepted"]] == [0, 2, 2, 1]


def test_a_message_that_cannot_be_put_among_the_dead_letters_stays_and_is_not_counted(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, printed: Callable[[], str]
) -> None:
    cloud.enter("EventsFunction")
    jammed: dict[str, Any] = {"Failed": [JAM]}
    monkeypatch.setattr(handler.dependencies().dead_letters._client, "send_message_batch", lambda **_: jammed)
    assert handler.lambda_handler(records(b"{"), Context(30_000))["batchItemFailures"] == [
        {"itemIdentifier": "message-0"}
    ]
    assert metrics(printed())["RequestsUnavailable"] == 1


def test_messages_stay_in_the_queue_when_time_runs_out(cloud: Cloud) -> None:
    assert receive(cloud, ENTERED, EXITED, context=Context(round(handler.RESERVE * 1000))) == [0, 1]
    assert (cloud.messages(), dead(cloud)) == ([], [])


def test_a_message_stays_in_the_queue_while_the_mappings_are_broken(cloud: Cloud) -> None:
    row = {"audienceId": {"S": "#mappings"}, "document": {"S": "no JSON"}}
    cloud.client("dynamodb").put_item(TableName=cloud.name_of("AudienceTable"), Item=row)
    assert receive(cloud, ENTERED) == [0]
    assert dead(cloud) == []


def test_a_message_delivered_twice_has_no_further_effect(cloud: Cloud) -> None:
    assert receive(cloud, ENTERED) == receive(cloud, ENTERED) == []
    once, twice = cloud.changes()
    assert once == twice, "the same id and time: the worker sends one of them, and counts the other as superseded"


def test_an_event_without_a_time_is_rejected_at_each_delivery_and_others_of_its_array_are_not(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    """Dated when read, it would be newer than an exit or a deletion notice that came while it waited."""
    dated = json.loads(ENTERED)
    undated = dated | {"timestamp": None, "originalTimestamp": "", "messageId": "m-undated"}
    del undated["receivedAt"]
    body = json.dumps([undated, dated, {"type": "delete", "userId": "u1", "messageId": "m-notice"}]).encode()
    assert receive(cloud, body, body) == []
    assert [change["at"] for change in cloud.changes()] == [1_772_615_722_118] * 2
    lines = [json.loads(line) for line in printed().splitlines() if '"event rejected"' in line]
    rejected = [("time_missing", each) for each in ("m-undated", "m-notice")]
    assert [(each["reason"], each["message_id"]) for each in lines] == rejected * 2
    assert "event queue has no timestamp; send the time of the change" in lines[0]["detail"]
    assert post(cloud, body)[1]["accepted"] == 3, "by HTTP nothing waits, so it happened now"


def test_the_queue_function_refuses_an_api_gateway_event(cloud: Cloud) -> None:
    cloud.enter("EventsFunction")
    with pytest.raises(Exception, match="KeyError"):
        handler.lambda_handler(http(ENTERED, {}), Context(30_000))


def test_the_event_that_the_guide_asks_of_other_senders_adds_a_member(cloud: Cloud) -> None:
    _, _, guide = (EXAMPLES.parents[1] / "docs/queue.md").read_text().partition("```json\n")
    assert receive(cloud, guide.partition("```")[0].encode()) == []
    (change,) = cloud.changes()
    assert (change["record"]["externalUserId"], change["record"]["action"]) == ("u_4711", "CREATE")
