"""Runs several workers at once, one outside call at a time: the test decides which goes on, and how its call ends.

Each task has a thread to itself, which runs only while the test waits for it: the order never depends on the
operating system.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Killed(BaseException):
    """The process of a task has ended; nothing in it runs any further."""


class Task:
    """One worker. Between two steps it is stopped before an outside call, named by `about_to`."""

    def __init__(self, run: Callable[["Task"], None]) -> None:
        self.about_to = "begin"
        self.is_done = False
        self.failure: BaseException | None = None
        self._outcome: Callable[[], Any] | None = None
        self._resumed, self._paused = _taken_lock(), _taken_lock()
        self._body = run
        (_idle.pop() if _idle else _Thread()).take(self)
        self._paused.acquire()

    def call(self, name: str, make: Callable[[], Any]) -> Any:
        """Make an outside call, in the task's thread: wait for `step`, which decides how it ends."""
        self._outcome = None
        self.about_to = name
        self._paused.release()
        self._resumed.acquire()
        outcome = self._outcome
        return make() if outcome is None else outcome()

    def step(self, outcome: Callable[[], Any] | None = None) -> None:
        """Let the task make its call and run up to the next one. `outcome` runs instead of the call where given.

        Raises what the task raises, except Killed.
        """
        assert not self.is_done
        self._outcome = outcome
        self._resumed.release()
        self._paused.acquire()
        if self.failure is not None:
            raise self.failure

    def kill(self) -> None:
        """End the task where it is; its call is not made."""
        if not self.is_done:
            self.step(_raise_killed)

    def run(self, thread: "_Thread") -> None:
        """Run to the end, on this thread, which takes another task then."""
        try:
            self.call("begin", lambda: None)
            self._body(self)
        except Killed:
            pass
        except BaseException as failure:  # noqa: BLE001 - `step` raises it
            self.failure = failure
        finally:
            self.is_done = True
            _idle.append(thread)
            self._paused.release()


class _Thread:
    """A thread that runs tasks one after the other: they are short, and there are thousands of them."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        threading.Thread(target=self._run_all, daemon=True).start()

    def take(self, task: Task) -> None:
        self._tasks.put(task)

    def _run_all(self) -> None:
        while True:
            self._tasks.get().run(self)


_idle: list[_Thread] = []


def _taken_lock() -> threading.Lock:
    """A lock for one thread to release when another may go on. A semaphore would do, but is made of several."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def _raise_killed() -> None:
    raise Killed
