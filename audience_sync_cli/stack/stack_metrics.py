"""The metrics of a stack at CloudWatch: which are read together, over which time, in sums of which period.

Each metric read costs money: docs/cost.md states what an open page costs an hour, and a test compares it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Literal, Self

from audience_sync.aws.cloudwatch import Metric, MetricStore, Series
from audience_sync.runtime import metric_names as published
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.frame.times import DAY, HOUR
from audience_sync_cli.stack.counts import Counts

RETENTION = 455 * DAY  # seconds; how long CloudWatch keeps sums
RECENT = 2 * HOUR  # seconds; the sum of an hour counts while a part of that hour is younger
AT_ONCE = 400  # metrics in one request; CloudWatch allows 500

TOTALS = {  # since the stack was created
    "events_accepted": published.EVENTS_ACCEPTED,
    "events_ignored": published.EVENTS_IGNORED,
    "events_rejected": published.EVENTS_REJECTED,
    "accepted": published.CHANGES_ACCEPTED,
    "delivered": published.CHANGES_DELIVERED,
    "superseded": published.CHANGES_SUPERSEDED,
    "parked": published.CHANGES_PARKED,
    "uploads": published.UPLOADS_SENT,
    "uploads_failed": published.UPLOADS_FAILED,
    "repeated": published.RECORDS_REPEATED,
    "unaccounted": published.ACCOUNTING_GAP,
    "counted_twice": published.COUNTED_TWICE,
    "unauthorized": published.REQUESTS_UNAUTHORIZED,
}
OF_SOME_DAYS = {
    "accepted": published.EVENTS_ACCEPTED,
    "ignored": published.EVENTS_IGNORED,
    "rejected": published.EVENTS_REJECTED,
    "unauthorized": published.REQUESTS_UNAUTHORIZED,
}
OF_RECENT_HOURS = {
    "refreshes_failed": published.TOKEN_REFRESH_FAILED,
    "uploads": published.UPLOADS_SENT,
    "uploads_failed": published.UPLOADS_FAILED,
}
ARRIVALS = published.ARRIVALS
COMPLETIONS = (published.CHANGES_DELIVERED, published.CHANGES_SUPERSEDED, published.CHANGES_PARKED)
WARNINGS = {
    "unauthorized": published.REQUESTS_UNAUTHORIZED,
    "without_credential": published.REQUESTS_WITHOUT_CREDENTIAL,
    "uploads_failed": published.UPLOADS_FAILED,
}
OF_A_RANGE = (*ARRIVALS, *COMPLETIONS, *WARNINGS.values())  # of the page
OF_AN_AUDIENCE = (published.AUDIENCE_RECEIVED, published.AUDIENCE_MATCH_RATE)


class StackMetrics:
    """The metrics of one stack. Times are epoch seconds, periods are seconds; each method raises Unavailable."""

    def __init__(self, stack: Stack) -> None:
        self._store = MetricStore(stack.service("cloudwatch"))
        self._service = {"service": stack.name}

    def sums(self, metrics: Iterable[str], period: int, begin: float, end: float) -> dict[str, Series]:
        """Return the sums of some metrics by period, each under its name."""
        return self._read([(name, self._metric(name, "Sum", period)) for name in metrics], begin, end)

    def counts(self, created: float, now: float, hours: int | None = None) -> Counts:
        """Return the totals since the stack was created, or of the last hours."""
        period, begin = (HOUR, now - hours * HOUR) if hours else (DAY, max(created, now - RETENTION))
        found = self.sums(TOTALS.values(), period, begin, now + 60)
        return Counts(**{field: total(found[name]) for field, name in TOTALS.items()})

    def overdue_erasures(self, now: float) -> int:
        """Return the number of overdue erasures at the audit's last check; 0 if there was none in twelve hours."""
        metric = self._metric(published.ERASURES_OVERDUE, "Maximum", HOUR)
        (series,) = self._read([("", metric)], now - 12 * HOUR, now + 60).values()
        return round(series[max(series)]) if series else 0

    def rejected_by_reason(self, begin: float, end: float, period: int = HOUR) -> dict[str, int]:
        """Return the number of rejected events by reason, of reasons seen in the last two weeks."""
        reasons = sorted(
            self._store.values_of("reason", published.NAMESPACE, published.EVENTS_REJECTED_BY_REASON, self._service)
        )
        metrics = [
            (each, self._metric(published.EVENTS_REJECTED_BY_REASON, "Sum", period, reason=each)) for each in reasons
        ]
        counts = {reason: total(series) for reason, series in self._read(metrics, begin, end).items()}
        return {reason: count for reason, count in counts.items() if count}

    def lowest_processed(self, audience_id: str, begin: float, end: float) -> float | None:
        """Return the lowest percentage of its records that a job of an audience processed; None if no job ended."""
        # By the day, so that the first counts whole: a job is not published if one on the same day was no worse.
        metric = self._metric(published.AUDIENCE_PROCESSED, "Minimum", DAY, audience=audience_id)
        (series,) = self._read([("", metric)], begin, end).values()
        return min(series.values(), default=None)

    def of_audiences(
        self, audience_ids: Sequence[str], begin: float, end: float, period: int
    ) -> dict[str, list[Series]]:
        """Return the metrics OF_AN_AUDIENCE by period, of each audience."""
        metrics = [
            ((audience_id, name), self._metric(name, "Maximum", period, audience=audience_id))
            for audience_id in audience_ids
            for name in OF_AN_AUDIENCE
        ]
        found = self._read(metrics, begin, end)
        return {audience_id: [found[audience_id, name] for name in OF_AN_AUDIENCE] for audience_id in audience_ids}

    def _read[K](self, metrics: Iterable[tuple[K, Metric]], begin: float, end: float) -> dict[K, Series]:
        """Read metrics in requests of the size that CloudWatch allows, each under the caller's key."""
        found: dict[K, Series] = {}
        for some in batched(metrics, AT_ONCE, strict=False):
            series = self._store.read({f"m{n}": metric for n, (_, metric) in enumerate(some)}, begin, end)
            found |= dict(zip((key for key, _ in some), series.values(), strict=True))
        return found

    def _metric(self, name: str, stat: Literal["Sum", "Maximum", "Minimum"], period: int, **dimensions: str) -> Metric:
        return Metric(published.NAMESPACE, name, self._service | dimensions, stat, period)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counts of the whole stack. The first four go back some days, the others by RECENT."""

    accepted: int = 0  # events, as the next two
    ignored: int = 0
    rejected: int = 0
    unauthorized: int = 0  # requests with a credential that does not match, or Segment's without any
    refreshes_failed: int = 0
    uploads: int = 0
    uploads_failed: int = 0

    @classmethod
    def read(cls, metrics: StackMetrics, now: float, days: int) -> Self:
        """Read the counts. Raises Unavailable."""
        names = OF_SOME_DAYS | OF_RECENT_HOURS
        found = metrics.sums(names.values(), HOUR, now - days * DAY, now + 60)
        since = {field: now - RECENT if field in OF_RECENT_HOURS else 0 for field in names}
        return cls(**{field: total(found[name], since[field]) for field, name in names.items()})

    @property
    def events(self) -> int:
        """All events with a valid credential."""
        return self.accepted + self.ignored + self.rejected


def total(series: Series, since: float = 0) -> int:
    """Return the sum of a series, without hours that ended before an epoch second."""
    return round(sum(value for begin, value in series.items() if begin + HOUR > since))
