"""Status: the counts of a deployed or local stack, and the sentences about them."""

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
from audience_sync_cli.health.status import audit_progress, summarize
from audience_sync_cli.stack import Stack
from audience_sync_cli.state.counts import Counts, Depth, cloud_counts
from tests.unit.cli.conftest import publish

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC).timestamp()
DAY = 86_400.0  # seconds


@pytest.fixture
def cloudwatch() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client(
            "cloudwatch", region_name="us-east-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
        )


def put(cloudwatch: Any, metric: str, value: float, at: float, stack: str = "mine") -> None:
    publish(cloudwatch, at, {"service": stack}, **{metric: value})


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
    ("counts", "queue", "sentence"),
    [
        pytest.param(Counts(accepted=3, delivered=1, superseded=1, parked=1), 0, "Every accepted", id="completed"),
        pytest.param(Counts(), 0, "No change was accepted", id="nothing yet"),
        pytest.param(Counts(), 2, "No change was accepted", id="only what is not counted"),
        pytest.param(Counts(accepted=3, delivered=1), 1, "2 changes waiting in 1 message of", id="waiting"),
        pytest.param(
            Counts(accepted=3, delivered=1),
            0,
            "2 changes not completed",
            id="missing or lagging",
        ),
        pytest.param(Counts(accepted=1, delivered=2), 0, "More changes completed", id="too many"),
        pytest.param(Counts(accepted=3, delivered=1, unaccounted=2), 0, "2 changes unaccounted for", id="a gap"),
        pytest.param(Counts(accepted=3, delivered=3, unaccounted=1), 0, "1 change unaccounted for", id="hidden else"),
    ],
)
def test_one_sentence_says_whether_changes_are_accounted_for(counts: Counts, queue: int, sentence: str) -> None:
    assert sentence in summarize(counts, Depth(queue, 0, 0))


@pytest.mark.parametrize(
    ("until", "since", "sentence"),
    [
        pytest.param(None, None, "not completed yet; it runs every hour", id="the audit has not run"),
        pytest.param(
            round(NOW),
            round(NOW),
            "begins at 2026-03-04 09:30:00Z; what was accepted before is not audited",
            id="it has run once, and nothing is audited yet",
        ),
        pytest.param(
            round(NOW), round(NOW) - 300, "completed up to 2026-03-04 09:30:00Z, 2 unaccounted for", id="up to a time"
        ),
        pytest.param(
            round(NOW), None, "completed up to 2026-03-04 09:30:00Z, 2 unaccounted for", id="of an older version"
        ),
    ],
)
def test_the_progress_of_the_audit_is_a_sentence(until: int | None, since: int | None, sentence: str) -> None:
    assert audit_progress(until, since, Counts(unaccounted=2)) == sentence


@given(st.tuples(*[st.integers(0, 10**9)] * 4))
def test_accepted_is_always_the_sum_of_the_other_counts(numbers: tuple[int, int, int, int]) -> None:
    accepted, delivered, superseded, parked = numbers
    counts = Counts(accepted=accepted, delivered=delivered, superseded=superseded, parked=parked)
    assert counts.accepted == counts.delivered + counts.superseded + counts.parked + counts.waiting
