"""SQS in memory: standard queues with visibility, receive counts, delays, redelivery and dead letters."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.soak.aws_errors import errors_of
from tests.soak.calls import Call, current, make
from tests.soak.clock import SimulatedClock
from tests.soak.lineage import Lineage
from tests.soak.recounts import Recounts

MAX_BATCH = 10  # entries
MAX_BATCH_BYTES = 1_048_576
MAX_DELAY = 900  # seconds


@dataclass(eq=False, slots=True)
class StoredMessage:
    """One message in a queue."""

    number: int
    body: str
    sent_at: float
    visible_at: float
    attributes: dict[str, Any] = field(default_factory=dict)
    lineage: Lineage = field(default_factory=dict)
    receives: int = 0
    receipt: int = 0  # number of the last receive; each makes a handle of its own
    copies: list[float] = field(default_factory=list)  # seconds until each of further deliveries, come what may

    @property
    def handle(self) -> str:
        """The receipt handle of the last receive."""
        return f"{self.number}/{self.receipt}"

    @property
    def reason(self) -> str:
        """The reason attribute of a dead letter; empty where there is none."""
        return str(self.attributes.get("reason", {}).get("StringValue", ""))


class StoredQueue:
    """One queue. Each of `on_put` is called whenever a message may have become available."""

    def __init__(self, name: str, clock: SimulatedClock, *, visibility: float, retention: float) -> None:
        self.name = name
        self.url = f"https://sqs.simulated/{name}"
        self.arn = f"arn:aws:sqs:us-east-1:123456789012:{name}"
        self.messages: dict[int, StoredMessage] = {}
        self.dead_letters: StoredQueue | None = None
        self.max_receives = 0  # 0: without a dead letter queue
        self.next_copies: list[float] = []  # as a message's, of the message that is received next
        self.on_put: list[Callable[[StoredMessage], None]] = []
        self.on_end: list[Callable[[str, bool], None]] = []  # called with a body, and whether its function is done
        self.recounts = Recounts()  # of the change queue
        self._clock = clock
        self._visibility = visibility
        self._retention = retention
        self._numbers = 0

    def put(
        self, body: str, delay: float = 0.0, attributes: dict[str, Any] | None = None, lineage: Lineage | None = None
    ) -> None:
        """Store a message; without a lineage it comes from outside of the functions."""
        self._numbers += 1
        now = self._clock.now
        message = StoredMessage(self._numbers, body, now, now + delay, attributes or {}, lineage or {})
        self.messages[message.number] = message
        if self.recounts.is_unanswered:
            self.recounts.add([body])
        self._announce(message)

    def next_visible(self) -> float | None:
        """Return when the next message is visible; None where the queue is empty."""
        return min((message.visible_at for message in self.messages.values()), default=None)

    def counts(self) -> dict[str, int]:
        """Return the number of messages that are visible, in flight and delayed, by the names of SQS."""
        hidden = [message for message in self.messages.values() if message.visible_at > self._clock.now]
        in_flight = sum(message.receives > 0 for message in hidden)
        return {
            "ApproximateNumberOfMessages": len(self.messages) - len(hidden),
            "ApproximateNumberOfMessagesNotVisible": in_flight,
            "ApproximateNumberOfMessagesDelayed": len(hidden) - in_flight,
        }

    def receive(self, random: Random, most: int, duplicates: float, copies: int = 2) -> list[StoredMessage]:
        """Receive visible messages in any order.

        Messages received too often move to the dead letters, and those that are too old are gone.

        Args:
            random: chooses.
            most: messages.
            duplicates: share of messages of which a server keeps copies, although they are deleted or hidden.
            copies: deliveries of such a message.
        """
        now = self._clock.now
        for message in [each for each in self.messages.values() if now - each.sent_at > self._retention]:
            del self.messages[message.number]
        visible = [message for message in self.messages.values() if message.visible_at <= now]
        received = []
        for message in random.sample(visible, min(most, len(visible))):
            if self.dead_letters is not None and message.receives >= self.max_receives:
                del self.messages[message.number]
                self.dead_letters.put(message.body, 0.0, message.attributes, message.lineage)
                continue
            message.receives += 1
            message.receipt += 1
            if message.copies:
                del message.copies[0]
            elif random.random() < duplicates:
                message.copies = [0.0] * (copies - 1)
                self.recounts.add([message.body], len(message.copies))
            elif self.next_copies:
                message.copies, self.next_copies = self.next_copies, []
                self.recounts.add([message.body], len(message.copies))
            message.visible_at = now + (message.copies[0] if message.copies else self._visibility)
            received.append(message)
        return received

    def delete(self, handle: str) -> None:
        """Delete a message, by any of its handles, as standard queues mostly do. Copies of it stay."""
        message = self._of(handle)
        if message is not None and not message.copies:
            del self.messages[message.number]

    def change_visibility(self, handle: str, seconds: float) -> bool:
        """Set for how long a message stays invisible; return whether it still is in the queue."""
        message = self._of(handle)
        if message is None:
            return False
        if not message.copies:
            message.visible_at = self._clock.now + seconds
        self._announce(message)
        return True

    def _of(self, handle: str) -> StoredMessage | None:
        return self.messages.get(int(handle.partition("/")[0]))

    def _announce(self, message: StoredMessage) -> None:
        for act in self.on_put:
            act(message)


class SqsClient:
    """boto3's client, as far as the functions use it."""

    def __init__(self, queues: "Queues", timeout: float, attempts: int) -> None:
        self._queues = queues
        self._timeout = timeout
        self._attempts = attempts

    def send_message(self, *, QueueUrl: str, MessageBody: str, **options: Any) -> Any:  # noqa: N803 - boto3's names
        """Send one message."""
        queue, lineage = self._queues.by_url[QueueUrl], _own_lineage()

        def act() -> Any:
            queue.put(MessageBody, options.get("DelaySeconds", 0), options.get("MessageAttributes"), lineage)
            return {"MessageId": "sent"}

        return self._send("SendMessage", queue, [MessageBody], act)

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803
        """Send several messages; some may fail by themselves."""
        queue, lineage = self._queues.by_url[QueueUrl], _own_lineage()
        assert 0 < len(Entries) <= MAX_BATCH
        assert sum(len(entry["MessageBody"].encode()) for entry in Entries) <= MAX_BATCH_BYTES
        assert len({entry["Id"] for entry in Entries}) == len(Entries)

        def act() -> Any:
            answer: dict[str, list[Any]] = {"Successful": [], "Failed": []}
            for entry in Entries:
                delay = entry.get("DelaySeconds", 0)
                assert 0 <= delay <= MAX_DELAY
                if self._queues.fails_partly():
                    answer["Failed"].append({"Id": entry["Id"], "Code": "InternalError", "SenderFault": False})
                    continue
                queue.put(entry["MessageBody"], delay, entry.get("MessageAttributes"), lineage)
                answer["Successful"].append({"Id": entry["Id"], "MessageId": "sent"})
            return answer

        return self._send("SendMessageBatch", queue, [entry["MessageBody"] for entry in Entries], act)

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803
        """Move when messages become visible."""
        queue = self._queues.by_url[QueueUrl]
        assert 0 < len(Entries) <= MAX_BATCH

        def act() -> Any:
            answer: dict[str, list[Any]] = {"Successful": [], "Failed": []}
            for entry in Entries:
                moved = queue.change_visibility(entry["ReceiptHandle"], entry["VisibilityTimeout"])
                answer["Successful" if moved else "Failed"].append({"Id": entry["Id"]})
            return answer

        return self._call("ChangeMessageVisibilityBatch", queue, act)

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> Any:  # noqa: N803
        """Delete one message."""
        queue = self._queues.by_url[QueueUrl]
        return self._call("DeleteMessage", queue, lambda: queue.delete(ReceiptHandle))

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: list[str]) -> Any:  # noqa: N803
        """Count the messages of a queue."""
        queue = self._queues.by_url[QueueUrl]

        def act() -> Any:
            counts = queue.counts()
            return {"Attributes": {name: str(counts[name]) for name in AttributeNames}}

        return self._call("GetQueueAttributes", queue, act)

    def _send(self, operation: str, queue: StoredQueue, bodies: list[str], act: Callable[[], Any]) -> Any:
        """Make a request that stores messages. If it fails, its caller may send again what earlier ones have stored."""
        invocation = current()
        assert invocation is not None
        stored = invocation.stored.setdefault(queue.name, [])
        try:
            answer = self._call(operation, queue, act)
        except Exception:
            queue.recounts.add(stored)
            raise
        stored += bodies
        if answer.get("Failed"):
            queue.recounts.add(stored)
        return answer

    def _call(self, operation: str, queue: StoredQueue, act: Callable[[], Any]) -> Any:
        error = errors_of(operation, "RequestThrottled")
        return make(Call("sqs", operation, queue.name, act, error, self._timeout, self._attempts))


