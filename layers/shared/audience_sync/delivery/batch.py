"""Delivers the messages of one invocation and gives each an outcome.

A message is done when each of its members is delivered, superseded or parked; its other changes go back to the queue.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.destination import check_target
from audience_sync.delivery.backoff import FIRST_DELAY, aligned_delay, backoff
from audience_sync.delivery.context import DeliveryContext, ParsedMessage
from audience_sync.delivery.job_members import members_of_upload
from audience_sync.delivery.members import MemberDelivery
from audience_sync.delivery.outcomes import ChangeOutcome, Outcomes
from audience_sync.delivery.uploads import Deferred, Uploader, Uploads, UploadStats
from audience_sync.errors import (
    CircuitHalfOpen,
    InvalidMessage,
    JobRunning,
    OutOfTime,
    TransientError,
    WaitedTooLong,
)
from audience_sync.membership import Member, MembershipChange
from audience_sync.messages import ChangeMessage, DeliveryHistory, Untracked, job_messages, pack
from audience_sync.repetitions import by_delay

# Receives after which a message is requeued. So only messages that crash the worker reach SQS's limit of receives.
REQUEUE_AFTER_RECEIVES = 12
MAX_WAIT = 7 * 86_400 - 3_600  # seconds since a change was accepted; SQS drops a message an hour later


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
    """A message that stays in the queue, and the seconds for which it should stay invisible."""

    message: Message
    delay: float
    reason: str


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
        uploads = Uploads(self._uploader, self._context.limits, self._context.clock, deadline)
        has_time = uploads.half_of_time_to_record()
        readable: list[tuple[Message, ParsedMessage]] = []
        for message in messages:
            # On a slow machine some wait so that the others are delivered, except messages that must be requeued
            # because they were received so often.
            if readable and not (message.receive_count >= REQUEUE_AFTER_RECEIVES or has_time()):
                report.deferred.append(DeferredMessage(message, 0.0, OutOfTime.reason))
                self._note_age(report, message.sent_at)
            elif each := self._parse(message, report, deadline):
                readable.append((message, each))
        readable = [pair for pair in readable if self._track(*pair, report, deadline)]
        outcomes = Outcomes(self._context, [each for _, each in readable], deadline)
        members = MemberDelivery(self._context, uploads, outcomes, deadline)
        members.run()
        for message, each in readable:
            if self._is_too_old(each):
                outcomes.give_up(each, WaitedTooLong("the change could not be delivered for seven days"))
            if not self._settle(message, each, outcomes, report, deadline):
                continue  # the whole message comes back and counts then
            for outcome in outcomes.of_message(each):
                report.outcomes[outcome] += 1
                report.completed[each.first_at] += 1
        report.uploads = uploads.stats
        report.parked_reasons += outcomes.parked
        report.accepted = members.accepted
        report.repeated = members.repeated
        report.erasures = members.erasures
        report.incomplete = frozenset(
            outcomes.parked_in
            | {member[0] for member, each in outcomes.deferred.items() if not isinstance(each.error, JobRunning)}
        )
        return report

    def _parse(self, message: Message, report: BatchReport, deadline: float) -> ParsedMessage | None:
        """Read one message. If it cannot be read, park it unchanged; if that fails, defer it."""
        try:
            read = ChangeMessage.from_body(message.body)
            check_target(read.audience_id, read.destination)
        except InvalidMessage as error:
            try:
                self._context.dead_letters.send([message.body], deadline=deadline, attributes={"reason": error.reason})
            except TransientError as failure:
                report.deferred.append(DeferredMessage(message, FIRST_DELAY, failure.reason))
                self._note_age(report, message.sent_at)
            else:
                report.parked_reasons[error.reason] += 1
            return None
        return ParsedMessage(
            read, message.receive_count + read.history.attempts, read.history.first_at or message.sent_at
        )

    def _track(self, message: Message, each: ParsedMessage, report: BatchReport, deadline: float) -> bool:
        """Store the job of an earlier upload of these changes unless it is tracked. Only then may a new one be made."""
        upload, destination = each.message.history.untracked, each.message.destination
        if upload is None or not has_jobs(destination):
            return True
        members = members_of_upload(each.message.changes, removes=upload.removes)
        bodies = job_messages(upload.job_id, each.message.audience_id, members, upload.sent_at, destination)
        try:
            self._context.jobs.send(bodies, deadline=deadline, delay=self._context.limits.job)
        except TransientError as failure:
            delay = backoff(each.attempts, self._jitter())
            report.deferred.append(DeferredMessage(message, delay, failure.reason))
            self._note_age(report, each.first_at)
            return False
        return True

    def _settle(
        self, message: Message, each: ParsedMessage, outcomes: Outcomes, report: BatchReport, deadline: float
    ) -> bool:
        """Complete, requeue or defer a message. Returns whether its settled changes count."""
        left = list(outcomes.left_of(each))
        if not left:
            return True
        history = replace(each.message.history, first_at=each.first_at, untracked=None)
        waiting = [pair for pair in left if isinstance(pair[1].error, JobRunning)]
        failing = [pair for pair in left if not isinstance(pair[1].error, JobRunning)]
        delay = self._delay(each, [cause for _, cause in failing])
        groups = _by_upload(failing)
        is_unchanged = set(groups) <= {None} and each.message.history.untracked is None
        is_kept = not waiting and is_unchanged and message.receive_count < REQUEUE_AFTER_RECEIVES
        if is_kept and len(left) == len(each.message.changes):
            self._note_age(report, each.first_at)
            report.deferred.append(DeferredMessage(message, delay, left[0][1].error.reason))
            return False
        try:
            # Waiting is not an attempt: nothing was sent.
            delays = ((change, cause.delay or 0.0) for change, cause in waiting)
            again = replace(history, attempts=max(0, each.attempts - 1))
            for seconds, changes in by_delay(delays, self._context.clock.now()).items():
                self._requeue(changes, again, report, deadline, seconds)
            for untracked, changes in groups.items():
                retried = replace(history, attempts=each.attempts, untracked=untracked)
                self._requeue(changes, retried, report, deadline, delay)
        except TransientError:  # the whole message comes back; repeating its settled changes is harmless
            self._note_age(report, each.first_at)
            report.deferred.append(DeferredMessage(message, delay, left[0][1].error.reason))
            return False
        self._note_left(report, each, waiting, failing)
        return True

    def _is_too_old(self, each: ParsedMessage) -> bool:
        """Return whether a change has waited too long. SQS's own limit starts again with each requeued message."""
        first_at = each.message.history.first_at
        return first_at is not None and self._context.clock.now_ms() - first_at > MAX_WAIT * 1000

    def _requeue(
        self,
        changes: Sequence[MembershipChange],
        history: DeliveryHistory,
        report: BatchReport,
        deadline: float,
        delay: float,
    ) -> None:
        """Send changes again. Raises Unavailable."""
        if changes:
            bodies = pack(changes, history)
            self._context.queue.send(bodies, deadline=deadline, delay=delay)
            report.requeued += len(bodies)

    def _delay(self, each: ParsedMessage, causes: Sequence[Deferred]) -> float:
        """Return the seconds that changes wait after failed attempts."""
        # Changes that were not even tried (no time left, or another worker is trying) need no backoff.
        is_untried = all(isinstance(cause.error, OutOfTime | CircuitHalfOpen) for cause in causes)
        wait = 0.0 if is_untried else backoff(each.attempts, self._jitter())
        wait = max([wait, *(cause.delay for cause in causes if cause.delay is not None)])
        return wait if is_untried else aligned_delay(self._context.clock.now(), wait)

    def _note_left(
        self,
        report: BatchReport,
        each: ParsedMessage,
        waiting: Sequence[tuple[MembershipChange, Deferred]],
        failing: Sequence[tuple[MembershipChange, Deferred]],
    ) -> None:
        if failing:
            self._note_age(report, each.first_at)
        if waiting and not each.message.history.is_repetition:
            report.waiting[each.message.audience_id] += len(waiting)
            age = (self._context.clock.now_ms() - each.first_at) / 1000
            report.oldest_waiting = max(report.oldest_waiting, age)

    def _note_age(self, report: BatchReport, since: int) -> None:
        report.oldest_deferred = max(report.oldest_deferred, (self._context.clock.now_ms() - since) / 1000)


def _by_upload(
    failing: Iterable[tuple[MembershipChange, Deferred]],
) -> dict[Untracked | None, list[MembershipChange]]:
    """Group changes by the untracked upload that carried their members, if any."""
    removed: dict[str, set[Member]] = {}  # by job
    grouped: defaultdict[Untracked | None, list[MembershipChange]] = defaultdict(list)
    for change, cause in failing:
        upload: Untracked | None = None
        if job := cause.job:
            if job.job_id not in removed:
                removed[job.job_id] = {sent.member for sent in job.changes if sent.exits}
            upload = Untracked(job.job_id, job.sent_at, change.member in removed[job.job_id])
        grouped[upload].append(change)
    return grouped
