"""The clocks of a function, passed in so that tests can move them. Use cases never read the system clock."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

CLOCKS_APART = 120  # seconds by which the clocks of two functions may differ


class Clock(NamedTuple):
    """The clocks of one function."""

    now: Callable[[], float] = time.time  # epoch seconds
    monotonic: Callable[[], float] = time.monotonic  # seconds, for deadlines
    sleep: Callable[[float], None] = time.sleep  # seconds

    def now_ms(self) -> int:
        """Return the time as epoch milliseconds."""
        return round(self.now() * 1000)

    def deadline(self, context: Any) -> float:
        """Return the monotonic second at which Lambda stops the function. `context` is Lambda's."""
        return self.monotonic() + float(context.get_remaining_time_in_millis()) / 1000
