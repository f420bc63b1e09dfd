"""Retry budget: limits repeated uploads to 20 % of the answered ones, for each audience.

After 429 or 5xx Amazon expects a retry. Without a usable answer, the upload has to be repeated although it may have
been applied: an extra call. These must not multiply, however often answers are lost.
"""

from collections.abc import Callable
from dataclasses import dataclass

from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.delivery.uploads import Uploader
from audience_sync.errors import OutcomeUnknown, RetryBudgetUsedUp

SHARE = 0.2  # extra calls for each upload that was answered
MAX_SAVED = 5.0  # extra calls available at the start, and the most that can be saved up
RENEWAL = 60.0  # seconds until a budget that is used up allows one more try


@dataclass(slots=True)
class _Account:
    """The remaining budget of one audience."""

    left: float
    at: float  # monotonic seconds


class RetryBudget:
    """The budget of one execution environment, separate for each audience: one must not slow another down."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Set up the budget; `monotonic` is in seconds."""
        self._monotonic = monotonic
        self._accounts: dict[str, _Account] = {}

    def wrap(self, uploader: Uploader) -> Uploader:
        """Return an uploader that sends nothing while an unknown outcome would exceed the budget."""
        return BudgetedUploader(uploader, self)

    def check(self, audience_id: str) -> None:
        """Return if an upload may be made now. Counts nothing.

        Raises:
            RetryBudgetUsedUp: none should be made for the next `retry_after` seconds, at least one.
        """
        now = self._monotonic()
        account = self._accounts.setdefault(audience_id, _Account(MAX_SAVED, now))
        account.left = min(MAX_SAVED, account.left + (now - account.at) / RENEWAL)
        account.at = now
        if account.left < 1:
            wait = max(1.0, (1 - account.left) * RENEWAL)
            raise RetryBudgetUsedUp("too many uploads without an answer; waiting before the next try", retry_after=wait)

    def earn(self, audience_id: str) -> None:
        """Count an upload that was answered."""
        account = self._accounts[audience_id]
        account.left = min(MAX_SAVED, account.left + SHARE)

    def spend(self, audience_id: str) -> None:
        """Count an upload that must be repeated."""
        self._accounts[audience_id].left -= 1


class BudgetedUploader:
    """An uploader that sends nothing while the retry budget is used up."""

    def __init__(self, uploader: Uploader, budget: RetryBudget) -> None:
        self._uploader = uploader
        self._budget = budget

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        """Submit one upload. Raises RetryBudgetUsedUp and the uploader's errors."""
        self._budget.check(upload.target.audience_id)
        try:
            submitted = self._uploader.send_records(upload, timeout=timeout)
        except OutcomeUnknown:
            self._budget.spend(upload.target.audience_id)
            raise
        self._budget.earn(upload.target.audience_id)
        return submitted
