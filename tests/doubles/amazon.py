"""Amazon, and the gate before it, where a test is about something else."""

from dataclasses import dataclass, field

from audience_sync.amazon_ads.job import JobReport
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


@dataclass
class FakeJobs:
    """Gives one answer about every job."""

    answer: JobReport | Exception
    asked: list[str] = field(default_factory=list)  # ids of jobs

    def job(self, job_id: str) -> JobReport:
        self.asked.append(job_id)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer
