"""Time: its two units, and the clocks of a function, passed in so that tests can move them.

Use cases never read the system clock.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

type EpochSeconds = int
type EpochMilliseconds = int

# Milliseconds. A sender's clock may be this far ahead; such an event is dated now, so it cannot outrank later ones.
MAX_AHEAD = 5 * 60_000
CLOCKS_APART = 120  # seconds by which the clocks of two functions may differ


def to_milliseconds(seconds: float) -> EpochMilliseconds:
    """Return epoch seconds in milliseconds."""
    return round(seconds * 1000)


def to_seconds(milliseconds: EpochMilliseconds) -> float:
    """Return epoch milliseconds in seconds."""
    return milliseconds / 1000


class Clock(NamedTuple):
    """The clocks of one function."""

    now: Callable[[], float] = time.time  # epoch seconds
    monotonic: Callable[[], float] = time.monotonic  # seconds, for deadlines
    sleep: Callable[[float], None] = time.sleep  # seconds

    def now_ms(self) -> EpochMilliseconds:
        """Return the time in milliseconds."""
        return to_milliseconds(self.now())

    def deadline(self, context: Any) -> float:
        """Return the monotonic second at which Lambda stops the function. `context` is Lambda's."""
        return self.monotonic() + float(context.get_remaining_time_in_millis()) / 1000
