"""What an upload is in one invocation: its limits, its outcomes and its job."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from audience_sync.amazon_ads.apis import upload_rules
from audience_sync.amazon_ads.timings import Timings
from audience_sync.amazon_ads.upload import Submission, Target, Upload, UploadSize
from audience_sync.errors import NotDueYet, PermanentError, TransientError
from audience_sync.members.membership import Destination, MembershipChange

SETTLE = 60.0  # seconds to wait after an unknown outcome, so that a late application cannot overtake the next request


class Uploader(Protocol):
    """Sends uploads to Amazon."""

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        """Submit one upload within `timeout` seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the size and duration of uploads."""

    max_records: int = 6000  # as Amazon recommends; it refuses more than 10,000
    max_bytes: int = 1_000_000  # if Amazon refuses that as too large, the upload is halved
    timeout: float = 30.0  # seconds for one upload
    settle: float = SETTLE  # seconds
    timings: Timings = field(default_factory=Timings)

    def size(self, destination: Destination) -> UploadSize:
        """Return the limits on one upload."""
        return upload_rules(destination).size or UploadSize(self.max_records, self.max_bytes)


@dataclass(frozen=True, slots=True)
class Deferred:
    """The change stays in the queue."""

    error: TransientError
    delay: float | None  # seconds; None leaves it to the backoff
    job: "UploadJob | None" = None  # of an accepted upload for which no job message is stored
    is_fixed: bool = False  # nothing that happens can shorten the delay

    @classmethod
    def after(cls, error: TransientError) -> "Deferred":
        """Defer for the error's `retry_after`."""
        return cls(error, error.retry_after)

    @classmethod
    def until(cls, why: str, delay: float | None, *, is_fixed: bool = False) -> "Deferred":
        """Wait for something of our own, which is no attempt."""
        return cls(NotDueYet(why), delay, is_fixed=is_fixed)

    @property
    def waits(self) -> bool:
        """Whether the change waits for something of our own. Otherwise an attempt has failed, or there was no time."""
        return isinstance(self.error, NotDueYet)


type UploadFailure = Deferred | PermanentError


def first_trouble(failures: Iterable[UploadFailure]) -> Deferred | None:
    """Return the first deferral after which other members of the audience must wait."""
    return next((each for each in failures if isinstance(each, Deferred)), None)


@dataclass(frozen=True, slots=True)
class UploadJob:
    """An upload that Amazon has accepted and will process."""

    job_id: str
    target: Target
    changes: Sequence[MembershipChange]  # behind its records
    sent_at: int  # epoch milliseconds; before the request


type Track = Callable[[UploadJob], None]
"""Stores a job to be checked later. If it raises TransientError, the upload counts as not made."""
