"""What became of uploads, from the worker's message to the dead letter and the metrics."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from audience_sync.operations.job_tracking import MIN_TIME_PER_CHECK
from functions.jobs import handler
from tests.functions.conftest import AUDIENCE, Cloud, Context
from tests.functions.test_worker import body, change, deliver


def job_messages(cloud: Cloud) -> list[dict[str, Any]]:
    return [json.loads(message.body) for message in cloud.queues.peek(cloud.name_of("JobQueue"))]


def look(cloud: Cloud, *, milliseconds: int = 180_000, **variables: str) -> list[str]:
    """Hand the waiting job messages to the function. Returns the ids of those that must come back."""
    records = [
        {"messageId": message.id, "receiptHandle": "h", "body": message.body, "attributes": {}}
        for message in cloud.queues.peek(cloud.name_of("JobQueue"))
    ]
    cloud.enter("JobsFunction", **variables)
    answer = handler.lambda_handler({"Records": records}, Context(milliseconds))
    return [entry["itemIdentifier"] for entry in answer["batchItemFailures"]]


def test_an_upload_is_followed_up_with_its_members(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1"), change("cust_2")))
    (told,) = job_messages(cloud)
    assert (told["audienceId"], told["members"]) == (AUDIENCE.audience_id, ["cust_1", "cust_2"])
    counts = cloud.queues.counts(cloud.name_of("JobQueue"))
    assert (counts.visible, counts.delayed) == (0, 1), "not before the job can have ended"


def test_a_job_that_ended_well_publishes_the_sizes(cloud: Cloud, printed: Callable[[], str]) -> None:
    deliver(cloud, body(change("cust_1")))
    assert look(cloud) == []
    text = printed()
    assert '"JobsEnded":[1.0]' in text.replace(" ", "")
    assert '"AudienceProcessed":[100.0]' in text.replace(" ", "")
    assert "AudienceReceived" in text
    assert cloud.messages("DeadLetterQueue") == []


def test_a_record_that_the_job_rejected_is_parked_and_counted_over(cloud: Cloud, printed: Callable[[], str]) -> None:
    cloud.fault("/amc/audiences/records", {"job": {"failed": ["cust_2"]}})
    deliver(cloud, body(change("cust_1"), change("cust_2")))
    printed()
    assert look(cloud) == []
    (letter,) = cloud.messages("DeadLetterQueue")
    assert letter["changes"][0]["record"]["externalUserId"] == "cust_2"
    assert letter["failure"]["reason"] == "job_rejected"
    text = printed().replace(" ", "")
    assert '"ChangesDelivered":[-1.0]' in text
    assert '"ChangesParked":[1.0]' in text


@pytest.mark.parametrize("status", [400, 403])
def test_a_job_that_amazon_does_not_show_is_asked_for_again_and_the_others_are_looked_at(
    cloud: Cloud, printed: Callable[[], str], status: int
) -> None:
    for member in ("cust_1", "cust_2"):
        deliver(cloud, body(change(member)))
    printed()
    cloud.fault("/amc/audiences/records/*", {"status": status})
    assert len(look(cloud)) == 1
    assert '"JobsEnded":[1.0]' in printed().replace(" ", "")


def test_while_amazon_is_down_the_question_waits(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1")))
    cloud.fault("/amc/audiences/records/*", {"status": 503}, times=9)
    assert len(look(cloud)) == 1


def test_what_there_is_no_time_for_is_not_asked_and_comes_back(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1")))
    before = job_messages(cloud)
    assert len(look(cloud, milliseconds=int(MIN_TIME_PER_CHECK * 1000) - 1000)) == 1
    assert job_messages(cloud) == before


def test_a_repetition_that_a_job_rejects_is_parked_and_counts_as_what_it_was_before(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    cloud.fault("/amc/audiences/records", {"job": {"failed": ["cust_1", "cust_2"]}})
    again = json.dumps(json.loads(body(change("cust_2"))) | {"replay": True})
    deliver(cloud, body(change("cust_1")), again)
    told = {tuple(message["members"]): message.get("replay", False) for message in job_messages(cloud)}
    assert told == {("cust_1",): False, ("cust_2",): True}
    assert '"ChangesDelivered":[1.0]' in printed().replace(" ", "")
    assert look(cloud) == []
    assert len(cloud.messages("DeadLetterQueue")) == 2
    text = printed().replace(" ", "")
    assert '"ChangesDelivered":[-1.0]' in text
    assert '"ChangesParked":[1.0]' in text


def test_without_the_guard_an_old_row_is_not_taken_for_what_was_rejected(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    deliver(cloud, body(change("cust_1")))  # with the guard: the row says that the member is in
    look(cloud)
    cloud.client("sqs").purge_queue(QueueUrl=cloud.name_of("JobQueue"))
    cloud.fault("/amc/audiences/records", {"job": {"failed": ["cust_1"]}})
    deliver(cloud, body(change("cust_1", at=2, exits=True)), ORDERING_GUARD="no")
    printed()
    assert look(cloud, ORDERING_GUARD="no") == []
    assert cloud.messages("DeadLetterQueue") == []
    text = printed().replace(" ", "")
    assert '"RejectedRecordsUntracked":[1.0]' in text
    assert "rejectedrecordsnotparked" in text
    assert "ChangesDelivered" not in text
