"""One part of the page: read again when due, cached in between, and optional if reading fails."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from math import inf

from audience_sync_cli.dashboard.facts import Problem
from audience_sync_cli.frame.explanation import explained


class Part[T]:
    """A value read in a thread, at most once per interval, however many pages ask."""

    def __init__(self, name: str, interval: float, read: Callable[[], T], empty: T) -> None:
        """Start with a placeholder.

        A value is fresh enough for `interval` seconds. If `read` raises, that becomes a problem, and the last value
        stays.
        """
        self.name = name
        self.value = empty
        self.problem: Problem | None = None
        self.read_at: float | None = None  # epoch seconds
        self._interval = interval
        self._read = read
        self._running: Future[T] | None = None

    def begin(self, executor: Executor, now: float, longest: float = inf) -> None:
        """Start reading, if due and not running. `longest` is a limit of the interval, in seconds."""
        interval = min(self._interval, longest)
        if self._running is None and (self.read_at is None or now - self.read_at >= interval):
            self._running = executor.submit(self._read)

    def finish(self, now: float, wait: float | None = None) -> None:
        """Store the result if it is ready within `wait` seconds; None waits for it."""
        running = self._running
        if running is None or not wait_for([running], wait).done:
            return
        self._running, self.read_at = None, now
        try:
            self.value, self.problem = running.result(), None
        except Exception as error:  # noqa: BLE001 - one failed part must not affect the others
            failure = explained(error)
            self.problem = Problem(self.name, str(failure), failure.remedy)

    @property
    def is_running(self) -> bool:
        """Whether a reading is running."""
        return self._running is not None

    @property
    def is_unread(self) -> bool:
        """Whether the first reading is running."""
        return self._running is not None and self.read_at is None

    def expire(self) -> None:
        """Make it due."""
        self.read_at = None