def _own_lineage() -> Lineage:
    """Return the lineage of the invocation that makes a call."""
    invocation = current()
    assert invocation is not None
    return invocation.lineage


class Queues:
    """All queues of the stack."""

    def __init__(self, fails_partly: Callable[[], bool]) -> None:
        """`fails_partly`: asked for each entry of a batch."""
        self.by_name: dict[str, StoredQueue] = {}
        self.by_url: dict[str, StoredQueue] = {}
        self.fails_partly = fails_partly

    def add(self, queue: StoredQueue) -> None:
        """Make a queue known."""
        self.by_name[queue.name] = self.by_url[queue.url] = queue


def as_records(queue: StoredQueue, messages: list[StoredMessage]) -> list[dict[str, Any]]:
    """Lay messages out as Lambda's poller hands them to a function."""
    return [
        {
            "messageId": str(message.number),
            "receiptHandle": message.handle,
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": str(message.receives),
                "SentTimestamp": str(round(message.sent_at * 1000)),
            },
            "messageAttributes": message.attributes,
            "md5OfBody": hashlib.md5(message.body.encode(errors="replace"), usedforsecurity=False).hexdigest(),
            "eventSource": "aws:sqs",
            "eventSourceARN": queue.arn,
            "awsRegion": "us-east-1",
        }
        for message in messages
    ]
