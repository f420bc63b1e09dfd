"""From the messages of one invocation to uploads at Amazon, and back to an outcome for every message.

A message is done when each of its members is delivered, superseded or parked; what is left of it goes back into the
queue.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from audience_sync.delivery.backoff import FIRST_DELAY, aligned_delay, backoff
from audience_sync.delivery.context import DeliveryContext, ParsedMessage
from audience_sync.delivery.members import MemberDelivery
from audience_sync.delivery.outcomes import ChangeOutcome, Outcomes
from audience_sync.delivery.uploads import Deferred, Uploader, Uploads, UploadStats
from audience_sync.errors import CircuitHalfOpen, InvalidMessage, OutOfTime, TransientError
from audience_sync.membership import Member
from audience_sync.messages import ChangeMessage, pack

# Receives after which a message is sent anew. So only messages that crash the worker reach SQS's limit of receives.
REQUEUE_AFTER_RECEIVES = 12


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received."""

    message_id: str
    receipt_handle: str = field(repr=False)
    body: str = field(repr=False)
    receive_count: int  # this receive included
    sent_at: int  # epoch milliseconds


@dataclass(frozen=True, slots=True)
class DeferredMessage:
    """A message that stays in the queue, and for how many seconds it should stay invisible."""

    message: Message
    delay: float
    reason: str


@dataclass(slots=True)
class BatchReport:
    """The result of one invocation. Each change has exactly one of the three outcomes, or stays in the queue."""

    outcomes: Counter[ChangeOutcome] = field(default_factory=Counter)
    uploads: UploadStats = field(default_factory=UploadStats)
    requeued: int = 0  # messages sent anew with what is left of them
    deferred: list[DeferredMessage] = field(default_factory=list)
    parked_reasons: Counter[str] = field(default_factory=Counter)  # changes and unreadable messages, by reason
    accepted: Counter[int] = field(default_factory=Counter)  # exits that notices have led to, by when they were queued
    completed: Counter[int] = field(default_factory=Counter)  # changes with an outcome, by when they were accepted
    incomplete: frozenset[str] = frozenset()  # audiences with a change that was parked or goes back
    oldest_deferred: float = 0.0  # seconds since the oldest change was accepted that goes back

    @property
    def delivered(self) -> int:
        """Changes that Amazon has accepted."""
        return self.outcomes[ChangeOutcome.DELIVERED]

    @property
    def superseded(self) -> int:
        """Changes that a newer change has made moot."""
        return self.outcomes[ChangeOutcome.SUPERSEDED]

    @property
    def parked(self) -> int:
        """Changes that were sent to the dead letter queue."""
        return self.outcomes[ChangeOutcome.PARKED]

    @property
    def reasons(self) -> Counter[str]:
        """Why changes were parked or uploads failed."""
        return self.parked_reasons + self.uploads.reasons


class Delivery:
    """Delivers batches of messages. Keeps nothing between them."""

    def __init__(
        self,
        uploader: Uploader,
        context: DeliveryContext,
        *,
        jitter: Callable[[], float],
    ) -> None:
        """Take the collaborators.

        Args:
            uploader: Amazon.
            context: queues, membership table, limits and time.
            jitter: uniform in 0 .. 1.
        """
        self._uploader = uploader
        self._context = context
        self._jitter = jitter

    def deliver(self, messages: Sequence[Message], *, deadline: float) -> BatchReport:
        """Deliver the changes of messages, and report which messages stay in the queue.

        Args:
            messages: of one invocation.
            deadline: monotonic seconds at which the function is stopped.
        """
        report = BatchReport()
        parsed = [(message, self._parse(message, report, deadline)) for message in messages]
        readable = [(message, each) for message, each in parsed if each is not None]
        uploads = Uploads(self._uploader, self._context.limits, self._context.clock, deadline)
        outcomes = Outcomes(self._context, [each for _, each in readable], deadline)
        members = MemberDelivery(self._context, uploads, outcomes, deadline)
        members.run()
        for message, each in readable:
            if not self._settle(message, each, outcomes.deferred, report, deadline):
                continue  # all of it comes back, and counts then
            for outcome in outcomes.of_message(each):
                report.outcomes[outcome] += 1
                report.completed[each.first_at] += 1
        report.uploads = uploads.stats
        report.parked_reasons += outcomes.parked
        report.accepted = members.accepted
        report.incomplete = frozenset(outcomes.parked_in | {audience_id for audience_id, _ in outcomes.deferred})
        return report

    def _parse(self, message: Message, report: BatchReport, deadline: float) -> ParsedMessage | None:
        """Read one message. Where it cannot be read, move it to the dead letters as it is; if that fails, defer it."""
        try:
            read = ChangeMessage.from_body(message.body)
        except InvalidMessage as error:
            attributes = {"reason": error.reason}
            try:
                self._context.dead_letters.send([message.body], deadline=deadline, attributes=attributes)
            except TransientError as failure:
                report.deferred.append(DeferredMessage(message, FIRST_DELAY, failure.reason))
                self._note_age(report, message.sent_at)
            else:
                report.parked_reasons[error.reason] += 1
            return None
        return ParsedMessage(
            read, message.receive_count + read.history.attempts, read.history.first_at or message.sent_at
        )

    def _settle(
        self,
        message: Message,
        each: ParsedMessage,
        deferred: dict[Member, Deferred],
        report: BatchReport,
        deadline: float,
    ) -> bool:
        """Complete a message, send what is left of it anew, or defer it. Returns whether its settled changes count."""
        left = [change for change in each.message.changes if change.member in deferred]
        if not left:
            return True
        self._note_age(report, each.first_at)
        causes = [deferred[change.member] for change in left]
        # Changes that were not even tried, for want of time or while another worker tries, need no backoff.
        is_untried = all(isinstance(cause.error, OutOfTime | CircuitHalfOpen) for cause in causes)
        wait = 0.0 if is_untried else backoff(each.attempts, self._jitter())
        wait = max([wait, *(cause.delay for cause in causes if cause.delay is not None)])
        delay = wait if is_untried else aligned_delay(self._context.clock.now(), wait)
        if len(left) < len(each.message.changes) or message.receive_count >= REQUEUE_AFTER_RECEIVES:
            history = replace(each.message.history, attempts=each.attempts, first_at=each.first_at)
            try:
                self._context.queue.send(pack(left, history), deadline=deadline, delay=delay)
            except TransientError:
                pass  # then all of it comes back: what is done already is sent once more, which is harmless
            else:
                report.requeued += 1
                return True
        report.deferred.append(DeferredMessage(message, delay, causes[0].error.reason))
        return False

    def _note_age(self, report: BatchReport, since: int) -> None:
        report.oldest_deferred = max(report.oldest_deferred, (self._context.clock.now_ms() - since) / 1000)
