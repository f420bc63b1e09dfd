"""One clock for functions that run side by side: each runs up to its next call, where others may go on before it.

Functions run in threads, but one at a time, and the clock chooses the next one. So a seed replays.
"""

import heapq
from collections.abc import Callable
from threading import Lock, Thread, current_thread

MAX_EVENTS = 5_000  # of one history; the longest have a few hundred


class NoEnd(AssertionError):
    """Something is sent or asked again and again."""


class Killed(BaseException):
    """The function is stopped here."""


class Scheduler:
    """Runs acts by time, those of one second in the order in which they were planned."""

    def __init__(self, now: float) -> None:
        self.now = now  # epoch seconds
        self.control = _locked()
        self.error: BaseException | None = None
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0

    def at(self, second: float, act: Callable[[], None]) -> None:
        """Plan an act. One that pauses is planned as `start`."""
        self._planned += 1
        heapq.heappush(self._events, (second, self._planned, act))

    def run(self) -> None:
        """Let everything happen until nothing more does."""
        for _ in range(MAX_EVENTS):
            if not self._events:
                return
            second, _, act = heapq.heappop(self._events)
            self.now = max(self.now, second)
            act()
            if self.error:
                raise self.error
        raise NoEnd("there is no end")

    def start(self, function: Callable[[], None]) -> None:
        """Run a function up to its first pause in which something else happens."""
        runner = _idle.pop() if _idle else _Runner()
        runner.begin(self, function)

    def pause(self, seconds: float) -> None:
        """Let time pass in a function. Others may go on meanwhile."""
        until = self.now + seconds
        if not self._events or self._events[0][0] > until:
            self.now = until
            return
        runner = current_thread()
        assert isinstance(runner, _Runner)
        self.at(until, runner.go_on)
        runner.suspend()


class _Runner(Thread):
    """A thread that has its turn until it pauses or ends."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._turn = _locked()
        self._scheduler: Scheduler
        self._function: Callable[[], None]
        self.start()

    def begin(self, scheduler: Scheduler, function: Callable[[], None]) -> None:
        self._scheduler, self._function = scheduler, function
        self.go_on()

    def go_on(self) -> None:
        """Called by the scheduler: give it a turn, and wait for the end of that."""
        self._turn.release()
        self._scheduler.control.acquire()

    def suspend(self) -> None:
        """Called by the thread itself: end a turn."""
        self._scheduler.control.release()
        self._turn.acquire()

    def run(self) -> None:
        while True:
            self._turn.acquire()
            try:
                self._function()
            except BaseException as error:  # noqa: BLE001 - the scheduler raises it
                self._scheduler.error = error
            _idle.append(self)
            self._scheduler.control.release()


_idle: list[_Runner] = []  # kept from one history to the next: to start a thread takes a tenth of a short one


def _locked() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock
