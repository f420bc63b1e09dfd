"""Reads the history of audiences from CloudWatch, where the functions have published it."""

from collections.abc import Sequence
from itertools import batched

from audience_sync.amazon_ads.destination import is_of_audience_api
from audience_sync.aws.cloudwatch import Metric, MetricStore, Series
from audience_sync.members.membership import Audience
from audience_sync.operations.audience_trends import DAY, HISTORY, History
from audience_sync.runtime import metric_names

PUBLISHED = (metric_names.AUDIENCE_RECEIVED, metric_names.AUDIENCE_MATCH_RATE, metric_names.AUDIENCE_SIZE_DSP)
AT_ONCE = 150  # audiences in one request, of 500 metrics at most


def last_day(now: float) -> int:
    """Return the last whole day, counted from 1970. `now` is in epoch seconds."""
    return int(now) // DAY - 1


def read(store: MetricStore, stack: str, audiences: Sequence[Audience], now: float) -> dict[str, History]:
    """Return the history of each audience up to the last whole day, by audience id. Raises Unavailable."""
    until = (last_day(now) + 1) * DAY
    found: dict[str, History] = {}
    for some in batched(audiences, AT_ONCE, strict=False):
        metrics = {
            f"m{number}_{index}": _metric(stack, audience, name)
            for number, audience in enumerate(some)
            for index, name in enumerate(PUBLISHED)
        }
        series = store.read(metrics, until - HISTORY * DAY, until)
        for number, audience in enumerate(some):
            received, rates, in_dsp = (_by_day(series[f"m{number}_{index}"]) for index in range(len(PUBLISHED)))
            is_dataset = not is_of_audience_api(audience.destination)
            found[audience.audience_id] = History.of(audience, received, rates, in_dsp, is_dataset=is_dataset)
    return found


def _metric(stack: str, audience: Audience, name: str) -> Metric:
    dimensions = {"service": stack, "audience": audience.audience_id}
    return Metric(metric_names.NAMESPACE, name, dimensions, "Average", DAY)


def _by_day(series: Series) -> dict[int, float]:
    return {begin // DAY: value for begin, value in series.items()}
