"""The metrics on the page, how often each is read, and how many that makes an hour."""

from collections.abc import Iterable, Sequence

from audience_sync.aws.cloudwatch import Series
from audience_sync.members.membership import Audience
from audience_sync_cli.dashboard.facts import Activity, AudienceFacts, Point, RejectedEvents, Warnings
from audience_sync_cli.dashboard.ranges import LONGEST, Range
from audience_sync_cli.frame.times import HOUR
from audience_sync_cli.stack.presentation import mark
from audience_sync_cli.stack.stack_metrics import (
    ARRIVALS,
    COMPLETIONS,
    OF_A_RANGE,
    OF_AN_AUDIENCE,
    TOTALS,
    WARNINGS,
    StackMetrics,
)

EVERY_COUNT, EVERY_REASON, EVERY_AUDIENCE = 60, 300, 900  # seconds between two readings; jobs are checked after 900
EVERY_LONG = 300  # for ranges over a day: one bar is at least an hour


def activity(metrics: StackMetrics, chosen: Range, now: float) -> tuple[Activity, Warnings]:
    """Return the activity of a range, in its bars. Raises Unavailable."""
    until = (int(now) // chosen.period + 1) * chosen.period  # including the current, incomplete bar
    starts = range(until - chosen.span, until, chosen.period)
    found = metrics.sums(OF_A_RANGE, chosen.period, starts[0], until)
    arrived, completed = (_bars([found[name] for name in names], starts) for names in (ARRIVALS, COMPLETIONS))
    warnings = {field: round(sum(found[name].values())) for field, name in WARNINGS.items()}
    return Activity(chosen.period, arrived, completed), Warnings(**warnings)


def rejections(metrics: StackMetrics, chosen: Range, now: float) -> tuple[RejectedEvents, ...]:
    """Return the reasons of rejected events within a range, the most frequent first. Raises Unavailable."""
    counts = metrics.rejected_by_reason(now - chosen.span, now + 60, chosen.period)
    return tuple(RejectedEvents(*each) for each in sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def audience_history(
    metrics: StackMetrics, audiences: Sequence[Audience], now: float, period: int = HOUR
) -> tuple[AudienceFacts, ...]:
    """Return all audiences with their history at Amazon over the longest range, the largest first. Raises Unavailable.

    The numbers are those that the functions publish, about once a day: Amazon is not asked.
    """
    found = metrics.of_audiences([each.audience_id for each in audiences], now - LONGEST, now + 60, period)
    facts = [_audience(each, *found[each.audience_id]) for each in audiences]
    return tuple(sorted(facts, key=lambda each: (-(each.size or 0), each.name)))


def an_hour(audiences: int, reasons: int) -> int:
    """Return the number of metrics read by a page open for an hour, for so many audiences and reasons."""
    every_minute = len(TOTALS) + len(OF_A_RANGE)
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
        mark=mark(audience),
    )


def _points(series: Series) -> tuple[Point, ...]:
    return tuple(sorted((float(moment), value) for moment, value in series.items()))


def _bars(found: Sequence[Series], starts: Iterable[int]) -> tuple[int, ...]:
    return tuple(round(sum(series.get(start, 0.0) for series in found)) for start in starts)
