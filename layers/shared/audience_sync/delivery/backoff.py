"""Delay of a message until its next attempt. Pure.

Each batch that comes back costs one invocation. In a long outage, messages therefore come back together, every two
minutes on the wall clock, so that batches are full; and none waits much longer than that once the outage is over.
"""

import math

FIRST_DELAY = 4.0  # seconds; doubles with every attempt
SPREAD = 5  # attempts after which the wait is random, at most 64 seconds; later ones come back together
# Seconds; messages that wait long come back at multiples of it.
MARK = 120.0
# Seconds; the shortest of these waits. Messages deferred within 90 seconds of a mark (by then the batching window has
# ended and an upload has timed out) come back at the next one.
LONG_DELAY = 30.0


def backoff(attempts: int, jitter: float) -> float:
    """Return the seconds until the next attempt: exponential with full jitter, so that first retries are spread out.

    Args:
        attempts: made so far, at least one.
        jitter: uniform in 0 .. 1. Later attempts have none: those messages come back together.
    """
    return FIRST_DELAY * 2.0 ** (attempts - 1) * jitter if attempts <= SPREAD else LONG_DELAY


def aligned_delay(now: float, delay: float) -> float:
    """Return a delay of at least `delay` that ends at a multiple of MARK.

    Args:
        now: epoch seconds.
        delay: seconds.
    """
    return math.ceil((now + delay) / MARK) * MARK - now


def latest_retry(deferred_at: float) -> float:
    """Return the latest time at which a message deferred by the backoff comes back; both in epoch seconds."""
    return deferred_at + max(backoff(SPREAD, 1.0), aligned_delay(deferred_at, LONG_DELAY))
