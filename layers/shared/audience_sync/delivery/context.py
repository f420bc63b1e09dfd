"""Context of one invocation's delivery."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.gates import Gate
from audience_sync.delivery.uploads import Limits
from audience_sync.membership import Audience
from audience_sync.messages import ChangeMessage


class Queue(Protocol):
    """A queue to send to."""

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        """Store all bodies, visible after `delay` seconds. Raises Unavailable unless all are stored."""


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """The queues, tables and limits of delivery."""

    queue: Queue  # the change queue, for changes that go back
    dead_letters: Queue
    jobs: Queue
    members: MembershipTable | None  # without it, changes that overtake each other are applied out of order
    audiences: Callable[[], Sequence[Audience]]  # every one, unlinked ones also; raises Unavailable
    limits: Limits
    clock: Clock
    gate: Gate
    deletes_people: bool = False  # whether the account of Ads Data Manager may; a DSP account may not


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """One readable message."""

    message: ChangeMessage
    attempts: int  # deliveries tried so far, this one included
    first_at: int  # when its changes were accepted, epoch milliseconds
