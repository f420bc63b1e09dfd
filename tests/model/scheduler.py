"""Lets several workers run at once, one outside call at a time: whoever directs them decides who goes on, and how.

Each task runs in a thread of its own, but only while the director waits for it: nothing here depends on the scheduler.
"""

import threading
from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The process of an task has ended; nothing in it runs any further."""


class Task:
    """One worker at work. Between two steps it stands before an outside call, named by `about_to`."""

    def __init__(self, play: Callable[["Task"], None]) -> None:
        self.about_to = "begin"
        self.is_done = False
        self.failure: BaseException | None = None
        self._outcome: Callable[[], Any] | None = None
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(play,), daemon=True)
        self._thread.start()
        self._paused.acquire()

    def call(self, name: str, act: Callable[[], Any]) -> Any:
        """Make an outside call, on the task's side: stand still until told how it goes."""
        self._outcome = None
        self.about_to = name
        self._paused.release()
        self._go.acquire()
        outcome = self._outcome
        return act() if outcome is None else outcome()

    def step(self, outcome: Callable[[], Any] | None = None) -> None:
        """Let it make its call and run up to the next one. `outcome` happens instead of the call where given.

        Raises whatever escapes the task, but for Killed.
        """
        assert not self.is_done
        self._outcome = outcome
        self._go.release()
        self._paused.acquire()
        if self.failure is not None:
            raise self.failure

    def kill(self) -> None:
        """End it where it stands; its call does not happen."""
        if not self.is_done:
            self.step(_die)

    def _run(self, play: Callable[["Task"], None]) -> None:
        try:
            self.call("begin", lambda: None)
            play(self)
        except Killed:
            pass
        except BaseException as failure:  # noqa: BLE001 - handed to the director
            self.failure = failure
        finally:
            self.is_done = True
            self._paused.release()


def _die() -> None:
    raise Killed
