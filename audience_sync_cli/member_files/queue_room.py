"""Pauses a long run while the change queue is full, so that Segment's changes do not wait behind all of its own."""

from collections.abc import Callable
from math import inf
from typing import Annotated

import typer

from audience_sync.clock import Clock
from audience_sync_cli.screen import counted

ROOM_EVERY = 5.0  # seconds between two counts of the change queue
MAX_WAITING = Annotated[
    int | None,
    typer.Option(
        help="Wait while the change queue holds more messages than this: changes from Segment wait behind them.",
        metavar="MESSAGES",
        min=0,
    ),
]


def room_for(waiting: Callable[[], int], most: int, clock: Clock, note: Callable[[str], None]) -> Callable[[], None]:
    """Return a function that waits until at most `most` messages are in a queue, and says so."""
    counted_at = -inf

    def wait() -> None:
        nonlocal counted_at
        # SQS's own count lags by up to a minute, so it is not asked each time.
        if clock.monotonic() - counted_at < ROOM_EVERY:
            return
        if (messages := waiting()) > most:
            note(f"{counted(messages, 'message')} in the change queue: waiting until there are {most:,}.")
            while waiting() > most:
                clock.sleep(ROOM_EVERY)
        counted_at = clock.monotonic()

    return wait
