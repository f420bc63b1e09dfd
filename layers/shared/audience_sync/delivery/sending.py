"""Uploads of one invocation: splits the changes of one audience into requests and returns an outcome for each."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from audience_sync.amazon_ads.apis import upload_rules
from audience_sync.amazon_ads.bisection import BISECTABLE_STATUSES, SAMPLE_SIZE
from audience_sync.amazon_ads.upload import Submission, Target, cut_uploads
from audience_sync.clock import Clock
from audience_sync.delivery.bisect import Chunk, sample_first
from audience_sync.delivery.report import BatchReport
from audience_sync.delivery.uploads import Deferred, Limits, Track, Uploader, UploadFailure, UploadJob
from audience_sync.errors import (
    NoIdentifier,
    OutcomeUnknown,
    OutOfTime,
    RequestRejected,
    RequestTooLarge,
    TransientError,
)
from audience_sync.members.membership import Member, MembershipChange

SHUTDOWN_RESERVE = 8.0  # seconds kept to read back, park, defer and answer before the function is stopped
DATING = 3.0  # of these seconds, for dating rows
RECORD_RESERVE = 5.0  # seconds kept, beside the upload's, to finish writing rows
TRACK_ATTEMPTS, TRACK_INTERVAL = 3, 5.0  # to store the message of a job; seconds between them


class Uploads:
    """Sends to Amazon for the time of one invocation."""

    def __init__(self, uploader: Uploader, limits: Limits, clock: Clock, deadline: float, report: BatchReport) -> None:
        """Set up the uploads, which count into the report; `deadline` in monotonic seconds."""
        self._uploader = uploader
        self._limits = limits
        self._clock = clock
        self._deadline = deadline
        self._report = report

    @property
    def has_time_to_record(self) -> bool:
        """Whether there is time to record and send another change: a recorded change must also be sent."""
        return self._time_to_record() >= 0

    @property
    def has_time_to_date(self) -> bool:
        """Whether there is time to date a row after its upload. Undated uploads are repeated, so the limit is later."""
        return self._time_left() > -DATING

    def half_of_time_to_record(self) -> Callable[[], bool]:
        """Return a check that more than half of the time left now for recording changes remains.

        Steps that precede recording stop at that point, so that some changes are recorded at any speed.
        """
        half = self._time_to_record() / 2
        return lambda: self._time_to_record() >= half

    def send_in_uploads(
        self, target: Target, changes: Sequence[MembershipChange], track: Track
    ) -> dict[Member, UploadFailure]:
        """Send changes of distinct members in as many uploads as needed. Returns those that Amazon has not accepted.

        The first transient error stops it: more requests would make the trouble worse. Tracking an upload's job is
        part of sending: if that fails, the upload counts as not made and is repeated.
        """
        failures: dict[Member, UploadFailure] = {
            change.member: NoIdentifier("no identifier is known for this member")
            for change in changes
            if not change.identities
        }
        sendable = [change for change in changes if change.identities]
        rules = upload_rules(target.destination)
        encoded = [rules.encode(change) for change in sendable]
        position = 0
        for upload in cut_uploads(target, rules.frame_of(target), encoded, self._limits.size(target.destination)):
            chunk = Chunk(upload, sendable[position : position + len(upload.encoded)])
            position += len(chunk.changes)
            trouble = self._send_in_halves(chunk, failures, track)
            if trouble is not None:
                failures.update((change.member, trouble) for change in sendable[position:])
                break
        return failures

    def _send_in_halves(self, chunk: Chunk, failures: dict[Member, UploadFailure], track: Track) -> Deferred | None:
        """Send one upload, bisected if Amazon refuses it. Returns a deferral if the rest must wait."""
        chunks = [chunk]  # still to send, the next one last
        is_accepted, refused = False, 0  # any chunk; number of those that cannot be split
        while chunks:
            chunk = chunks.pop()
            outcome = self._send_tracked(chunk, track)
            if isinstance(outcome, Deferred):
                failures.update((change.member, outcome) for change in chunk.changes)
                rest = replace(outcome, job=None)
                failures.update((change.member, rest) for each in chunks for change in each.changes)
                return rest
            if isinstance(outcome, Submission):
                is_accepted = True
                failures.update((chunk.changes[place].member, error) for place, error in outcome.rejected.items())
                continue
            if outcome.status in BISECTABLE_STATUSES and len(chunk.changes) > 1:
                chunks += reversed(chunk.halves())
                continue
            failures.update((change.member, outcome) for change in chunk.changes)
            refused += not isinstance(outcome, RequestTooLarge)
            if refused == SAMPLE_SIZE and not is_accepted:
                chunks = sample_first(chunks)
            elif refused == 2 * SAMPLE_SIZE and not is_accepted:  # the records are not at fault
                failures.update((change.member, outcome) for each in chunks for change in each.changes)
                return None
        return None

    def _send_tracked(self, chunk: Chunk, track: Track) -> Submission | Deferred | RequestRejected:
        """Make one request, store its job, and return its outcome."""
        if self._time_left() < self._limits.timeout:  # the outcome of one cut off would be unknown
            return Deferred.after(OutOfTime("no time left for an upload"))
        sent_at = self._clock.now_ms()
        job: UploadJob | None = None
        try:
            submitted = self._uploader.send_records(chunk.upload, timeout=self._limits.timeout)
            accepted = [each for place, each in enumerate(chunk.changes) if place not in submitted.rejected]
            job = UploadJob(submitted.job_id, chunk.upload.target, accepted, sent_at)
            self._track(job, track)
        except TransientError as error:
            self._report.failed_uploads[error.reason] += 1
            return Deferred(error, self._delay(error), job)
        except RequestRejected as error:
            self._report.failed_uploads[error.reason] += 1
            return error
        self._report.jobs.append(job)
        if submitted.counted_from_one:
            self._report.counted_from_one.add(job.job_id)
        return submitted

    def _track(self, job: UploadJob, track: Track) -> None:
        """Store a job to be checked later. Retries while there is time, since nothing else knows its id."""
        for attempt in range(1, TRACK_ATTEMPTS + 1):
            try:
                track(job)
            except TransientError:
                if attempt == TRACK_ATTEMPTS or self._time_left() < TRACK_INTERVAL:
                    raise
                self._clock.sleep(TRACK_INTERVAL)
            else:
                return

    def _delay(self, error: TransientError) -> float | None:
        """Return the minimum wait in seconds: Amazon's, or the settle time if it may still apply the upload."""
        if error.retry_after is not None:
            return error.retry_after
        return self._limits.settle if isinstance(error, OutcomeUnknown) else None

    def _time_to_record(self) -> float:
        return self._time_left() - self._limits.timeout - RECORD_RESERVE

    def _time_left(self) -> float:
        return self._deadline - SHUTDOWN_RESERVE - self._clock.monotonic()
