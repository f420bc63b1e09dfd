"""Size and match rate of an audience over time, from the metrics of ended jobs and hourly readings of datasets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audience_sync.aws.cloudwatch import Metric, MetricStore
from audience_sync.runtime.metric_names import AUDIENCE_MATCH_RATE, AUDIENCE_RECEIVED, AUDIENCE_SIZE_DSP, NAMESPACE
from audience_sync_cli.screen import Screen, iso_time
from audience_sync_cli.times import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from audience_sync_cli.stack import Stack

MAX_DAYS = 455  # days; CloudWatch's retention of metrics
_SHORT = 3  # days; up to here, by the hour
_BARS = "▁▂▃▄▅▆▇█"
_GAP = "·"  # nothing was published in that time
_METRICS = {"received": AUDIENCE_RECEIVED, "matchRate": AUDIENCE_MATCH_RATE, "inDsp": AUDIENCE_SIZE_DSP}


@dataclass(frozen=True, slots=True)
class History:
    """The averages of equal periods, oldest first; None for a period in which nothing was published."""

    begin: int  # epoch seconds of the first period
    period: int  # seconds
    received: tuple[float | None, ...]  # records
    match_rate: tuple[float | None, ...]  # percent
    in_dsp: tuple[float | None, ...]  # members

    @property
    def is_empty(self) -> bool:
        """Whether nothing was published in the whole time."""
        return not any(value is not None for value in self.received + self.match_rate + self.in_dsp)

    def as_json(self) -> list[dict[str, Any]]:
        """The periods with a number, for scripts."""
        times = (iso_time((self.begin + position * self.period) * 1000) for position in range(len(self.received)))
        rows = zip(times, self.received, self.match_rate, self.in_dsp, strict=True)
        return [
            {"at": at, "received": size, "matchRate": rate, "inDsp": dsp}
            for at, size, rate, dsp in rows
            if (size, rate, dsp) != (None, None, None)
        ]


def read_history(stack: "Stack", audience_id: str, now: float, days: int) -> History:
    """Read the published metrics of an audience in the last days, up to MAX_DAYS. Raises Unavailable.

    By the hour up to three days; a local stack by the minute, over the last hour. `now` is in epoch seconds.
    """
    period = MINUTE if stack.local else HOUR if days <= _SHORT else DAY
    length = HOUR if stack.local else days * DAY
    end = (int(now) // period + 1) * period
    begin = end - length
    dimensions = {"service": stack.name, "audience": audience_id}
    metrics = {name: Metric(NAMESPACE, metric, dimensions, "Average", period) for name, metric in _METRICS.items()}
    found = MetricStore(stack.service("cloudwatch")).read(metrics, begin, end)
    series = (tuple(map(found[name].get, range(begin, end, period))) for name in _METRICS)
    return History(begin, period, *series)


def sparkline(values: Sequence[float | None]) -> str:
    """Draw values as bars of eight heights, from the smallest to the largest; a dot for a missing one."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)

    def bar(value: float | None) -> str:
        if value is None:
            return _GAP
        return _BARS[round((len(_BARS) - 1) * (value - low) / (high - low))] if high > low else _BARS[3]

    return "".join(map(bar, values))


def described(values: Sequence[float | None], unit: str = "") -> str:
    """Draw values, with the first and last, and with the extremes if they differ from these."""
    known = [value for value in values if value is not None]
    if not known:
        return "nothing published"
    digits = ".1f" if unit else ",.0f"
    first, last, low, high = (f"{each:{digits}}{unit}" for each in (known[0], known[-1], min(known), max(known)))
    line = sparkline(values[values.index(known[0]) :])  # nothing earlier can be shown
    if low == high:
        return f"{line}  {last}"
    extremes = "" if {first, last} == {low, high} else f", between {low} and {high}"
    return f"{line}  {first} to {last}{extremes}"


def report_history(screen: Screen, past: History) -> None:
    """Print the history of an audience."""
    screen.say("")
    if past.is_empty:
        screen.say("Amazon reported no numbers in that time, so there is no history.")
        return
    unit = {MINUTE: "minute", HOUR: "hour", DAY: "day"}[past.period]
    screen.say(f"One column per {unit}; a dot if Amazon reported no number.")
    screen.facts(
        {
            "records at Amazon": described(past.received),
            "match rate": described(past.match_rate, "%"),
            "in Amazon DSP": described(past.in_dsp),
        }
    )
