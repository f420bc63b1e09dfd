"""The redrive button: the same as `audience-sync parked redrive`, but started from the page."""

import time
from collections.abc import Callable
from typing import Any

from audience_sync.aws.sqs import Queue
from audience_sync_cli.parked.dead_letters import DeadLetters
from audience_sync_cli.parked.redrive import Redrive
from audience_sync_cli.screen import counted

RATE = 50.0  # dead letters a second, as on the command line by default


def redrive(
    sqs: Any,
    change_queue: str,
    dead_letter_queue: str,
    reason: str = "",
    on_done: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Send dead letters to the change queue, and delete them from the dead letter queue; both queues by URL.

    Only dead letters with this reason, or all if it is empty. `on_done` gets the number redriven so far. Returns
    sentences for the page.
    """
    queue = Queue(sqs, change_queue, time.monotonic)
    action = Redrive(queue, lambda message: not reason or message.reason == reason, RATE)
    with DeadLetters(sqs, dead_letter_queue).reader() as reader:
        for messages in reader.batches():
            action(reader, messages)
            on_done(action.done)
    done = f"{counted(action.done, 'dead letter')} redriven." if action.matched else "No dead letters match."
    return [done, *action.left(), *filter(None, [reader.stopped])]
