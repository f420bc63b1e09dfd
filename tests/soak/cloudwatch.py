"""CloudWatch in memory: the metrics that invocations print, by name and by the minute that they are dated."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.soak.calls import Invocation, current

MINUTE = 60_000  # milliseconds; the resolution of our metrics


class CloudWatch:
    """All metrics of the stack. Those of different dimensions are added up."""

    def __init__(self) -> None:
        self.sums: dict[str, Counter[int]] = {}  # by name and minute, the latter in epoch milliseconds

    def add(self, name: str, at: int, value: float) -> None:
        """Take one value. `at` in epoch milliseconds."""
        self.sums.setdefault(name, Counter())[at // MINUTE * MINUTE] += round(value)

    def by_minute(self, name: str) -> Counter[int]:
        """Return the sums of one metric by minute, in epoch milliseconds."""
        return self.sums.get(name, Counter())

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803 - boto3's names
        """Take what an operator's command counts. A process that was killed counts nothing."""
        del Namespace
        for each in () if _invocation().is_killed else MetricData:
            self.add(each["MetricName"], round(each["Timestamp"].timestamp() * 1000), each["Value"])

    def set_alarm_state(self, **_: Any) -> None:
        """Take the state of an alarm, which no invariant is about: without metrics, no audience shrinks."""

    def get_paginator(self, operation: str) -> "CloudWatch":
        """Return boto3's paginator, which the audit uses."""
        assert operation in ("get_metric_data", "list_metrics")
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        """Return the only page of either operation, without any metric: tests/soak/checks.py compares the counts."""
        return [{"Metrics": [], "MetricDataResults": []}]


class InvocationMetrics:
    """Powertools' Metrics, with the metrics of each invocation kept apart: in Lambda each has a process of its own."""

    def __init__(self, cloudwatch: CloudWatch) -> None:
        self._cloudwatch = cloudwatch

    @property
    def provider(self) -> "InvocationMetrics":
        """Powertools keeps the metrics one level below."""
        return self

    @property
    def metric_set(self) -> dict[str, float]:
        """What has been added and not yet printed."""
        return _invocation().metrics

    def set_timestamp(self, at: int) -> None:
        _invocation().metrics_at = at

    def add_metric(self, *, name: str, unit: Any, value: float) -> None:
        del unit
        metrics = _invocation().metrics
        metrics[name] = metrics.get(name, 0) + value

    def flush_metrics(self) -> None:
        """Print the metrics. A process that was killed prints nothing."""
        invocation = _invocation()
        if not invocation.is_killed:
            for name, value in invocation.metrics.items():
                self._cloudwatch.add(name, invocation.metrics_at, value)
        invocation.metrics.clear()

    @contextmanager
    def single_metric(self, *, name: str, unit: Any, value: float, namespace: str) -> Iterator["_SingleMetric"]:
        """Print one metric by itself."""
        del unit, namespace
        invocation = _invocation()
        single = _SingleMetric(invocation.metrics_at)
        yield single
        if not invocation.is_killed:
            self._cloudwatch.add(name, single.at, value)


class _SingleMetric:
    """One metric with a date of its own."""

    def __init__(self, at: int) -> None:
        self.at = at

    def add_dimension(self, *, name: str, value: str) -> None:
        """Ignore it."""

    def set_timestamp(self, at: int) -> None:
        """Set the date."""
        self.at = at


def _invocation() -> Invocation:
    invocation = current()
    assert invocation is not None
    return invocation
