"""The membership table and the queues, as use cases see them."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from audience_sync.errors import RowUnreadable, TransientError
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Member


class MemberRows(Protocol):
    """The membership table."""

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        """Read states, consistently. Raises Unavailable; of these, RowUnreadable for a damaged row of one member."""

    def readable(self, members: Iterable[Member]) -> tuple[dict[Member, MemberState], dict[Member, RowUnreadable]]:
        """Read states, consistently, and return damaged rows with their errors. Raises Unavailable."""

    def write(self, states: Sequence[MemberState]) -> list[MemberState | TransientError]:
        """Write states, each unless its row has changed since it was read."""


class MessageQueue(Protocol):
    """A queue to send to."""

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        """Store all bodies, visible after `delay` seconds. Raises Unavailable unless all are stored."""
