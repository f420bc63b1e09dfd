"""Waits while the change queue is too full, so that Segment's changes need not wait behind all of a file."""

from collections.abc import Callable
from math import inf

from audience_sync.clock import Clock

ROOM_EVERY = 5.0  # seconds between two counts of the change queue


class Room:
    """Whether more may be sent; called, it returns when that is so."""

    def __init__(self, waiting: Callable[[], int], most: int, clock: Clock, on_full: Callable[[int], None]) -> None:
        """Take what counts the messages of the queue, how many there may be, and what is called when there are more."""
        self._waiting = waiting
        self._most = most
        self._clock = clock
        self._on_full = on_full
        self._counted_at = -inf

    def __call__(self) -> None:
        """Return when there is room. Counts every few seconds, since SQS itself is up to a minute behind."""
        if self._clock.monotonic() - self._counted_at < ROOM_EVERY:
            return
        if (waiting := self._waiting()) > self._most:
            self._on_full(waiting)
            while self._waiting() > self._most:
                self._clock.sleep(ROOM_EVERY)
        self._counted_at = self._clock.monotonic()
