"""All queues of the local stack, for the HTTP server and for pollers in the same process.

A queue can be named by its name, its URL or its ARN. Nothing here is
thread-safe: everything runs in one event loop.
"""

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from uuid import uuid4

from local.sqs.message import Received, SqsMessage
from local.sqs.queue import QueueCounts, SqsQueue
from local.sqs.settings import QueueSettings
from local.sqs.sqs_errors import InvalidAttributeValue, OverLimit, QueueDoesNotExist, QueueNameExists

MAX_SLEEP = 1.0  # seconds; a waiting receive notices a changed clock this soon


class SqsQueues:
    """The queues of one account. `clock` returns epoch seconds."""

    def __init__(
        self, clock: Callable[[], float], new_queue: Callable[[str, QueueSettings], SqsQueue] = SqsQueue
    ) -> None:
        self._clock = clock
        self._new_queue = new_queue
        self._queues: dict[str, SqsQueue] = {}

    # Queues

    def create(self, name: str, attributes: Mapping[str, str] | None = None) -> SqsQueue:
        """Create a queue. Raises: QueueNameExists, InvalidAttributeName, InvalidAttributeValue."""
        if name in self._queues:
            raise QueueNameExists("A queue already exists with the same name.")
        settings = QueueSettings.from_attributes(attributes or {})
        if settings.dead_letter_queue not in {None, *self._queues}:
            raise InvalidAttributeValue("Invalid value for the parameter RedrivePolicy: the target does not exist.")
        queue = self._queues[name] = self._new_queue(name, settings)
        return queue

    def find(self, queue: str) -> SqsQueue:
        """The queue of this name, URL or ARN. Raises QueueDoesNotExist."""
        try:
            return self._queues[queue.rsplit("/", 1)[-1].rsplit(":", 1)[-1]]
        except KeyError:
            raise QueueDoesNotExist from None

    def names(self) -> list[str]:
        """All queue names, sorted."""
        return sorted(self._queues)

    def remove(self, queue: str) -> None:
        """Delete a queue with all its messages. Raises QueueDoesNotExist, also in receives that wait for a message."""
        found = self.find(queue)
        del self._queues[found.name]
        found.arrivals.notify()

    # Messages

    def send(
        self,
        queue: str,
        body: str,
        *,
        delay: int = 0,
        attributes: Mapping[str, str] | None = None,
        trace: str = "",
    ) -> SqsMessage:
        """Put a message into a queue; `delay` in seconds. The limits are the caller's."""
        found, now = self.find(queue), self._clock()
        message = SqsMessage(str(uuid4()), body, now, attributes or {}, trace)
        found.put(message, now=now, delay=delay)
        return message

    async def receive(
        self,
        queue: str,
        max_messages: int = 10,
        wait_seconds: float | None = None,
        *,
        visibility: int | None = None,
    ) -> list[Received]:
        """Receive up to `max_messages`; waits for the first one for up to `wait_seconds`.

        `wait_seconds` and `visibility` are the queue's own when None. A wait can be cancelled; no message is received
        then.

        Raises:
            QueueDoesNotExist: also when the queue is deleted during the wait.
            OverLimit: too many messages in flight, and no wait requested; a waiting receive returns nothing.
        """
        loop = asyncio.get_running_loop()
        wait = self.find(queue).settings.wait if wait_seconds is None else wait_seconds
        end = loop.time() + wait
        while True:
            found = self.find(queue)
            try:
                received = self.receive_now(queue, max_messages, visibility=visibility)
            except OverLimit:
                if wait <= 0:
                    raise
                received = []
            remaining = end - loop.time()
            if received or remaining <= 0:
                return received
            next_change = found.next_change()
            until_change = inf if next_change is None else max(0.0, next_change - self._clock())
            await found.arrivals.wait(min(remaining, until_change, MAX_SLEEP))

    def receive_now(self, queue: str, max_messages: int, *, visibility: int | None = None) -> list[Received]:
        """Receive up to `max_messages` without a wait. Raises QueueDoesNotExist, OverLimit."""
        found = self.find(queue)
        return found.receive(
            max_messages,
            visibility=found.settings.visibility if visibility is None else visibility,
            now=self._clock(),
            dead_letters=self._queues.get(found.settings.dead_letter_queue or ""),
        )

    def delete(self, queue: str, handle: str) -> None:
        """Delete a received message. Raises QueueDoesNotExist, ReceiptHandleIsInvalid; see `Queue.delete`."""
        self.find(queue).delete(handle, now=self._clock())

    def change_visibility(self, queue: str, handle: str, seconds: float) -> None:
        """Make a message in flight visible in `seconds`. Raises as `Queue.change_visibility` does."""
        self.find(queue).change_visibility(handle, seconds, now=self._clock())

    # For display

    def counts(self, queue: str) -> QueueCounts:
        """Return the numbers of visible, in-flight and delayed messages. Raises QueueDoesNotExist."""
        return self.find(queue).counts(self._clock())

    def peek(self, queue: str) -> list[SqsMessage]:
        """Return all messages of a queue, also in-flight and delayed ones, without receiving them."""
        return self.find(queue).messages(self._clock())
