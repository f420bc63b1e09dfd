"""What becomes of each member in one invocation: delivered, superseded, parked, or deferred."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from audience_sync.delivery.context import DeliveryContext, ParsedMessage
from audience_sync.delivery.uploads import Accepted, Deferred, Outcome
from audience_sync.errors import PermanentError, TransientError
from audience_sync.membership import Member, MembershipChange, Version, coalesce
from audience_sync.messages import DeadLetter, Failure


class ChangeOutcome(StrEnum):
    """How a change ends."""

    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    PARKED = "parked"


class Outcomes:
    """The outcomes of the members of one invocation, and what its messages say about each."""

    def __init__(self, context: DeliveryContext, messages: Sequence[ParsedMessage], deadline: float) -> None:
        """Take the messages; `deadline` in monotonic seconds."""
        self.deferred: dict[Member, Deferred] = {}
        self.parked: Counter[str] = Counter()  # changes, by reason
        self.parked_in: set[str] = set()  # their audiences
        self.changes = coalesce(change for each in messages for change in each.message.changes)
        self.newest = {change.member: change for change in self.changes}  # the last one of each member is the newest
        self._context = context
        self._deadline = deadline
        self._settled: dict[Member, ChangeOutcome] = {}
        self._source: dict[Member, ParsedMessage] = {}  # of a member's messages, the one tried most often
        self._counted: set[tuple[Member, Version]] = set()  # changes that are not replays
        for each in sorted(messages, key=lambda each: each.attempts):
            for change in each.message.changes:
                self._source[change.member] = each
                if not each.message.history.is_replay:
                    self._counted.add((change.member, change.version))

    def was_tried(self, member: Member) -> bool:
        """Return whether an earlier delivery may have recorded or sent the member's changes."""
        return self._source[member].attempts > 1

    def is_replay(self, member: Member, version: Version) -> bool:
        """Return whether a change was counted before."""
        return (member, version) not in self._counted

    def settle(self, members: Iterable[Member], outcome: ChangeOutcome) -> None:
        """Note how the changes of members end."""
        self._settled.update((member, outcome) for member in members)

    def defer(self, members: Iterable[Member], deferred: Deferred, *, unless_settled: bool = False) -> None:
        """Have the changes of members stay in the queue."""
        self.deferred.update(
            (member, deferred) for member in members if not (unless_settled and member in self._settled)
        )

    def park(self, refused: Iterable[tuple[MembershipChange, PermanentError]]) -> None:
        """Send changes to the dead letters; where these do not take them, defer them."""
        by_reason: dict[str, list[tuple[MembershipChange, PermanentError]]] = {}
        for change, error in refused:
            by_reason.setdefault(error.reason, []).append((change, error))
        for reason, of_reason in by_reason.items():
            bodies = [DeadLetter.parked(change, self._failure(change, error)).body() for change, error in of_reason]
            members = [change.member for change, _ in of_reason]
            try:
                self._context.dead_letters.send(bodies, deadline=self._deadline, attributes={"reason": reason})
            except TransientError as failure:
                self.defer(members, Deferred.after(failure))
            else:
                self.settle(members, ChangeOutcome.PARKED)
                self.parked[reason] += len(members)
                self.parked_in.update(audience_id for audience_id, _ in members)

    def take(self, changes: Iterable[MembershipChange], outcomes: dict[Member, Outcome]) -> set[Member]:
        """Park what Amazon refuses for good and defer what must wait. Returns whose record Amazon has accepted."""
        accepted: set[Member] = set()
        refused: list[tuple[MembershipChange, PermanentError]] = []
        for change in changes:
            match outcomes[change.member]:
                case Accepted():
                    accepted.add(change.member)
                case Deferred() as deferred:
                    self.defer([change.member], deferred)
                case error:
                    refused.append((change, error))
        self.park(refused)
        return accepted

    def unverified(self, members: Iterable[Member]) -> list[Member]:
        """Return those whose upload is not verified yet: recorded or even sent, but neither parked nor deferred."""
        return [
            each
            for each in members
            if each not in self.deferred and self._settled.get(each) is not ChangeOutcome.PARKED
        ]

    def of_message(self, each: ParsedMessage) -> Iterator[ChangeOutcome]:
        """Yield the outcome of every settled change of a message. Replays were counted before."""
        for change in each.message.changes:
            outcome = self._settled.get(change.member)
            if outcome and change.member not in self.deferred and not each.message.history.is_replay:
                is_newest = change.version == self.newest[change.member].version
                yield outcome if is_newest else ChangeOutcome.SUPERSEDED

    def _failure(self, change: MembershipChange, error: PermanentError) -> Failure:
        source = self._source[change.member]
        return Failure.of(
            error, attempts=source.attempts, first_at=source.first_at, last_at=self._context.clock.now_ms()
        )
