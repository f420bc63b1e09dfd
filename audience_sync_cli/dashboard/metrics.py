"""CloudWatch metrics for the page. Each metric read costs money, so this module fixes which, and how often.

docs/cost.md states what an open page costs an hour; a test compares it with the numbers here.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import batched

from audience_sync.aws.cloudwatch import Metric, MetricStore, Series
from audience_sync.members.membership import Audience
from audience_sync.runtime.metric_names import (
    AUDIENCE_MATCH_RATE,
    AUDIENCE_RECEIVED,
    CHANGES_DELIVERED,
    CHANGES_PARKED,
    CHANGES_SUPERSEDED,
    EVENTS_ACCEPTED,
    EVENTS_IGNORED,
    EVENTS_REJECTED,
    MESSAGES_DEFERRED,
    NAMESPACE,
    REQUESTS_UNAUTHORIZED,
    REQUESTS_WITHOUT_CREDENTIAL,
    UPLOADS_FAILED,
)
from audience_sync_cli.dashboard.facts import Activity, AudienceFacts, Point, Rejected, Warnings
from audience_sync_cli.dashboard.ranges import LONGEST
from audience_sync_cli.state.counts import TOTALS, rejected_by_reason
from audience_sync_cli.times import HOUR

EVERY_COUNT, EVERY_REASON, EVERY_AUDIENCE = 60, 300, 900  # seconds between two readings; jobs are checked after 900
EVERY_LONG = 300  # for ranges over a day: one bar is at least an hour
AT_ONCE = 400  # metrics in one request; CloudWatch allows 500

ARRIVALS = (EVENTS_ACCEPTED, EVENTS_IGNORED, EVENTS_REJECTED)
COMPLETIONS = (CHANGES_DELIVERED, CHANGES_SUPERSEDED, CHANGES_PARKED)
WARNINGS = {
    "unauthorized": REQUESTS_UNAUTHORIZED,
    "without_credential": REQUESTS_WITHOUT_CREDENTIAL,
    "deferred": MESSAGES_DEFERRED,
    "uploads_failed": UPLOADS_FAILED,
}
OF_ALL_TIME = tuple(TOTALS.values())  # read by `cloud_counts`
OF_A_RANGE = (*ARRIVALS, *COMPLETIONS, *WARNINGS.values())
OF_AN_AUDIENCE = (AUDIENCE_RECEIVED, AUDIENCE_MATCH_RATE)


def activity(store: MetricStore, stack: str, span: int, period: int, now: float) -> tuple[Activity, Warnings]:
    """Return the activity of the last `span` seconds, in bars of `period`. Raises Unavailable."""
    metrics = {f"m{n}": Metric(NAMESPACE, name, {"service": stack}, "Sum", period) for n, name in enumerate(OF_A_RANGE)}
    until = (int(now) // period + 1) * period  # including the current, incomplete bar
    read = store.read(metrics, until - span, until)
    found = {name: read[f"m{n}"] for n, name in enumerate(OF_A_RANGE)}
    starts = range(until - span, until, period)
    arrived, completed = (_bars([found[name] for name in names], starts) for names in (ARRIVALS, COMPLETIONS))
    warnings = {field: round(sum(found[name].values())) for field, name in WARNINGS.items()}
    return Activity(period, arrived, completed), Warnings(**warnings)


def rejections(store: MetricStore, stack: str, span: int, period: int, now: float) -> tuple[Rejected, ...]:
    """Return the reasons of rejected events within `span` seconds, the most frequent first. Raises Unavailable."""
    counts = rejected_by_reason(store, stack, now - span, now + 60, period)
    return tuple(
        Rejected(reason, times) for reason, times in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    )


def audience_history(
    store: MetricStore, stack: str, audiences: Sequence[Audience], now: float
) -> tuple[AudienceFacts, ...]:
    """Return all audiences with their history at Amazon over the longest range, the largest first. Raises Unavailable.

    The numbers come from ended jobs, and hourly readings of datasets: Amazon is not asked.
    """
    metrics = {
        f"m{n}x{kind}": Metric(NAMESPACE, name, {"service": stack, "audience": each.audience_id}, "Maximum", HOUR)
        for n, each in enumerate(audiences)
        for kind, name in enumerate(OF_AN_AUDIENCE)
    }
    found = _read(store, metrics, now - LONGEST, now)
    facts = [_audience(each, found[f"m{n}x0"], found[f"m{n}x1"]) for n, each in enumerate(audiences)]
    return tuple(sorted(facts, key=lambda each: (-(each.size or 0), each.name)))


def an_hour(audiences: int, reasons: int) -> int:
    """Return the number of metrics read by a page open for an hour, for so many audiences and reasons."""
    every_minute = len(OF_ALL_TIME) + len(OF_A_RANGE)
    return (
        HOUR // EVERY_COUNT * every_minute
        + HOUR // EVERY_REASON * reasons
        + HOUR // EVERY_AUDIENCE * len(OF_AN_AUDIENCE) * audiences
    )


def _audience(audience: Audience, sizes: Series, rates: Series) -> AudienceFacts:
    in_time, rated = _points(sizes), _points(rates)
    return AudienceFacts(
        audience_id=audience.audience_id,
        name=audience.name or audience.audience_id,
        size=round(in_time[-1][1]) if in_time else None,
        match_rate=rated[-1][1] if rated else None,
        at=in_time[-1][0] if in_time else None,
        sizes=in_time,
        match_rates=rated,
    )


def _points(series: Series) -> tuple[Point, ...]:
    return tuple(sorted((float(moment), value) for moment, value in series.items()))


def _bars(found: Sequence[Series], starts: Iterable[int]) -> tuple[int, ...]:
    return tuple(round(sum(series.get(start, 0.0) for series in found)) for start in starts)


def _read(store: MetricStore, metrics: Mapping[str, Metric], since: float, now: float) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for some in batched(metrics.items(), AT_ONCE, strict=False):
        found |= store.read(dict(some), since, now + 60)
    return found
