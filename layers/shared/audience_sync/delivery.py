"""From messages of the change queue to uploads at Amazon, and back to a verdict on every message.

A message is done when each of its members is delivered, superseded or parked; until then it stays in the queue. Bad
records are found by halving, so that they cost their neighbours nothing; one audience's trouble leaves the others be.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from audience_sync.amazon_ads.record import Target, Upload, encode_record, uploads
from audience_sync.errors import (
    AccessDenied,
    InvalidMessage,
    NotFound,
    PermanentError,
    RequestRejected,
    TransientError,
)
from audience_sync.membership import ChangeMessage, MembershipChange, coalesce

RESERVE = 5.0  # seconds kept back to park, postpone and answer before the function is stopped
FIRST_DELAY = 4.0  # seconds; doubles with every receive
MAX_DELAY = 900.0  # seconds; how long after an outage the last message notices that it is over
SETTLE = 60.0  # seconds to wait after an unknown outcome, so that a late application cannot overtake the next request

Member = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received."""

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int  # this receive included
    sent_at: int  # epoch milliseconds


@dataclass(frozen=True, slots=True)
class Deferred:
    """A message that stays in the queue, and for how many seconds it should not be seen."""

    message: Message
    delay: float
    reason: str


@dataclass(slots=True)
class Report:
    """What became of one invocation's messages. Changes are counted; each ends in exactly one of the counts."""

    delivered: int = 0
    superseded: int = 0
    parked: int = 0
    uploads_sent: int = 0
    uploads_failed: int = 0
    deferred: list[Deferred] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)  # why changes were parked or uploads failed
    jobs: list[tuple[str, str]] = field(default_factory=list)  # audience id, Amazon's job id

    def note(self, reason: str, count: int = 1) -> None:
        """Count a reason."""
        self.reasons[reason] = self.reasons.get(reason, 0) + count


class Uploader(Protocol):
    """Sends uploads to Amazon."""

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        """Submit one upload and return the job id."""


class DeadLetters(Protocol):
    """Where changes go that Amazon will never take."""

    def send(self, bodies: Sequence[str], *, deadline: float, attributes: dict[str, str] | None = None) -> None:
        """Store all bodies, or raise."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large an upload may be, and how long one may take."""

    max_records: int = 6000
    max_bytes: int = 1_000_000
    timeout: float = 30.0  # seconds for one upload


@dataclass(frozen=True, slots=True)
class _Deferral:
    delay: float | None  # seconds; None leaves it to the backoff
    reason: str


class Delivery:
    """Delivers batches of messages. Keeps nothing between them."""

    def __init__(
        self,
        uploader: Uploader,
        dead_letters: DeadLetters,
        limits: Limits,
        monotonic: Callable[[], float],
        now: Callable[[], int],
        jitter: Callable[[], float],
    ) -> None:
        """Hand in the collaborators.

        Args:
            uploader: Amazon.
            dead_letters: the dead letter queue.
            limits: bounds of one upload.
            monotonic: seconds, for deadlines.
            now: epoch milliseconds, for the record.
            jitter: uniform in 0 .. 1.
        """
        self._uploader = uploader
        self._dead_letters = dead_letters
        self._limits = limits
        self._monotonic = monotonic
        self._now = now
        self._jitter = jitter

    def deliver(self, messages: Sequence[Message], *, deadline: float) -> Report:
        """Deliver what the messages say and tell which of them must come back.

        Args:
            messages: one invocation's.
            deadline: monotonic seconds at which the function is stopped.
        """
        run = _Run(self._uploader, self._dead_letters, self._limits, self._monotonic, self._now, deadline)
        readable = [(message, read) for message in messages if (read := run.read(message)) is not None]
        run.send([change for _, read in readable for change in read.changes], dict(_first_seen(readable)))
        for message, read in readable:
            deferrals = [run.waiting[change.member] for change in read.changes if change.member in run.waiting]
            if deferrals:
                run.report.deferred.append(self._deferred(message, deferrals))
        return run.report

    def _deferred(self, message: Message, deferrals: list[_Deferral]) -> Deferred:
        asked = [deferral.delay for deferral in deferrals if deferral.delay is not None]
        ceiling = min(MAX_DELAY, FIRST_DELAY * 2 ** min(message.receive_count - 1, 16))
        backoff = ceiling * self._jitter()
        return Deferred(message, max([backoff, *asked]), deferrals[0].reason)


