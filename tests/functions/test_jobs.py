"""The outcome of uploads, from the worker's job message to dead letters and metrics."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.job import JobReport
from audience_sync.aws.membership_rows import Sharding, state_from_row
from audience_sync.clock import Clock
from audience_sync.members import messages
from audience_sync.members.membership import Destination
from audience_sync.members.messages import DeadLetter
from audience_sync.operations.job_tracking import MIN_TIME_PER_CHECK
from functions.jobs import handler
from local.amazon.exchange import SANDBOX
from tests.doubles.clocks import ManualClock
from tests.functions.conftest import AUDIENCE, Cloud, Context
from tests.functions.test_worker import EMAIL, body, change, deliver
from tests.servers import Served

UPLOADS = "/amc/audiences/records"
MINUTE = 60.0  # seconds
# After a deletion notice the last removal waits until every job of an enter counts as ended; 36 hours in the template.
LONGEST_JOB = 2 * 60 * MINUTE


def job_messages(cloud: Cloud) -> list[dict[str, Any]]:
    return [json.loads(message.body) for message in cloud.queues.peek(cloud.name_of("JobQueue"))]


def take(cloud: Cloud, queue: str) -> list[str]:
    """Remove all messages from a queue, delayed ones too, and return their bodies."""
    bodies = [message.body for message in cloud.queues.peek(cloud.name_of(queue))]
    cloud.client("sqs").purge_queue(QueueUrl=cloud.name_of(queue))
    return bodies


def put(cloud: Cloud, queue: str, bodies: Iterable[str]) -> None:
    for each in bodies:
        cloud.client("sqs").send_message(QueueUrl=cloud.name_of(queue), MessageBody=each)


def check_jobs(cloud: Cloud, *, milliseconds: int = 180_000, **variables: str) -> list[str]:
    """Hand the waiting job messages to the function. Returns the bodies of those that stay in the queue."""
    waiting = take(cloud, "JobQueue")
    records = [
        {"messageId": str(number), "receiptHandle": "h", "body": each, "attributes": {}}
        for number, each in enumerate(waiting)
    ]
    cloud.enter("JobsFunction", **variables)
    answer = handler.lambda_handler({"Records": records}, Context(milliseconds))
    failed = [waiting[int(entry["itemIdentifier"])] for entry in answer["batchItemFailures"]]
    put(cloud, "JobQueue", failed)
    return failed


@dataclass
class Hours:
    """The clock of Amazon and of both functions, and what they do while it runs."""

    cloud: Cloud
    clock: ManualClock

    def deliver(self, *changes: dict[str, Any], job: dict[str, Any] | None = None) -> None:
        """Have the worker deliver changes; `job` is the fault of their job at Amazon."""
        if job:
            self.cloud.fault(UPLOADS, {"job": job})
        self._deliver(body(*changes))

    def _deliver(self, *bodies: str) -> None:
        """Deliver messages. What is left of them is in the change queue then."""
        before = take(self.cloud, "ChangeQueue")
        assert deliver(self.cloud, *bodies, LONGEST_JOB_SECONDS=str(LONGEST_JOB)) == []
        put(self.cloud, "ChangeQueue", before)

    def check(self) -> list[str]:
        """Have the jobs checked that wait. Returns the messages that stay in the queue."""
        return check_jobs(self.cloud, LONGEST_JOB_SECONDS=str(LONGEST_JOB))

    def after(self, minutes: float) -> None:
        """Let time pass, and have the jobs that wait checked."""
        self.clock.now += minutes * MINUTE
        assert self.check() == []

    def rest(self) -> int:
        """Deliver what waits in the change queue and check jobs every 15 minutes, until nothing does.

        Returns how many uploads that took.
        """
        before, began = self.uploads(), self.clock.now
        while waiting := take(self.cloud, "ChangeQueue"):
            self.after(minutes=15)
            assert self.clock.now - began < 24 * 60 * MINUTE, "repeated without end"
            self._deliver(*waiting)
        self.after(minutes=15)
        return self.uploads() - before

    def uploads(self) -> int:
        log = requests.get(f"{self.cloud.amazon_url}/sandbox/requests", params={"bodies": "no"}, timeout=60).json()
        return sum(request["path"] == UPLOADS for request in log)

    def redrive(self) -> None:
        """Send the dead letters for another attempt, as the command does."""
        for each in take(self.cloud, "DeadLetterQueue"):
            put(self.cloud, "ChangeQueue", DeadLetter.from_body(each).redrive_bodies())
        self.rest()

    def identities(self, member: str = "cust_1") -> list[dict[str, str]]:
        """The identities that the member's row still has."""
        shards = Sharding(int(self.cloud.name_of("MembershipShards")))
        row = self.cloud.client("dynamodb").get_item(
            TableName=self.cloud.name_of("MembershipTable"), Key=shards.key_of((AUDIENCE.audience_id, member))
        )["Item"]
        return [each.digests for each in state_from_row(row).identities]

    def dead_letters(self) -> list[dict[str, Any]]:
        return self.cloud.messages("DeadLetterQueue")


