"""Outcomes of the members in one invocation: delivered, superseded, parked, or deferred."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum

from audience_sync.delivery.context import DeliveryContext, ParsedMessage
from audience_sync.delivery.uploads import Accepted, Deferred, UploadOutcome
from audience_sync.errors import JobRunning, PermanentError, RowUnreadable, TransientError
from audience_sync.members.dead_letters import DeadLetter, Failure
from audience_sync.members.member_step import Attempted
from audience_sync.members.membership import Member, MembershipChange, Version, coalesce

REPETITION_DELAY = 10.0  # seconds until the next try of a repetition that met changes of its member


class ChangeOutcome(StrEnum):
    """The final outcome of a change. One that still waits has none."""

    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    PARKED = "parked"


class Outcomes:
    """The outcomes of the members of one invocation, and the facts its messages hold about each.

    A change is settled as delivered before its upload is sent. That is provisional: one that is deferred or parked
    afterwards counts as that. `Deferred.newer_than` defers only the later ones of a member's changes.
    """

    def __init__(self, context: DeliveryContext, messages: Sequence[ParsedMessage], deadline: float) -> None:
        """Collect the changes of messages; `deadline` in monotonic seconds."""
        self.deferred: dict[Member, Deferred] = {}
        self.parked: Counter[str] = Counter()  # changes, by reason
        self.parked_in: set[str] = set()  # their audiences
        self.unread: set[str] = set()  # partitions of damaged rows
        stated = [each for each in messages if not each.message.history.is_repetition]
        self.changes = coalesce(change for each in stated for change in each.message.changes)
        self.newest = {change.member: change for change in self.changes}  # the last one of each member is the newest
        # Repetitions for members without changes here: the newest version at the time of queueing.
        self.repetitions: dict[Member, MembershipChange] = {}
        self.waiting: dict[Member, Deferred] = {}  # repetitions that are not due yet
        self._context = context
        self._deadline = deadline
        self._settled: dict[Member, tuple[ChangeOutcome, Version]] = {}
        self._source: dict[Member, ParsedMessage] = {}  # of a member's messages, the one tried most often
        self._counted: set[tuple[Member, Version]] = set()  # changes that are not replays
        self._given_up: set[int] = set()  # changes, by `id()`
        self._attempted: dict[tuple[Member, bool], Version] = {}  # the oldest enter and exit tried before
        for each in sorted(messages, key=lambda each: (not each.message.history.is_repetition, each.attempts)):
            for change in each.message.changes:
                self._source[change.member] = each
                if not each.message.history.is_replay:
                    self._counted.add((change.member, change.version))
                if each.attempts > 1:
                    kind = change.member, change.exits
                    self._attempted[kind] = min(change.version, self._attempted.get(kind, change.version))
        several = Counter(each.origin for each in stated)  # messages of one origin
        self._copied: dict[str, set[tuple[Member, Version]]] = {each: set() for each, of in several.items() if of > 1}
        self._take_repetitions(messages)

    def _take_repetitions(self, messages: Sequence[ParsedMessage]) -> None:
        """Keep the newest repetition of each member. If the member has changes, it waits until they are done."""
        for each in messages:
            if not each.message.history.is_repetition:
                continue
            for change in each.message.changes:
                if change.member in self.newest:
                    self.waiting[change.member] = Deferred(
                        JobRunning("changes of the member come first"), REPETITION_DELAY
                    )
                elif change.version >= self.repetitions.get(change.member, change).version:
                    self.repetitions[change.member] = change

    def was_tried(self, member: Member) -> bool:
        """Return whether an earlier delivery may have recorded or sent the member's changes."""
        return self._source[member].attempts > 1

    def attempted(self, member: Member) -> Attempted:
        """Return which of the member's changes an earlier delivery may have sent."""
        return Attempted(self._attempted.get((member, False)), self._attempted.get((member, True)))

    def is_replay(self, member: Member, version: Version) -> bool:
        """Return whether a change was counted before."""
        return (member, version) not in self._counted

    def settle(self, members: Iterable[Member], outcome: ChangeOutcome) -> None:
        """Record the outcome of all changes of members, or of the changes before an enter that waits."""
        for member in members:
            after = self.deferred[member].newer_than if member in self.deferred else None
            newest = self.newest.get(member) or self.repetitions[member]  # of which nothing is counted
            self._settled[member] = outcome, after or newest.version

    def defer(self, members: Iterable[Member], deferred: Deferred, *, unless_decided: bool = False) -> None:
        """Keep the changes of members in the queue."""
        if isinstance(deferred.error, RowUnreadable):
            self.unread.add(deferred.error.partition)
        for member in members:
            deferrals = self.waiting if member in self.repetitions else self.deferred
            if not (unless_decided and (member in self._settled or member in deferrals)):
                deferrals[member] = deferred

    def park(self, refused: Iterable[tuple[MembershipChange, PermanentError]]) -> None:
        """Send changes to the dead letter queue; if that fails, defer them."""
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

    def take(self, changes: Iterable[MembershipChange], outcomes: dict[Member, UploadOutcome]) -> set[Member]:
        """Park refused changes and defer those that must wait. Returns the members whose record Amazon has accepted."""
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

    def is_parked(self, member: Member) -> bool:
        """Return whether the newest change of a member, or its repetition, was parked and nothing of it comes back."""
        is_parked = member in self._settled and self._settled[member][0] is ChangeOutcome.PARKED
        return is_parked and member not in self.deferred and member not in self.waiting

    def undecided(self, members: Iterable[Member]) -> list[Member]:
        """Return the members neither parked nor deferred: their changes may be recorded, or even sent."""
        return [each for each in members if not self._is_decided(each)]

    def _is_decided(self, member: Member) -> bool:
        if member in self.waiting:
            return member in self.repetitions
        if member in self.deferred:
            return self.deferred[member].newer_than is None
        return member in self._settled and self._settled[member][0] is ChangeOutcome.PARKED

    def give_up(self, each: ParsedMessage, error: PermanentError) -> None:
        """Park the remaining changes of a message. If that fails, they stay in the queue."""
        left = [change for change, _ in self.left_of(each)]
        bodies = [DeadLetter.parked(change, self._failure(change, error)).body() for change in left]
        with suppress(TransientError):
            self._context.dead_letters.send(bodies, deadline=self._deadline, attributes={"reason": error.reason})
            self._given_up |= {id(change) for change in left}
            self.parked[error.reason] += len(left)
            self.parked_in.update(change.audience_id for change in left)

    def left_of(self, each: ParsedMessage) -> Iterator[tuple[MembershipChange, Deferred]]:
        """Yield the changes of a message that stay in the queue, each with its deferral."""
        deferrals = self.waiting if each.message.history.is_repetition else self.deferred
        for change in each.message.changes:
            deferred = deferrals.get(change.member)
            stays = deferred and (deferred.newer_than is None or change.version > deferred.newer_than)
            if deferred and stays and id(change) not in self._given_up:
                yield change, deferred

    def of_message(self, each: ParsedMessage) -> Iterator[ChangeOutcome]:
        """Yield the outcome of every settled change of a message. Replays and the changes of a copy are not counted."""
        if each.message.history.is_replay:
            return
        staying = {id(change) for change, _ in self.left_of(each)}
        counted = self._copied.get(each.origin)
        for change in each.message.changes:
            if id(change) in self._given_up:
                outcome = ChangeOutcome.PARKED
            elif id(change) not in staying and (settled := self._settled.get(change.member)):
                outcome = settled[0] if change.version == settled[1] else ChangeOutcome.SUPERSEDED
            else:
                continue
            if counted is not None:
                copy = change.member, change.version
                if copy in counted:
                    continue
                counted.add(copy)
            yield outcome

    def has_parked(self, each: ParsedMessage) -> bool:
        """Return whether a change of a message was parked."""
        settled = (self._settled.get(change.member) for change in each.message.changes)
        return any(found and found[0] is ChangeOutcome.PARKED for found in settled)

    def _failure(self, change: MembershipChange, error: PermanentError) -> Failure:
        source = self._source[change.member]
        return Failure.of(
            error, attempts=source.attempts, first_at=source.first_at, last_at=self._context.clock.now_ms()
        )
