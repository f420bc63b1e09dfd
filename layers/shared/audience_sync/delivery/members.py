"""The outcome of each member in one invocation: delivered, superseded, parked, or deferred.

For each member the newest change is found (among the messages, then in the membership table), sent, and checked
against the table again: a member that has moved on meanwhile is sent once more, so that the last upload is the newest.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import batched
from typing import Protocol

from audience_sync.amazon_ads.record import Target
from audience_sync.aws.membership_rows import version_text
from audience_sync.aws.membership_table import MembershipTable, WriteResult
from audience_sync.delivery.uploads import Accepted, Deferred, Limits, Outcome, Uploads
from audience_sync.errors import MovedOn, NoIdentifier, OutOfTime, PermanentError, TransientError
from audience_sync.membership import Member, MembershipChange, coalesce
from audience_sync.messages import ChangeMessage, DeadLetter, DeliveryHistory, Failure, pack

MAX_ROUNDS = 3  # uploads of one member in one invocation, should it keep moving on


class ChangeOutcome(StrEnum):
    """How a change ends."""

    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    PARKED = "parked"


class Queue(Protocol):
    """A queue to send to."""

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        """Store all bodies, visible after `delay` seconds. Raises Unavailable unless all are stored."""


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """Where changes come from, are recorded and end up."""

    queue: Queue  # the change queue, for what goes back
    dead_letters: Queue
    members: MembershipTable | None  # without it the order of changes that overtake each other is not kept
    limits: Limits
    now: Callable[[], int]  # epoch milliseconds


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """One readable message."""

    message: ChangeMessage
    attempts: int  # deliveries tried so far, this one included
    first_at: int  # when its changes were accepted, epoch milliseconds


@dataclass(slots=True)
class _InFlight:
    """Changes of one audience that are being sent, and the members among them that must be sent again later."""

    changes: list[MembershipChange] = field(default_factory=list)
    repeat: set[Member] = field(default_factory=set)


class MemberDelivery:
    """Delivers the members of one invocation."""

    def __init__(
        self, context: DeliveryContext, uploads: Uploads, messages: Sequence[ParsedMessage], deadline: float
    ) -> None:
        """Take the messages and what is needed to deliver them; `deadline` in monotonic seconds."""
        self.deferred: dict[Member, Deferred] = {}
        self.parked: Counter[str] = Counter()  # changes, by reason
        self._context = context
        self._uploads = uploads
        self._messages = messages
        self._deadline = deadline
        self._outcomes: dict[Member, ChangeOutcome] = {}
        self._newest: dict[Member, MembershipChange] = {}
        self._source: dict[Member, ParsedMessage] = {}  # of a member's messages, the one tried most often
        for each in sorted(messages, key=lambda each: each.attempts):
            self._source.update((change.member, each) for change in each.message.changes)

    def run(self) -> None:
        """Deliver the newest change of every member, audience by audience, as far as time and Amazon allow."""
        by_target: dict[Target, list[MembershipChange]] = {}
        for change in coalesce(change for each in self._messages for change in each.message.changes):
            self._newest[change.member] = change
            target = Target(change.audience_id, change.connection_id, change.target_types)
            by_target.setdefault(target, []).append(change)
        for target, changes in by_target.items():
            trouble: Deferred | None = None
            for some in batched(changes, self._context.limits.max_records):
                if trouble is None:
                    trouble = self._deliver(target, some)
                if trouble is not None:
                    self._defer((change for change in some if change.member not in self._outcomes), trouble)

    def outcomes_for(self, each: ParsedMessage) -> Iterator[ChangeOutcome]:
        """Yield the outcome of every settled change of a message. Replays were counted before."""
        for change in each.message.changes:
            outcome = self._outcomes.get(change.member)
            if outcome and change.member not in self.deferred and not each.message.history.is_replay:
                is_newest = change.version == self._newest[change.member].version
                yield outcome if is_newest else ChangeOutcome.SUPERSEDED

    def replayed(self) -> frozenset[Member]:
        """Return the members of which nothing that was sent counts as delivered by these messages."""
        counted = {
            change.member
            for each in self._messages
            if not each.message.history.is_replay
            for change in each.message.changes
            if change.version == self._newest[change.member].version
            and self._outcomes.get(change.member) is ChangeOutcome.DELIVERED
        }
        return frozenset(self._newest.keys() - counted)

    def _deliver(self, target: Target, changes: Sequence[MembershipChange]) -> Deferred | None:
        """Record, send and verify changes of one audience. Returns why its other changes must wait, if they must."""
        if not self._uploads.has_time_to_record:
            return Deferred.after(OutOfTime("no time left to record changes"))
        in_flight = _InFlight()
        for change, result in zip(changes, self._record(changes), strict=True):
            if isinstance(result, TransientError):
                self._defer([change], Deferred.after(result))
                continue
            self._outcomes[change.member] = (
                ChangeOutcome.SUPERSEDED if result.is_superseded else ChangeOutcome.DELIVERED
            )
            if result.repeat or not result.is_superseded:
                in_flight.changes.append(result.newest)
            if result.repeat:
                in_flight.repeat.add(change.member)
        return self._send(target, in_flight)

    def _record(self, changes: Sequence[MembershipChange]) -> Sequence[WriteResult | TransientError]:
        """Record changes for as long as there is time left to send them, too. What is not recorded by then waits."""
        if self._context.members is None:
            return [WriteResult(change, is_superseded=False) for change in changes]
        # A change attempted before may still be on its way to Amazon, even where a newer one is known by now.
        attempted_before = {change.member for change in changes if self._source[change.member].attempts > 1}
        return self._context.members.record(changes, attempted_before, lambda: self._uploads.has_time_to_record)

    def _send(self, target: Target, in_flight: _InFlight) -> Deferred | None:
        trouble: Deferred | None = None
        for _ in range(MAX_ROUNDS):
            outcomes = self._uploads.send(target, in_flight.changes)
            trouble = trouble or next((each for each in outcomes.values() if isinstance(each, Deferred)), None)
            accepted = self._settle(in_flight.changes, outcomes)
            try:
                in_flight.changes = self._moved_on(accepted)
                moved = {change.member for change in in_flight.changes}
                in_flight.repeat |= moved
                self._finish([change for change in accepted if change.member not in moved], in_flight.repeat)
            except TransientError as error:
                self._defer(accepted, Deferred.after(error))
                return trouble
            if not in_flight.changes:
                return trouble
        self._defer(in_flight.changes, Deferred.after(MovedOn("the member keeps moving on")))
        return trouble

    def _settle(self, changes: Iterable[MembershipChange], outcomes: dict[Member, Outcome]) -> list[MembershipChange]:
        """Park what Amazon refuses for good and defer what must wait. Returns what Amazon has accepted."""
        accepted: list[MembershipChange] = []
        refused: dict[str, list[tuple[MembershipChange, PermanentError]]] = {}
        for change in changes:
            match outcomes[change.member]:
                case Accepted():
                    accepted.append(change)
                case Deferred() as deferred:
                    self._defer([change], deferred)
                case NoIdentifier() if change.erase and change.exits:
                    self._outcomes[change.member] = ChangeOutcome.SUPERSEDED  # this audience never held the person
                case error:
                    refused.setdefault(error.reason, []).append((change, error))
        for reason, of_reason in refused.items():
            self._park(reason, of_reason)
        return accepted

    def _moved_on(self, accepted: Sequence[MembershipChange]) -> list[MembershipChange]:
        """Return the newest changes of the members for whom what was just sent is not the newest."""
        if self._context.members is None or not accepted:
            return []
        versions = self._context.members.versions(change.member for change in accepted)
        moved = [
            change.member
            for change in accepted
            if versions.get(change.member, version_text(change.version)) != version_text(change.version)
        ]
        return self._context.members.newest(moved) if moved else []

    def _finish(self, settled: Sequence[MembershipChange], repeat: set[Member]) -> None:
        """Do what is left once changes are the newest that were sent."""
        repeating = [change for change in settled if change.member in repeat]
        if repeating:
            # The jobs of two uploads end in any order: send it once more when both have ended. Should that be too
            # early, by what an invocation and a late arrival can take, the table asks for another repetition then.
            replay, delay = DeliveryHistory(is_replay=True), self._context.limits.job
            self._context.queue.send(pack(repeating, replay), deadline=self._deadline, delay=delay)
        for change in settled:
            if change.erase and change.exits and change.member not in repeat and self._context.members is not None:
                self._context.members.erase(change)

    def _park(self, reason: str, refused: Sequence[tuple[MembershipChange, PermanentError]]) -> None:
        bodies = [DeadLetter.parked(change, self._failure(change, error)).body() for change, error in refused]
        try:
            self._context.dead_letters.send(bodies, deadline=self._deadline, attributes={"reason": reason})
        except TransientError as failure:
            self._defer((change for change, _ in refused), Deferred.after(failure))
            return
        self._outcomes.update((change.member, ChangeOutcome.PARKED) for change, _ in refused)
        self.parked[reason] += len(refused)

    def _failure(self, change: MembershipChange, error: PermanentError) -> Failure:
        source = self._source[change.member]
        return Failure.of(error, attempts=source.attempts, first_at=source.first_at, last_at=self._context.now())

    def _defer(self, changes: Iterable[MembershipChange], deferred: Deferred) -> None:
        self.deferred.update((change.member, deferred) for change in changes)
