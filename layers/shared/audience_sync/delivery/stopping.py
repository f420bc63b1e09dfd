"""Returns the messages of an invocation that Lambda is about to stop."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync.delivery.backoff import backoff
from audience_sync.delivery.context import Message

RETURN_BEFORE = 3.0  # seconds before Lambda stops the function; shorter than the first delay of a message


@contextmanager
def returned_if_stopped(queue: Queue, messages: Sequence[Message], clock: Clock, deadline: float) -> Iterator[None]:
    """Return messages to the queue shortly before Lambda stops their invocation, at monotonic `deadline`.

    Otherwise the queue hides them for its visibility timeout, eleven minutes. They become visible after the end of the
    invocation; the delay grows with the number of receives.
    """
    receipts = [(each.receipt_handle, backoff(each.receive_count, 1.0)) for each in messages]
    seconds = deadline - RETURN_BEFORE - clock.monotonic()
    timer = threading.Timer(max(0.0, seconds), queue.postpone, [receipts], {"until": deadline})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
