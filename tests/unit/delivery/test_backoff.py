"""Messages wait longer with every attempt, and in the end come back together."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audience_sync.delivery.backoff import FIRST_DELAY, LONG_DELAY, MARK, SPREAD, aligned_delay, backoff, latest_retry

NOON = 1_800_014_400.0  # epoch seconds, a multiple of MARK


@pytest.mark.parametrize(
    ("attempts", "jitter", "delay"),
    [
        pytest.param(1, 1.0, FIRST_DELAY, id="the first"),
        pytest.param(1, 0.25, FIRST_DELAY / 4, id="full jitter"),
        pytest.param(3, 1.0, 4 * FIRST_DELAY, id="doubles"),
        pytest.param(SPREAD, 0.5, 32.0, id="the last random one"),
        pytest.param(SPREAD + 1, 0.0, LONG_DELAY, id="later ones have no jitter: they come back together"),
        pytest.param(10_000, 1.0, LONG_DELAY, id="does not overflow"),
    ],
)
def test_the_backoff_doubles_and_is_random_for_five_attempts(attempts: int, jitter: float, delay: float) -> None:
    assert backoff(attempts, jitter) == delay


@pytest.mark.parametrize(
    ("now", "delay", "aligned"),
    [
        pytest.param(NOON, LONG_DELAY, MARK, id="at a mark"),
        pytest.param(NOON + 89, LONG_DELAY, MARK - 89, id="after a window and an upload at a mark"),
        pytest.param(NOON + 90, LONG_DELAY, MARK - 90, id="exactly on the next mark"),
        pytest.param(NOON + 91, LONG_DELAY, 2 * MARK - 91, id="never earlier than asked for"),
        pytest.param(NOON + 10, 3600.0, 3600 + MARK - 10, id="a long Retry-After"),
    ],
)
def test_later_waits_end_on_a_multiple_of_two_minutes(now: float, delay: float, aligned: float) -> None:
    assert aligned_delay(now, delay) == aligned


@given(now=st.integers(0, 2**32), delay=st.floats(LONG_DELAY, 43_200))
@example(now=4294967295, delay=105.00000000000001)  # their sum is rounded down to the mark
def test_an_aligned_delay_is_never_early_and_at_most_two_minutes_late(now: int, delay: float) -> None:
    assert delay - 1e-3 <= aligned_delay(now, delay) < delay + MARK + 1e-3


@given(
    deferred_at=st.integers(0, 2**32), until=st.floats(0, 3600), attempts=st.integers(1, 1000), jitter=st.floats(0, 1)
)
def test_the_latest_retry_covers_every_message_deferred_before_it(
    deferred_at: int, until: float, attempts: int, jitter: float
) -> None:
    wait = backoff(attempts, jitter)
    back_at = deferred_at + (wait if attempts <= SPREAD else aligned_delay(deferred_at, wait))
    assert back_at <= latest_retry(deferred_at + until) + 1e-3
