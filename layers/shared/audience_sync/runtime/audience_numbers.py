"""Publishes sizes, match rates and other numbers of audiences once a day, and again when they have changed.

CloudWatch charges a metric for each hour in which it has a value, and a busy audience has a job every minute.
"""

from collections.abc import Mapping

from aws_lambda_powertools.metrics import MetricUnit

from audience_sync.aws.checkpoint import Checkpoint
from audience_sync.errors import Unavailable
from audience_sync.runtime import metric_names, telemetry

DAY = 86_400  # seconds; in UTC, as the days that the audit compares
CHANGE = 0.1  # share of the published number
COUNTS = (metric_names.AUDIENCE_RECEIVED, metric_names.AUDIENCE_SIZE_DSP)  # the others are percentages


def record(row: Checkpoint, numbers: Mapping[str, float | None], now: float) -> dict[str, float]:
    """Return the numbers to publish at an epoch second, and record them in the audience's row. Raises nothing.

    All of them, if the table does not answer or another function reads the row at the same moment: a second value in an
    hour costs nothing, and a day without a value is a gap in the audience's history.
    """
    known = {name: value for name, value in numbers.items() if value is not None}
    today = str(int(now) // DAY)
    try:
        stored = row.position()
        before = {name: float(value) for name, value in stored.items() if stored["day"] == today}
        found = {name: value for name, value in known.items() if is_news(name, value, before.get(name))}
        if found:
            row.save({name: str(value) for name, value in (before | found).items()} | {"day": today})
    except Unavailable:
        return known
    return found


def is_news(name: str, value: float, before: float | None) -> bool:
    """Return whether a number differs by over a tenth from the one published before on the same day, if any."""
    if before is None:
        return True
    if name == metric_names.AUDIENCE_PROCESSED:  # of each upload; `diagnose` shows the lowest
        return value < before
    return abs(value - before) > CHANGE * before


def publish(audience_id: str, numbers: Mapping[str, float]) -> None:
    """Print numbers as metrics of an audience."""
    for name, value in numbers.items():
        unit = MetricUnit.Count if name in COUNTS else MetricUnit.Percent
        telemetry.publish(name, unit, value, audience=audience_id)
