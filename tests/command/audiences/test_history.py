"""`audiences show --history`: what the jobs have published, as bars and numbers."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync_cli.audiences.command import show
from audience_sync_cli.audiences.history import described, read_history, sparkline
from audience_sync_cli.times import DAY, HOUR, MINUTE
from tests.aws_fixtures import AUDIENCE
from tests.command.conftest import Deployment

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC).timestamp()
VALUES = st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=60)


def publish(deployment: Deployment, at: float, audience_id: str = AUDIENCE.audience_id, **metrics: float) -> None:
    """Publish metrics of an audience, as the jobs function does."""
    deployment.publish(at, {"audience": audience_id}, **metrics)


@pytest.fixture
def deployed(deployment: Deployment) -> Deployment:
    deployment.stack.local = None
    return deployment


def test_each_day_has_the_average_of_what_its_jobs_have_reported(deployed: Deployment) -> None:
    publish(deployed, NOW - 2 * DAY, AudienceReceived=100, AudienceMatchRate=50)
    publish(deployed, NOW, AudienceReceived=200, AudienceMatchRate=60)
    publish(deployed, NOW - HOUR, AudienceReceived=400)
    publish(deployed, NOW, audience_id="2", AudienceReceived=9)
    history = read_history(deployed.stack, AUDIENCE.audience_id, NOW, days=4)
    assert (history.period, history.is_empty) == (DAY, False)
    assert history.received == (None, 100, None, 300)
    assert history.match_rate == (None, 50, None, 60)
    assert history.in_dsp == (None, None, None, None)
    midnight = "2026-03-04T00:00:00.000Z"
    assert history.as_json()[-1] == {"at": midnight, "received": 300, "matchRate": 60, "inDsp": None}
    assert len(history.as_json()) == 2


@pytest.mark.parametrize(("days", "period", "columns"), [(1, HOUR, 24), (3, HOUR, 72), (4, DAY, 4), (455, DAY, 455)])
def test_few_days_are_shown_by_the_hour(deployed: Deployment, days: int, period: int, columns: int) -> None:
    history = read_history(deployed.stack, AUDIENCE.audience_id, NOW, days=days)
    assert (history.period, len(history.received), history.is_empty) == (period, columns, True)


def test_a_local_stack_is_shown_by_the_minute(deployment: Deployment) -> None:
    now = time.time()
    publish(deployment, now, AudienceSizeDsp=7)
    history = read_history(deployment.stack, AUDIENCE.audience_id, now, days=30)
    assert (history.period, len(history.in_dsp), history.in_dsp[-1]) == (MINUTE, 60, 7)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█", id="eight heights"),
        pytest.param([0, None, 100], "▁·█", id="a gap"),
        pytest.param([5, 5], "▄▄", id="nothing changes"),
        pytest.param([], "", id="nothing"),
    ],
)
def test_a_sparkline_goes_from_the_smallest_to_the_largest(values: list[float | None], line: str) -> None:
    assert sparkline(values) == line


@given(VALUES)
def test_a_sparkline_has_one_column_for_each_value_and_dots_only_for_gaps(values: list[float | None]) -> None:
    line = sparkline(values)
    assert [bar == "·" for bar in line] == [value is None for value in values]


@pytest.mark.parametrize(
    ("values", "unit", "text"),
    [
        pytest.param([None, 1200.4, None, 900, 1100], "", "█·▁▆  1,200 to 1,100, between 900 and 1,200", id="sizes"),
        pytest.param([61.24, 68.9], "%", "▁█  61.2% to 68.9%", id="rates"),
        pytest.param([7], "", "▄  7", id="one"),
        pytest.param([None], "", "nothing published", id="none"),
    ],
)
def test_beside_the_sparkline_are_first_last_and_range(values: list[float | None], unit: str, text: str) -> None:
    assert described(values, unit) == text


def connected(deployment: Deployment) -> Deployment:
    deployment.connect()
    deployment.list_audience()
    return deployment


def test_show_prints_the_history_below_the_settings(deployment: Deployment) -> None:
    publish(connected(deployment), time.time(), AudienceReceived=5, AudienceMatchRate=40)
    output = deployment.printed(show, AUDIENCE.audience_id, with_history=True).out
    assert "One column per minute; a dot if Amazon reported no number." in output
    assert "▄  40.0%" in output


def test_show_says_that_there_is_no_history_yet(deployment: Deployment) -> None:
    shown = connected(deployment).printed(show, AUDIENCE.audience_id, with_history=True)
    assert "Amazon reported no numbers in that time" in shown.out


def test_scripts_get_the_periods_with_values(deployment: Deployment) -> None:
    publish(connected(deployment), time.time(), AudienceReceived=5)
    (only,) = deployment.json(show, AUDIENCE.audience_id, with_history=True)["history"]
    assert (only["received"], only["matchRate"], only["inDsp"]) == (5, None, None)


def test_without_the_option_nothing_is_asked(deployment: Deployment) -> None:
    assert "history" not in connected(deployment).json(show, AUDIENCE.audience_id)
