"""Sends the changes of one audience to Amazon and says what became of each, finding bad records by halving."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from audience_sync.amazon_ads.record import Target, Upload, encode_record, uploads
from audience_sync.delivery.bisect import BISECTABLE_STATUSES, SAMPLE_SIZE, Chunk, sample_first
from audience_sync.errors import PermanentError, RequestRejected, RequestTooLarge, TransientError
from audience_sync.membership import MembershipChange

RESERVE = 8.0  # seconds kept back to read back, park, postpone and answer before the function is stopped
PREPARE = 5.0  # seconds kept back, beside the upload's, for what is being recorded when no more is begun
SETTLE = 60.0  # seconds to wait after an unknown outcome, so that a late application cannot overtake the next request

Member = tuple[str, str]


class Uploader(Protocol):
    """Sends uploads to Amazon."""

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        """Submit one upload within `timeout` seconds and return the job id."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large an upload may be, and how long things may take."""

    max_records: int = 6000
    max_bytes: int = 1_000_000
    timeout: float = 30.0  # seconds for one upload
    settle: float = SETTLE  # seconds
    job: float = 900.0  # seconds until Amazon's job for an upload has surely ended; nothing orders two jobs before


@dataclass(frozen=True, slots=True)
class Deferred:
    """The change stays in the queue. `delay` is in seconds; None leaves it to the backoff."""

    delay: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """Amazon has accepted the change."""


type Outcome = Accepted | Deferred | PermanentError


@dataclass(frozen=True, slots=True)
class Job:
    """An upload that Amazon has accepted and will process."""

    job_id: str
    audience_id: str
    members: tuple[str, ...]  # external user ids


@dataclass(slots=True)
class UploadStats:
    """What sending took."""

    sent: int = 0
    failed: int = 0
    jobs: list[Job] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)  # why uploads failed


class Outbox:
    """Amazon, as delivery sees it, for the time of one invocation."""

    def __init__(self, uploader: Uploader, limits: Limits, monotonic: Callable[[], float], deadline: float) -> None:
        """Hand in the collaborators; `monotonic` and `deadline` in seconds."""
        self.tally = UploadStats()
        self._uploader = uploader
        self._limits = limits
        self._monotonic = monotonic
        self._deadline = deadline

    @property
    def has_time(self) -> bool:
        """Whether another upload can be begun: one that is cut off may have been applied, and nobody knows."""
        return self._time_left() >= self._limits.timeout

    @property
    def has_time_to_prepare(self) -> bool:
        """Whether another change can be recorded that is to be sent afterwards: what is recorded shall be sent, too."""
        return self._time_left() >= self._limits.timeout + PREPARE

    def send(self, target: Target, changes: Sequence[MembershipChange]) -> dict[Member, Outcome]:
        """Send changes of distinct members, in as many uploads as it takes, and tell the outcome for each.

        The first passing trouble ends it: the audience, or the token, is in difficulties, and asking on would add to
        them.
        """
        outcomes: dict[Member, Outcome] = {
            change.member: PermanentError("no identifier is known for this member", reason="no_identifier")
            for change in changes
            if not change.record["hashedPII"]
        }
        sendable = [change for change in changes if change.record["hashedPII"]]
        encoded = [encode_record(change.record) for change in sendable]
        limits = self._limits
        position = 0
        for upload in uploads(target, encoded, max_records=limits.max_records, max_bytes=limits.max_bytes):
            chunk = sendable[position : position + len(upload.encoded)]
            position += len(chunk)
            trouble = self._send(upload, chunk, outcomes)
            if trouble is not None:
                outcomes.update((change.member, trouble) for change in sendable[position:])
                break
        return outcomes

    def _send(
        self, upload: Upload, chunk: Sequence[MembershipChange], outcomes: dict[Member, Outcome]
    ) -> Deferred | None:
        """Send one upload, smaller where Amazon refuses it. Returns why the rest must wait, if it must."""
        pieces: list[Chunk] = [Chunk(upload, chunk)]  # left to send, the next one last
        accepted = refused = 0  # pieces; of the refused those that cannot be any smaller
        while pieces:
            piece = pieces.pop()
            outcome = self._ask(piece)
            if isinstance(outcome, Deferred):
                outcomes.update((change.member, outcome) for each in (piece, *pieces) for change in each.changes)
                return outcome
            if (
                isinstance(outcome, RequestRejected)
                and outcome.status in BISECTABLE_STATUSES
                and len(piece.changes) > 1
            ):
                pieces += reversed(piece.halves())
                continue
            outcomes.update((change.member, outcome) for change in piece.changes)
            accepted += isinstance(outcome, Accepted)
            refused += isinstance(outcome, RequestRejected) and not isinstance(outcome, RequestTooLarge)
            if refused == SAMPLE_SIZE and not accepted:
                pieces = sample_first(pieces)
            elif refused == 2 * SAMPLE_SIZE and not accepted:  # it is not the records
                outcomes.update((change.member, outcome) for each in pieces for change in each.changes)
                return None
        return None

    def _ask(self, piece: Chunk) -> Accepted | Deferred | RequestRejected:
        """Make one request, and tell what became of it."""
        if not self.has_time:
            return Deferred(0.0, "out_of_time")
        try:
            job_id = self._uploader.send_records(piece.upload, timeout=self._limits.timeout)
        except TransientError as error:
            self._failed(error.reason)
            return Deferred(self._delay(error), error.reason)
        except RequestRejected as error:
            self._failed(error.reason)
            return error
        self.tally.sent += 1
        members = tuple(change.member[1] for change in piece.changes)
        self.tally.jobs.append(Job(job_id, piece.upload.target.audience_id, members))
        return Accepted()

    def _delay(self, error: TransientError) -> float | None:
        """Seconds to wait at least: what Amazon said, or the settle time where it may still apply the upload."""
        if error.retry_after is not None:
            return error.retry_after
        return self._limits.settle if error.reason == "outcome_unknown" else None

    def _failed(self, reason: str) -> None:
        self.tally.failed += 1
        self.tally.reasons.append(reason)

    def _time_left(self) -> float:
        return self._deadline - RESERVE - self._monotonic()
