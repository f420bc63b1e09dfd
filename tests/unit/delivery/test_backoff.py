"""Messages wait longer with every attempt, and in the end come back together."""

import heapq
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.delivery.backoff import FIRST_DELAY, MARK, MAX_DELAY, aligned_delay, backoff, latest_retry

NOON = 1_800_014_400.0  # epoch seconds, a multiple of MARK


@pytest.mark.parametrize(
    ("attempts", "jitter", "delay"),
    [
        pytest.param(1, 1.0, FIRST_DELAY, id="the first"),
        pytest.param(1, 0.25, FIRST_DELAY / 4, id="full jitter"),
        pytest.param(3, 1.0, 4 * FIRST_DELAY, id="doubles"),
        pytest.param(6, 0.5, 64.0, id="the last one below the longest"),
        pytest.param(7, 0.0, MAX_DELAY, id="the longest has no jitter: these come back together"),
        pytest.param(10_000, 1.0, MAX_DELAY, id="does not overflow"),
    ],
)
def test_each_attempt_waits_longer(attempts: int, jitter: float, delay: float) -> None:
    assert backoff(attempts, jitter) == delay


@pytest.mark.parametrize(
    ("now", "delay", "aligned"),
    [
        pytest.param(NOON + 17, 100.0, 100.0, id="short delays stay as they are"),
        pytest.param(NOON, MAX_DELAY, MARK, id="at a mark"),
        pytest.param(NOON + 59, MAX_DELAY, MARK - 59, id="after some work at a mark"),
        pytest.param(NOON + 60, MAX_DELAY, MARK - 60, id="exactly on the next mark"),
        pytest.param(NOON + 61, MAX_DELAY, 2 * MARK - 61, id="never earlier than asked for"),
        pytest.param(NOON + 10, 3600.0, 3600 + MARK - 10, id="a long Retry-After"),
    ],
)
def test_long_delays_end_on_a_mark(now: float, delay: float, aligned: float) -> None:
    assert aligned_delay(now, delay) == aligned


@given(now=st.integers(0, 2**32), delay=st.floats(0, 43_200))
def test_no_message_comes_back_early_or_more_than_one_mark_late(now: int, delay: float) -> None:
    assert delay <= aligned_delay(now, delay) < delay + MARK + 1e-3


@given(
    deferred_at=st.integers(0, 2**32), until=st.floats(0, 3600), attempts=st.integers(1, 1000), jitter=st.floats(0, 1)
)
def test_a_message_has_come_back_by_the_latest_retry_of_any_that_was_deferred_later(
    deferred_at: int, until: float, attempts: int, jitter: float
) -> None:
    back_at = deferred_at + aligned_delay(deferred_at, backoff(attempts, jitter))
    assert back_at <= latest_retry(deferred_at + until) + 1e-3


# Twelve hours of outage

HOURS = 12 * 3600.0
ANSWER = 1.0  # seconds until Amazon has taken an upload, once it is back
RECOVERY, HALF_OPEN_WAIT = 60.0, 30.0  # seconds
MESSAGES, BATCH, WINDOW, FAILURES = 300, 50, 10.0, 5


@dataclass
class Outage:
    """300 messages of one change each, and a circuit breaker before an Amazon that is down for twelve hours."""

    workers: int
    takes: float  # seconds until a request has failed
    chance: random.Random
    over: float  # epoch seconds
    invocations: int = 0
    last_tried: float = 0.0
    failures: int = 0
    open_until: float = 0.0
    trying_until: float = 0.0
    waiting: list[tuple[float, int]] = field(default_factory=list)  # when visible, attempts so far

    def run(self) -> None:
        self.waiting = sorted((NOON + self.chance.uniform(0, 60), 0) for _ in range(MESSAGES))
        busy = [NOON] * self.workers
        while self.waiting:
            first = self.waiting[0][0]
            batch: list[tuple[float, int]] = []
            while self.waiting and len(batch) < BATCH and self.waiting[0][0] <= first + WINDOW:
                batch.append(heapq.heappop(self.waiting))
            collected = batch[-1][0] if len(batch) == BATCH else first + WINDOW
            start = max(collected, heapq.heappop(busy))
            heapq.heappush(busy, self.deliver(batch, start))

    def deliver(self, batch: list[tuple[float, int]], start: float) -> float:
        """Return when the invocation ends."""
        self.invocations += 1
        if start < self.trying_until:  # half-open: no backoff
            self.put_back(batch, start, wait=HALF_OPEN_WAIT, with_backoff=False)
            return start
        if start < self.open_until:
            self.put_back(batch, start, wait=self.open_until - start)
            return start
        is_open = self.failures >= FAILURES
        is_over = start >= self.over
        end = start + (ANSWER if is_over else self.takes)
        self.trying_until = end if is_open else 0.0
        if is_over:
            self.failures = 0
            self.last_tried = max(self.last_tried, start)
            return end
        self.failures += 1
        if self.failures >= FAILURES:
            self.open_until = end + RECOVERY
        self.put_back(batch, end)
        return end

    def put_back(
        self, batch: list[tuple[float, int]], now: float, *, wait: float = 0.0, with_backoff: bool = True
    ) -> None:
        for _, attempts in batch:
            delay = max(wait, backoff(attempts + 1, self.chance.random()) if with_backoff else 0.0)
            heapq.heappush(self.waiting, (now + aligned_delay(now, delay), attempts + 1))


@pytest.mark.parametrize("takes", [0.1, 30.0], ids=["503", "timeout"])
@pytest.mark.parametrize(
    ("workers", "most"),
    [
        # 144 marks with six batches each, and some fifty invocations before every message waits for a mark.
        pytest.param(1, 930, id="one worker"),
        # Of six batches at a mark one tries, and five that start meanwhile come back once more for its outcome.
        pytest.param(10, 1700, id="all batches at once"),
    ],
)
def test_twelve_hours_of_outage_cost_few_invocations_and_end_soon(workers: int, most: int, takes: float) -> None:
    for seed in range(20):
        outage = Outage(workers, takes, random.Random(seed), over=NOON + HOURS + seed * MARK / 20)
        outage.run()
        assert outage.invocations < most
        assert outage.last_tried - outage.over <= MARK + RECOVERY
