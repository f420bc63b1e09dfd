"""Puts metrics printed by functions into CloudWatch, as AWS does with their logs."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

INTERVAL = 1.0  # seconds between two requests
MAX_METRICS = 1000  # in one request; CloudWatch's limit


class MetricForwarder:
    """Collects printed metrics, and puts them into CloudWatch every second."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._being_put = 0

    @property
    def pending(self) -> int:
        """Number of lines not in CloudWatch yet."""
        return len(self._lines) + self._being_put

    def add(self, line: str) -> None:
        """Add one line printed by a function; most are not metrics."""
        if line.startswith('{"_aws"'):
            self._lines.append(line)

    async def run(self, cloudwatch: Any) -> None:
        """Forward until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            lines, self._lines = self._lines, []
            if lines:
                self._being_put = len(lines)
                await asyncio.to_thread(put, cloudwatch, lines)
                self._being_put = 0


def put(cloudwatch: Any, lines: Iterable[str]) -> None:
    """Put the metrics of some printed lines."""
    by_namespace: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        for namespace, metric in _metrics(line):
            by_namespace.setdefault(namespace, []).append(metric)
    for namespace, metrics in by_namespace.items():
        for start in range(0, len(metrics), MAX_METRICS):
            cloudwatch.put_metric_data(Namespace=namespace, MetricData=metrics[start : start + MAX_METRICS])


def _metrics(line: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read CloudWatch's embedded metric format: each metric once for each set of dimensions."""
    printed = json.loads(line)
    timestamp = datetime.fromtimestamp(printed["_aws"]["Timestamp"] / 1000, UTC)
    for directive in printed["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = [{"Name": name, "Value": str(printed[name])} for name in names]
            for metric in directive["Metrics"]:
                datum = {"MetricName": metric["Name"], "Unit": metric["Unit"], "Timestamp": timestamp}
                values = printed[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    yield directive["Namespace"], datum | {"Dimensions": dimensions, "Value": value}
