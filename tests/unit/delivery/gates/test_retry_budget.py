"""Extra requests stay within a budget, however many answers are lost."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.upload import Target, Upload
from audience_sync.delivery.gates.retry_budget import MAX_SAVED, RENEWAL, SHARE, RetryBudget
from audience_sync.errors import OutcomeUnknown, RetryBudgetUsedUp, ServiceUnavailable, Throttled
from tests.support.builders import upload_of
from tests.support.doubles.amazon import Uploader
from tests.support.doubles.clocks import ManualClock

ONE, OTHER = upload_of(Target("1")), upload_of(Target("2"))


def use_up(amazon: Uploader, uploader: Any, upload: Upload) -> None:
    amazon.error = OutcomeUnknown("reset")
    for _ in range(int(MAX_SAVED)):
        with pytest.raises(OutcomeUnknown):
            uploader.send_records(upload, timeout=30)


def test_an_exhausted_budget_stops_requests_until_it_is_renewed() -> None:
    amazon, clock = Uploader(), ManualClock()
    uploader = RetryBudget(clock).wrap(amazon)
    use_up(amazon, uploader, ONE)
    with pytest.raises(RetryBudgetUsedUp) as refused:
        uploader.send_records(ONE, timeout=30)
    assert (refused.value.reason, refused.value.retry_after, amazon.requests) == ("retry_budget", RENEWAL, MAX_SAVED)
    amazon.error = None
    clock.now = RENEWAL
    assert [uploader.send_records(ONE, timeout=30).job_id for _ in range(50)] == ["job-1"] * 50


def test_checking_the_budget_costs_nothing() -> None:
    amazon, clock = Uploader(), ManualClock()
    budget = RetryBudget(clock)
    amazon.error = OutcomeUnknown("reset")
    for _ in range(int(MAX_SAVED)):
        for _ in range(3):
            budget.check("1")
        with pytest.raises(OutcomeUnknown):
            budget.wrap(amazon).send_records(ONE, timeout=30)
    for passed, wait in [(0, RENEWAL), (RENEWAL - 0.5, 1)]:
        clock.now = passed
        with pytest.raises(RetryBudgetUsedUp) as refused:
            budget.check("1")
        assert refused.value.retry_after == wait
    budget.check("2")
    clock.now = RENEWAL
    budget.check("1")


def test_retries_that_amazon_asks_for_cost_no_budget() -> None:
    amazon = Uploader()
    uploader = RetryBudget(ManualClock()).wrap(amazon)
    for error in [Throttled("429"), ServiceUnavailable("503")] * 20:
        amazon.error = error
        with pytest.raises(type(error)):
            uploader.send_records(ONE, timeout=30)
    assert amazon.requests == 40


def test_each_audience_has_a_budget_of_its_own() -> None:
    amazon = Uploader()
    uploader = RetryBudget(ManualClock()).wrap(amazon)
    use_up(amazon, uploader, OTHER)
    with pytest.raises(RetryBudgetUsedUp):
        uploader.send_records(OTHER, timeout=30)
    amazon.error = None
    assert uploader.send_records(ONE, timeout=30).job_id == "job-1"


@given(share=st.floats(0, 1), seed=st.integers(0, 2**32), pause=st.floats(0, 5))
def test_unanswered_requests_stay_within_a_fifth_of_the_answered_ones(share: float, seed: int, pause: float) -> None:
    amazon, clock, chance = Uploader(), ManualClock(), random.Random(seed)
    uploader = RetryBudget(clock).wrap(amazon)
    answered = unknown = 0
    for _ in range(300):
        clock.now += pause
        amazon.error = OutcomeUnknown("reset") if chance.random() < share else None
        try:
            uploader.send_records(ONE, timeout=30)
            answered += 1
        except OutcomeUnknown:
            unknown += 1
        except RetryBudgetUsedUp:
            pass
    assert unknown <= MAX_SAVED + SHARE * answered + clock.now / RENEWAL + 1e-6
