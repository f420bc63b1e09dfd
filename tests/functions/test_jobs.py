"""The outcome of uploads, from the worker's job message to dead letters and metrics."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.job import JobReport
from audience_sync.aws.checkpoint import Checkpoint
from audience_sync.clock import Clock
from audience_sync.errors import Unavailable
from audience_sync.members.job_messages import JobMessage
from audience_sync.members.membership import Destination
from audience_sync.operations.job_tracking import MIN_TIME_PER_CHECK
from audience_sync.runtime.audience_numbers import DAY
from functions.jobs import handler
from tests.support.cloud import AUDIENCE, Cloud
from tests.support.invocations import body, change, check_jobs, deliver, put, take
from tests.support.member_changes import reject_once

UPLOADS = "/amc/audiences/records"


def job_messages(cloud: Cloud) -> list[dict[str, Any]]:
    return [json.loads(message.body) for message in cloud.queues.peek(cloud.name_of("JobQueue"))]


def test_the_job_of_an_upload_is_tracked_with_its_members(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1"), change("cust_2")))
    (message,) = job_messages(cloud)
    assert message["audienceId"] == AUDIENCE.audience_id
    version = f"{1:016d}#0#personas_1"
    assert message["members"] == [["cust_1", version, ""], ["cust_2", version, ""]]
    counts = cloud.queues.counts(cloud.name_of("JobQueue"))
    assert (counts.visible, counts.delayed) == (0, 1), "not before the job can have ended"


def test_the_numbers_of_an_audience_are_published_once_a_day_unless_they_change(
    cloud: Cloud, printed: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = int(time.time()) // DAY * DAY + DAY // 2

    def published(second: int, member: str) -> dict[str, float]:
        monkeypatch.setattr(handler, "CLOCK", Clock(now=lambda: second))
        deliver(cloud, body(change(member, at=second)))
        printed()
        assert check_jobs(cloud) == []
        return {name: float(value) for name, value in re.findall(r'"(Audience\w+)":\[(.*?)\]', printed())}

    first = published(noon, "m1")
    assert first == {"AudienceMatchRate": first["AudienceMatchRate"], "AudienceProcessed": 100, "AudienceReceived": 1}
    assert published(noon + 1, "m1") == {}
    assert published(noon + 2, "m2")["AudienceReceived"] == 2, "the audience fills"
    assert published(noon + DAY, "m2").keys() == first.keys()
    monkeypatch.setattr(Checkpoint, "position", unreadable)
    assert published(noon + DAY, "m2").keys() == first.keys(), "a second value rather than none"


def unreadable(_: Checkpoint) -> None:
    raise Unavailable("the membership table does not answer")


def test_a_record_rejected_again_counts_as_parked_instead_of_delivered(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    cloud.fault(UPLOADS, {"job": {"failed": ["cust_2"]}})
    deliver(cloud, body(change("cust_1"), change("cust_2")))
    reject_once(cloud.rows(), (AUDIENCE.audience_id, "cust_2"))
    printed()
    assert check_jobs(cloud) == []
    (dead_letter,) = cloud.messages("DeadLetterQueue")
    assert dead_letter["changes"][0]["record"]["externalUserId"] == "cust_2"
    assert dead_letter["failure"]["reason"] == "job_rejected"
    text = printed().replace(" ", "")
    assert '"ChangesDelivered":[-1.0]' in text
    assert '"ChangesParked":[1.0]' in text


@pytest.mark.parametrize("job", [{"state": "FAILED"}, {"failed": ["cust_1"]}], ids=["all records", "one record"])
def test_what_a_job_has_not_done_is_sent_again_without_a_command(
    cloud: Cloud, printed: Callable[[], str], job: dict[str, Any]
) -> None:
    cloud.fault(UPLOADS, {"job": job})
    deliver(cloud, body(change("cust_1")))
    assert (check_jobs(cloud), cloud.members(), cloud.messages("DeadLetterQueue")) == ([], {}, [])
    (repetition,) = (message.body for message in cloud.queues.peek(cloud.name_of("ChangeQueue")))
    table = cloud.rows()
    table.write([replace(each, enter_retry_at=1) for each in table.read([(AUDIENCE.audience_id, "cust_1")]).values()])
    deliver(cloud, json.dumps(json.loads(repetition) | {"waitsUntil": 1}))
    check_jobs(cloud)
    assert [*cloud.members()] == ["cust_1"]
    assert '"ChangesParked"' not in printed()


@pytest.mark.parametrize("status", [400, 403, 503])
def test_a_job_whose_check_fails_is_checked_again_and_does_not_block_others(
    cloud: Cloud, printed: Callable[[], str], status: int
) -> None:
    for member in ("cust_1", "cust_2"):
        deliver(cloud, body(change(member)))
    printed()
    cloud.fault(f"{UPLOADS}/*", {"status": status})
    assert len(check_jobs(cloud)) == 1
    assert printed().replace(" ", "").count('"outcome":"ended"') == 1


def test_a_job_without_time_for_its_check_stays_in_the_queue(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1")))
    before = job_messages(cloud)
    assert len(check_jobs(cloud, milliseconds=int(MIN_TIME_PER_CHECK * 1000) - 1000)) == 1
    assert job_messages(cloud) == before
    assert check_jobs(cloud) == [], "the next run checks it"


@pytest.mark.parametrize(
    ("path", "do"),
    [(f"{UPLOADS}/*", {"status": 404}), (UPLOADS, {"job": {"state": "FAILED"}})],
    ids=["unknown", "failed"],
)
def test_a_job_that_failed_or_is_unknown_to_amazon_counts_as_unresolved(
    cloud: Cloud, printed: Callable[[], str], path: str, do: dict[str, Any]
) -> None:
    cloud.fault(path, do)
    deliver(cloud, body(change("cust_1")))
    assert check_jobs(cloud) == []
    assert '"JobsUnresolved":[1.0]' in printed().replace(" ", "")


def test_ten_jobs_are_checked_in_parallel(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
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
    again = [each["changes"][0]["record"]["externalUserId"] for each in cloud.messages("ChangeQueue")]
    assert again == ["cust_3"]


def test_a_message_that_is_delivered_twice_is_checked_once(cloud: Cloud, printed: Callable[[], str]) -> None:
    assert deliver(cloud, body(change("m1"))) == []
    put(cloud, "JobQueue", take(cloud, "JobQueue") * 2)
    assert check_jobs(cloud) == []
    assert (printed().count('"job checked"'), job_messages(cloud)) == (1, [])


def test_an_unreadable_job_message_stays_in_the_queue_and_its_neighbours_are_checked(
    cloud: Cloud, printed: Callable[[], str]
) -> None:
    deliver(cloud, body(change("cust_1")))
    newer = JobMessage("job-1", "7", 1, (), destination=Destination.of({"api": "of a newer version"}))
    stay = ["not a job", newer.body()]
    put(cloud, "JobQueue", stay)
    printed()
    assert check_jobs(cloud) == stay, "until SQS moves it to the dead letters of the job queue"
    assert printed().replace(" ", "").count('"outcome":"ended"') == 1
