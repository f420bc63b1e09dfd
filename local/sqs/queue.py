"""One standard queue: visible, in-flight and delayed messages, and the times of their transitions.

No operation scans the queue; each costs the same with ten messages as with a hundred thousand. The clock is the
caller's: methods that depend on the time have a parameter `now`, in epoch seconds.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from local.sqs.deadlines import Deadlines
from local.sqs.message import Received, SqsMessage, delivery_named_by, receipt_handle
from local.sqs.settings import MAX_VISIBILITY, QueueSettings
from local.sqs.sqs_errors import InvalidParameterValueException, MessageNotInflight, OverLimit

IN_FLIGHT_LIMIT = 120_000  # messages of a standard queue


class Notifier:
    """Wakes every receive that waits for a message. Belongs to one event loop: notify from that loop's thread only."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Wake all waiting receives."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return at the next notification, or after `seconds`."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait([waiter], timeout=seconds)
        finally:
            self._waiters.discard(waiter)
            waiter.cancel()


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Numbers of messages by state."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All messages that are not deleted."""
        return self.visible + self.in_flight + self.delayed


@dataclass(slots=True)
class _Stored:
    message: SqsMessage
    receive_count: int = 0
    received_at: float = 0.0
    first_received_at: float = 0.0


@dataclass(eq=False)
class SqsQueue:
    """A queue and its messages. `arrivals` notifies whenever a message may have become visible."""

    name: str
    settings: QueueSettings
    in_flight_limit: int = IN_FLIGHT_LIMIT
    arrivals: Notifier = field(default_factory=Notifier)

    def __post_init__(self) -> None:
        self.purge()

    def purge(self) -> None:
        """Remove every message, in flight or not."""
        self._stored: dict[str, _Stored] = {}
        self._visible: OrderedDict[str, _Stored] = OrderedDict()  # a dict, popped from the front, slows down
        self._in_flight = Deadlines()
        self._delayed = Deadlines()
        self._expiring = Deadlines()

    def put(self, message: SqsMessage, *, now: float, delay: float = 0) -> None:
        """Store a message, visible after `delay` seconds."""
        stored = self._stored[message.id] = _Stored(message)
        self._expiring.put(message.id, message.sent_at + self.settings.retention)
        if delay > 0:
            self._delayed.put(message.id, now + delay)
        else:
            self._show(stored)

    def receive(self, limit: int, *, visibility: float, now: float, dead_letters: "SqsQueue | None") -> list[Received]:
        """Receive up to `limit` visible messages, hidden for `visibility` seconds.

        A message already received as often as the redrive policy allows moves to `dead_letters` instead, with its id
        and enqueue time. As at AWS, that happens here, when its turn comes, not when it becomes visible.

        Raises OverLimit if the queue has its maximum of messages in flight.
        """
        self._advance(now)
        room = min(limit, self.in_flight_limit - len(self._in_flight))
        if room <= 0:
            raise OverLimit("Too many messages in flight.")
        taken: list[_Stored] = []
        while self._visible and len(taken) < room:
            stored = self._visible.popitem(last=False)[1]
            if dead_letters is not None and stored.receive_count >= self.settings.max_receives:
                self._forget(stored.message.id)
                dead_letters.put(stored.message, now=now)
            else:
                taken.append(stored)
        return [self._deliver(stored, visibility, now) for stored in taken]

    def delete(self, handle: str, *, now: float) -> None:
        """Delete the message of a delivery, in flight or visible again.

        A handle is valid until the message is received again; after that, as for a message that is gone, the call
        succeeds and deletes nothing (API Reference, DeleteMessage). Raises ReceiptHandleIsInvalid.
        """
        stored = self._delivered(handle, now)
        if stored is not None:
            self._forget(stored.message.id)

    def change_visibility(self, handle: str, seconds: float, *, now: float) -> None:
        """Make a message in flight visible in `seconds` from now; 0 is at once.

        Raises:
            ReceiptHandleIsInvalid: not a handle of this queue.
            InvalidParameterValueException: gone, received again, or beyond 12 hours since it was received.
            MessageNotInflight: visible again.
        """
        stored = self._delivered(handle, now)
        if stored is None:
            raise InvalidParameterValueException("Message does not exist or is not available for a timeout change.")
        if stored.message.id not in self._in_flight:
            raise MessageNotInflight("The specified message isn't in flight.")
        if now + seconds > stored.received_at + MAX_VISIBILITY:
            raise InvalidParameterValueException(f"Total VisibilityTimeout is beyond {MAX_VISIBILITY} seconds.")
        self._hide(stored, seconds, now)

    def messages(self, now: float) -> list[SqsMessage]:
        """All messages in the order of storing, without receiving them."""
        self._advance(now)
        return [stored.message for stored in self._stored.values()]

    def counts(self, now: float) -> QueueCounts:
        """Return the numbers of messages by state."""
        self._advance(now)
        return QueueCounts(len(self._visible), len(self._in_flight), len(self._delayed))

    def next_change(self) -> float | None:
        """Epoch seconds at which a hidden message becomes visible; None when nothing is hidden."""
        return min(
            (due for part in (self._in_flight, self._delayed) if (due := part.first()) is not None), default=None
        )

    def _advance(self, now: float) -> None:
        """Update the queue to `now`: expire first, so that no expired message becomes visible."""
        for message_id in self._expiring.pop_due(now):
            self._forget(message_id)
        for message_id in self._delayed.pop_due(now) + self._in_flight.pop_due(now):
            self._show(self._stored[message_id])

    def _delivered(self, handle: str, now: float) -> _Stored | None:
        """Return the message whose latest delivery has this handle. Raises ReceiptHandleIsInvalid."""
        message_id, receive_count = delivery_named_by(handle, self.name)
        self._advance(now)
        stored = self._stored.get(message_id)
        return stored if stored is not None and stored.receive_count == receive_count else None

    def _deliver(self, stored: _Stored, visibility: float, now: float) -> Received:
        stored.receive_count += 1
        stored.received_at = now
        if stored.receive_count == 1:
            stored.first_received_at = now
        self._hide(stored, visibility, now)
        handle = receipt_handle(self.name, stored.message.id, stored.receive_count)
        return Received(stored.message, handle, stored.receive_count, stored.first_received_at)

    def _hide(self, stored: _Stored, seconds: float, now: float) -> None:
        if seconds > 0:
            self._in_flight.put(stored.message.id, now + seconds)
        else:
            self._in_flight.drop(stored.message.id)
            self._show(stored)

    def _show(self, stored: _Stored) -> None:
        self._visible[stored.message.id] = stored
        self.arrivals.notify()

    def _forget(self, message_id: str) -> None:
        self._visible.pop(message_id, None)
        for part in (self._in_flight, self._delayed, self._expiring):
            part.drop(message_id)
        del self._stored[message_id]
