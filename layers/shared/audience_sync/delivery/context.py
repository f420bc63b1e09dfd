"""Context of one invocation's delivery."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from audience_sync.clock import Clock
from audience_sync.delivery.gates.gate import Gate
from audience_sync.delivery.uploads import Limits
from audience_sync.members.membership import Audience
from audience_sync.members.messages import ChangeMessage
from audience_sync.members.stores import MemberRows, MessageQueue


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """The queues, tables and limits of delivery."""

    queue: MessageQueue  # the change queue, for changes that go back
    dead_letters: MessageQueue
    jobs: MessageQueue
    members: MemberRows
    audiences: Callable[[], Sequence[Audience]]  # every one, unlinked ones also; raises Unavailable
    limits: Limits
    clock: Clock
    gate: Gate
    deletes_people: bool = False  # whether the account of Ads Data Manager may; a DSP account may not


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received."""

    message_id: str
    receipt_handle: str = field(repr=False)
    body: str = field(repr=False)
    receive_count: int  # this receive included
    sent_at: int  # epoch milliseconds


@dataclass(slots=True, eq=False)
class ParsedMessage:
    """One readable message."""

    received: Message
    message: ChangeMessage
    is_given_up: bool = False  # the changes that would stay in the queue are parked

    @property
    def attempts(self) -> int:
        """Deliveries tried so far, this one included."""
        return self.received.receive_count + self.message.history.attempts

    @property
    def first_at(self) -> int:
        """When its changes were accepted, epoch milliseconds."""
        return self.message.history.first_at or self.received.sent_at

    @property
    def origin(self) -> str:
        """The id of the first message with these changes."""
        return self.message.history.origin or self.received.message_id
