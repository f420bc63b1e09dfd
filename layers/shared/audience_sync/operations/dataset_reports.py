"""Use case of `datasets`, and of `diagnose`: reads size, match rate, funnel and shares of a dataset.

Ads Data Manager has no jobs to ask. Its counts are of a dataset, not of an upload, and for manager accounts only.
AudienceProcessed has no meaning for a dataset: Amazon names refused members at once, and they are parked at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from audience_sync.amazon_ads.data_manager.answers import Funnel, Metrics, Share
from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.amazon_ads.exchange import READ_TIMEOUT
from audience_sync.amazon_ads.job import Sizes
from audience_sync.clock import Clock
from audience_sync.errors import AudienceSyncError, OutOfTime
from audience_sync.members.membership import Audience

DAY = 86_400  # seconds
RESERVE = 5.0  # seconds kept to log and to publish
# Amazon goes on listing an ended share. Some are ended on purpose: after this time, in seconds, the alarm is off again.
RECENTLY = 7 * DAY
PARTS = ("records", "metrics", "funnel", "shares")


class DatasetReportApi(Protocol):
    """Amazon's calls about one dataset."""

    def records(self, dataset_id: str, *, timeout: float) -> int | None:
        """Read the number of records."""

    def metrics(self, dataset_id: str, *, timeout: float) -> Metrics:
        """Read the counts over all uploads."""

    def aggregates(self, dataset_id: str, start: str, end: str, *, timeout: float) -> Funnel:
        """Read the counts between two times."""

    def shares(self, dataset_id: str, *, timeout: float) -> Iterable[Share]:
        """Read the shares."""


class FirstSeen(Protocol):
    """Stored times, in epoch seconds, of the runs that first saw a share revoked, by share id."""

    def position(self) -> Mapping[str, str]:
        """Return them."""

    def save(self, position: dict[str, str]) -> None:
        """Replace them."""


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """Amazon's report on a dataset. A part that could not be read is empty, and `failures` says why."""

    dataset_id: str
    records: int | None = None  # in the dataset now
    metrics: Metrics = field(default_factory=Metrics)
    funnel: Funnel | None = None  # of the last day
    shares: tuple[Share, ...] = ()
    failures: Mapping[str, AudienceSyncError] = field(default_factory=dict, repr=False)  # by field

    @property
    def match_rate(self) -> float | None:
        """Share of the records that Amazon matched, in percent; None before there are any."""
        return self.metrics.match_percent if self.metrics.accepted else None

    @property
    def sizes(self) -> Sizes:
        """The sizes as Amazon reports them for an audience of its other API. Matched records follow from the rate."""
        if self.records is None or self.match_rate is None:
            return Sizes(self.records)
        return Sizes(self.records, round(self.records * self.match_rate / 100))

    @property
    def is_unread(self) -> bool:
        """Whether no part could be read."""
        return len(self.failures) == len(PARTS)

    @property
    def ended(self) -> tuple[Share, ...]:
        """The shares that have ended, unless a later one reaches the same destination."""
        reached = {_destination(each) for each in self.shares if not each.is_revoked}
        return tuple(each for each in self.shares if each.is_revoked and _destination(each) not in reached)

    @property
    def current_shares(self) -> tuple[Share, ...]:
        """The shares without those whose destination a later one reaches, the ended ones first."""
        return (*self.ended, *(each for each in self.shares if not each.is_revoked))

    def ended_recently(self, now: float) -> tuple[Share, ...]:
        """Return the shares whose end an operator may not know yet. `now` is in epoch seconds."""
        return tuple(each for each in self.ended if each.revoked_at is None or now - each.revoked_at < RECENTLY)


def datasets_of(listed: Iterable[Audience]) -> list[Audience]:
    """Return the listed audiences that are datasets."""
    return [each for each in listed if each.destination == ads_data_manager()]


def read_report(amazon: DatasetReportApi, dataset_id: str, clock: Clock, *, deadline: float) -> DatasetReport:
    """Read everything about a dataset by `deadline`, in monotonic seconds. A failing part does not hide the others."""
    now = clock.now()
    day = (_time(now - DAY), _time(now))
    reads: Sequence[Callable[[float], Any]] = (
        lambda timeout: amazon.records(dataset_id, timeout=timeout),
        lambda timeout: amazon.metrics(dataset_id, timeout=timeout),
        lambda timeout: amazon.aggregates(dataset_id, *day, timeout=timeout),
        lambda timeout: tuple(amazon.shares(dataset_id, timeout=timeout)),
    )
    found: dict[str, Any] = {}
    failures: dict[str, AudienceSyncError] = {}
    for part, read in zip(PARTS, reads, strict=True):
        try:
            left = deadline - RESERVE - clock.monotonic()
            if left <= 0:
                raise OutOfTime("not enough time left", retry_after=None)
            found[part] = read(min(READ_TIMEOUT, left))
        except AudienceSyncError as error:
            failures[part] = error
    return DatasetReport(dataset_id, **found, failures=failures)


def with_revocation_times(reports: Sequence[DatasetReport], stored: FirstSeen, now: float) -> list[DatasetReport]:
    """Date each revoked share that Amazon lists without a time by the run that first saw it.

    Amazon does not promise a time, and a share without one would always count as recently revoked.
    """
    undated = {share.share_id for report in reports for share in report.shares if _is_undated(share)}
    if not undated:
        return list(reports)
    known = stored.position()
    is_complete = not any("shares" in report.failures for report in reports)
    seen = {**({} if is_complete else known), **{each: known.get(each, str(int(now))) for each in undated}}
    if seen != known:
        stored.save(seen)
    return [replace(report, shares=tuple(_dated(share, seen) for share in report.shares)) for report in reports]


def _dated(share: Share, seen: Mapping[str, str]) -> Share:
    return replace(share, revoked_at=float(seen[share.share_id])) if _is_undated(share) else share


def _is_undated(share: Share) -> bool:
    return share.is_revoked and share.revoked_at is None


def _destination(share: Share) -> tuple[str, str]:
    return share.application, share.destination


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
