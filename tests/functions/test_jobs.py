"""The outcome of uploads, from the worker's job message to dead letters and metrics."""

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


def check_jobs(cloud: Cloud, *, milliseconds: int = 180_000, **variables: str) -> list[str]:
    """Hand the waiting job messages to the function. Returns the ids of those that stay in the queue."""
    records = [
        {"messageId": message.id, "receiptHandle": "h", "body": message.body, "attributes": {}}
        for message in cloud.queues.peek(cloud.name_of("JobQueue"))
    ]
    cloud.enter("JobsFunction", **variables)
    answer = handler.lambda_handler({"Records": records}, Context(milliseconds))
    return [entry["itemIdentifier"] for entry in answer["batchItemFailures"]]


def test_the_job_of_an_upload_is_tracked_with_its_members(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1"), change("cust_2")))
    (message,) = job_messages(cloud)
    assert (message["audienceId"], message["members"]) == (AUDIENCE.audience_id, ["cust_1", "cust_2"])
    counts = cloud.queues.counts(cloud.name_of("JobQueue"))
    assert (counts.visible, counts.delayed) == (0, 1), "not before the job can have ended"


def test_the_sizes_of_a_job_that_succeeded_are_published(cloud: Cloud, printed: Callable[[], str]) -> None:
    deliver(cloud, body(change("cust_1")))
    assert check_jobs(cloud) == []
    text = printed()
    assert '"JobsEnded":[1.0]' in text.replace(" ", "")
    assert '"AudienceProcessed":[100.0]' in text.replace(" ", "")
    assert "AudienceReceived" in text
    assert cloud.messages("DeadLetterQueue") == []


def test_a_record_that_the_job_rejected_is_parked_and_counts_as_parked_instead_of_delivered(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    cloud.fault("/amc/audiences/records", {"job": {"failed": ["cust_2"]}})
    deliver(cloud, body(change("cust_1"), change("cust_2")))
    printed()
    assert check_jobs(cloud) == []
    (dead_letter,) = cloud.messages("DeadLetterQueue")
    assert dead_letter["changes"][0]["record"]["externalUserId"] == "cust_2"
    assert dead_letter["failure"]["reason"] == "job_rejected"
    text = printed().replace(" ", "")
    assert '"ChangesDelivered":[-1.0]' in text
    assert '"ChangesParked":[1.0]' in text


@pytest.mark.parametrize("status", [400, 403])
def test_a_job_that_amazon_refuses_to_show_is_checked_again_later_and_the_others_are_checked(
    cloud: Cloud, printed: Callable[[], str], status: int
) -> None:
    for member in ("cust_1", "cust_2"):
        deliver(cloud, body(change(member)))
    printed()
    cloud.fault("/amc/audiences/records/*", {"status": status})
    assert len(check_jobs(cloud)) == 1
    assert '"JobsEnded":[1.0]' in printed().replace(" ", "")


def test_while_amazon_is_down_the_job_message_waits(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1")))
    cloud.fault("/amc/audiences/records/*", {"status": 503}, times=9)
    assert len(check_jobs(cloud)) == 1


def test_a_job_that_there_is_no_time_to_check_stays_in_the_queue(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1")))
    before = job_messages(cloud)
    assert len(check_jobs(cloud, milliseconds=int(MIN_TIME_PER_CHECK * 1000) - 1000)) == 1
    assert job_messages(cloud) == before


def test_a_replay_that_a_job_rejects_is_parked_and_not_counted_again(cloud: Cloud, printed: Callable[[], str]) -> None:
    cloud.fault("/amc/audiences/records", {"job": {"failed": ["cust_1", "cust_2"]}})
    replay = json.dumps(json.loads(body(change("cust_2"))) | {"replay": True})
    deliver(cloud, body(change("cust_1")), replay)
    replays = {tuple(message["members"]): message.get("replay", False) for message in job_messages(cloud)}
    assert replays == {("cust_1",): False, ("cust_2",): True}
    assert '"ChangesDelivered":[1.0]' in printed().replace(" ", "")
    assert check_jobs(cloud) == []
    assert len(cloud.messages("DeadLetterQueue")) == 2
    text = printed().replace(" ", "")
    assert '"ChangesDelivered":[-1.0]' in text
    assert '"ChangesParked":[1.0]' in text


def test_without_the_ordering_guard_no_change_is_parked_from_an_outdated_row(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    deliver(cloud, body(change("cust_1")))  # with the guard: the row says that the member is in
    check_jobs(cloud)
    cloud.client("sqs").purge_queue(QueueUrl=cloud.name_of("JobQueue"))
    cloud.fault("/amc/audiences/records", {"job": {"failed": ["cust_1"]}})
    deliver(cloud, body(change("cust_1", at=2, exits=True)), ORDERING_GUARD="no")
    printed()
    assert check_jobs(cloud, ORDERING_GUARD="no") == []
    assert cloud.messages("DeadLetterQueue") == []
    text = printed().replace(" ", "")
    assert '"RejectedRecordsUntracked":[1.0]' in text
    assert "rejectedrecordsnotparked" in text
    assert "ChangesDelivered" not in text
