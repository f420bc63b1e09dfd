"""The whole worker while Amazon fails, each fault made in HTTP: examples of rows 12 to 21 of the fault matrix.

On an audience of each API, if not marked otherwise. test_dataset_faults.py has what only Ads Data Manager has.
"""

import time
from typing import Any

import pytest

from audience_sync.clock import Clock
from audience_sync.delivery.gates.circuit_breaker import FAILURES
from audience_sync.delivery.gates.retry_budget import MAX_SAVED, SHARE, RetryBudget
from audience_sync.members.membership import Audience
from local.amazon.exchange import SANDBOX
from tests.faults.worker_harness import ONE_API, WorkerHarness
from tests.support.cloud import Cloud
from tests.support.doubles.clocks import ManualClock
from tests.support.invocations import change
from tests.support.servers import Served
from tests.support.waiting import wait_until


@pytest.fixture
def other(worker_harness: WorkerHarness) -> Audience:
    """A second audience."""
    return worker_harness.amazon.add_audience("other-audience")


# Rows 12 to 14. test_exchange.py and test_amazon_client.py have the error for every answer, test_batch.py what follows


@pytest.mark.parametrize(
    ("do", "waits", "uploads"),
    [
        pytest.param({"status": 503}, 0, 1, id="503"),
        pytest.param({"close_before_read": True}, 60, 1, id="reset before reading"),
        pytest.param({"close_after_apply": True}, 60, 2, id="reset after applying"),
        pytest.param({"status": 202, "body": "<html></html>", "apply": True}, 60, 2, id="HTML"),
    ],
)
def test_an_upload_without_a_usable_answer_is_sent_again(
    worker_harness: WorkerHarness, do: dict[str, Any], waits: int, uploads: int
) -> None:
    worker_harness.amazon.fail_uploads(do, times=1)
    one = worker_harness.message(change("cust_1"))
    first = worker_harness.run(one)
    assert first.returned == [one]
    assert first.waits >= [waits], "it may still be applied"
    assert worker_harness.run().returned == []
    assert worker_harness.amazon.members() == {"cust_1"}
    assert worker_harness.amazon.actions_sent("cust_1") == ["CREATE"] * uploads, "1 + f times"
    assert worker_harness.dead_letters() == {}


@pytest.mark.parametrize("do", [{"status": 503}, {"close_after_apply": True}], ids=["503", "no answer"])
def test_a_failing_audience_does_not_stop_another(
    worker_harness: WorkerHarness, other: Audience, do: dict[str, Any]
) -> None:
    worker_harness.amazon.fail_uploads(do, audience=other.audience_id)
    failing = worker_harness.message(change("cust_1"), audience=other)
    members = [f"cust_{number}" for number in range(2, 12)]
    for member in members:
        message = worker_harness.message(change(member))
        assert worker_harness.run(*([failing] if member == "cust_2" else []), message).returned == [failing]
    assert worker_harness.amazon.members() == set(members)
    requests = worker_harness.amazon.request_count() - len(members)
    assert requests == FAILURES, "then its own circuit breaker is open"


@ONE_API
def test_extra_requests_stay_within_the_budget_when_half_of_the_answers_are_lost(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.worker.handler.RetryBudget", lambda _: RetryBudget(lambda: 0.0))
    worker_harness.amazon.fail_uploads({"close_after_apply": True}, probability=0.5)
    taken = 0
    for number in range(60):
        taken += not worker_harness.run(worker_harness.message(change(f"cust_{number}"))).returned
    extra = worker_harness.amazon.request_count() - taken
    assert extra <= MAX_SAVED + SHARE * taken, (
        "five at first, then a fifth of the answered ones; one a minute, but no time passes here"
    )
    assert worker_harness.dead_letters() == {}


# Rows 20 and 21; the tests of the jobs function show what happens to a job's report


@pytest.fixture
def amazon_clock(amazon: Served, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Amazon's clock, which only the test moves."""
    assert cloud.amazon_url == amazon.url, "after the sandbox was reset for this test"
    clock = ManualClock(time.time())
    monkeypatch.setattr(amazon.app[SANDBOX], "clock", clock)
    return clock


@pytest.mark.parametrize(
    "do", [pytest.param({"job": {"delay": 60}}, id="late"), pytest.param({"apply_late": 60}, id="after we gave up")]
)
def test_uploads_applied_in_reverse_order_do_not_bring_back_a_member(
    worker_harness: WorkerHarness, amazon_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, do: dict[str, Any]
) -> None:
    monkeypatch.setattr("functions.worker.handler.CLOCK", Clock(now=amazon_clock))
    worker_harness.enter(JOB_SECONDS="1", DATA_MANAGER_SECONDS="1", LATE_SECONDS="0")
    worker_harness.amazon.fail(
        worker_harness.amazon.upload_fails(do, times=1),
        worker_harness.amazon.upload_fails({"job": {"delay": 30}}, times=1),
    )
    worker_harness.run(worker_harness.message(change("cust_1", at=1)))
    assert worker_harness.run(worker_harness.message(change("cust_1", at=2, exits=True))).returned == []
    amazon_clock.now += 60
    assert worker_harness.amazon.members() == {"cust_1"}, "the enter has taken effect last"
    wait_until(worker_harness.run, lambda _: worker_harness.amazon.members() == set())  # once the repetition is due
    assert sorted(worker_harness.amazon.actions_sent("cust_1")) == ["CREATE", "DELETE", "DELETE"]