@pytest.fixture
def hours(cloud: Cloud, amazon: Served, monkeypatch: pytest.MonkeyPatch) -> Hours:
    assert cloud.amazon_url == amazon.url, "after the sandbox was reset for this test"
    clock = ManualClock(time.time())
    monkeypatch.setattr(amazon.app[SANDBOX], "clock", clock)
    for function in ("worker", "jobs"):
        monkeypatch.setattr(f"functions.{function}.handler.CLOCK", Clock(now=clock))
    return Hours(cloud, clock)


def leave(member: str = "cust_1", *, at: int = 2) -> dict[str, Any]:
    """An exit without traits."""
    without = change(member, at=at, exits=True)
    without["record"]["hashedPII"] = []
    return without


def notice(member: str = "cust_1", *, at: int = 2) -> dict[str, Any]:
    return leave(member, at=at) | {"erase": True}


def test_the_job_of_an_upload_is_tracked_with_its_members(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1"), change("cust_2")))
    (message,) = job_messages(cloud)
    assert message["audienceId"] == AUDIENCE.audience_id
    version = f"{1:016d}#0#personas_1"
    assert message["members"] == [["cust_1", version, ""], ["cust_2", version, ""]]
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


@pytest.mark.parametrize("status", [400, 403, 503])
def test_a_job_that_amazon_refuses_to_show_is_checked_again_later_and_the_others_are_checked(
    cloud: Cloud, printed: Callable[[], str], status: int
) -> None:
    for member in ("cust_1", "cust_2"):
        deliver(cloud, body(change(member)))
    printed()
    cloud.fault("/amc/audiences/records/*", {"status": status})
    assert len(check_jobs(cloud)) == 1
    assert '"JobsEnded":[1.0]' in printed().replace(" ", "")


def test_a_job_that_there_is_no_time_to_check_stays_in_the_queue(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1")))
    before = job_messages(cloud)
    assert len(check_jobs(cloud, milliseconds=int(MIN_TIME_PER_CHECK * 1000) - 1000)) == 1
    assert job_messages(cloud) == before
    assert check_jobs(cloud) == [], "the next run checks it"


def test_without_the_ordering_guard_no_change_is_parked_from_an_outdated_row(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    deliver(cloud, body(change("cust_1")))  # with the guard: the row says that the member is in
    check_jobs(cloud)
    cloud.fault("/amc/audiences/records", {"job": {"failed": ["cust_1"]}})
    deliver(cloud, body(change("cust_1", at=2, exits=True)), ORDERING_GUARD="no")
    printed()
    assert check_jobs(cloud, ORDERING_GUARD="no") == []
    assert cloud.messages("DeadLetterQueue") == []
    text = printed().replace(" ", "")
    assert '"RejectedRecordsUntracked":[1.0]' in text
    assert "rejectedrecordsnotparked" in text
    assert "ChangesDelivered" not in text


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        pytest.param({"state": "FAILED"}, "job_failed", id="the job fails"),
        pytest.param({"failed": ["cust_1"]}, "job_rejected", id="the job rejects the record"),
    ],
)
def test_a_removal_that_a_deletion_notice_asked_for_and_the_job_rejects_can_be_redriven_with_its_identifiers(
    hours: Hours, job: dict[str, Any], reason: str
) -> None:
    hours.deliver(change("cust_1"))
    hours.after(minutes=20)
    hours.deliver(notice(), job=job)
    hours.after(minutes=15)
    assert set(hours.cloud.members()) == {"cust_1"}, "still in"
    assert hours.identities() == [{"email": EMAIL}], "kept for another attempt"
    (dead_letter,) = hours.dead_letters()
    (parked,) = dead_letter["changes"]
    assert (dead_letter["failure"]["reason"], parked["erase"]) == (reason, True)
    assert parked["record"]["hashedPII"] == [{"email": EMAIL}]
    hours.redrive()
    assert (hours.cloud.members(), hours.dead_letters()) == ({}, [])
    assert hours.identities() == [], "the job has ended well"


def test_an_exit_is_sent_once_more_when_the_late_job_of_its_enter_has_ended(hours: Hours) -> None:
    hours.deliver(change("cust_1"), job={"delay": 40 * MINUTE})
    hours.after(minutes=15)
    hours.clock.now += 5 * MINUTE
    hours.deliver(leave())
    hours.after(minutes=15)
    hours.clock.now += 6 * MINUTE
    assert set(hours.cloud.members()) == {"cust_1"}, "the enter was applied last"
    hours.after(minutes=0)
    assert hours.rest() == 1
    assert (hours.cloud.members(), hours.dead_letters()) == ({}, [])


def test_a_job_that_amazon_does_not_know_is_parked_where_a_deletion_notice_waits_for_it(
    hours: Hours, printed: Callable[[], str]
) -> None:
    hours.deliver(change("cust_1"))
    hours.after(minutes=20)
    hours.deliver(notice())
    hours.cloud.fault(f"{UPLOADS}/*", {"status": 404})
    printed()
    hours.after(minutes=15)
    assert [each["failure"]["reason"] for each in hours.dead_letters()] == ["job_unknown"]
    assert [each["changes"][0]["record"]["hashedPII"] for each in hours.dead_letters()] == [[{"email": EMAIL}]]
    assert hours.identities() == [{"email": EMAIL}]
    assert '"JobsUnresolved":[1.0]' in printed().replace(" ", "")
    hours.redrive()
    assert hours.identities() == []


def test_ten_jobs_are_checked_side_by_side(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(handler.AT_ONCE)

    class SlowAmazon(AmazonAds):
        def job(self, job_id: str) -> JobReport:
            together.wait(60)  # seconds: fails unless ten wait for their answer at the same time
            return super().job(job_id)

    cloud.fault(UPLOADS, {"job": {"failed": ["cust_3"]}}, times=20)
    for number in range(10):
        deliver(cloud, body(change(f"cust_{number}")))
    monkeypatch.setattr(handler, "AmazonAds", SlowAmazon)
    assert (handler.AT_ONCE, check_jobs(cloud)) == (10, [])
    parked = [each["changes"][0]["record"]["externalUserId"] for each in cloud.messages("DeadLetterQueue")]
    assert parked == ["cust_3"]


def test_a_message_that_is_delivered_twice_is_checked_once(cloud: Cloud, printed: Callable[[], str]) -> None:
    assert deliver(cloud, body(change("m1"))) == []
    put(cloud, "JobQueue", take(cloud, "JobQueue") * 2)
    assert check_jobs(cloud) == []
    assert (printed().count('"job checked"'), job_messages(cloud)) == (1, [])


def test_an_unreadable_job_message_stays_in_the_queue_and_its_neighbours_are_checked(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    deliver(cloud, body(change("cust_1")))
    stay = ["not a job", *messages.job_messages("job-1", "7", [], 1, Destination.of({"api": "of a newer version"}))]
    put(cloud, "JobQueue", stay)
    printed()
    assert check_jobs(cloud) == stay, "until SQS moves it to the dead letters of the job queue"
    assert '"JobsEnded":[1.0]' in printed().replace(" ", "")
