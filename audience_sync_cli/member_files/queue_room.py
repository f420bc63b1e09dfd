"""Pauses a long run while the change queue is full, so that Segment's changes do not wait behind all of its own."""

from collections.abc import Callable
from math import inf
from typing import Annotated

import typer

from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync_cli.screen import Screen, counted

ROOM_EVERY = 5.0  # seconds between two counts of the change queue
MAX_WAITING = Annotated[
    int | None,
    typer.Option(
        help="Wait while the change queue holds more messages than this: changes from Segment wait behind them.",
        metavar="MESSAGES",
        min=0,
    ),
]


class Room:
    """Waits until the queue has room for another request."""

    def __init__(self, waiting: Callable[[], int], most: int, clock: Clock, on_full: Callable[[int], None]) -> None:
        """`waiting` counts the messages of the queue; `on_full` is called while there are more than `most`."""
        self._waiting = waiting
        self._most = most
        self._clock = clock
        self._on_full = on_full
        self._counted_at = -inf

    def __call__(self) -> None:
        """Return when there is room. Counts every few seconds: SQS's own count lags by up to a minute."""
        if self._clock.monotonic() - self._counted_at < ROOM_EVERY:
            return
        if (waiting := self._waiting()) > self._most:
            self._on_full(waiting)
            while self._waiting() > self._most:
                self._clock.sleep(ROOM_EVERY)
        self._counted_at = self._clock.monotonic()


def room_for(queue: Queue, most: int | None, clock: Clock, screen: Screen) -> Callable[[], None]:
    """Return what waits until at most `most` messages are in a queue, and says so; None waits for nothing."""

    def say(waiting: int) -> None:
        screen.note(f"{counted(waiting, 'message')} in the change queue: waiting until there are {most:,}.")

    return (lambda: None) if most is None else Room(queue.waiting, most, clock, say)
