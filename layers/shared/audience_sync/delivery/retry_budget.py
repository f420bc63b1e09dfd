"""May one more upload be risked? Bounds how many are sent again although Amazon did not ask for that.

Where Amazon answers 429 or 5xx, it asks for that itself. Where no usable answer comes, the upload has to be repeated,
though it may have been applied: an extra call. Of these there shall be a fifth of the others at most, however often
answers fail to come, and a few to begin with.
"""

from collections.abc import Callable
from dataclasses import dataclass

from audience_sync.amazon_ads.record import Upload
from audience_sync.delivery.uploads import Uploader
from audience_sync.errors import OutcomeUnknown, ServiceUnavailable

SHARE = 0.2  # extra calls for each upload that was answered
RESERVE = 5.0  # extra calls that may be made at any time, and the most that is ever saved up
RENEWAL = 60.0  # seconds until a budget that is used up allows one more try


@dataclass(slots=True)
class _Account:
    """What one audience has left."""

    left: float
    at: float  # monotonic seconds


class RetryBudget:
    """The budget of one execution environment, for each audience its own: one's trouble shall not slow another's."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Hand in the clock, in seconds."""
        self._monotonic = monotonic
        self._accounts: dict[str, _Account] = {}

    def wrap(self, uploader: Uploader) -> Uploader:
        """Return an uploader that does not ask while an unknown outcome could not be afforded."""
        return BudgetedUploader(uploader, self)

    def afford(self, audience_id: str) -> float:
        """Return for how many seconds no upload should be made; 0 where one may be made now."""
        now = self._monotonic()
        account = self._accounts.setdefault(audience_id, _Account(RESERVE, now))
        account.left = min(RESERVE, account.left + (now - account.at) / RENEWAL)
        account.at = now
        return max(0.0, (1 - account.left) * RENEWAL)

    def earn(self, audience_id: str) -> None:
        """Note an upload that was answered."""
        account = self._accounts[audience_id]
        account.left = min(RESERVE, account.left + SHARE)

    def spend(self, audience_id: str) -> None:
        """Note an upload that must be repeated."""
        self._accounts[audience_id].left -= 1


class BudgetedUploader:
    """An uploader that stops while the retry budget is used up."""

    def __init__(self, uploader: Uploader, budget: RetryBudget) -> None:
        self._uploader = uploader
        self._budget = budget

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        """Submit one upload; with nothing left raise ServiceUnavailable, reason `retry_budget`, without asking."""
        audience_id = upload.target.audience_id
        pause = self._budget.afford(audience_id)
        if pause:
            raise ServiceUnavailable(
                "too many uploads without an answer; waiting before the next try",
                retry_after=pause,
                reason="retry_budget",
            )
        try:
            job_id = self._uploader.send_records(upload, timeout=timeout)
        except OutcomeUnknown:
            self._budget.spend(audience_id)
            raise
        self._budget.earn(audience_id)
        return job_id
