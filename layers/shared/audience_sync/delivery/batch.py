"""From messages of the change queue to uploads at Amazon, and back to a verdict on every message.

A message is done when each of its members is delivered, superseded or parked; what is left of it goes back into the
queue. How members get their delivery stands in delivery/members.py, how uploads are made in delivery/uploads.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from audience_sync.delivery.members import DeliveryContext, MemberDelivery, ParsedMessage
from audience_sync.delivery.uploads import Deferred, Job, Member, Outbox, Uploader
from audience_sync.errors import InvalidMessage, TransientError
from audience_sync.membership import ChangeMessage, pack

FIRST_DELAY = 4.0  # seconds; doubles with every attempt
REQUEUE_AFTER_RECEIVES = (
    12  # receives after which a message is put back as a new one: SQS parks only those that crash the worker
)
MAX_DELAY = 900.0  # seconds; how long after an outage the last message notices that it is over


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received."""

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int  # this receive included
    sent_at: int  # epoch milliseconds


@dataclass(frozen=True, slots=True)
class DeferredMessage:
    """A message that stays in the queue, and for how many seconds it should not be seen."""

    message: Message
    delay: float
    reason: str


@dataclass(slots=True)
class Report:
    """What became of one invocation's messages. Each change ends in exactly one of the three counts, or goes back."""

    delivered: int = 0
    superseded: int = 0
    parked: int = 0
    uploads_sent: int = 0
    uploads_failed: int = 0
    requeued: int = 0  # messages put back with what is left of them
    deferred: list[DeferredMessage] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)  # why changes were parked or uploads failed
    jobs: list[Job] = field(default_factory=list)  # to follow up
    ended: dict[int, int] = field(default_factory=dict)  # changes that got a verdict, by when they were accepted
    again: frozenset[Member] = frozenset()  # of whom what was sent had been counted before
    longest_wait: float = 0.0  # seconds since the oldest change was accepted that goes back

    def note(self, reason: str) -> None:
        """Count a reason."""
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


class Delivery:
    """Delivers batches of messages. Keeps nothing between them."""

    def __init__(
        self, uploader: Uploader, books: DeliveryContext, *, monotonic: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        """Hand in the collaborators.

        Args:
            uploader: Amazon.
            books: queues, membership table, limits and calendar.
            monotonic: seconds, for deadlines.
            jitter: uniform in 0 .. 1.
        """
        self._uploader = uploader
        self._context = books
        self._monotonic = monotonic
        self._jitter = jitter

    def deliver(self, messages: Sequence[Message], *, deadline: float) -> Report:
        """Deliver what the messages say and tell which of them must come back.

        Args:
            messages: one invocation's.
            deadline: monotonic seconds at which the function is stopped.
        """
        report = Report()
        read = [(message, self._read(message, report, deadline)) for message in messages]
        received = {message: each for message, each in read if each is not None}
        outbox = Outbox(self._uploader, self._context.limits, self._monotonic, deadline)
        delivery = MemberDelivery(self._context, outbox, list(received.values()), deadline)
        delivery.run()
        for message, each in received.items():
            if not self._settle(message, each, delivery.waiting, report, deadline):
                continue  # all of it comes back, and counts then
            for verdict in delivery.outcomes_for(each):
                setattr(report, verdict, getattr(report, verdict) + 1)
                report.ended[each.first_at] = report.ended.get(each.first_at, 0) + 1
        tally = outbox.tally
        report.uploads_sent, report.uploads_failed, report.jobs = tally.sent, tally.failed, tally.jobs
        report.again = delivery.repeated()
        for reason in (*tally.reasons, *delivery.reasons):
            report.note(reason)
        return report

    def _read(self, message: Message, report: Report, deadline: float) -> ParsedMessage | None:
        """Read one message; park it as it is where it cannot be read, defer it where even that fails."""
        try:
            read = ChangeMessage.from_body(message.body)
        except InvalidMessage as error:
            try:
                self._context.dead_letters.send([message.body], deadline=deadline, attributes={"reason": error.reason})
            except TransientError as failure:
                report.deferred.append(DeferredMessage(message, FIRST_DELAY, failure.reason))
                self._note_wait(report, message.sent_at)
            else:
                report.note(error.reason)
            return None
        return ParsedMessage(
            read, message.receive_count + read.history.attempts, read.history.first_at or message.sent_at
        )

    def _settle(
        self, message: Message, each: ParsedMessage, waiting: dict[Member, Deferred], report: Report, deadline: float
    ) -> bool:
        """Let a message end, go back with what is left of it, or stay. Returns whether it has ended, as itself."""
        left = [change for change in each.read.changes if change.member in waiting]
        if not left:
            return True
        self._note_wait(report, each.first_at)
        asked = [waiting[change.member] for change in left]
        # What was not even tried, for want of time, need not stand back from anything.
        untried = all(why.reason == "out_of_time" for why in asked)
        backoff = 0.0 if untried else self._backoff(each.attempts)
        delay = max([backoff, *(why.delay for why in asked if why.delay is not None)])
        if len(left) < len(each.read.changes) or message.receive_count >= REQUEUE_AFTER_RECEIVES:
            history = replace(each.read.history, attempts=each.attempts, first_at=each.first_at)
            try:
                self._context.queue.send(pack(left, history), deadline=deadline, delay=min(delay, MAX_DELAY))
            except TransientError:
                pass  # then all of it comes back: what is done already is sent once more, which is harmless
            else:
                report.requeued += 1
                return True
        report.deferred.append(DeferredMessage(message, delay, asked[0].reason))
        return False

    def _note_wait(self, report: Report, since: int) -> None:
        report.longest_wait = max(report.longest_wait, (self._context.now() - since) / 1000)

    def _backoff(self, attempts: int) -> float:
        """Seconds until the next attempt: exponential with full jitter, so that a herd does not come back as one."""
        return min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(attempts - 1, 16)) * self._jitter()