class _Run:
    """One invocation: what has been decided about each member so far."""

    def __init__(
        self,
        uploader: Uploader,
        dead_letters: DeadLetters,
        limits: Limits,
        monotonic: Callable[[], float],
        now: Callable[[], int],
        deadline: float,
    ) -> None:
        self.report = Report()
        self.waiting: dict[Member, _Deferral] = {}
        self._uploader = uploader
        self._dead_letters = dead_letters
        self._limits = limits
        self._monotonic = monotonic
        self._now = now
        self._deadline = deadline
        self._first_seen: dict[Member, Message] = {}

    def read(self, message: Message) -> ChangeMessage | None:
        """Read one message; park it as it is where it cannot be read, leave it in the queue where even that fails."""
        try:
            return ChangeMessage.from_body(message.body)
        except InvalidMessage as error:
            try:
                self._dead_letters.send([message.body], deadline=self._deadline, attributes={"reason": error.reason})
            except TransientError as failure:
                self.report.deferred.append(Deferred(message, FIRST_DELAY, failure.reason))
            else:
                self.report.parked += 1
                self.report.note(error.reason)
            return None

    def send(self, changes: Sequence[MembershipChange], first_seen: dict[Member, Message]) -> None:
        """Upload the newest change of every member, audience by audience."""
        self._first_seen = first_seen
        newest = coalesce(changes)
        self.report.superseded += len(changes) - len(newest)
        by_target: dict[Target, list[MembershipChange]] = {}
        for change in newest:
            by_target.setdefault(Target(change.audience_id, change.connection_id), []).append(change)
        for target, of_target in by_target.items():
            self._send_target(target, of_target)

    def _send_target(self, target: Target, changes: list[MembershipChange]) -> None:
        unsendable = [change for change in changes if not change.record["hashedPII"]]
        self._park(unsendable, PermanentError("no identifier is known for this member", reason="no_identifier"))
        sendable = [change for change in changes if change.record["hashedPII"]]
        encoded = [encode_record(change.record) for change in sendable]
        position = 0
        for upload in uploads(target, encoded, max_records=self._limits.max_records, max_bytes=self._limits.max_bytes):
            chunk = sendable[position : position + len(upload.encoded)]
            position += len(chunk)
            trouble = self._send_upload(upload, chunk)
            if trouble is not None:
                # The audience (or the token) is in trouble: asking on would only make it worse.
                self._defer(sendable[position:], trouble)
                return

    def _send_upload(self, upload: Upload, chunk: Sequence[MembershipChange]) -> _Deferral | None:
        """Send one upload, smaller where Amazon refuses it. Returns why the rest of the audience must wait, if so."""
        left = self._deadline - RESERVE - self._monotonic()
        if left <= 1:
            return self._defer(chunk, _Deferral(0.0, "out_of_time"))
        try:
            job_id = self._uploader.send_records(upload, timeout=min(self._limits.timeout, left))
        except TransientError as error:
            self.report.uploads_failed += 1
            self.report.note(error.reason)
            return self._defer(chunk, _Deferral(_asked(error), error.reason))
        except RequestRejected as error:
            self.report.uploads_failed += 1
            return self._narrow(upload, chunk, error)
        self.report.uploads_sent += 1
        self.report.delivered += len(chunk)
        self.report.jobs.append((upload.target.audience_id, job_id))
        return None

    def _narrow(self, upload: Upload, chunk: Sequence[MembershipChange], error: RequestRejected) -> _Deferral | None:
        """Halve a refused upload until the records at fault stand alone, and park those."""
        if len(chunk) == 1 or isinstance(error, AccessDenied | NotFound):
            self._park(chunk, error)
            return None
        first, second = upload.halves()
        middle = len(first.encoded)
        trouble = self._send_upload(first, chunk[:middle])
        if trouble is not None:
            return self._defer(chunk[middle:], trouble)
        return self._send_upload(second, chunk[middle:])

    def _defer(self, changes: Iterable[MembershipChange], deferral: _Deferral) -> _Deferral:
        self.waiting.update((change.member, deferral) for change in changes)
        return deferral

    def _park(self, changes: Sequence[MembershipChange], error: PermanentError) -> None:
        if not changes:
            return
        bodies = [self._letter(change, error) for change in changes]
        try:
            self._dead_letters.send(bodies, deadline=self._deadline, attributes={"reason": error.reason})
        except TransientError as failure:
            self._defer(changes, _Deferral(None, failure.reason))
            return
        self.report.parked += len(changes)
        self.report.note(error.reason, len(changes))

    def _letter(self, change: MembershipChange, error: PermanentError) -> str:
        """Lay out a dead letter: a message of one change, so that redriving it needs no translation, and its story."""
        seen = self._first_seen[change.member]
        story: dict[str, Any] = {
            "reason": error.reason,
            "status": getattr(error, "status", None),
            "detail": str(error),
            "requestId": getattr(error, "request_id", ""),
            "attempts": seen.receive_count,
            "firstAt": seen.sent_at,
            "lastAt": self._now(),
        }
        envelope = {
            "v": 1,
            "audienceId": change.audience_id,
            "connectionId": change.connection_id,
            "changes": [change.as_json()],
            "parked": story,
        }
        return json.dumps(envelope, separators=(",", ":"))


def _asked(error: TransientError) -> float | None:
    """Seconds to wait at the least: what the server said, or the settle time where it may still apply the upload."""
    if error.retry_after is not None:
        return error.retry_after
    return SETTLE if error.reason == "outcome_unknown" else None


def _first_seen(readable: Iterable[tuple[Message, ChangeMessage]]) -> Iterable[tuple[Member, Message]]:
    oldest_first = sorted(readable, key=lambda pair: pair[0].sent_at, reverse=True)
    return ((change.member, message) for message, read in oldest_first for change in read.changes)
