"""Counts of the last days, from the metrics of a stack: events, refusals, uploads, rejections by reason, jobs."""

from collections.abc import Mapping
from dataclasses import dataclass

from audience_sync.aws.cloudwatch import Metric, MetricStore, Series
from audience_sync.runtime.metric_names import (
    AUDIENCE_PROCESSED,
    EVENTS_ACCEPTED,
    EVENTS_IGNORED,
    EVENTS_REJECTED,
    NAMESPACE,
    REQUESTS_UNAUTHORIZED,
    TOKEN_REFRESH_FAILED,
    UPLOADS_FAILED,
    UPLOADS_SENT,
)
from audience_sync_cli.state.counts import rejected_by_reason
from audience_sync_cli.times import DAY, HOUR

RECENT = 2 * HOUR  # seconds; the sum of an hour counts while a part of that hour is younger
_DAYS = {
    "accepted": EVENTS_ACCEPTED,
    "ignored": EVENTS_IGNORED,
    "rejected": EVENTS_REJECTED,
    "unauthorized": REQUESTS_UNAUTHORIZED,
}
_HOURS = {"refreshes_failed": TOKEN_REFRESH_FAILED, "uploads": UPLOADS_SENT, "uploads_failed": UPLOADS_FAILED}


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counts of the whole stack. The first four go back some days, the others by RECENT."""

    accepted: int = 0  # events, as the next two
    ignored: int = 0
    rejected: int = 0
    unauthorized: int = 0  # requests with a credential that does not match
    refreshes_failed: int = 0
    uploads: int = 0
    uploads_failed: int = 0

    @property
    def events(self) -> int:
        """All events with a valid credential."""
        return self.accepted + self.ignored + self.rejected


class RecentCounts:
    """Reads the metrics of one stack over the last days. Each method raises Unavailable."""

    def __init__(self, store: MetricStore, stack: str, *, now: float, days: int) -> None:
        """Look back from `now`, in epoch seconds."""
        self._store = store
        self._stack = {"service": stack}
        self._now = now
        self._times = (now - days * DAY, now + 60)

    def traffic(self) -> Traffic:
        """Return counts of events, requests and uploads."""
        names = _DAYS | _HOURS
        found = self._read({name: Metric(NAMESPACE, names[name], self._stack, "Sum", HOUR) for name in names})
        since = {name: self._now - RECENT if name in _HOURS else 0 for name in names}
        return Traffic(**{name: _sum(series, since[name]) for name, series in found.items()})

    def rejections(self) -> dict[str, int]:
        """Return the number of rejected events by reason."""
        return rejected_by_reason(self._store, self._stack["service"], *self._times, HOUR)

    def lowest_processed(self, audience_id: str) -> float | None:
        """Return the lowest percentage of its records that a job of an audience processed; None if no job ended."""
        metric = Metric(NAMESPACE, AUDIENCE_PROCESSED, self._stack | {"audience": audience_id}, "Minimum", HOUR)
        return min(self._read({"processed": metric})["processed"].values(), default=None)

    def _read(self, metrics: Mapping[str, Metric]) -> dict[str, Series]:
        return self._store.read(metrics, *self._times)


def _sum(series: Series, since: float = 0) -> int:
    return round(sum(value for begin, value in series.items() if begin + HOUR > since))
