"""CloudWatch's metrics: stores those that functions print and operators put, and answers GetMetricData.

Not moto's, which reads every value again for each period of each metric.
"""

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

SERVICE = "GraniteServiceVersion20100801"  # begins the target of a request
CALLS = frozenset({"PutMetricData", "GetMetricData", "ListMetrics"})  # the others are about alarms, which moto has
_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": fmean,
}

type _Key = tuple[str, str, frozenset[tuple[str, str]]]  # namespace, name, dimensions


class Metrics:
    """All values of all metrics, by epoch second."""

    def __init__(self) -> None:
        self._values: defaultdict[_Key, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, namespace: str, name: str, dimensions: Mapping[str, str], second: float, *values: float) -> None:
        """Store values of one metric, of one second."""
        self._values[namespace, name, frozenset(dimensions.items())][int(second)] += map(float, values)

    def add_line(self, line: str) -> None:
        """Store the metrics of a line in CloudWatch's embedded metric format. CloudWatch ignores invalid ones."""
        if not line.startswith('{"_aws"'):
            return
        with contextlib.suppress(ValueError, LookupError, TypeError):
            printed = json.loads(line)
            for directive in printed["_aws"]["CloudWatchMetrics"]:
                for names in directive["Dimensions"]:
                    dimensions = {name: str(printed[name]) for name in names}
                    for name in (metric["Name"] for metric in directive["Metrics"]):
                        values = printed[name] if isinstance(printed[name], list) else [printed[name]]
                        second = printed["_aws"]["Timestamp"] / 1000
                        self.add(directive["Namespace"], name, dimensions, second, *values)

    def total(self, namespace: str, name: str, dimensions: Mapping[str, str]) -> int:
        """Return the sum of a metric since the start."""
        seconds = self._values.get((namespace, name, frozenset(dimensions.items())))
        return round(sum(map(sum, seconds.values()))) if seconds else 0

    def clear(self) -> None:
        """Delete all values."""
        self._values.clear()

    def answer(self, call: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one of CALLS."""
        if call == "PutMetricData":
            for each in asked["MetricData"]:
                at = each.get("Timestamp", time.time())
                self.add(asked["Namespace"], each["MetricName"], _dimensions(each), at, each["Value"])
            return {}
        if call == "ListMetrics":
            return {"Metrics": self._listed(asked["Namespace"], asked["MetricName"], _dimensions(asked).items())}
        since, until = asked["StartTime"], asked["EndTime"]
        return {"MetricDataResults": [self._result(each, since, until) for each in asked["MetricDataQueries"]]}

    def _listed(self, namespace: str, name: str, dimensions: Any) -> list[dict[str, Any]]:
        return [
            {"Namespace": namespace, "MetricName": name}
            | {"Dimensions": [{"Name": name, "Value": value} for name, value in key[2]]}
            for key in self._values
            if key[:2] == (namespace, name) and dimensions <= key[2]
        ]

    def _result(self, query: Mapping[str, Any], since: float, until: float) -> dict[str, Any]:
        stat = query["MetricStat"]
        metric, period = stat["Metric"], stat["Period"]
        key = metric["Namespace"], metric["MetricName"], frozenset(_dimensions(metric).items())
        periods: defaultdict[int, list[float]] = defaultdict(list)
        for second, values in self._values.get(key, {}).items():
            if since <= second < until:
                periods[second // period * period] += values
        found = {begin: _STATISTICS[stat["Stat"]](values) for begin, values in sorted(periods.items())}
        about = {"Id": query["Id"], "Label": metric["MetricName"], "StatusCode": "Complete"}
        return about | {"Timestamps": list(found), "Values": list(found.values())}


def _dimensions(metric: Mapping[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in metric.get("Dimensions", ())}
