"""One record for each member of an invocation: its changes, the facts about them, and what becomes of them."""

from collections.abc import Set
from dataclasses import dataclass
from typing import NamedTuple

from audience_sync.delivery.context import ParsedMessage
from audience_sync.delivery.uploads import Deferred
from audience_sync.members.membership import ChangeOutcome, Member, MembershipChange, Version

REPETITION_DELAY = 10.0  # seconds until the next try of a repetition that met changes of its member
_CHANGES_FIRST = Deferred.until("changes of the member come first", REPETITION_DELAY)
_UNDECIDED = Deferred.until("nothing was decided", REPETITION_DELAY)


class Ends(NamedTuple):
    """Nothing of the member stays in the queue."""

    outcome: ChangeOutcome


class Stays(NamedTuple):
    """All changes of the member stay in the queue."""

    deferral: Deferred


class EnterWaits(NamedTuple):
    """The newest change, an enter, stays in the queue; the changes up to the last exit before it have an outcome."""

    deferral: Deferred
    last_exit: Version
    outcome: ChangeOutcome | None = None  # None until the exit is settled


@dataclass(slots=True, eq=False)
class PendingMember:
    """A member with changes, or with a repetition, in one invocation."""

    changes: list[MembershipChange]  # as `coalesce` returns them, the newest last; of a repetition, a bare one
    is_repetition: bool  # whatever is due in the row is sent; nothing of it is counted
    source: ParsedMessage  # of its messages, the one tried most often
    originals: Set[Version]  # of changes that are not replays
    result: Ends | Stays | EnterWaits | None = None  # None until something is settled

    @property
    def newest(self) -> MembershipChange:
        """The newest change; of a repetition, the newest one when it was queued."""
        return self.changes[-1]

    @property
    def member(self) -> Member:
        """The audience and external user id."""
        return self.newest.member

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is recorded or sent of it in this invocation."""
        return self.outcome is not None or isinstance(self.result, Stays)

    @property
    def outcome(self) -> ChangeOutcome | None:
        """The outcome of its changes that do not stay; None if there is none."""
        return None if self.result is None or isinstance(self.result, Stays) else self.result.outcome

    @property
    def deferral(self) -> Deferred | None:
        """Why and how long changes stay; None if none does."""
        return None if self.result is None or isinstance(self.result, Ends) else self.result.deferral

    def settle(self, outcome: ChangeOutcome) -> None:
        """Record the outcome of its changes; if an enter waits, of those before it."""
        if isinstance(self.result, EnterWaits):
            self.result = self.result._replace(outcome=outcome)
        else:
            self.result = Ends(outcome)

    def defer(self, deferral: Deferred) -> None:
        """Keep all changes in the queue, whatever was decided before."""
        self.result = Stays(deferral)

    def wait(self, deferral: Deferred, last_exit: Version | None) -> None:
        """Keep an enter in the queue, and with it all changes newer than the last exit before it; None: all."""
        self.result = Stays(deferral) if last_exit is None else EnterWaits(deferral, last_exit)

    def result_of(self, change: MembershipChange, *, from_repetition: bool) -> ChangeOutcome | Deferred:
        """Return what becomes of a change of a message, which may be a repetition.

        Changes older than the settled one are superseded. What nobody has settled stays: it may be owed.
        """
        if from_repetition and not self.is_repetition:
            return _CHANGES_FIRST
        match self.result:
            case Stays(deferral):
                return deferral
            case EnterWaits(deferral, last_exit) if change.version > last_exit:
                return deferral
            case EnterWaits(_, settled, ChangeOutcome() as outcome):
                pass
            case Ends(outcome):
                settled = self.newest.version
            case _:
                return _UNDECIDED
        return outcome if change.version == settled else ChangeOutcome.SUPERSEDED
