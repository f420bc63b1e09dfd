"""Status: the sums, wherever they come from, and what is said of them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from audience_sync.amazon_ads.regions import HOSTS
from audience_sync.metric_names import CHANGES_ACCEPTED, CHANGES_DELIVERED
from cli.stack import Stack
from cli.status import Counts, Depth, cloud_counts, judged, settled

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC).timestamp()
DAY = 86_400.0  # seconds


@pytest.fixture
def cloudwatch() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client(
            "cloudwatch", region_name="us-east-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
        )


def put(cloudwatch: Any, metric: str, value: float, at: float, stack: str = "mine") -> None:
    point = {"MetricName": metric, "Value": value, "Timestamp": datetime.fromtimestamp(at, UTC), "Unit": "Count"}
    cloudwatch.put_metric_data(
        Namespace="AudienceSync", MetricData=[point | {"Dimensions": [{"Name": "service", "Value": stack}]}]
    )


def stack(cloudwatch: Any, created: float) -> Stack:
    return Stack("mine", lambda _: cloudwatch, "https://api.example", HOSTS["NA"], {}, created)


def test_a_deployed_stack_is_summed_since_it_was_created(cloudwatch: Any) -> None:
    put(cloudwatch, CHANGES_ACCEPTED, 3, NOW - 40 * DAY)
    put(cloudwatch, CHANGES_ACCEPTED, 4, NOW - 60)
    put(cloudwatch, CHANGES_DELIVERED, 5, NOW - 30)
    put(cloudwatch, CHANGES_ACCEPTED, 100, NOW - 60, stack="another")
    counts = cloud_counts(stack(cloudwatch, NOW - 50 * DAY), NOW, None)
    assert (counts.accepted, counts.delivered, counts.waiting) == (7, 5, 2)


def test_the_last_hours_can_be_counted_alone(cloudwatch: Any) -> None:
    put(cloudwatch, CHANGES_ACCEPTED, 3, NOW - DAY)
    put(cloudwatch, CHANGES_ACCEPTED, 4, NOW - 60)
    assert cloud_counts(stack(cloudwatch, NOW - 50 * DAY), NOW, 2).accepted == 4


@pytest.mark.parametrize(
    ("counts", "queue", "verdict"),
    [
        pytest.param(Counts(accepted=3, delivered=1, superseded=1, parked=1), 0, "Every accepted", id="settled"),
        pytest.param(Counts(accepted=3, delivered=1), 1, "2 changes in 1 message of", id="waiting"),
        pytest.param(
            Counts(accepted=3, delivered=1),
            0,
            "2 changes without an end",
            id="missing or lagging",
        ),
        pytest.param(Counts(accepted=1, delivered=2), 0, "More changes ended", id="too many"),
        pytest.param(Counts(accepted=3, delivered=1, unaccounted=2), 0, "2 changes unaccounted for", id="a gap"),
        pytest.param(Counts(accepted=3, delivered=3, unaccounted=1), 0, "1 change unaccounted for", id="hidden else"),
    ],
)
def test_the_verdict_says_whether_changes_are_accounted_for(counts: Counts, queue: int, verdict: str) -> None:
    assert verdict in judged(counts, Depth(queue, 0, 0))


@pytest.mark.parametrize(
    ("closed", "sentence"),
    [
        pytest.param(None, "nothing settled yet; the audit runs every hour", id="the audit has not run"),
        pytest.param(round(NOW), "settled up to 2026-03-04 09:30:00Z, 2 unaccounted for", id="up to a time"),
    ],
)
def test_how_far_the_accounts_are_settled_is_said_in_words(closed: int | None, sentence: str) -> None:
    assert settled(closed, Counts(unaccounted=2)) == sentence


@given(st.tuples(*[st.integers(0, 10**9)] * 4))
def test_accepted_is_always_the_sum_of_its_ends(numbers: tuple[int, int, int, int]) -> None:
    accepted, delivered, superseded, parked = numbers
    counts = Counts(accepted=accepted, delivered=delivered, superseded=superseded, parked=parked)
    assert counts.accepted == counts.delivered + counts.superseded + counts.parked + counts.waiting
