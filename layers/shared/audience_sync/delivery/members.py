"""What becomes of each member in one invocation: delivered, superseded, parked, or waiting.

For each member the newest change is found (among the messages, then in the membership table), sent, and checked
against the table again: who has moved on meanwhile is sent once more, so that the last word at Amazon is the newest.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from audience_sync.amazon_ads.record import Target
from audience_sync.aws.membership_rows import version_text
from audience_sync.aws.membership_table import MembershipTable, WriteResult
from audience_sync.delivery.uploads import Accepted, Deferred, Limits, Member, Outbox, Outcome
from audience_sync.errors import PermanentError, TransientError
from audience_sync.membership import ChangeMessage, DeliveryHistory, MembershipChange, coalesce, pack

MAX_ROUNDS = 3  # uploads of one member in one invocation, should it keep moving on

ChangeOutcome = Literal["delivered", "superseded", "parked"]


class Sink(Protocol):
    """A queue to send to."""

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        """Store all bodies, visible after `delay` seconds. Raises Unavailable unless all are stored."""


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """Where changes come from, are recorded and end up."""

    queue: Sink  # the change queue, for what goes back
    dead_letters: Sink
    members: MembershipTable | None  # without it nothing is promised about changes that overtake each other
    limits: Limits
    now: Callable[[], int]  # epoch milliseconds


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """One readable message."""

    read: ChangeMessage
    attempts: int  # deliveries attempted_before so far, this one included
    first_at: int  # when its changes were accepted, epoch milliseconds


@dataclass(slots=True)
class _InFlight:
    """Changes of one audience on their way, and who among them must be told to Amazon once more later."""

    changes: list[MembershipChange] = field(default_factory=list)
    again: set[Member] = field(default_factory=set)


class MemberDelivery:
    """Reaches the verdicts of one invocation."""

    def __init__(
        self, books: DeliveryContext, outbox: Outbox, received: Sequence[ParsedMessage], deadline: float
    ) -> None:
        """Hand in the messages and what is needed to deliver them; `deadline` in monotonic seconds."""
        self.waiting: dict[Member, Deferred] = {}
        self.reasons: list[str] = []  # why changes were parked
        self._context = books
        self._outbox = outbox
        self._received = received
        self._deadline = deadline
        self._outcomes: dict[Member, ChangeOutcome] = {}
        self._newest: dict[Member, MembershipChange] = {}
        self._about: dict[Member, ParsedMessage] = {}  # of a member's messages, the one attempted_before most often
        for each in sorted(received, key=lambda each: each.attempts):
            self._about.update((change.member, each) for change in each.read.changes)

    def run(self) -> None:
        """Deliver the newest change of every member, audience by audience, as far as time and Amazon allow."""
        by_target: dict[Target, list[MembershipChange]] = {}
        for change in coalesce(change for each in self._received for change in each.read.changes):
            self._newest[change.member] = change
            target = Target(change.audience_id, change.connection_id, change.target_types)
            by_target.setdefault(target, []).append(change)
        for target, changes in by_target.items():
            trouble: Deferred | None = None
            for piece in _pieces(changes, self._context.limits.max_records):
                if trouble is None:
                    trouble = self._deliver(target, piece)
                if trouble is not None:
                    self._wait((change for change in piece if change.member not in self._outcomes), trouble)

    def outcomes_for(self, each: ParsedMessage) -> Iterator[ChangeOutcome]:
        """Yield the verdict of every settled change of a message. Repetitions were counted before."""
        for change in each.read.changes:
            verdict = self._outcomes.get(change.member)
            if verdict and change.member not in self.waiting and not each.read.history.again:
                is_newest = change.version == self._newest[change.member].version
                yield verdict if is_newest else "superseded"

    def repeated(self) -> frozenset[Member]:
        """Return the members of whom nothing that was sent counts as delivered by these messages."""
        counted = {
            change.member
            for each in self._received
            if not each.read.history.again
            for change in each.read.changes
            if change.version == self._newest[change.member].version
            and self._outcomes.get(change.member) == "delivered"
        }
        return frozenset(self._newest.keys() - counted)

    def _deliver(self, target: Target, changes: Sequence[MembershipChange]) -> Deferred | None:
        """Record, send and check one piece. Returns why the rest of the audience must wait, if it must."""
        if not self._outbox.has_time_to_prepare:
            return Deferred(0.0, "out_of_time")
        going = _InFlight()
        for change, standing in zip(changes, self._record(changes), strict=True):
            if isinstance(standing, TransientError):
                self._wait([change], Deferred(standing.retry_after, standing.reason))
                continue
            self._outcomes[change.member] = "superseded" if standing.is_superseded else "delivered"
            if standing.repeat or not standing.is_superseded:
                going.changes.append(standing.newest)
            if standing.repeat:
                going.again.add(change.member)
        return self._send(target, going)

    def _record(self, changes: Sequence[MembershipChange]) -> Sequence[WriteResult | TransientError]:
        """Record changes, for as long as there remains time to send them, too. What is not recorded by then waits."""
        if self._context.members is None:
            return [WriteResult(change, is_superseded=False) for change in changes]
        # A change attempted before may still be on its way to Amazon, even where a newer one is known by now.
        attempted_before = {change.member for change in changes if self._about[change.member].attempts > 1}
        return self._context.members.advance(changes, attempted_before, lambda: self._outbox.has_time_to_prepare)

    def _send(self, target: Target, going: _InFlight) -> Deferred | None:
        trouble: Deferred | None = None
        for _ in range(MAX_ROUNDS):
            outcomes = self._outbox.send(target, going.changes)
            trouble = trouble or next((each for each in outcomes.values() if isinstance(each, Deferred)), None)
            sent = self._take(going.changes, outcomes)
            try:
                going.changes = self._moved_on(sent)
                moved = {change.member for change in going.changes}
                going.again |= moved
                self._finish([change for change in sent if change.member not in moved], going.again)
            except TransientError as error:
                self._wait(sent, Deferred(error.retry_after, error.reason))
                return trouble
            if not going.changes:
                return trouble
        self._wait(going.changes, Deferred(None, "moved_on"))
        return trouble

    def _take(self, going: Iterable[MembershipChange], outcomes: dict[Member, Outcome]) -> list[MembershipChange]:
        """Act on the outcomes: park what Amazon refuses, let wait what must. Returns what was sent."""
        sent: list[MembershipChange] = []
        refused: dict[str, list[tuple[MembershipChange, PermanentError]]] = {}
        for change in going:
            match outcomes[change.member]:
                case Accepted():
                    sent.append(change)
                case Deferred() as waiting:
                    self._wait([change], waiting)
                case error if change.forget and change.exits and error.reason == "no_identifier":
                    self._outcomes[change.member] = "superseded"  # this audience never held the person
                case error:
                    refused.setdefault(error.reason, []).append((change, error))
        for reason, of_reason in refused.items():
            self._park(reason, of_reason)
        return sent

    def _moved_on(self, sent: Sequence[MembershipChange]) -> list[MembershipChange]:
        """Return the newest changes of the members for whom what was just sent is not the newest."""
        if self._context.members is None or not sent:
            return []
        versions = self._context.members.versions(change.member for change in sent)
        moved = [
            change.member
            for change in sent
            if versions.get(change.member, version_text(change.version)) != version_text(change.version)
        ]
        return self._context.members.newest(moved) if moved else []

    def _finish(self, settled: Sequence[MembershipChange], again: set[Member]) -> None:
        """Do what is left once changes are the last word."""
        repeating = [change for change in settled if change.member in again]
        if repeating:
            # The jobs of two uploads end in any order: say it once more when both have ended. Should that be too early,
            # by what an invocation and a late arrival can take, the table asks for another repetition then.
            history, delay = DeliveryHistory(again=True), self._context.limits.job
            self._context.queue.send(pack(repeating, history), deadline=self._deadline, delay=delay)
        for change in settled:
            if change.forget and change.exits and change.member not in again and self._context.members is not None:
                self._context.members.forget(change)

    def _park(self, reason: str, refused: Sequence[tuple[MembershipChange, PermanentError]]) -> None:
        letters = [self._letter(change, error) for change, error in refused]
        try:
            self._context.dead_letters.send(letters, deadline=self._deadline, attributes={"reason": reason})
        except TransientError as failure:
            self._wait((change for change, _ in refused), Deferred(failure.retry_after, failure.reason))
            return
        self._outcomes.update((change.member, "parked") for change, _ in refused)
        self.reasons += [reason] * len(refused)

    def _wait(self, changes: Iterable[MembershipChange], waiting: Deferred) -> None:
        self.waiting.update((change.member, waiting) for change in changes)

    def _letter(self, change: MembershipChange, error: PermanentError) -> str:
        """Lay out a dead letter: a message of one change, so that redriving it needs no translation, and its story."""
        about = self._about[change.member]
        story: dict[str, Any] = {
            "reason": error.reason,
            "status": getattr(error, "status", None),
            "detail": str(error),
            "requestId": getattr(error, "request_id", ""),
            "attempts": about.attempts,
            "firstAt": about.first_at,
            "lastAt": self._context.now(),
        }
        (body,) = pack([change])
        return json.dumps(json.loads(body) | {"parked": story}, separators=(",", ":"))


def _pieces(changes: Sequence[MembershipChange], size: int) -> Iterator[Sequence[MembershipChange]]:
    """Cut changes into pieces that are recorded, sent and checked one after the other."""
    return (changes[start : start + size] for start in range(0, len(changes), size))
