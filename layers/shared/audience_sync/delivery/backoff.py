"""Delay of a message until its next attempt. Pure.

Each batch that comes back costs one invocation. In a long outage, messages therefore come back together, every five
minutes on the wall clock, so that batches are full; and none waits longer than that once the outage is over.
"""

import math

FIRST_DELAY = 4.0  # seconds; doubles with every attempt
# Seconds; messages that wait long come back at multiples of it.
MARK = 300.0
# Seconds; the longest backoff, and the shortest delay that is aligned. Messages deferred within a minute of a mark (by
# then an upload has timed out) come back at the next one.
MAX_DELAY = 240.0


def backoff(attempts: int, jitter: float) -> float:
    """Return the seconds until the next attempt: exponential with full jitter, so that first retries are spread out.

    Args:
        attempts: made so far, at least one.
        jitter: uniform in 0 .. 1. The longest backoff has none: those messages come back together.
    """
    delay = FIRST_DELAY * 2.0 ** min(attempts - 1, 16)
    return MAX_DELAY if delay >= MAX_DELAY else delay * jitter


def aligned_delay(now: float, delay: float) -> float:
    """Return a delay of at least `delay` that ends at a multiple of MARK. Delays under MAX_DELAY stay as they are.

    Args:
        now: epoch seconds.
        delay: seconds.
    """
    if delay < MAX_DELAY:
        return delay
    return math.ceil((now + delay) / MARK) * MARK - now


def latest_retry(deferred_at: float) -> float:
    """Return the latest time at which a message deferred by the backoff comes back; both in epoch seconds."""
    return deferred_at + aligned_delay(deferred_at, MAX_DELAY)
