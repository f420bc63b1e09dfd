"""How long a message waits until the next attempt. Pure.

Waiting costs one invocation for each batch that comes back. In a long outage the messages therefore come back together,
every five minutes on the wall clock, so that batches are full; and none has to wait longer than that once it is over.
"""

import math

FIRST_DELAY = 4.0  # seconds; doubles with every attempt
# Seconds; messages that wait long come back at multiples of it, and so does the last one after an outage.
MARK = 300.0
# Seconds; the longest backoff, and the shortest delay that is aligned. What is deferred within a minute of one mark (by
# then an upload has timed out) comes back at the next one.
MAX_DELAY = 240.0


def backoff(attempts: int, jitter: float) -> float:
    """Return the seconds until the next attempt: exponential with full jitter, so that first retries come back spread.

    Args:
        attempts: made so far, one at least.
        jitter: uniform in 0 .. 1. The longest backoff has none: those messages are to come back together.
    """
    delay = FIRST_DELAY * 2.0 ** min(attempts - 1, 16)
    return MAX_DELAY if delay >= MAX_DELAY else delay * jitter


def aligned_delay(now: float, delay: float) -> float:
    """Return a delay that ends at the next multiple of MARK, `delay` at least. Shorter ones than MAX_DELAY stay.

    Args:
        now: epoch seconds.
        delay: seconds.
    """
    if delay < MAX_DELAY:
        return delay
    return math.ceil((now + delay) / MARK) * MARK - now


def latest_retry(deferred_at: float) -> float:
    """Return when a message has come back at the latest that was deferred by the backoff; both in epoch seconds."""
    return deferred_at + aligned_delay(deferred_at, MAX_DELAY)
