"""The sizes of audiences and datasets at the sandbox are metrics of the stack."""

from audience_sync.aws.cloudwatch import Metric
from audience_sync.runtime.metric_names import AUDIENCE_MATCH_RATE, AUDIENCE_RECEIVED, NAMESPACE
from local.amazon.app import build_app
from local.amazon.exchange import SANDBOX
from local.metrics import Metrics
from local.sizes import Sizes
from local.template import STACK


def test_sizes_and_match_rates_are_published_when_they_change() -> None:
    sandbox = build_app(client_id="c", client_secret="s", refresh_token="r", job_delay=0.0)[SANDBOX]
    account = sandbox.data_manager.account("Amazon-Ads-Manager-Account-ID", "m", 0)
    dataset = sandbox.data_manager.create_dataset(account, {"name": "lapsed-buyers", "countryCode": "DE"}, 0)
    metrics = Metrics()
    sizes = Sizes(sandbox, metrics)
    for now in range(9):
        if now in (4, 5):
            dataset.members.add(f"m{now}", (), 0, matched=now == 4, request=1)
        sizes.publish(now)
    about = {"service": STACK, "audience": dataset.dataset_id}
    wanted = [Metric(NAMESPACE, name, about, "Maximum", 1) for name in (AUDIENCE_RECEIVED, AUDIENCE_MATCH_RATE)]
    asked = {"StartTime": 0, "EndTime": 9, "MetricDataQueries": [each.as_query("m") for each in wanted]}
    received, rates = metrics.answer("GetMetricData", asked)["MetricDataResults"]
    assert dict(zip(received["Timestamps"], received["Values"], strict=True)) == {0: 0, 1: 0, 4: 1, 5: 2, 6: 2}
    assert dict(zip(rates["Timestamps"], rates["Values"], strict=True)) == {4: 100, 5: 50, 6: 50}
