"""Sends many changes to the change queue, several requests at a time, and counts each as accepted once it is there.

Only changes that the queue has confirmed count, in the order of the rows: every row up to `confirmed` is in the queue.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from botocore.exceptions import ClientError

from audience_sync.aws.client_errors import error_code
from audience_sync.aws.cloudwatch import MetricStore
from audience_sync.clock import Clock
from audience_sync.errors import Unavailable
from audience_sync.members.envelope import MAX_MESSAGE_BYTES
from audience_sync.members.membership import MembershipChange
from audience_sync.members.messages import DeliveryHistory, pack
from audience_sync.runtime.metric_names import CHANGES_ACCEPTED, NAMESPACE
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.queue_room import room_for

if TYPE_CHECKING:
    from audience_sync_cli.frame.operator_log import Line  # loads boto3, which completion must not

type Send = Callable[[int, MembershipChange | None], None]  # the change of a row; None if it makes none

IN_FLIGHT = 4  # requests; each holds up to a megabyte
SEND_TIMEOUT = 30.0  # seconds for the queue to confirm one of them
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)  # seconds before another attempt; two minutes in all
NOTED = 4.0  # the wait from which it is a failure, and not a moment's throttling
COUNT_EVERY = 30.0  # seconds between two requests to CloudWatch
MINUTE = 60_000  # milliseconds; the resolution of our metrics
FIRST_GROUP = 1_000  # changes, until their size is known
SMALLEST_GROUP, LARGEST_GROUP = 100, 5_000  # changes
GROUP_BYTES = 3.9 * MAX_MESSAGE_BYTES  # four messages fill a request
_TEMPORARY = ("Throttling", "ThrottlingException", "RequestThrottled", "RequestLimitExceeded", "KmsThrottled")

type CountAccepted = Callable[[Mapping[int, int]], None]  # changes by the epoch second at which they were accepted


class _Group(NamedTuple):
    """Changes that are sent together."""

    row: int  # of the last change, or of a later row without a change
    changes: int
    accepted: int  # epoch milliseconds
    sent: Future[None]


class ChangeSender:
    """Sends changes row by row. On leaving, even after an error, it waits for the requests in flight.

    Raises on leaving, as `take` does:
        Unavailable: the queue or CloudWatch does not answer. Confirmed changes stay confirmed.
    """

    def __init__(
        self,
        send: Callable[..., None],
        count: CountAccepted,
        clock: Clock,
        on_confirmed: Callable[[int, int], None],
        wait_for_room: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare; nothing is sent yet.

        `send` stores all bodies by a deadline, or raises Unavailable. `on_confirmed` is called with a row and the count
        of newly confirmed changes up to it, `wait_for_room` before each request: it returns when the request may be
        sent. `note` gets a sentence while the queue does not answer, and if changes may be uncounted.
        """
        self.confirmed = 0  # changes
        self.messages = 0  # sent
        self._send_bodies = send
        self._count = count
        self._clock = clock
        self._on_confirmed = on_confirmed
        self._wait_for_room = wait_for_room
        self._note = note
        self._pool = ThreadPoolExecutor(max_workers=IN_FLIGHT)
        self._in_flight: deque[_Group] = deque()
        self._held: list[MembershipChange] = []
        self._row = 0  # the last one taken
        self._group = FIRST_GROUP
        self._uncounted: Counter[int] = Counter()  # by epoch second
        self._unknown = 0  # changes that may be in the queue: the answer was lost
        self._counted_at = clock.monotonic()
        self._is_noted = False  # that the queue does not answer
        self._is_ending = False  # after an error or Ctrl-C: no more attempts

    def __enter__(self) -> Self:
        """Check that CloudWatch accepts counts before sending changes that could not be counted."""
        self._count({self._clock.now_ms() // MINUTE * 60: 0})
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None) -> None:
        self._is_ending = kind is not None
        try:
            if kind is None:
                self._send()
            with nullcontext() if kind is None else suppress(Unavailable):  # the first error is the one to report
                while self._in_flight:
                    self._confirm()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._count_in_flight()
            try:
                self._publish()
            finally:
                if uncounted := self._unknown + self._uncounted.total():
                    self._note(
                        f"Up to {counted(uncounted, 'change')} may be delivered without being counted as accepted: SQS "
                        "or CloudWatch did not confirm them."
                    )

    def take(self, row: int, change: MembershipChange | None) -> None:
        """Send the change of a row, now or with later ones. None if the row makes no change."""
        self._row = row
        if change is not None:
            self._held.append(change)
            if len(self._held) >= self._group:
                self._send()

    def _send(self) -> None:
        while len(self._in_flight) >= IN_FLIGHT:
            self._confirm()
        self._wait_for_room()
        held, self._held = self._held, []
        accepted = self._clock.now_ms()
        bodies = pack(held, DeliveryHistory(first_at=accepted))
        if held:
            bytes_each = sum(map(len, bodies)) / len(held)
            self._group = min(LARGEST_GROUP, max(SMALLEST_GROUP, int(GROUP_BYTES / bytes_each)))
        self.messages += len(bodies)
        sent = self._pool.submit(self._send_until_confirmed, bodies)
        self._in_flight.append(_Group(self._row, len(held), accepted, sent))

    def _send_until_confirmed(self, bodies: Sequence[str]) -> None:
        """Send messages, retrying while the queue is throttled or does not answer. Raises Unavailable."""
        for wait in (*WAITS, None):
            try:
                return self._send_bodies(bodies, deadline=self._clock.monotonic() + SEND_TIMEOUT)
            except Unavailable as error:
                if wait is None or not _is_temporary(error):
                    raise
                if wait >= NOTED and not self._is_noted:
                    self._is_noted = True
                    self._note("The change queue does not answer. It is asked again for two minutes; Ctrl-C ends that.")
                if self._is_cut_short(wait):
                    raise
        return None

    def _is_cut_short(self, wait: float) -> bool:
        """Wait, a second at a time. Returns whether the run ended in the meantime."""
        while wait > 0 and not self._is_ending:
            self._clock.sleep(min(wait, 1.0))
            wait -= 1.0
        return self._is_ending

    def _confirm(self) -> None:
        """Wait for the oldest request. Raises Unavailable if the queue does not accept it."""
        oldest = self._in_flight[0]  # stays until it has ended, even if Ctrl-C ends the wait
        try:
            oldest.sent.result()
        except Unavailable:
            self._count_in_flight()  # queued, but an earlier row is not: a resumed run sends them again
            raise
        self._in_flight.popleft()
        self._is_noted = False
        self._count_as_accepted(oldest)
        self.confirmed += oldest.changes
        self._on_confirmed(oldest.row, oldest.changes)
        if self._clock.monotonic() - self._counted_at >= COUNT_EVERY:
            self._publish()

    def _count_in_flight(self) -> None:
        """Wait for every request, and count its changes if the queue has them."""
        while self._in_flight:
            try:
                self._in_flight[0].sent.result()
                self._count_as_accepted(self._in_flight[0])
            except Unavailable as error:
                self._unknown += self._in_flight[0].changes if _is_temporary(error) else 0
            except CancelledError:  # never begun
                pass
            self._in_flight.popleft()

    def _count_as_accepted(self, group: _Group) -> None:
        self._uncounted[group.accepted // MINUTE * 60] += group.changes

    def _publish(self) -> None:
        if self._uncounted:
            self._count(self._uncounted)
            self._uncounted = Counter()
        self._counted_at = self._clock.monotonic()


def sender_for(
    session: Session, line: "Line", on_confirmed: Callable[[int, int], None] = lambda *_: None
) -> ChangeSender:
    """Return a sender to the stack's change queue, which counts as ingest does, and in a line of the operator log."""
    stack, note = session.stack, session.screen.note
    queue, clock = session.queue("ChangeQueue"), Clock(session.now, sleep=session.sleep)
    store = MetricStore(stack.service("cloudwatch"))

    def count(counts: Mapping[int, int]) -> None:
        store.count(NAMESPACE, CHANGES_ACCEPTED, {"service": stack.name}, counts)

    def confirmed(row: int, changes: int) -> None:
        line["changes"] = int(line["changes"] or 0) + changes
        on_confirmed(row, changes)

    return ChangeSender(queue.send, count, clock, confirmed, room_for(queue.waiting, clock, note), note)


def _is_temporary(error: Unavailable) -> bool:
    """Return whether another attempt may help: a missing permission stays missing."""
    cause = error.__context__
    if not isinstance(cause, ClientError):
        return True
    status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or status == 429 or error_code(cause) in _TEMPORARY
