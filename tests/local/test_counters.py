"""Metrics are read out of what functions print."""

import json
from typing import Any

import pytest

from local.counters import KEPT, Counters


def metric(*names: str, sets: int = 1, **values: Any) -> str:
    """One line of the embedded metric format, as Powertools prints it; every dimension set repeats the names."""
    directives = [{"Namespace": "AudienceSync", "Metrics": [{"Name": name, "Unit": "Count"} for name in names]}] * sets
    return json.dumps({"_aws": {"Timestamp": 1_700_000_000_000, "CloudWatchMetrics": directives}} | values)


def test_the_values_of_a_metric_add_up_over_lines_and_functions() -> None:
    counters = Counters()
    counters.add("IngestFunction", metric("EventsAccepted", EventsAccepted=[1.0, 2.0]))
    counters.add("WorkerFunction", metric("EventsAccepted", "UploadsSent", EventsAccepted=4, UploadsSent=[1.0]))
    assert counters.totals == {"EventsAccepted": 7, "UploadsSent": 1}
    assert not counters.lines


def test_a_metric_in_two_dimension_sets_counts_once() -> None:
    counters = Counters()
    counters.add("f", metric("EventsAccepted", sets=2, EventsAccepted=[3.0]))
    assert counters.totals["EventsAccepted"] == 3


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("plain text", id="text"),
        pytest.param('{"level": "INFO", "message": "hello"}', id="a log line"),
        pytest.param('{"_aws": {"CloudWatchMetrics": 1}}', id="no metric definitions"),
        pytest.param('{"by_reason"', id="broken JSON with reasons"),
        pytest.param('{"by_reason": 1}', id="no reasons"),
        pytest.param(metric("EventsAccepted"), id="no value"),
        pytest.param(metric("EventsAccepted", EventsAccepted="many"), id="a value that is no number"),
        pytest.param(metric("EventsAccepted", "Other", EventsAccepted=[1], Other=[None]), id="one of two is no number"),
    ],
)
def test_a_line_without_a_valid_metric_is_a_log_line(line: str) -> None:
    counters = Counters()
    counters.add("f", line)
    assert (list(counters.lines), counters.line_count, counters.totals) == ([("f", line)], 1, {})


def test_only_the_latest_lines_are_kept() -> None:
    counters = Counters()
    for number in range(KEPT + 5):
        counters.add("f", str(number))
    assert (len(counters.lines), counters.lines[0], counters.lines[-1]) == (KEPT, ("f", "5"), ("f", str(KEPT + 4)))
