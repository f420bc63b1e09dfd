"""A queue in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from audience_sync.delivery.context import Message
from audience_sync.errors import Unavailable
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.members.job_messages import JobMessage
from audience_sync.members.repetitions import MAX_DELAY


class Queued(NamedTuple):
    """A message in a queue."""

    body: str
    delay: float  # seconds
    due: float  # epoch seconds from which it is received
    receives: int = 0  # so far
    attributes: dict[str, str] | None = None


@dataclass
class FakeQueue:
    """A queue that keeps what it is sent, as long as it has room, or is down."""

    clock: Callable[[], float] = lambda: 0.0
    messages: list[Queued] = field(default_factory=list)
    down: bool = False
    room: float = float("inf")  # messages

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        assert deadline > 0
        assert 0 <= delay <= MAX_DELAY, "SQS refuses longer delays"
        assert attributes is None or set(attributes) == {"reason"}
        if bodies and (self.down or len(self.messages) + len(bodies) > self.room):
            raise Unavailable("down")
        self.messages += [Queued(body, delay, self.clock() + delay, attributes=attributes) for body in bodies]

    def waiting(self) -> int:
        return len(self.messages)

    def send_each(self, bodies: Sequence[str], *, deadline: float) -> dict[str, Unavailable]:
        if self.down:
            return dict.fromkeys(bodies, Unavailable("down"))
        self.send(bodies, deadline=deadline)
        return {}

    def postpone(self, receipts: Sequence[tuple[str, float]], *, until: float) -> None:
        del until
        assert all(delay >= 0 for _, delay in receipts)

    @property
    def bodies(self) -> list[str]:
        return [each.body for each in self.messages]

    @property
    def delays(self) -> list[float]:
        return [each.delay for each in self.messages]

    def drain(self) -> list[str]:
        """Remove all messages, delayed ones also."""
        bodies = self.bodies
        del self.messages[:]
        return bodies

    def receive(self) -> list[Message]:
        """Remove the messages that are due, and return them as the worker receives them."""
        now = self.clock()
        due = [each for each in self.messages if each.due <= now]
        self.messages = [each for each in self.messages if each.due > now]
        return [Message(str(n), "h", each.body, each.receives + 1, 0) for n, each in enumerate(due)]

    def put_back(self, message: Message, delay: float) -> None:
        """Make a message visible again later, as the worker does with one that it defers."""
        self.messages.append(Queued(message.body, delay, self.clock() + delay, message.receive_count))

    def jobs(self) -> list[JobMessage]:
        return [JobMessage.from_body(body) for body in self.bodies]

    def parked(self) -> dict[str, str]:
        """Return the reasons of dead letters by member."""
        parked: list[Any] = [DeadLetter.from_body(body) for body in self.bodies]
        return {each.changes[0].member[1]: each.failure.reason for each in parked}
