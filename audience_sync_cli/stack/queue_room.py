"""Pauses a long run while the change queue is full, so that Segment's changes do not wait behind all of its own."""

from collections.abc import Callable

from audience_sync.clock import Clock
from audience_sync_cli.frame.screen import counted

ROOM_EVERY = 5.0  # seconds between two counts of the change queue
MAX_WAITING = 1_000  # messages: less than five minutes of delivery


def room_for(waiting: Callable[[], int], clock: Clock, note: Callable[[str], None]) -> Callable[[], None]:
    """Return a function that waits until at most MAX_WAITING messages are in a queue, and says so."""
    counted_at = clock.monotonic()  # what is sent within seconds fills no queue

    def wait() -> None:
        nonlocal counted_at
        # SQS's own count lags by up to a minute, so it is not asked each time.
        if clock.monotonic() - counted_at < ROOM_EVERY:
            return
        if (messages := waiting()) > MAX_WAITING:
            note(f"{counted(messages, 'message')} in the change queue: waiting until there are {MAX_WAITING:,}.")
            while waiting() > MAX_WAITING:
                clock.sleep(ROOM_EVERY)
        counted_at = clock.monotonic()

    return wait
