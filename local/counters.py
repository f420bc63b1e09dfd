"""Counts the functions' metrics from their logs, as CloudWatch does.

The metrics that the operator's command puts into CloudWatch also count.
"""

import json
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from typing import Any

KEPT = 500  # log lines kept
REMEMBERED = 21_600  # seconds of history; only seconds with activity use memory
REJECTED = 100  # log lines of rejected events kept, apart from faster ones
DATED_BACK = {"ChangesCompleted"}  # at the time at which its changes were accepted
MINUTE = 60  # seconds; the resolution of these times
LAG = 2 * MINUTE  # seconds after which changes that a command has sent count as accepted


class Counters:
    """Totals of all metrics since the start, their recent history, and the latest log lines."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.reasons: defaultdict[str, Counter[str]] = defaultdict(
            Counter
        )  # by function, as summed up in its log lines
        self.lines: deque[tuple[str, str]] = deque(maxlen=KEPT)
        self.rejected: deque[tuple[int, str, str]] = deque(maxlen=REJECTED)  # number of the line, function, line
        self.first_second: int | None = None  # epoch second of the first metric
        self.line_count = 0  # log lines since the start, kept or not
        self._seconds: dict[int, Counter[str]] = {}  # by epoch second, oldest first
        self._surplus: Counter[int] = Counter()  # completed changes minus accepted ones, by epoch minute

    def add(self, function: str, line: str) -> None:
        """Add one line printed by a function."""
        if line.startswith("{") and '"_aws"' in line and self._count(line):
            return
        if line.startswith("{") and '"by_reason"' in line:
            self._count_reasons(function, line)
        self.lines.append((function, line))
        self.line_count += 1
        if '"event rejected"' in line or '"consent denied"' in line:
            self.rejected.append((self.line_count, function, line))

    def put(self, metrics: Mapping[str, Any]) -> None:
        """Add a PutMetricData request, which does not come from a log line."""
        for each in metrics["MetricData"]:
            self._add({each["MetricName"]: round(each["Value"])}, round(each["Timestamp"]))

    @property
    def counted_twice(self) -> int:
        """Completions beyond the changes accepted in their minute, as the audit counts them in five."""
        newest = max(self._surplus, default=0)
        return sum(surplus for minute, surplus in self._surplus.items() if surplus > 0 and minute <= newest - LAG)

    def newest(self, name: str) -> int | None:
        """Return the last epoch second with a count of a metric; None if there was none for hours."""
        return next((second for second in reversed(self._seconds) if self._seconds[second][name]), None)

    def history(self, names: tuple[str, ...], until: int, period: int, periods: int) -> list[int]:
        """Return the sums of some metrics for consecutive periods before `until`, oldest first.

        Args:
            names: of the metrics that are added up.
            until: epoch second, excluded.
            period: seconds of one sum.
            periods: how many.
        """
        begin = until - period * periods
        sums = [0] * periods
        for second, counted in self._seconds.items():
            if begin <= second < until:
                sums[(second - begin) // period] += sum(counted[name] for name in names)
        return sums

    def _count(self, line: str) -> bool:
        """Add an embedded metric (EMF) to the totals. Dimension sets repeat a metric; it counts once."""
        try:
            metric = json.loads(line)
            names = {each["Name"] for set_ in metric["_aws"]["CloudWatchMetrics"] for each in set_["Metrics"]}
            second = metric["_aws"]["Timestamp"] // 1000
            values = {name: metric[name] for name in names}  # one value needs no list
            sums = {name: round(sum(each if isinstance(each, list) else [each])) for name, each in values.items()}
        except (ValueError, KeyError, TypeError):
            return False
        self._add(sums, second)
        return True

    def _add(self, sums: dict[str, int], second: int) -> None:
        self.totals.update(sums)
        if surplus := sums.get("ChangesCompleted", 0) - sums.get("ChangesAccepted", 0):
            self._surplus[second // MINUTE * MINUTE] += surplus
        if sums.keys() <= DATED_BACK:
            return  # not part of the present
        if self.first_second is None:
            self.first_second = second
        self._seconds.setdefault(second, Counter()).update(sums)
        while len(self._seconds) > REMEMBERED:
            del self._seconds[next(iter(self._seconds))]

    def _count_reasons(self, function: str, line: str) -> None:
        try:
            entry: Any = json.loads(line)
            self.reasons[function].update({str(reason): int(times) for reason, times in entry["by_reason"].items()})
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # an ordinary line
