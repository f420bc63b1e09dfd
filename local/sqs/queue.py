"""One standard queue: what waits, what is in flight, what is delayed, and when each of that changes.

No operation scans the queue; every one costs the same at ten messages and at a hundred thousand. The clock is the
caller's: each method that depends on the time takes `now`, epoch seconds.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from local.sqs.bell import Bell
from local.sqs.deadlines import Deadlines
from local.sqs.errors import InvalidParameterValueException, MessageNotInflight, OverLimit
from local.sqs.message import Message, Received, delivery_named_by, receipt_handle
from local.sqs.settings import LONGEST_VISIBILITY, QueueSettings

IN_FLIGHT_LIMIT = 120_000  # messages of a standard queue


@dataclass(frozen=True, slots=True)
class Counts:
    """The state of a queue in four numbers."""

    visible: int
    in_flight: int
    delayed: int
    oldest_age: float | None  # seconds since the oldest message was sent; None when there is none


@dataclass(slots=True)
class _Stored:
    message: Message
    receive_count: int = 0
    received_at: float = 0.0
    first_received_at: float = 0.0


@dataclass(eq=False)
class Queue:
    """A queue and its messages. `arrivals` rings whenever a message may have become visible."""

    name: str
    settings: QueueSettings
    created_at: float
    in_flight_limit: int = IN_FLIGHT_LIMIT
    modified_at: float = 0.0
    purged_at: float = float("-inf")
    tags: dict[str, str] = field(default_factory=dict)
    arrivals: Bell = field(default_factory=Bell)

    def __post_init__(self) -> None:
        self.modified_at = self.created_at
        self._stored: dict[str, _Stored] = {}
        self._visible: OrderedDict[str, _Stored] = OrderedDict()  # a dict, popped from the front, slows down
        self._in_flight = Deadlines()
        self._delayed = Deadlines()
        self._sent = Deadlines()  # due when sent: retention is added at the comparison, so that it can change

    def put(self, message: Message, *, now: float, delay: float = 0) -> None:
        """Store a message, visible after `delay` seconds."""
        stored = self._stored[message.id] = _Stored(message)
        self._sent.put(message.id, message.sent_at)
        if delay > 0:
            self._delayed.put(message.id, now + delay)
        else:
            self._visible[message.id] = stored
            self.arrivals.ring()

    def receive(self, limit: int, *, visibility: float, now: float, dead_letters: "Queue | None") -> list[Received]:
        """Take up to `limit` visible messages into flight for `visibility` seconds.

        A message that has been received as often as the redrive policy allows goes to `dead_letters` instead, under
        its own id and enqueue time. As at AWS, that happens here, when its turn comes, not when it becomes visible.

        Raises OverLimit when as many messages are in flight as a queue may have.
        """
        self._settle(now)
        room = min(limit, self.in_flight_limit - len(self._in_flight))
        if room <= 0:
            raise OverLimit("Too many messages in flight.")
        taken: list[_Stored] = []
        while self._visible and len(taken) < room:
            stored = self._visible.popitem(last=False)[1]
            if dead_letters is not None and self._is_spent(stored):
                self._forget(stored.message.id)
                dead_letters.put(replace(stored.message, dead_letter_of=self.name), now=now)
            else:
                taken.append(stored)
        return [self._hand_out(stored, visibility, now) for stored in taken]

    def delete(self, handle: str, *, now: float) -> None:
        """Delete the message of a delivery, in flight or visible again.

        A handle is good until the message is received once more; after that, as for a message that is gone, the call
        succeeds and deletes nothing (API Reference, DeleteMessage). Raises ReceiptHandleIsInvalid.
        """
        message_id, receive_count = delivery_named_by(handle, self.name)
        self._settle(now)
        stored = self._stored.get(message_id)
        if stored is not None and stored.receive_count == receive_count:
            self._forget(message_id)

    def change_visibility(self, handle: str, seconds: float, *, now: float) -> None:
        """Let a message in flight reappear in `seconds` from now; 0 is at once.

        Raises:
            ReceiptHandleIsInvalid: not a handle of this queue.
            InvalidParameterValueException: gone, received anew, or beyond 12 hours since it was received.
            MessageNotInflight: visible again.
        """
        message_id, receive_count = delivery_named_by(handle, self.name)
        self._settle(now)
        stored = self._stored.get(message_id)
        if stored is None or stored.receive_count != receive_count:
            raise InvalidParameterValueException(
                "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for "
                "visibility timeout change."
            )
        if message_id not in self._in_flight:
            raise MessageNotInflight("The specified message isn't in flight.")
        if now + seconds > stored.received_at + LONGEST_VISIBILITY:
            raise InvalidParameterValueException(
                "Value for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is "
                f"beyond the limit [{LONGEST_VISIBILITY} seconds]."
            )
        self._hide(stored, seconds, now)

    def first_visible(self, now: float) -> Message | None:
        """The message whose turn is next, left where it is; None when none is visible."""
        self._settle(now)
        return next((stored.message for stored in self._visible.values()), None)

    def remove(self, message_id: str) -> None:
        """Take a message out without a receipt: it lives on elsewhere. Raises KeyError when it is not here."""
        self._forget(message_id)

    def purge(self, now: float) -> None:
        """Remove every message, in flight or not."""
        self.purged_at = now
        self._stored.clear()
        for part in (self._visible, self._in_flight, self._delayed, self._sent):
            part.clear()

    def messages(self, now: float) -> list[Message]:
        """All messages in the order of storing, without receiving them."""
        self._settle(now)
        return [stored.message for stored in self._stored.values()]

    def counts(self, now: float) -> Counts:
        """How many messages are where, and how old the oldest is."""
        self._settle(now)
        oldest = self._sent.first()
        age = None if oldest is None else now - oldest
        return Counts(len(self._visible), len(self._in_flight), len(self._delayed), age)

    def next_change(self) -> float | None:
        """Epoch seconds at which a hidden message becomes visible; None when nothing is hidden."""
        return min(
            (due for part in (self._in_flight, self._delayed) if (due := part.first()) is not None), default=None
        )

    def _settle(self, now: float) -> None:
        """Let time pass: expire first, so that nothing expired becomes visible."""
        for message_id in self._sent.pop_due(now - self.settings.retention):
            self._forget(message_id)
        reappearing = self._delayed.pop_due(now) + self._in_flight.pop_due(now)
        for message_id in reappearing:
            self._visible[message_id] = self._stored[message_id]
        if reappearing:
            self.arrivals.ring()

    def _hand_out(self, stored: _Stored, visibility: float, now: float) -> Received:
        stored.receive_count += 1
        stored.received_at = now
        if stored.receive_count == 1:
            stored.first_received_at = now
        self._hide(stored, visibility, now)
        handle = receipt_handle(self.name, stored.message.id, stored.receive_count)
        return Received(stored.message, handle, stored.receive_count, stored.first_received_at)

    def _hide(self, stored: _Stored, seconds: float, now: float) -> None:
        message_id = stored.message.id
        if seconds > 0:
            self._in_flight.put(message_id, now + seconds)
        else:
            self._in_flight.drop(message_id)
            self._visible[message_id] = stored
            self.arrivals.ring()

    def _forget(self, message_id: str) -> _Stored:
        self._visible.pop(message_id, None)
        for part in (self._in_flight, self._delayed, self._sent):
            part.drop(message_id)
        return self._stored.pop(message_id)

    def _is_spent(self, stored: _Stored) -> bool:
        policy = self.settings.redrive
        return policy is not None and stored.receive_count >= policy.max_receives
