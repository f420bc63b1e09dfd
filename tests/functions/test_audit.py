"""The books, closed on what the functions have really counted: CloudWatch gets their metrics as AWS hands them on."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from audience_sync.aws.checkpoint import AUDIT, Checkpoint
from audience_sync.errors import Unavailable
from audience_sync.operations.audit import HOUR, STEP
from functions.audit import handler
from local import metrics
from local.sample_profiles import Person, audience_event
from tests.functions.conftest import AUDIENCE, Cloud, Context
from tests.functions.test_ingest import post
from tests.functions.test_worker import deliver

AGO = 3 * HOUR  # seconds; the changes of these tests were accepted so long ago


def event(number: int, *, enters: bool = True) -> dict[str, Any]:
    at = datetime.now(UTC)
    key = "lapsed_premium_buyers"
    return audience_event(Person(number), enters=enters, at=at, audience_id=AUDIENCE.audience_id, key=key)


@pytest.fixture
def books(cloud: Cloud, printed: Callable[[], str]) -> "DeliveryContext":
    return DeliveryContext(cloud, printed)


class DeliveryContext:
    """What is counted, and the audit."""

    def __init__(self, cloud: Cloud, printed: Callable[[], str]) -> None:
        self.cloud, self.printed = cloud, printed
        self.checkpoint = Checkpoint(cloud.client("dynamodb"), cloud.name_of("MembershipTable"), AUDIT)

    def accept(self, *events: dict[str, Any]) -> None:
        """Have ingest accept some events."""
        status, answer = post(self.cloud, json.dumps(events).encode())
        assert (status, answer["accepted"]) == (200, len(events))

    def carry(self) -> None:
        """Let CloudWatch have what was printed, as of AGO."""
        lines = [json.loads(line) for line in self.printed().splitlines() if '"_aws"' in line]
        for line in lines:
            line["_aws"]["Timestamp"] -= AGO * 1000
            # Powertools has read the stack's name when it was imported, before any function's environment was there.
            line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] = [["service"]]
            line["service"] = self.cloud.template.resolve({"Ref": "AWS::StackName"})
        metrics.put(self.cloud.client("cloudwatch"), map(json.dumps, lines))

    def put(self, namespace: str, name: str, dimension: tuple[str, str], value: float, ago: float) -> None:
        """Let CloudWatch have a metric of AWS's own."""
        metric = {
            "MetricName": name,
            "Dimensions": [{"Name": dimension[0], "Value": dimension[1]}],
            "Timestamp": time.time() - ago,
            "Value": value,
        }
        self.cloud.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[metric])

    def audit(self, *, opened: float = AGO + HOUR) -> dict[str, Any]:
        """Close the books that were opened so many seconds ago."""
        self.checkpoint.advance(int(time.time() - opened) // STEP * STEP)
        self.cloud.enter("AuditFunction")
        return handler.lambda_handler({"source": "aws.events"}, Context())


def test_every_change_is_accounted_for_when_all_have_been_delivered(books: DeliveryContext) -> None:
    books.accept(event(1), event(2), event(2, enters=False))
    assert deliver(books.cloud) == []
    books.carry()
    assert books.audit()["missing"] == 0


def test_a_message_that_disappears_from_the_queue_is_a_gap(books: DeliveryContext) -> None:
    books.accept(event(1), event(2), event(2, enters=False))
    books.cloud.client("sqs").purge_queue(QueueUrl=books.cloud.name_of("ChangeQueue"))
    books.accept(event(3))
    assert deliver(books.cloud) == []
    books.carry()
    assert books.audit()["missing"] == 2, "the third change of the request was superseded in it"
    text = books.printed().replace(" ", "")
    assert '"AccountingGap":[2.0]' in text
    assert '"changes":2' in text


def test_a_gap_is_told_once(books: DeliveryContext) -> None:
    books.accept(event(1))
    books.carry()
    assert books.audit()["missing"] == 1
    again = books.audit()
    assert (again["missing"], again["reconciledUntil"]) == (0, books.checkpoint.time())


@pytest.mark.parametrize(
    ("namespace", "name", "dimension", "value"),
    [
        pytest.param("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", AGO + HOUR, id="it waits in the queue"),
        pytest.param("AudienceSync", "OldestDeferredChangeAge", "service", AGO + HOUR, id="it was put off"),
        pytest.param("AWS/Lambda", "Errors", "FunctionName", 1, id="a worker crashed, perhaps over it"),
        pytest.param("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", 1, id="delivery is paused"),
    ],
)
def test_what_may_still_be_waiting_is_no_gap(
    books: DeliveryContext, namespace: str, name: str, dimension: str, value: float
) -> None:
    books.accept(event(1))
    books.carry()
    names = {
        "QueueName": books.cloud.template.resolve({"Fn::GetAtt": ["ChangeQueue", "QueueName"]}),
        "FunctionName": books.cloud.name_of("WorkerFunction"),
        "service": books.cloud.template.resolve({"Ref": "AWS::StackName"}),
    }
    books.put(namespace, name, (dimension, names[dimension]), value, ago=60)
    closed = books.audit()
    assert closed["missing"] == 0
    assert closed["reconciledUntil"] <= time.time() - AGO


def test_a_change_that_was_put_off_again_and_again_counts_where_it_was_accepted(books: DeliveryContext) -> None:
    books.accept(event(1))
    books.cloud.fault("/amc/audiences/records", {"status": 503})
    (back,) = deliver(books.cloud)
    first_at = json.loads(back)["firstAt"]
    assert abs(first_at / 1000 - time.time()) < 60
    assert '"OldestDeferredChangeAge"' in (told := books.printed())
    books.cloud.client("sqs").purge_queue(QueueUrl=books.cloud.name_of("ChangeQueue"))
    assert deliver(books.cloud, back) == []
    ended = [json.loads(line) for line in books.printed().splitlines() if '"ChangesCompleted"' in line]
    assert [line["_aws"]["Timestamp"] for line in ended] == [first_at // 60_000 * 60_000]
    assert '"ChangesCompleted"' not in told.partition('"OldestDeferredChangeAge"')[2]


def test_how_far_the_books_are_behind_is_told(books: DeliveryContext) -> None:
    books.accept(event(1))
    books.carry()
    function = ("FunctionName", books.cloud.name_of("WorkerFunction"))
    books.put("AWS/Lambda", "Errors", function, 1, ago=60)
    closed = books.audit()
    (told,) = [json.loads(line) for line in books.printed().splitlines() if '"AuditLagSeconds"' in line]
    assert told["AuditLagSeconds"][0] == pytest.approx(time.time() - closed["reconciledUntil"], abs=60)
    assert told["AuditLagSeconds"][0] > AGO - STEP


def test_the_books_begin_with_the_first_run(books: DeliveryContext) -> None:
    books.cloud.enter("AuditFunction")
    begun = handler.lambda_handler({}, Context())
    assert begun["missing"] == 0
    assert 0 < begun["reconciledUntil"] - time.time() <= STEP
    assert books.checkpoint.time() == begun["reconciledUntil"]
    assert handler.lambda_handler({}, Context()) == begun


def test_books_that_nobody_closed_for_a_month_are_closed_as_far_back_as_counts_go(books: DeliveryContext) -> None:
    assert books.audit(opened=31 * 24 * HOUR)["reconciledUntil"] > time.time() - 3 * HOUR


def test_a_store_that_does_not_answer_leaves_the_books_as_they_are(books: DeliveryContext) -> None:
    books.cloud.enter("AuditFunction", AWS_ENDPOINT_URL_CLOUDWATCH="http://127.0.0.1:9")
    books.checkpoint.advance(STEP)
    with pytest.raises(Unavailable, match="CloudWatch does not answer"):
        handler.lambda_handler({}, Context())
    assert books.checkpoint.time() == STEP


def test_the_mark_never_goes_back(books: DeliveryContext) -> None:
    assert books.checkpoint.time() is None
    books.checkpoint.advance(2 * STEP)
    books.checkpoint.advance(STEP)
    assert books.checkpoint.time() == 2 * STEP
