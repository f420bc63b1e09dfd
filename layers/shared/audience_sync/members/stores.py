"""The membership table and the queues, as use cases see them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from audience_sync.errors import OutOfTime, RowUnreadable, TransientError
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Member

type HasTime = Callable[[], bool]  # asked before each request


class MemberRows(Protocol):
    """The membership table."""

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        """Read states, consistently. Raises Unavailable; of these, RowUnreadable for a damaged row of one member."""

    def readable(self, members: Iterable[Member]) -> tuple[dict[Member, MemberState], dict[Member, RowUnreadable]]:
        """Read states, consistently, and return damaged rows with their errors. Raises Unavailable."""

    def read_each(
        self, members: Iterable[Member], has_time: HasTime = lambda: True
    ) -> dict[Member, MemberState | RowUnreadable | OutOfTime]:
        """Read states, consistently, with an error for each unreadable one. Raises Unavailable."""

    def write(
        self, states: Sequence[MemberState], has_time: HasTime = lambda: True
    ) -> list[MemberState | TransientError]:
        """Write states of distinct members, each unless its row has changed since it was read: then MovedOn.

        Returns each as stored, or OutOfTime if its write was not begun, or Unavailable if its outcome is unknown.
        """


class MessageQueue(Protocol):
    """A queue to send to."""

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        """Store all bodies, visible after `delay` seconds. Raises Unavailable unless all are stored."""
