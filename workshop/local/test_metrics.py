"""Metrics are read out of what functions print."""

import json
from typing import Any

import pytest

from local.metrics import Metrics

OURS = {"service": "stack"}
SECOND = 1_700_000_000


def line(*names: str, sets: tuple[tuple[str, ...], ...] = (("service",),), **values: Any) -> str:
    """One line of the embedded metric format, as Powertools prints it; every dimension set repeats the names."""
    metrics = [{"Name": name, "Unit": "Count"} for name in names]
    directive = {"Namespace": "Tests", "Dimensions": sets, "Metrics": metrics}
    return json.dumps({"_aws": {"Timestamp": SECOND * 1000 + 250, "CloudWatchMetrics": [directive]}} | OURS | values)


def test_each_dimension_set_is_a_metric_of_its_own() -> None:
    metrics = Metrics()
    metrics.add_line(line("Rejected", sets=(("service",), ("service", "reason")), reason="time_ahead", Rejected=[3.0]))
    assert metrics.total("Tests", "Rejected", OURS) == metrics.total(
        "Tests", "Rejected", OURS | {"reason": "time_ahead"}
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("plain text", id="text"),
        pytest.param('{"level": "INFO", "message": "hello"}', id="a log line"),
        pytest.param('{"_aws": {"CloudWatchMetrics": 1}}', id="no metric definitions"),
        pytest.param(line("EventsAccepted"), id="no value"),
        pytest.param(line("EventsAccepted", EventsAccepted="many"), id="not a number"),
    ],
)
def test_a_line_without_a_valid_metric_counts_nothing(text: str) -> None:
    metrics = Metrics()
    metrics.add_line(text)
    assert metrics.total("Tests", "EventsAccepted", OURS) == 0
