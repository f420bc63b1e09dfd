"""Delivers the messages of one invocation and gives each an outcome.

A message is done when each of its members is delivered, superseded or parked; its other changes go back to the queue.
"""

from collections.abc import Callable, Iterator, Sequence

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.destination import check_target
from audience_sync.clock import to_seconds
from audience_sync.delivery.backoff import FIRST_DELAY, backoff
from audience_sync.delivery.context import DeliveryContext, Message, ParsedMessage
from audience_sync.delivery.job_members import members_of_upload
from audience_sync.delivery.member_delivery import MemberDelivery
from audience_sync.delivery.outcomes import Outcomes
from audience_sync.delivery.report import BatchReport
from audience_sync.delivery.returning import REQUEUE_AFTER_RECEIVES, Returning
from audience_sync.delivery.sending import Uploads
from audience_sync.delivery.uploads import Uploader
from audience_sync.errors import InvalidMessage, OutOfTime, TransientError, WaitedTooLong
from audience_sync.members.job_messages import job_messages
from audience_sync.members.messages import ChangeMessage

MAX_WAIT = 7 * 86_400 - 3_600  # seconds since a change was accepted; SQS drops a message an hour later


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
        context = self._context
        returning = Returning(context, self._jitter, deadline, report)
        uploads = Uploads(self._uploader, context.limits, context.clock, deadline, report)
        readable = [*self._read(messages, uploads.half_of_time_to_record(), returning, report, deadline)]
        early = [each for each in readable if returning.is_early(each)]
        due = [each for each in readable if each not in early and self._track(each, returning, deadline)]
        outcomes = Outcomes(context, due, deadline, report)
        MemberDelivery(context, uploads, outcomes, self._jitter, deadline, report).run()
        for each in filter(self._is_too_old, due):
            outcomes.give_up(each, WaitedTooLong("the change could not be delivered for seven days"))
        left = [*((each, outcomes.left_of(each)) for each in due), *map(returning.unread, early)]
        done = returning.put_back(left, outcomes.has_parked)
        outcomes.count(each for each in due if each in done)
        return report

    def _read(
        self,
        messages: Sequence[Message],
        has_time: Callable[[], bool],
        returning: Returning,
        report: BatchReport,
        deadline: float,
    ) -> Iterator[ParsedMessage]:
        """Read the messages; on a slow machine only some, so that these are delivered.

        A message that was received so often that it must be requeued is read in any case.
        """
        are_read = False
        for message in messages:
            if are_read and not (message.receive_count >= REQUEUE_AFTER_RECEIVES or has_time()):
                returning.leave_in_queue(message, 0.0, OutOfTime.reason)
            elif each := self._parse(message, report, returning, deadline):
                are_read = True
                yield each

    def _parse(
        self, message: Message, report: BatchReport, returning: Returning, deadline: float
    ) -> ParsedMessage | None:
        """Read one message. If it cannot be read, park it unchanged; if that fails, defer it."""
        try:
            read = ChangeMessage.from_body(message.body)
            check_target(read.audience_id, read.destination)
            read.check_times(self._context.clock.now_ms())
        except InvalidMessage as error:
            try:
                self._context.dead_letters.send([message.body], deadline=deadline, attributes={"reason": error.reason})
            except TransientError as failure:
                returning.leave_in_queue(message, FIRST_DELAY, failure.reason)
            else:
                report.parked_reasons[error.reason] += 1
            return None
        report.unknown_fields[read.audience_id] += read.unknown_fields
        return ParsedMessage(message, read)

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
            returning.leave_in_queue(each.received, delay, failure.reason, since=each.first_at, is_unstored=True)
            return False
        return True

    def _is_too_old(self, each: ParsedMessage) -> bool:
        """Return whether a change has waited too long. SQS's own limit starts again with each requeued message."""
        first_at = each.message.history.first_at
        return first_at is not None and self._context.clock.now() - to_seconds(first_at) > MAX_WAIT
