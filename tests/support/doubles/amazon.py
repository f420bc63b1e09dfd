"""Amazon, and the gate before it, for tests about something else."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.upload import Submission, Target, Upload
from audience_sync.errors import AudienceSyncError, TransientError


@dataclass
class Uploader:
    """Accepts uploads, or raises `error`."""

    error: Exception | None = None
    requests: int = 0

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        assert upload.target.audience_id
        assert timeout > 0
        self.requests += 1
        if self.error:
            raise self.error
        return Submission("job-1")


@dataclass
class Amazon:
    """Takes uploads, unless a rule refuses them."""

    refuses: Callable[[dict[str, Any]], AudienceSyncError | None] = lambda _: None
    taken: list[dict[str, Any]] = field(default_factory=list)
    requests: list[set[str]] = field(default_factory=list)  # members of each, those refused also
    timeouts: set[float] = field(default_factory=set)  # seconds

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        assert timeout > 0
        self.timeouts.add(timeout)
        body = json.loads(upload.body())
        self.requests.append(members_of(body))
        if error := self.refuses(body):
            raise error
        self.taken.append(body)
        return Submission(f"job-{len(self.taken)}")

    def members(self) -> set[str]:
        return set[str]().union(*map(members_of, self.taken))


def members_of(body: dict[str, Any]) -> set[str]:
    return {record["externalUserId"] for record in body["records"]}


def refusing(error: AudienceSyncError, *, members: Collection[str] = (), audience: int = 0) -> Amazon:
    """Return one that answers uploads about these members, or of this audience, with an error."""
    return Amazon(lambda body: error if body["audienceId"] == audience or members_of(body) & {*members} else None)


@dataclass
class FakeGate:
    """Lets every upload be tried, or none, or those to all audiences but some."""

    error: TransientError | None = None
    shut: dict[str, TransientError] = field(default_factory=dict)  # by audience

    def check(self, target: Target) -> bool:
        assert target.audience_id
        if error := self.shut.get(target.audience_id, self.error):
            raise error
        return False


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
