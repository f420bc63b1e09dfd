"""`import --wait`: follows the changes of an import until Amazon has applied or refused them."""

from collections.abc import Callable

from audience_sync.amazon_ads.destination import Api, api_of
from audience_sync.amazon_ads.job import JobReport
from audience_sync.errors import NotFound
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.function_logs import Follower, FunctionLogs
from audience_sync_cli.stack.in_flight import ACCEPTED
from audience_sync_cli.stack.settling import Reading, readings

APPLIED = "Amazon has applied every change"
DELIVERED_APPLIED = "Amazon has applied every change that was delivered"
WITHOUT_JOBS = "Amazon has accepted every change. Ads Data Manager does not report when they take effect"


def import_readings(session: Session, audience: Audience, since: float) -> Callable[[], Reading]:
    """Return a function that reads the changes accepted from `since` on, and then the jobs of their uploads.

    Jobs of other changes of the audience count if Amazon has accepted them before the last of the import.
    """
    return JobReadings(session, audience, since, readings(session, since=since))


class JobReadings:
    """Readings of changes until all are delivered, then of Amazon's jobs."""

    def __init__(self, session: Session, audience: Audience, since: float, changes: Callable[[], Reading]) -> None:
        self._session = session
        self._audience = audience
        self._changes = changes
        self._logs = Follower(FunctionLogs(session.stack), ["Worker"], since)
        self._running: dict[str, int] = {}  # records by job
        self._refused = 0  # records

    def __call__(self) -> Reading:
        """Read. Raises TransientError, OperatorError."""
        reading = self._changes()
        for line in self._logs.new([ACCEPTED]):
            if line.fields.get("audience_id") == self._audience.audience_id:
                self._running[str(line.fields.get("job_id"))] = line.number("records")
        if reading.left:
            return reading
        if api_of(self._audience.destination) is not Api.AUDIENCES:
            return reading._replace(text=WITHOUT_JOBS)
        for job_id in sorted(self._running):
            self._look_at(job_id)
        if self._running:
            jobs = counted(len(self._running), "job")
            return reading._replace(left=len(self._running), text=f"delivered; {jobs} still running at Amazon")
        text = DELIVERED_APPLIED if reading.parked else APPLIED
        if self._refused:
            text = f"Amazon's jobs have rejected {counted(self._refused, 'record')}"
        return reading._replace(refused=self._refused, text=text)

    def _look_at(self, job_id: str) -> None:
        try:
            report = self._session.amazon.job(job_id)
        except NotFound:
            report = JobReport("FAILED")
        if report.is_final:
            records = self._running.pop(job_id)
            self._refused += records if report.has_failed else len(report.rejected)
