"""What goes back into the change queue: changes that wait, and changes whose upload has failed for now.

Waiting changes of all messages of an invocation go back together, one copy of each: SQS may deliver a message twice,
and each delivery of a waiting change could double it.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from audience_sync.clock import to_seconds
from audience_sync.delivery.backoff import SPREAD, aligned_delay, backoff
from audience_sync.delivery.context import DeliveryContext, Message, ParsedMessage
from audience_sync.delivery.report import BatchReport, DeferredMessage
from audience_sync.delivery.uploads import Deferred
from audience_sync.errors import CircuitHalfOpen, OutOfTime, TransientError
from audience_sync.members.membership import Member, MembershipChange, Version, coalesce
from audience_sync.members.messages import DeliveryHistory, Untracked, pack
from audience_sync.members.repetitions import Wait

# Receives after which a message is requeued. So only messages that crash the worker reach SQS's limit of receives.
REQUEUE_AFTER_RECEIVES = 12
# Seconds, for each receive, for which a message stays invisible whose copy SQS does not store: the 20 receives that the
# queue allows take more than three hours, even if uploads had failed for the first eleven.
UNSTORED_DELAY = 90.0

type Left = Sequence[tuple[MembershipChange, Deferred]]  # the changes of a message that stay in the queue
type _Copy = tuple[Member, Version, DeliveryHistory, int]  # of a waiting change; equal for its copies


class Returning:
    """Puts changes back at the end of an invocation."""

    def __init__(
        self, context: DeliveryContext, jitter: Callable[[], float], deadline: float, report: BatchReport
    ) -> None:
        """Set up; `jitter` is uniform in 0 .. 1, `deadline` in monotonic seconds. What goes back is counted."""
        self._context = context
        self._jitter = jitter
        self._deadline = deadline
        self._report = report
        self._now = context.clock.now()

    def is_early(self, each: ParsedMessage) -> bool:
        """Return whether a message is not due yet, whatever the rows of its members say."""
        return each.message.history.is_early(self._now)

    def unread(self, each: ParsedMessage) -> tuple[ParsedMessage, Left]:
        """Return a message that is not due yet, with all its changes."""
        seconds = (each.message.history.unread_until or 0) - self._now
        waits = Deferred.until("not due yet", seconds, is_fixed=True)
        return each, [(change, waits) for change in each.message.changes]

    def put_back(
        self, messages: Sequence[tuple[ParsedMessage, Left]], has_parked: Callable[[ParsedMessage], bool]
    ) -> set[ParsedMessage]:
        """Put back the changes that are left of messages. Returns the messages that are done with."""
        fewest_left = min((len(left) for each, left in messages if len(left) < len(each.message.changes)), default=0)
        whole = {
            each
            for each, left in messages
            if _goes_back_whole(each, left, is_furthest=len(left) <= fewest_left, has_parked=has_parked(each))
        }
        unstored = self._send_waiting([(each, left) for each, left in messages if each not in whole])
        done: set[ParsedMessage] = set()
        for each, left in messages:
            failing = [pair for pair in left if not pair[1].waits]
            delay = self._delay(each, [cause for _, cause in failing])
            if each not in whole and each not in unstored and self._send_failing(each, failing, delay):
                done.add(each)
                if failing:
                    self._count_age(each.first_at)
            else:
                reason = (failing or left)[0][1].error.reason
                self.leave_in_queue(each.received, delay, reason, since=each.first_at, is_unstored=each not in whole)
        return done

    def leave_in_queue(
        self, message: Message, delay: float, reason: str, *, since: int | None = None, is_unstored: bool = False
    ) -> None:
        """Leave a whole message in the queue.

        Args:
            message: as received.
            delay: seconds.
            reason: for logs.
            since: epoch milliseconds at which its changes were accepted.
            is_unstored: SQS has not stored what was to replace it.
        """
        if is_unstored:
            delay = max(delay, UNSTORED_DELAY * message.receive_count)
        self._report.deferred.append(DeferredMessage(message, delay, reason))
        self._count_age(message.sent_at if since is None else since)

    def _send_waiting(self, messages: Sequence[tuple[ParsedMessage, Left]]) -> set[ParsedMessage]:
        """Send one copy of each waiting change. Returns the messages of which one is not stored."""
        grouped: defaultdict[tuple[DeliveryHistory, int], list[MembershipChange]] = defaultdict(list)
        for (_, _, history, delay), (change, attempts) in self._waiting(messages).items():
            grouped[replace(history, attempts=attempts), delay].append(change)
        bodies: defaultdict[int, list[str]] = defaultdict(list)
        for (history, delay), changes in grouped.items():
            bodies[delay] += pack(changes, history)
        unstored = {*bodies}  # delays
        with suppress(TransientError):  # after which the others are not tried
            for delay, together in bodies.items():
                self._send(together, delay)
                unstored.remove(delay)
        return {each for each, left in messages if any(c.waits and self._wait(c).delay in unstored for _, c in left)}

    def _wait(self, cause: Deferred) -> Wait:
        return Wait.of(self._now + (cause.delay or 0.0), self._now, is_fixed=cause.is_fixed)

    def _waiting(self, messages: Sequence[tuple[ParsedMessage, Left]]) -> dict[_Copy, tuple[MembershipChange, int]]:
        """Return each waiting change once, with the most attempts of its copies, and count it."""
        waiting: dict[_Copy, tuple[MembershipChange, int]] = {}
        for each, left in messages:
            attempts = each.message.history.attempts if self.is_early(each) else each.attempts - 1  # waiting is none
            for change, cause in left:
                if not cause.waits:
                    continue
                wait = self._wait(cause)
                copy = change.member, change.version, _history(each, wait), wait.delay
                if copy in waiting:
                    first, most = waiting[copy]
                    (merged,) = coalesce([first, change])  # a sender may give two events one id
                    waiting[copy] = merged, max(most, attempts)
                    continue
                waiting[copy] = change, attempts
                if not each.message.history.is_repetition:
                    age = self._now - to_seconds(each.first_at)
                    self._report.waiting[change.audience_id] += 1
                    self._report.oldest_waiting = max(self._report.oldest_waiting, age)
        return waiting

    def _send_failing(self, each: ParsedMessage, failing: Left, delay: float) -> bool:
        """Send the changes again whose upload has failed. Returns whether they are stored."""
        history = replace(each.message.history, attempts=each.attempts, first_at=each.first_at, unread_until=None)
        try:
            for upload, changes in _by_upload(failing).items():
                self._send(pack(changes, replace(history, untracked=upload, origin=each.origin)), delay)
        except TransientError:
            return False
        return True

    def _send(self, bodies: Sequence[str], delay: float) -> None:
        """Send messages. Raises Unavailable."""
        self._context.queue.send(bodies, deadline=self._deadline, delay=delay)
        self._report.requeued += len(bodies)

    def _delay(self, each: ParsedMessage, causes: Sequence[Deferred]) -> float:
        """Return the seconds that changes wait after failed attempts."""
        # Changes that were not even tried (no time left, or another worker is trying) need no backoff.
        is_untried = all(isinstance(cause.error, OutOfTime | CircuitHalfOpen) for cause in causes)
        wait = 0.0 if is_untried else backoff(each.attempts, self._jitter())
        wait = max([wait, *(cause.delay for cause in causes if cause.delay is not None)])
        if is_untried or each.attempts <= SPREAD:
            return wait
        return aligned_delay(self._context.clock.now(), wait)  # by now, uploads may have taken most of the invocation

    def _count_age(self, since: int) -> None:
        self._report.oldest_deferred = max(self._report.oldest_deferred, self._now - to_seconds(since))


def _goes_back_whole(each: ParsedMessage, left: Left, *, is_furthest: bool, has_parked: bool) -> bool:
    """Return whether a message goes back as it is, instead of a copy with the changes that stay.

    It does if each of its changes has failed; or if the worker ran out of time: a busy machine also gets late answers
    from SQS, and then a copy is sent twice. But a message that takes longer than an invocation would come back for
    ever, so the message that got furthest is copied: each of those with the fewest changes left.

    Args:
        each: the message.
        left: its changes that stay in the queue.
        is_furthest: no other message of which something is done has fewer of them.
        has_parked: something of it was parked, and would be parked again.
    """
    is_tracked = not (each.message.history.untracked or any(cause.job for _, cause in left))
    is_out_of_time = not is_furthest and any(isinstance(cause.error, OutOfTime) for _, cause in left)
    is_failing = len(left) == len(each.message.changes) > 0 and not any(cause.waits for _, cause in left)
    may_stay = is_tracked and not has_parked and each.received.receive_count < REQUEUE_AFTER_RECEIVES
    return may_stay and (is_out_of_time or is_failing)


def _history(each: ParsedMessage, wait: Wait) -> DeliveryHistory:
    """Return the history of a waiting change, without attempts. Repetitions are the same wherever they come from."""
    history = replace(each.message.history, attempts=0, untracked=None, unread_until=wait.until)
    if history.is_repetition:
        return replace(history, first_at=None)
    return replace(history, first_at=each.first_at, origin=each.origin)


def _by_upload(failing: Left) -> dict[Untracked | None, list[MembershipChange]]:
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
