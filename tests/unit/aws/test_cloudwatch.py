"""Metrics that the operator's command counts are read back like those of the functions, at moto and on this machine."""

import random
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from audience_sync.aws.cloudwatch import MAX_METRICS, Metric, MetricStore
from audience_sync.errors import Unavailable
from local import resources

OURS = {"service": "stack"}
MINUTE, HOUR = 60, 3_600  # seconds


def _moto() -> Any:
    return boto3.client(
        "cloudwatch", region_name="us-east-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
    )


@pytest.fixture(params=["moto", "local"])
def store(request: pytest.FixtureRequest, aws_url: str) -> Iterator[MetricStore]:
    if request.param == "local":
        yield MetricStore(resources.client("cloudwatch", aws_url))
        return
    with mock_aws():
        yield MetricStore(_moto())


def test_counts_of_one_minute_add_up(store: MetricStore) -> None:
    now = int(time.time()) // MINUTE * MINUTE
    store.count("Tests", "Added", OURS, {now: 3, now - MINUTE: 4})
    store.count("Tests", "Added", OURS, {now: 5})
    store.count("Tests", "Added", OURS | {"reason": "other"}, {now: 6})
    assert store.read({"added": Metric("Tests", "Added", OURS, "Sum", MINUTE)}, now - 300, now + 60) == {
        "added": {now: 8, now - MINUTE: 4}
    }


def test_counts_that_exceed_one_request_take_several(store: MetricStore) -> None:
    now = int(time.time()) // MINUTE * MINUTE
    minutes = range(now - (MAX_METRICS + 1) * MINUTE, now, MINUTE)
    store.count("Tests", "Many", OURS, dict.fromkeys(minutes, 1))
    found = store.read({"many": Metric("Tests", "Many", OURS, "Sum", 86_400)}, minutes[0], now)["many"]
    assert sum(found.values()) == len(minutes)


def test_the_values_of_a_dimension_are_read_under_the_other_given_dimensions(store: MetricStore) -> None:
    now = int(time.time())
    for service, reason in (("stack", "a"), ("stack", "b"), ("other", "c")):
        store.count("Tests", "Rejected", {"service": service, "reason": reason}, {now: 1})
    store.count("Tests", "Accepted", OURS | {"reason": "d"}, {now: 1})
    assert store.values_of("reason", "Tests", "Rejected", OURS) == {"a", "b"}


def test_the_local_cloudwatch_answers_as_moto_does(aws_url: str) -> None:
    now, draw = int(time.time()) // HOUR * HOUR, random.Random("metrics")
    counts = {now - draw.randrange(3 * HOUR): draw.randrange(9) for _ in range(200)}
    wanted = {
        f"{stat.lower()}{period}": Metric("Tests", "Drawn", OURS, stat, period)
        for stat in ("Sum", "Maximum", "Minimum", "Average")
        for period in (MINUTE, 300, HOUR)
    }
    answers = []
    with mock_aws():
        for client in (_moto(), resources.client("cloudwatch", aws_url)):
            store = MetricStore(client)
            store.count("Tests", "Drawn", OURS, counts)
            answers.append(store.read(wanted, now - 2 * HOUR, now - MINUTE))
    assert answers[0] == answers[1]
    assert all(answers[0].values())


def test_a_failed_put_to_cloudwatch_raises_unavailable() -> None:
    store = MetricStore(resources.client("cloudwatch", "http://127.0.0.1:9"))
    with pytest.raises(Unavailable):
        store.count("Tests", "Added", OURS, {int(time.time()): 1})


@pytest.mark.parametrize("status", ["InternalError", "Forbidden"])
def test_a_metric_that_cloudwatch_does_not_return_in_full_is_not_read_as_empty(aws_url: str, status: str) -> None:
    client = resources.client("cloudwatch", aws_url)

    def fail(parsed: dict[str, Any], **_: Any) -> None:
        parsed["MetricDataResults"][0]["StatusCode"] = status

    client.meta.events.register("after-call.cloudwatch.GetMetricData", fail)
    with pytest.raises(Unavailable, match=f"in full: {status}"):
        MetricStore(client).read({"any": Metric("Tests", "Any", OURS, "Sum", MINUTE)}, 0, 60)
