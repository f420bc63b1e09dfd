"""Delivers the messages of one invocation and gives each an outcome.

A message is done when each of its members is delivered, superseded or parked; its other changes go back to the queue.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.destination import check_target
from audience_sync.clock import to_seconds
from audience_sync.delivery.backoff import FIRST_DELAY, backoff
from audience_sync.delivery.context import DeliveryContext, Message, ParsedMessage
from audience_sync.delivery.job_members import members_of_upload
from audience_sync.delivery.member_delivery import MemberDelivery
from audience_sync.delivery.outcomes import Outcomes
from audience_sync.delivery.pending import ChangeOutcome
from audience_sync.delivery.returning import REQUEUE_AFTER_RECEIVES, DeferredMessage, Left, Returning
from audience_sync.delivery.sending import Uploader, Uploads, UploadStats
from audience_sync.delivery.uploads import Deferred
from audience_sync.errors import InvalidMessage, JobRunning, OutOfTime, TransientError, WaitedTooLong
from audience_sync.members.job_messages import job_messages
from audience_sync.members.messages import ChangeMessage

MAX_WAIT = 7 * 86_400 - 3_600  # seconds since a change was accepted; SQS drops a message an hour later


@dataclass(slots=True)
class BatchReport:
    """The result of one invocation. Each change has exactly one of the three outcomes, or stays in the queue."""

    outcomes: Counter[ChangeOutcome] = field(default_factory=Counter)
    uploads: UploadStats = field(default_factory=UploadStats)
    requeued: int = 0  # messages sent again with their remaining changes
    deferred: list[DeferredMessage] = field(default_factory=list)
    parked_reasons: Counter[str] = field(default_factory=Counter)  # changes and unreadable messages, by reason
    accepted: Counter[int] = field(default_factory=Counter)  # exits caused by notices, by when they were queued
    erasures: int = 0  # people with a new deletion notice or denial of consent
    completed: Counter[int] = field(default_factory=Counter)  # changes with an outcome, by when they were accepted
    incomplete: frozenset[str] = frozenset()  # audiences with a change that was parked or goes back
    oldest_deferred: float = 0.0  # age in seconds of the oldest change that goes back
    oldest_waiting: float = 0.0  # the same, of enters that wait for a job
    waiting: Counter[str] = field(default_factory=Counter)  # enters that wait for a job, by audience
    repeated: Counter[str] = field(default_factory=Counter)  # members for whom something was sent again
    left_out: Counter[str] = field(default_factory=Counter)  # identities for which a row has no room, by audience
    unread: set[str] = field(default_factory=set)  # partitions of damaged rows, whose members wait

    @property
    def delivered(self) -> int:
        """Changes that Amazon has accepted."""
        return self.outcomes[ChangeOutcome.DELIVERED]

    @property
    def superseded(self) -> int:
        """Changes that a newer change has replaced."""
        return self.outcomes[ChangeOutcome.SUPERSEDED]

    @property
    def parked(self) -> int:
        """Changes sent to the dead letter queue."""
        return self.outcomes[ChangeOutcome.PARKED]

    @property
    def reasons(self) -> Counter[str]:
        """Reasons for parked changes and failed uploads."""
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
        """Set up delivery.

        Args:
            uploader: Amazon.
            context: queues, membership table, limits and time.
            jitter: uniform in 0 .. 1.
        """
        self._uploader = uploader
        self._context = context
        self._jitter = jitter

    def deliver(self, messages: Sequence[Message], *, deadline: float) -> BatchReport:
        """Deliver the changes of messages and report which messages stay in the queue.

        Args:
            messages: of one invocation.
            deadline: monotonic seconds at which Lambda stops the function.
        """
        report = BatchReport()
        returning = Returning(self._context, self._jitter, deadline)
        uploads = Uploads(self._uploader, self._context.limits, self._context.clock, deadline)
        has_time = uploads.half_of_time_to_record()
        readable: list[ParsedMessage] = []
        for message in messages:
            # On a slow machine some wait so that the others are delivered, except messages that must be requeued
            # because they were received so often.
            if readable and not (message.receive_count >= REQUEUE_AFTER_RECEIVES or has_time()):
                returning.defer(message, 0.0, OutOfTime.reason)
            elif each := self._parse(message, report, returning, deadline):
                readable.append(each)
        unread = [each for each in readable if self._waits(each)]
        due = [each for each in readable if not self._waits(each) and self._track(each, returning, deadline)]
        outcomes = Outcomes(self._context, due, deadline)
        members = MemberDelivery(self._context, uploads, outcomes, deadline)
        members.run()
        for each in due:
            if self._is_too_old(each):
                outcomes.give_up(each, WaitedTooLong("the change could not be delivered for seven days"))
        left = [*((each, [*outcomes.left_of(each)]) for each in due), *map(self._unread, unread)]
        done = returning.put_back(left, outcomes.has_parked)
        for each in (each for place, each in enumerate(due) if place in done):
            for outcome in outcomes.of_message(each):
                report.outcomes[outcome] += 1
                report.completed[each.first_at] += 1
        report.uploads = uploads.stats
        report.parked_reasons += outcomes.parked
        report.accepted = members.accepted
        report.repeated, report.left_out = members.repeated, +members.left_out
        report.erasures, report.unread = members.erasures, outcomes.unread
        report.deferred, report.requeued = returning.deferred, returning.requeued
        report.waiting, report.oldest_waiting = returning.waiting, returning.oldest_waiting
        report.oldest_deferred = returning.oldest_failing
        report.incomplete = outcomes.incomplete
        return report

    def _parse(
        self, message: Message, report: BatchReport, returning: Returning, deadline: float
    ) -> ParsedMessage | None:
        """Read one message. If it cannot be read, park it unchanged; if that fails, defer it."""
        try:
            read = ChangeMessage.from_body(message.body)
            check_target(read.audience_id, read.destination)
        except InvalidMessage as error:
            try:
                self._context.dead_letters.send([message.body], deadline=deadline, attributes={"reason": error.reason})
            except TransientError as failure:
                returning.defer(message, FIRST_DELAY, failure.reason)
            else:
                report.parked_reasons[error.reason] += 1
            return None
        return ParsedMessage(message, read)

    def _waits(self, each: ParsedMessage) -> bool:
        """Return whether a message is not due yet, whatever the rows of its members say."""
        until = each.message.history.waits_until
        return until is not None and until > self._context.clock.now()

    def _unread(self, each: ParsedMessage) -> tuple[ParsedMessage, Left]:
        """Return a message that waits on, with all its changes."""
        seconds = (each.message.history.waits_until or 0) - self._context.clock.now()
        waits = Deferred(JobRunning("not due yet"), seconds, is_fixed=True)
        return each, [(change, waits) for change in each.message.changes]

    def _track(self, each: ParsedMessage, returning: Returning, deadline: float) -> bool:
        """Store the job of an earlier upload of these changes unless it is tracked. Only then may a new one be made."""
        upload, destination = each.message.history.untracked, each.message.destination
        if upload is None or not has_jobs(destination):
            return True
        members = members_of_upload(each.message.changes, removes=upload.removes)
        bodies = job_messages(upload.job_id, each.message.audience_id, members, upload.sent_at, destination)
        try:
            self._context.jobs.send(bodies, deadline=deadline, delay=self._context.limits.timings.job)
        except TransientError as failure:
            delay = backoff(each.attempts, self._jitter())
            returning.defer(each.received, delay, failure.reason, since=each.first_at, is_unstored=True)
            return False
        return True

    def _is_too_old(self, each: ParsedMessage) -> bool:
        """Return whether a change has waited too long. SQS's own limit starts again with each requeued message."""
        first_at = each.message.history.first_at
        return first_at is not None and self._context.clock.now() - to_seconds(first_at) > MAX_WAIT
