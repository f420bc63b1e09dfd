"""The local stack's SQS behind the simulation's network: messages in any order, copies, batches that fail partly."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from local.sqs.message import Received, SqsMessage, delivery_named_by
from local.sqs.operations import Operations, Request
from local.sqs.queue import SqsQueue
from local.sqs.queues import SqsQueues
from local.sqs.sqs_errors import SqsError
from tests.soak.aws_errors import errors_of
from tests.soak.calls import Call, current, make
from tests.soak.recounts import Recounts

URL = "https://sqs.simulated"


@dataclass(eq=False)
class Queue(SqsQueue):
    """A queue whose messages are received in any order, and some of them again although they are deleted or hidden."""

    random: Random = field(default_factory=Random)
    duplicates: float = 0.0  # share of messages of which a server keeps copies
    copies: int = 2  # deliveries of such a message
    next_copies: list[float] = field(default_factory=list)  # of the next message: seconds until each further delivery
    on_put: list[Callable[[SqsMessage], None]] = field(default_factory=list)
    on_change: list[Callable[[float], None]] = field(default_factory=list)  # when a message becomes visible
    on_end: list[Callable[[str, bool], None]] = field(default_factory=list)  # body, and whether its function is done
    recounts: Recounts = field(default_factory=Recounts)  # of the change queue

    def __post_init__(self) -> None:
        super().__post_init__()
        self._copies: dict[str, list[float]] = {}  # seconds until each further delivery, by message id

    @property
    def is_empty(self) -> bool:
        """Whether the queue has no message, visible or not."""
        return not self._stored

    def next_visible(self, now: float) -> float | None:
        """Return when the next message is visible; None if there is none."""
        return now if self.counts(now).visible else self.next_change()

    def put(self, message: SqsMessage, *, now: float, delay: float = 0) -> None:
        """Store a message."""
        super().put(message, now=now, delay=delay)
        if self.recounts.is_unanswered:
            self.recounts.add([message.body])
        for put in self.on_put:
            put(message)
        self._announce(now + delay)

    def receive(self, limit: int, *, visibility: float, now: float, dead_letters: SqsQueue | None) -> list[Received]:
        """Receive visible messages in any order."""
        visible = [*self._visible] if self.counts(now).visible else []
        for message_id in self.random.sample(visible, min(limit, len(visible))):
            self._visible.move_to_end(message_id, last=False)
        received = super().receive(limit, visibility=visibility, now=now, dead_letters=dead_letters)
        for each in received:
            if copies := self._further_copies(each.message):
                super().change_visibility(each.receipt_handle, copies[0], now=now)
        return received

    def delete(self, handle: str, *, now: float) -> None:
        """Delete a message. Copies of it stay."""
        if not self._is_copied(handle):
            super().delete(handle, now=now)

    def change_visibility(self, handle: str, seconds: float, *, now: float) -> None:
        """Hide a message that has no copies for longer, or for less time."""
        if not self._is_copied(handle):
            super().change_visibility(handle, seconds, now=now)
            self._announce(now + seconds)

    def _further_copies(self, message: SqsMessage) -> list[float]:
        """Return the copies that are left of a message after its delivery, or that are made of it now."""
        copies = self._copies.pop(message.id, [])
        if copies:
            del copies[0]
        elif self.random.random() < self.duplicates:
            copies = [0.0] * (self.copies - 1)
            self.recounts.add([message.body], len(copies))
        elif self.next_copies:
            copies, self.next_copies = self.next_copies, []
            self.recounts.add([message.body], len(copies))
        if copies:
            self._copies[message.id] = copies
        return copies

    def _is_copied(self, handle: str) -> bool:
        return delivery_named_by(handle, self.name)[0] in self._copies

    def _announce(self, visible_at: float) -> None:
        for act in self.on_change:
            act(visible_at)


class SqsClient:
    """boto3's client of the functions. What SQS would refuse by a function's fault ends the simulation."""

    def __init__(self, queues: SqsQueues, fails_partly: Callable[[], bool], timeout: float, attempts: int) -> None:
        """`fails_partly`: asked for each message of a batch."""
        self._queues = queues
        self._fails_partly = fails_partly
        self._timeout = timeout
        self._attempts = attempts

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return an operation by its name in boto3."""
        return partial(self._call, name.title().replace("_", ""))

    def _call(self, operation: str, **request: Any) -> Any:
        """Make a call. If a send fails, its caller may send again what its earlier ones have stored."""
        invocation, queue = current(), self._queues.find(request["QueueUrl"])
        assert invocation is not None
        assert isinstance(queue, Queue)
        act = partial(self._answer, Operations(self._queues, URL, invocation.trace), operation, request)
        error = errors_of(operation, "RequestThrottled")
        call = Call("sqs", operation, queue.name, act, error, self._timeout, self._attempts)
        if not operation.startswith("SendMessage"):
            return make(call)
        stored = invocation.stored.setdefault(queue.name, [])
        try:
            answer = make(call)
        except Exception:
            queue.recounts.add(stored)
            raise
        stored += [entry["MessageBody"] for entry in request.get("Entries", [request])]
        if answer.get("Failed"):
            queue.recounts.add(stored)
        return answer

    def _answer(self, operations: Operations, operation: str, request: Request) -> Any:
        try:
            if operation != "SendMessageBatch":
                return operations.answer(operation, request)
            jammed = [entry for entry in request["Entries"] if self._fails_partly()]
            left = [entry for entry in request["Entries"] if entry not in jammed]
            answer: Any = {"Successful": [], "Failed": []}
            if left or not jammed:
                answer = operations.answer(operation, {**request, "Entries": left})
            assert not answer["Failed"], f"SQS refuses {answer['Failed']}"
        except SqsError as error:
            raise AssertionError(f"SQS refuses {operation}: {error}") from error
        failed = [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in jammed]
        return answer | {"Failed": failed}
