"""CloudWatch: reads our own metrics back, and counts events outside of Lambda, whose logs hold no metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from typing import TYPE_CHECKING, Literal

from audience_sync.aws.client_errors import unavailable
from audience_sync.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef, MetricStatTypeDef

MAX_METRICS = 1000  # in one PutMetricData

type Series = dict[int, float]  # by the epoch second at which a period begins


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, summed up in periods."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    stat: Literal["Sum", "Maximum", "Minimum", "Average"]
    period: int  # seconds; a multiple of 60, of 300 for data over 15 days old, of 3,600 for data over 63 days old

    def as_query(self, name: str) -> "MetricDataQueryTypeDef":
        """Build the query, under the caller's name for it."""
        dimensions: list[DimensionTypeDef] = [{"Name": key, "Value": value} for key, value in self.dimensions.items()]
        stat: MetricStatTypeDef = {
            "Metric": {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": dimensions},
            "Period": self.period,
            "Stat": self.stat,
        }
        return {"Id": name, "MetricStat": stat}


class MetricStore:
    """The metrics of an account and region."""

    def __init__(self, client: "CloudWatchClient") -> None:
        self._client = client

    def read(self, metrics: Mapping[str, Metric], since: float, until: float) -> dict[str, Series]:
        """Read several metrics between two times, in epoch seconds. Periods without a value are left out.

        Args:
            metrics: by the caller's name: letters, digits and underscores, starting with a lower-case letter.
            since: rounded down to each metric's period.
            until: excluded.

        Raises:
            Unavailable: CloudWatch does not answer, or not in full.
        """
        longest = max(metric.period for metric in metrics.values())
        found: dict[str, Series] = {name: {} for name in metrics}
        pages = self._client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[metric.as_query(name) for name, metric in metrics.items()],
            StartTime=datetime.fromtimestamp(since // longest * longest, UTC),
            EndTime=datetime.fromtimestamp(until, UTC),
        )
        with unavailable("CloudWatch does not answer"):
            for page in pages:
                for result in page["MetricDataResults"]:
                    if result["StatusCode"] in ("InternalError", "Forbidden"):
                        raise Unavailable(f"CloudWatch does not answer in full: {result['StatusCode']}")
                    moments = (round(moment.timestamp()) for moment in result["Timestamps"])
                    found[result["Id"]].update(zip(moments, result["Values"], strict=True))
        return found

    def count(self, namespace: str, name: str, dimensions: Mapping[str, str], counts: Mapping[int, int]) -> None:
        """Add to a metric, as a function does by printing metrics.

        Args:
            namespace: of the metric.
            name: of the metric.
            dimensions: as the functions have them.
            counts: by epoch second, at most two weeks ago.

        Raises:
            Unavailable: CloudWatch did not accept them.
        """
        common: list[DimensionTypeDef] = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        for some in batched(counts.items(), MAX_METRICS):
            with unavailable("CloudWatch did not accept the metrics"):
                self._client.put_metric_data(
                    Namespace=namespace,
                    MetricData=[
                        {
                            "MetricName": name,
                            "Dimensions": common,
                            "Timestamp": datetime.fromtimestamp(second, UTC),
                            "Value": value,
                            "Unit": "Count",
                        }
                        for second, value in some
                    ],
                )

    def set_alarm(self, name: str, state: Literal["ALARM", "OK", "INSUFFICIENT_DATA"], reason: str) -> None:
        """Set the state of an alarm, which notifies of a change, with a reason of at most 1,023 characters.

        The state stays if the alarm treats missing data as `ignore` and its metric has none. Raises Unavailable.
        """
        with unavailable("CloudWatch did not set the alarm"):
            self._client.set_alarm_state(AlarmName=name, StateValue=state, StateReason=reason)

    def values_of(self, dimension: str, namespace: str, name: str, dimensions: Mapping[str, str]) -> frozenset[str]:
        """Return the values of one dimension of a metric, over the last two weeks. New ones appear after 15 minutes.

        Args:
            dimension: the one whose values to return.
            namespace: of the metric.
            name: of the metric.
            dimensions: others that the metric must have.

        Raises:
            Unavailable: CloudWatch does not answer.
        """
        pages = self._client.get_paginator("list_metrics").paginate(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        )
        with unavailable("CloudWatch does not answer"):
            listed = [each for page in pages for metric in page["Metrics"] for each in metric["Dimensions"]]
        return frozenset(each["Value"] for each in listed if each["Name"] == dimension)
