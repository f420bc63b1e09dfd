"""One part of what the page shows: read again when it is old enough, kept in between, and not missed where it fails."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for

from audience_sync_cli.dashboard.facts import Problem
from audience_sync_cli.explanation import explained


class Part[T]:
    """A value that is read in a thread, at most once in an interval, however many pages ask."""

    def __init__(self, name: str, interval: float, read: Callable[[], T], empty: T) -> None:
        """Hand in what to show until it is read.

        Args:
            name: for the sentence about a failure.
            interval: seconds for which what was read is good enough.
            read: reads it; whatever it raises becomes a problem, and the last value stays.
            empty: the value before the first one.
        """
        self.name = name
        self.value = empty
        self.problem: Problem | None = None
        self.read_at: float | None = None  # epoch seconds
        self._interval = interval
        self._read = read
        self._running: Future[T] | None = None

    def begin(self, executor: Executor, now: float) -> None:
        """Begin to read it, if it is due and not being read."""
        if self._running is None and (self.read_at is None or now - self.read_at >= self._interval):
            self._running = executor.submit(self._read)

    def finish(self, now: float, wait: float | None = None) -> None:
        """Take what was read, if that is done within `wait` seconds; None waits until it is."""
        running = self._running
        if running is None or not wait_for([running], wait).done:
            return
        self._running, self.read_at = None, now
        try:
            self.value, self.problem = running.result(), None
        except Exception as error:  # noqa: BLE001 - one part that fails must not take the others with it
            failure = explained(error)
            self.problem = Problem(self.name, str(failure), failure.remedy)

    @property
    def is_running(self) -> bool:
        """Whether it is being read."""
        return self._running is not None

    @property
    def is_unread(self) -> bool:
        """Whether it is being read for the first time."""
        return self._running is not None and self.read_at is None

    def expire(self) -> None:
        """Have it read at the next opportunity."""
        self.read_at = None
