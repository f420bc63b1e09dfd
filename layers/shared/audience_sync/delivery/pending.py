"""One record for each member of an invocation: its changes, the facts about them, and what becomes of them."""

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum

from audience_sync.delivery.context import ParsedMessage
from audience_sync.delivery.uploads import Deferred
from audience_sync.errors import JobRunning
from audience_sync.members.membership import Member, MembershipChange, Version

REPETITION_DELAY = 10.0  # seconds until the next try of a repetition that met changes of its member
_CHANGES_FIRST = Deferred(JobRunning("changes of the member come first"), REPETITION_DELAY)


class ChangeOutcome(StrEnum):
    """The final outcome of a change. One that stays in the queue has none."""

    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    PARKED = "parked"


@dataclass(slots=True, eq=False)
class PendingMember:
    """A member with changes, or with a repetition, in one invocation.

    Its changes have an outcome, or a deferral, with which they stay in the queue. If the newest is an enter that waits,
    it alone stays; the outcome is that of the changes up to `waits_after`.
    """

    changes: list[MembershipChange]  # as `coalesce` returns them, the newest last; of a repetition, a bare one
    is_repetition: bool  # whatever is due in the row is sent; nothing of it is counted
    source: ParsedMessage  # of its messages, the one tried most often
    counted: Set[Version]  # of changes that are not replays
    outcome: ChangeOutcome | None = None
    deferral: Deferred | None = None
    waits_after: Version | None = None  # the last exit before an enter that waits

    @property
    def newest(self) -> MembershipChange:
        """The newest change; of a repetition, the newest one when it was queued."""
        return self.changes[-1]

    @property
    def member(self) -> Member:
        """The audience and external user id."""
        return self.newest.member

    @property
    def is_parked(self) -> bool:
        """Whether it is parked, and nothing of it comes back."""
        return self.outcome is ChangeOutcome.PARKED and self.deferral is None

    @property
    def is_decided(self) -> bool:
        """Whether it is parked, or stays as a whole. Otherwise its changes may be recorded, or even sent."""
        if self.deferral is not None:
            return self.waits_after is None
        return self.outcome is ChangeOutcome.PARKED

    def settle(self, outcome: ChangeOutcome) -> None:
        """Record the outcome."""
        self.outcome = outcome

    def defer(self, deferral: Deferred) -> None:
        """Keep all changes in the queue."""
        self.deferral, self.waits_after = deferral, None

    def wait(self, deferral: Deferred, after: Version | None) -> None:
        """Keep an enter in the queue, and with it all changes that are newer than an exit; None: all."""
        self.deferral, self.waits_after = deferral, after

    def stays(self, change: MembershipChange, *, is_repetition: bool) -> Deferred | None:
        """Return the deferral with which a change of a message stays in the queue; None if it does not."""
        if is_repetition and not self.is_repetition:
            return _CHANGES_FIRST
        if self.waits_after is not None and change.version <= self.waits_after:
            return None
        return self.deferral

    def outcome_of(self, change: MembershipChange) -> ChangeOutcome | None:
        """Return the outcome of a change that does not stay. Those older than the settled one are superseded."""
        if self.waits_after is None and change is self.newest:  # as for most members
            return self.outcome
        is_settled = change.version == (self.waits_after or self.newest.version)
        return self.outcome if is_settled or self.outcome is None else ChangeOutcome.SUPERSEDED
