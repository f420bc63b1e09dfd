"""Extra calls have a budget, however often answers fail to come."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.record import Target, Upload
from audience_sync.delivery.retry_budget import MAX_SAVED, RENEWAL, SHARE, RetryBudget
from audience_sync.errors import OutcomeUnknown, RetryBudgetUsedUp, ServiceUnavailable, Throttled

DSP, AMC = Upload(Target("1", None), ()), Upload(Target("2", "amc-1"), ())


class Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Amazon:
    """Answers, or does not, as told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        assert upload in (DSP, AMC)
        assert timeout > 0
        self.asked += 1
        if self.error:
            raise self.error
        return "job"


def test_a_few_lost_answers_stop_nobody() -> None:
    amazon = Amazon()
    spared = RetryBudget(Clock()).wrap(amazon)
    amazon.error = OutcomeUnknown("reset")
    for _ in range(int(MAX_SAVED)):
        with pytest.raises(OutcomeUnknown):
            spared.send_records(DSP, timeout=30)


def test_with_the_budget_used_up_nobody_asks_until_it_has_renewed() -> None:
    amazon, clock = Amazon(), Clock()
    spared = RetryBudget(clock).wrap(amazon)
    amazon.error = OutcomeUnknown("reset")
    for _ in range(int(MAX_SAVED)):
        with pytest.raises(OutcomeUnknown):
            spared.send_records(DSP, timeout=30)
    with pytest.raises(RetryBudgetUsedUp) as refused:
        spared.send_records(DSP, timeout=30)
    assert (refused.value.reason, refused.value.retry_after, amazon.asked) == ("retry_budget", RENEWAL, MAX_SAVED)
    amazon.error = None
    clock.now = RENEWAL
    assert [spared.send_records(DSP, timeout=30) for _ in range(50)] == ["job"] * 50


def test_what_amazon_asks_for_itself_costs_nothing() -> None:
    amazon = Amazon()
    spared = RetryBudget(Clock()).wrap(amazon)
    for error in [Throttled("429"), ServiceUnavailable("503")] * 20:
        amazon.error = error
        with pytest.raises(type(error)):
            spared.send_records(DSP, timeout=30)
    assert amazon.asked == 40


def test_each_connection_has_a_budget_of_its_own() -> None:
    amazon = Amazon()
    spared = RetryBudget(Clock()).wrap(amazon)
    amazon.error = OutcomeUnknown("reset")
    for _ in range(int(MAX_SAVED)):
        with pytest.raises(OutcomeUnknown):
            spared.send_records(AMC, timeout=30)
    amazon.error = None
    assert spared.send_records(DSP, timeout=30) == "job"


@given(share=st.floats(0, 1), seed=st.integers(0, 2**32), pause=st.floats(0, 5))
def test_extra_calls_stay_within_a_fifth_the_reserve_and_one_a_minute(share: float, seed: int, pause: float) -> None:
    amazon, clock, chance = Amazon(), Clock(), random.Random(seed)
    spared = RetryBudget(clock).wrap(amazon)
    answered = unknown = 0
    for _ in range(300):
        clock.now += pause
        amazon.error = OutcomeUnknown("reset") if chance.random() < share else None
        try:
            spared.send_records(DSP, timeout=30)
            answered += 1
        except OutcomeUnknown:
            unknown += 1
        except RetryBudgetUsedUp:
            pass
    assert unknown <= MAX_SAVED + SHARE * answered + clock.now / RENEWAL + 1e-6
