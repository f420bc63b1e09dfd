"""Metrics that the operator's command counts are read back like those of the functions."""

import time
from typing import Any

import pytest

from audience_sync.aws.cloudwatch import MAX_METRICS, Metric, MetricStore
from audience_sync.errors import Unavailable
from local import resources
from local.aws import FORWARDED, build_app
from local.counters import Counters
from local.sqs.queues import SqsQueues
from tests.servers import serve

OURS = {"service": "stack"}
MINUTE = 60  # seconds


def test_counts_of_one_minute_add_up(aws_url: str) -> None:
    store = MetricStore(resources.client("cloudwatch", aws_url))
    now = int(time.time()) // MINUTE * MINUTE
    store.count("Tests", "Added", OURS, {now: 3, now - MINUTE: 4})
    store.count("Tests", "Added", OURS, {now: 5})
    assert store.read({"added": Metric("Tests", "Added", OURS, "Sum", MINUTE)}, now - 300, now + 60) == {
        "added": {now: 8, now - MINUTE: 4}
    }


def test_counts_that_exceed_one_request_take_several(aws_url: str) -> None:
    store = MetricStore(resources.client("cloudwatch", aws_url))
    now = int(time.time()) // MINUTE * MINUTE
    minutes = range(now - (MAX_METRICS + 1) * MINUTE, now, MINUTE)
    store.count("Tests", "Many", OURS, dict.fromkeys(minutes, 1))
    found = store.read({"many": Metric("Tests", "Many", OURS, "Sum", 86_400)}, minutes[0], now)["many"]
    assert sum(found.values()) == len(minutes)


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


def test_the_local_stack_counts_metrics_of_the_command_once() -> None:
    counters = Counters()
    with serve(lambda: build_app(SqsQueues(time.time), on_metrics=counters.put)) as served:
        for path in ("", FORWARDED):  # the functions' metrics are counted when they are printed
            store = MetricStore(resources.client("cloudwatch", f"{served.url}{path}"))
            store.count("AudienceSync", "ChangesAccepted", OURS, {int(time.time()): 3})
    assert counters.totals == {"ChangesAccepted": 3}
