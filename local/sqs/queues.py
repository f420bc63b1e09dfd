"""All queues of the local stack, for the HTTP surface and for pollers in the same process alike.

Queues are known by name. Wherever a queue is asked for, its name, its URL or its ARN will do. Nothing here is
thread-safe: everything runs in one event loop.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from math import inf
from uuid import uuid4

from local.sqs.errors import (
    InvalidAttributeValue,
    OverLimit,
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    SqsError,
)
from local.sqs.message import Message, MessageAttribute, Received
from local.sqs.moves import MoveTasks
from local.sqs.queue import IN_FLIGHT_LIMIT, Counts, Queue
from local.sqs.settings import QueueSettings

PAUSE = 60  # seconds between two purges, and from a deletion until the name is free
LONGEST_NAP = 1.0  # seconds; a clock that is moved by hand is noticed this soon by those who wait


def name_of(queue: str) -> str:
    """The name in a queue URL or ARN; a name is returned as it is."""
    return queue.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def _new_id() -> str:
    return str(uuid4())


class SqsQueues:
    """The queues of one account. `clock` gives epoch seconds; `new_id` a fresh id for messages and move tasks.

    `moves` holds the message move tasks.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        new_id: Callable[[], str] = _new_id,
        in_flight_limit: int = IN_FLIGHT_LIMIT,
    ) -> None:
        self._clock = clock
        self._new_id = new_id
        self._in_flight_limit = in_flight_limit
        self._queues: dict[str, Queue] = {}
        self._deleted_at: dict[str, float] = {}
        self.moves = MoveTasks(self._queues, clock, new_id)

    # Queues

    def create(self, name: str, attributes: Mapping[str, str] | None = None) -> Queue:
        """Create a queue, or return the one that exists when it has these attributes.

        Raises: QueueNameExists, QueueDeletedRecently, InvalidAttributeName, InvalidAttributeValue.
        """
        now, wanted = self._clock(), attributes or {}
        existing = self._queues.get(name)
        if existing is not None:
            if existing.settings.with_attributes(wanted) != existing.settings:
                raise QueueNameExists("A queue already exists with the same name and a different value for attributes.")
            return existing
        if now - self._deleted_at.get(name, -inf) < PAUSE:
            raise QueueDeletedRecently(f"You must wait {PAUSE} seconds after deleting a queue to reuse its name.")
        settings = self._checked(QueueSettings().with_attributes(wanted))
        queue = self._queues[name] = Queue(name, settings, now, in_flight_limit=self._in_flight_limit)
        return queue

    def change(self, queue: str, attributes: Mapping[str, str]) -> None:
        """Set attributes. Raises: QueueDoesNotExist, InvalidAttributeName, InvalidAttributeValue."""
        found = self.find(queue)
        found.settings = self._checked(found.settings.with_attributes(attributes))
        found.modified_at = self._clock()

    def find(self, queue: str) -> Queue:
        """The queue of this name, URL or ARN. Raises QueueDoesNotExist."""
        try:
            return self._queues[name_of(queue)]
        except KeyError:
            raise QueueDoesNotExist from None

    def names(self) -> list[str]:
        """All queue names, sorted."""
        return sorted(self._queues)

    def remove(self, queue: str) -> None:
        """Delete a queue with all its messages. Raises QueueDoesNotExist, also in those who wait for a message."""
        found = self.find(queue)
        del self._queues[found.name]
        self.moves.forget(found.name)
        self._deleted_at[found.name] = self._clock()
        found.arrivals.ring()

    def purge(self, queue: str) -> None:
        """Remove all messages. Raises QueueDoesNotExist; PurgeQueueInProgress within 60 seconds of the last time."""
        found, now = self.find(queue), self._clock()
        if now - found.purged_at < PAUSE:
            raise PurgeQueueInProgress(f"Only one PurgeQueue operation is allowed every {PAUSE} seconds.")
        found.purge(now)

    # Messages

    def send(
        self,
        queue: str,
        body: str,
        *,
        delay: int | None = None,
        attributes: Mapping[str, MessageAttribute] | None = None,
        trace_header: str | None = None,
    ) -> Message:
        """Put a message into a queue; `delay` in seconds, None for the queue's own. The limits are the caller's."""
        found, now = self.find(queue), self._clock()
        message = Message(self._new_id(), body, now, attributes or {}, trace_header)
        found.put(message, now=now, delay=found.settings.delay if delay is None else delay)
        return message

    async def receive(
        self,
        queue: str,
        max_messages: int = 10,
        wait_seconds: float | None = None,
        *,
        visibility: int | None = None,
    ) -> list[Received]:
        """Take up to `max_messages`, and wait for the first one for up to `wait_seconds`.

        `wait_seconds` and `visibility` are the queue's own when None. More than 10 messages at a time are possible
        here, as for Lambda's poller, though not over HTTP. A wait can be cancelled; no message is taken then.

        Raises:
            QueueDoesNotExist: also when the queue is deleted during the wait.
            OverLimit: too many messages in flight, and no wait asked for; a waiting receive comes back empty.
        """
        loop = asyncio.get_running_loop()
        wait = self.find(queue).settings.wait if wait_seconds is None else wait_seconds
        end = loop.time() + wait
        while True:
            found = self.find(queue)
            try:
                received = self._receive_now(found, max_messages, visibility)
            except OverLimit:
                if wait <= 0:
                    raise
                received = []
            remaining = end - loop.time()
            if received or remaining <= 0:
                return received
            await found.arrivals.wait(min(remaining, self._until_next_change(found), LONGEST_NAP))

    def delete(self, queue: str, handle: str) -> None:
        """Delete a received message. Raises QueueDoesNotExist, ReceiptHandleIsInvalid; see `Queue.delete`."""
        self.find(queue).delete(handle, now=self._clock())

    def delete_batch(self, queue: str, handles: Iterable[str]) -> list[SqsError | None]:
        """Delete received messages, any number. One outcome per handle, in order: None, or why it failed."""
        return [_outcome(self.delete, queue, handle) for handle in handles]

    def change_visibility(self, queue: str, handle: str, seconds: int) -> None:
        """Let a message in flight reappear in `seconds`. Raises as `Queue.change_visibility` does."""
        self.find(queue).change_visibility(handle, seconds, now=self._clock())

    # What the local stack shows

    def counts(self, queue: str) -> Counts:
        """Visible, in flight, delayed, and the age of the oldest message. Raises QueueDoesNotExist."""
        self.moves.advance()
        return self.find(queue).counts(self._clock())

    def peek(self, queue: str) -> list[Message]:
        """All messages of a queue, in flight and delayed too, without receiving them: dead letters, to look at."""
        self.moves.advance()
        return self.find(queue).messages(self._clock())

    def _checked(self, settings: QueueSettings) -> QueueSettings:
        if settings.redrive is not None and settings.redrive.dead_letters not in self._queues:
            raise InvalidAttributeValue("Invalid value for the parameter RedrivePolicy: the target does not exist.")
        return settings

    def _receive_now(self, queue: Queue, limit: int, visibility: int | None) -> list[Received]:
        self.moves.advance()
        redrive = queue.settings.redrive
        return queue.receive(
            limit,
            visibility=queue.settings.visibility if visibility is None else visibility,
            now=self._clock(),
            dead_letters=None if redrive is None else self._queues.get(redrive.dead_letters),
        )

    def _until_next_change(self, queue: Queue) -> float:
        """Seconds until a message may become visible in this queue by itself."""
        changes = (queue.next_change(), self.moves.next_change())
        return max(0.0, min((change for change in changes if change is not None), default=inf) - self._clock())


def _outcome(call: Callable[[str, str], None], queue: str, handle: str) -> SqsError | None:
    try:
        call(queue, handle)
    except SqsError as error:
        return error
    return None
