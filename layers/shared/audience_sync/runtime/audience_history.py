"""Reads the history of audiences from CloudWatch, where the functions have published it."""

from collections.abc import Sequence
from itertools import batched

from audience_sync.amazon_ads.destination import is_of_audience_api
from audience_sync.aws.cloudwatch import Metric, MetricStore
from audience_sync.members.membership import Audience
from audience_sync.operations.audience_trends import DAY, HISTORY, History
from audience_sync.runtime import metric_names

PUBLISHED = (metric_names.AUDIENCE_RECEIVED, metric_names.AUDIENCE_MATCH_RATE, metric_names.AUDIENCE_SIZE_DSP)
AT_ONCE = 150  # audiences in one request, of 500 metrics at most
LATE = 2 * 3600  # seconds until CloudWatch has all of a day


def last_day(now: float) -> int:
    """Return the last whole day that CloudWatch has, counted from 1970. `now` is in epoch seconds."""
    return int(now - LATE) // DAY - 1


def read(store: MetricStore, stack: str, audiences: Sequence[Audience], now: float) -> dict[str, History]:
    """Return the history of each audience up to the last day, by audience id. Raises Unavailable."""
    until = (last_day(now) + 1) * DAY
    found: dict[str, History] = {}
    for some in batched(audiences, AT_ONCE, strict=False):
        metrics = {}
        for number, audience in enumerate(some):
            dimensions = {"service": stack, "audience": audience.audience_id}
            for index, name in enumerate(PUBLISHED):
                # No average: of a day, only the first number and changes by a tenth are published.
                metrics[f"m{number}_{index}"] = Metric(metric_names.NAMESPACE, name, dimensions, "Maximum", DAY)
        series = store.read(metrics, until - HISTORY * DAY, until)
        days = {name: {begin // DAY: value for begin, value in values.items()} for name, values in series.items()}
        for number, audience in enumerate(some):
            received, rates, in_dsp = (days[f"m{number}_{index}"] for index in range(len(PUBLISHED)))
            is_dataset = not is_of_audience_api(audience.destination)
            found[audience.audience_id] = History.of(audience, received, rates, in_dsp, is_dataset=is_dataset)
    return found
