"""The members of one invocation, and the outcomes of its messages: parks changes, and counts what is done."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from audience_sync.delivery.context import DeliveryContext, ParsedMessage
from audience_sync.delivery.pending import PendingMember
from audience_sync.delivery.report import BatchReport
from audience_sync.delivery.uploads import Deferred, UploadFailure
from audience_sync.errors import PermanentError, RowUnreadable, TransientError
from audience_sync.members.dead_letters import DeadLetter, Failure
from audience_sync.members.membership import ChangeOutcome, Member, MembershipChange, Version, coalesce

_NO_ORIGINALS: frozenset[Version] = frozenset()


class Outcomes:
    """The members of one invocation, one record each, and what became of its messages."""

    def __init__(
        self, context: DeliveryContext, messages: Sequence[ParsedMessage], deadline: float, report: BatchReport
    ) -> None:
        """Collect the members of messages; `deadline` in monotonic seconds. What is parked counts into the report."""
        self.members = pending_members(messages)
        self._context = context
        self._deadline = deadline
        self._report = report
        stated = (each.origin for each in messages if not each.message.history.is_repetition)
        # Of messages with the same origin, the changes that are counted already.
        self._copied: dict[str, set[tuple[Member, Version]]] = {
            origin: set() for origin, copies in Counter(stated).items() if copies > 1
        }

    def park(self, refused: Iterable[tuple[MembershipChange, PermanentError]]) -> None:
        """Send changes to the dead letter queue; if that fails, defer them."""
        by_reason: dict[str, list[tuple[MembershipChange, PermanentError]]] = {}
        for change, error in refused:
            by_reason.setdefault(error.reason, []).append((change, error))
        for reason, of_reason in by_reason.items():
            bodies = [DeadLetter.parked(change, self._failure(change, error)).body() for change, error in of_reason]
            members = [self.members[change.member] for change, _ in of_reason]
            try:
                self._context.dead_letters.send(bodies, deadline=self._deadline, attributes={"reason": reason})
            except TransientError as failure:
                for each in members:
                    each.defer(Deferred.after(failure))
            else:
                for each in members:
                    each.settle(ChangeOutcome.PARKED)
                self._report.parked_reasons[reason] += len(members)
                self._report.incomplete.update(each.member[0] for each in members)

    def take(self, changes: Iterable[MembershipChange], failures: Mapping[Member, UploadFailure]) -> None:
        """Park refused changes and defer those that must wait."""
        refused: list[tuple[MembershipChange, PermanentError]] = []
        for change in changes:
            match failures.get(change.member):
                case Deferred() as deferred:
                    self.members[change.member].defer(deferred)
                case PermanentError() as error:
                    refused.append((change, error))
        self.park(refused)

    def give_up(self, each: ParsedMessage, error: PermanentError) -> None:
        """Park the remaining changes of a message. If that fails, they stay in the queue."""
        left = [change for change, _ in self.left_of(each)]
        bodies = [DeadLetter.parked(change, self._failure(change, error)).body() for change in left]
        with suppress(TransientError):
            self._context.dead_letters.send(bodies, deadline=self._deadline, attributes={"reason": error.reason})
            each.is_given_up = True
            self._report.parked_reasons[error.reason] += len(left)
            self._report.incomplete.update(change.audience_id for change in left)

    def left_of(self, each: ParsedMessage) -> list[tuple[MembershipChange, Deferred]]:
        """Return the changes of a message that stay in the queue, each with its deferral."""
        return [(change, result) for change, result in self._results_of(each) if isinstance(result, Deferred)]

    def count(self, done: Iterable[ParsedMessage]) -> None:
        """Count the outcomes of the messages that are done with, and the members that go back after a failure."""
        for each in done:
            for outcome in self._counted(each):
                self._report.outcomes[outcome] += 1
                self._report.completed[each.first_at] += 1
        for pending in self.members.values():
            if (deferral := pending.deferral) is None:
                continue
            if isinstance(deferral.error, RowUnreadable):
                self._report.unread.add(deferral.error.key)
            if not (pending.is_repetition or deferral.waits):
                self._report.incomplete.add(pending.member[0])

    def has_parked(self, each: ParsedMessage) -> bool:
        """Return whether a change of a message was parked. One that is not due yet may be about other members."""
        pending = (self.members.get(change.member) for change in each.message.changes)
        return any(one is not None and one.outcome is ChangeOutcome.PARKED for one in pending)

    def _results_of(self, each: ParsedMessage) -> Iterator[tuple[MembershipChange, ChangeOutcome | Deferred]]:
        """Yield the changes of a message, each with what becomes of it."""
        for change in each.message.changes:
            pending, from_repetition = self.members[change.member], each.message.history.is_repetition
            result = pending.result_of(change, from_repetition=from_repetition)
            yield change, ChangeOutcome.PARKED if each.is_given_up and isinstance(result, Deferred) else result

    def _counted(self, each: ParsedMessage) -> Iterator[ChangeOutcome]:
        """Yield the outcome of every settled change of a message. Replays and the changes of a copy are not counted."""
        before = self._copied.get(each.origin)
        for change, result in () if each.message.history.was_counted else self._results_of(each):
            copy = change.member, change.version
            if isinstance(result, ChangeOutcome) and (before is None or copy not in before):
                yield result
                if before is not None:
                    before.add(copy)

    def _failure(self, change: MembershipChange, error: PermanentError) -> Failure:
        source = self.members[change.member].source
        return Failure.of(
            error, attempts=source.attempts, first_at=source.first_at, last_at=self._context.clock.now_ms()
        )


def pending_members(messages: Sequence[ParsedMessage]) -> dict[Member, PendingMember]:
    """Build the record of each member: first those with changes, then those with a repetition alone, its newest one."""
    stated = [each for each in messages if not each.message.history.is_repetition]
    changes: dict[Member, list[MembershipChange]] = {}
    for change in coalesce(change for each in stated for change in each.message.changes):
        changes.setdefault(change.member, []).append(change)
    repetitions: dict[Member, MembershipChange] = {}
    for each in messages:
        for change in each.message.changes if each.message.history.is_repetition else ():
            if change.member not in changes and change.version >= repetitions.get(change.member, change).version:
                repetitions[change.member] = change
    sources, originals = dict[Member, ParsedMessage](), dict[Member, set[Version]]()
    for each in sorted(messages, key=lambda each: (not each.message.history.is_repetition, each.attempts)):
        for change in each.message.changes:
            member = change.member
            sources[member] = each
            if not each.message.history.was_counted:
                originals.setdefault(member, set()).add(change.version)
    return {
        member: PendingMember(of_member, member in repetitions, sources[member], originals.get(member, _NO_ORIGINALS))
        for member, of_member in (changes | {member: [each] for member, each in repetitions.items()}).items()
    }
