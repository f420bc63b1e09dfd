"""Amazon, and the gate before it, where a test is about something else."""

from dataclasses import dataclass

from audience_sync.amazon_ads.record import Target, Upload
from audience_sync.errors import TransientError


@dataclass
class Uploader:
    """Accepts uploads, or raises `error`."""

    error: Exception | None = None
    requests: int = 0

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        assert upload.target.audience_id
        assert timeout > 0
        self.requests += 1
        if self.error:
            raise self.error
        return "job-1"


@dataclass
class FakeGate:
    """Lets every upload be tried, or none."""

    error: TransientError | None = None

    def check(self, target: Target) -> None:
        assert target.audience_id
        if self.error:
            raise self.error
