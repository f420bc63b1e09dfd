"""Uploads of one invocation: what an upload without an answer says of the changes in it, and of those behind it."""

import pytest

from audience_sync.amazon_ads.bisection import SAMPLE_SIZE
from audience_sync.amazon_ads.upload import Target
from audience_sync.clock import Clock
from audience_sync.delivery.report import BatchReport
from audience_sync.delivery.sending import SHUTDOWN_RESERVE, TRACK_ATTEMPTS, TRACK_INTERVAL, Uploads
from audience_sync.delivery.uploads import Deferred, Limits, UploadFailure, UploadJob
from audience_sync.errors import (
    AudienceSyncError,
    OutcomeUnknown,
    RequestRejected,
    RequestTooLarge,
    ServiceUnavailable,
    Throttled,
    Unavailable,
)
from audience_sync.members.membership import MembershipChange
from tests.support import builders
from tests.support.doubles.amazon import Amazon, refusing

LIMITS = Limits(max_records=4)


def picky(*errors: AudienceSyncError) -> Amazon:
    """Return one that refuses more than two records at once, and answers the others with the next error, if any."""
    left = list(errors)
    too_many = RequestRejected("Amazon answered 400", status=400)
    return Amazon(lambda body: too_many if len(body["records"]) > 2 else left.pop(0) if left else None)


def change(number: int) -> MembershipChange:
    return builders.change(f"m{number}", "e", audience_id="1")


def send(
    amazon: Amazon, count: int, *, jobs: list[UploadJob] | None = None, limits: Limits = LIMITS
) -> tuple[BatchReport, dict[str, UploadFailure]]:
    report = BatchReport()
    uploads = Uploads(amazon, limits, Clock(lambda: 5.0, lambda: 0.0), 60.0, report)
    track = jobs.append if jobs is not None else (lambda _: None)
    failures = uploads.send_in_uploads(Target("1"), [change(number) for number in range(count)], track)
    return report, {member: failure for (_, member), failure in failures.items()}


def test_after_an_unanswered_upload_all_changes_wait_the_settle_time() -> None:
    amazon, lost = picky(OutcomeUnknown("timeout")), OutcomeUnknown("timeout")
    _, failures = send(amazon, 6)
    assert amazon.requests == [{"m0", "m1", "m2", "m3"}, {"m0", "m1"}], "and nothing more is sent"
    waiting = [each for each in failures.values() if isinstance(each, Deferred)]
    assert {(each.error.reason, each.delay) for each in waiting} == {(lost.reason, LIMITS.settle)}
    assert len(waiting) == 6


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        pytest.param(ServiceUnavailable("503"), None, id="not taken: the backoff decides"),
        pytest.param(Throttled("429", retry_after=9.0), 9.0, id="not taken: as long as Amazon says"),
        pytest.param(OutcomeUnknown("reset"), LIMITS.settle, id="no answer: the settle time"),
        pytest.param(OutcomeUnknown("reset", retry_after=0.0), 0.0, id="no answer: as long as it says"),
    ],
)
def test_a_deferred_change_waits_for_as_long_as_its_error_asks(error: AudienceSyncError, delay: float | None) -> None:
    report, failures = send(picky(error), 1)
    assert failures == {"m0": Deferred(error, delay)}  # type: ignore[arg-type]
    assert (report.jobs, report.failed_uploads) == ([], {error.reason: 1})


class Tracker:
    """Stores jobs, unless it is down."""

    def __init__(self, failures: int) -> None:
        self.failures = failures  # that are left
        self.jobs: list[UploadJob] = []
        self.monotonic = 0.0  # seconds
        self.error = Unavailable("the queue is down")

    def __call__(self, job: UploadJob) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error
        self.jobs.append(job)

    def sleep(self, seconds: float) -> None:
        self.monotonic += seconds

    def send(
        self, count: int = 1, *, amazon: Amazon | None = None, deadline: float = 60.0
    ) -> tuple[BatchReport, dict[str, UploadFailure]]:
        clock = Clock(lambda: 5.0, lambda: self.monotonic, self.sleep)
        report = BatchReport()
        uploads = Uploads(amazon or picky(), LIMITS, clock, deadline, report)
        failures = uploads.send_in_uploads(Target("1"), [change(number) for number in range(count)], self)
        return report, {member: failure for (_, member), failure in failures.items()}


def test_an_upload_whose_job_cannot_be_tracked_counts_as_failed() -> None:
    tracker = Tracker(failures=TRACK_ATTEMPTS)
    report, failures = tracker.send()
    assert failures == {"m0": Deferred(tracker.error, None, UploadJob("job-1", Target("1"), [change(0)], 5000))}
    assert (report.jobs, report.failed_uploads.total()) == ([], 1)
    assert (tracker.failures, tracker.monotonic) == (0, TRACK_INTERVAL * (TRACK_ATTEMPTS - 1))


def test_only_changes_of_the_untracked_upload_carry_its_job() -> None:
    amazon = picky()
    _, failures = Tracker(failures=TRACK_ATTEMPTS).send(6, amazon=amazon)
    waiting = {name: each.job is not None for name, each in failures.items() if isinstance(each, Deferred)}
    assert waiting == {f"m{number}": number < 2 for number in range(6)}
    assert amazon.requests == [{"m0", "m1", "m2", "m3"}, {"m0", "m1"}], "and nothing more is sent"


@pytest.mark.parametrize("failures", range(1, TRACK_ATTEMPTS))
def test_tracking_a_job_is_retried_and_stored_once(failures: int) -> None:
    tracker = Tracker(failures)
    report, left = tracker.send()
    assert (left, [job.job_id for job in tracker.jobs]) == ({}, ["job-1"])
    assert (len(report.jobs), report.failed_uploads.total()) == (1, 0)


def test_tracking_is_not_retried_without_time_for_a_pause() -> None:
    tracker = Tracker(failures=9)

    def slow(_: object) -> None:
        tracker.monotonic += LIMITS.timeout

    tracker.send(amazon=Amazon(slow), deadline=LIMITS.timeout + SHUTDOWN_RESERVE + TRACK_INTERVAL - 0.1)
    assert (tracker.failures, tracker.monotonic) == (8, LIMITS.timeout)


def test_two_samples_without_an_accepted_record_reject_the_whole_upload() -> None:
    everyone = {f"m{number}" for number in range(200)}
    error = RequestRejected("Amazon answered 400", status=400)
    amazon = refusing(error, members=everyone)
    _, failures = send(amazon, 200, limits=Limits())
    assert set(failures.values()) == {error}
    assert failures.keys() == everyone
    assert [len(each) for each in amazon.requests].count(1) == 2 * SAMPLE_SIZE


def test_too_large_records_do_not_count_towards_the_sample() -> None:
    too_large = {f"m{number}" for number in range(100)} - {"m60"}
    amazon = refusing(RequestTooLarge("Amazon answered 413", status=413), members=too_large)
    _, failures = send(amazon, 100, limits=Limits())
    assert failures.keys() == too_large
    assert [len(each) for each in amazon.requests].count(1) == 100
