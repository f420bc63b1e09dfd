"""Message counts of the queues, and the stack's metrics: from CloudWatch, or from a local stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from audience_sync.aws.cloudwatch import Metric, MetricStore
from audience_sync.runtime.metric_names import (
    ACCOUNTING_GAP,
    CHANGES_ACCEPTED,
    CHANGES_DELIVERED,
    CHANGES_PARKED,
    CHANGES_SUPERSEDED,
    COUNTED_TWICE,
    ERASURES_OVERDUE,
    EVENTS_ACCEPTED,
    EVENTS_IGNORED,
    EVENTS_REJECTED,
    EVENTS_REJECTED_BY_REASON,
    NAMESPACE,
    RECORDS_REPEATED,
    UPLOADS_FAILED,
    UPLOADS_SENT,
)
from audience_sync_cli.errors import TryLater
from audience_sync_cli.stack import Stack
from audience_sync_cli.times import DAY, HOUR

RETENTION = 455 * DAY  # seconds; how long CloudWatch keeps sums
TOTALS = {
    "events_accepted": EVENTS_ACCEPTED,
    "events_ignored": EVENTS_IGNORED,
    "events_rejected": EVENTS_REJECTED,
    "accepted": CHANGES_ACCEPTED,
    "delivered": CHANGES_DELIVERED,
    "superseded": CHANGES_SUPERSEDED,
    "parked": CHANGES_PARKED,
    "uploads": UPLOADS_SENT,
    "uploads_failed": UPLOADS_FAILED,
    "repeated": RECORDS_REPEATED,
    "unaccounted": ACCOUNTING_GAP,
    "counted_twice": COUNTED_TWICE,
}
_DEPTHS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


@dataclass(frozen=True, slots=True)
class Depth:
    """Approximate numbers of messages in one queue."""

    visible: int
    in_work: int  # received and not yet deleted; SQS calls them not visible
    delayed: int

    @property
    def total(self) -> int:
        """All messages of the queue."""
        return self.visible + self.in_work + self.delayed


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals since the stack was created, or of the last hours. Changes, unless the name says otherwise."""

    events_accepted: int = 0
    events_ignored: int = 0
    events_rejected: int = 0
    accepted: int = 0
    delivered: int = 0
    superseded: int = 0
    parked: int = 0
    uploads: int = 0
    uploads_failed: int = 0  # refused by Amazon, or without a usable answer
    repeated: int = 0  # records sent again, since another upload may have taken effect later
    unaccounted: int = 0  # changes that the audit has found missing; `waiting` includes them
    counted_twice: int = 0  # completed once more after a worker was stopped, or after SQS had delivered them twice

    def __post_init__(self) -> None:
        """Count as twice what is more than was accepted, before the audit does."""
        object.__setattr__(self, "counted_twice", max(self.counted_twice, self._completed - self.accepted))

    @property
    def waiting(self) -> int:
        """Accepted changes that are not completed yet."""
        return self.accepted + self.counted_twice - self._completed

    @property
    def sum(self) -> str:
        """The sum that adds up, in words."""
        twice = f" - {self.counted_twice:,} counted twice" if self.counted_twice else ""
        return (
            f"{self.accepted:,} accepted = {self.delivered:,} delivered + {self.superseded:,} superseded + "
            f"{self.parked:,} parked + {self.waiting:,} waiting{twice}"
        )

    @property
    def _completed(self) -> int:
        return self.delivered + self.superseded + self.parked


def depth(stack: Stack, logical_id: str) -> Depth:
    """Read how many messages a queue holds."""
    answer = stack.service("sqs").get_queue_attributes(QueueUrl=stack[logical_id], AttributeNames=list(_DEPTHS))
    return Depth(*(int(answer["Attributes"][name]) for name in _DEPTHS))


def local_counts(stack: Stack) -> Counts:
    """Read the counts of a local stack."""
    return counts_in(local_state(stack))


def local_state(stack: Stack) -> Any:
    """Read the state of a local stack: `GET /local/state`. Raises TryLater."""
    try:
        return requests.get(f"{stack.local}/local/state", timeout=10).json()
    except requests.RequestException:
        raise TryLater("The local stack does not answer.", "Start it: `.venv/bin/python -m local`.") from None


def counts_in(state: Mapping[str, Any]) -> Counts:
    """Read the counts in the state of a local stack, as `GET /local/state` returns it."""
    return Counts(
        events_accepted=state.get("eventsAccepted", 0),
        events_ignored=state["ignored"],
        events_rejected=state["rejected"],
        accepted=state["accepted"],
        delivered=state["delivered"],
        superseded=state["superseded"],
        parked=state["parked"],
        uploads=state["uploads"],
        uploads_failed=state.get("uploadsFailed", 0),
        repeated=state.get("recordsRepeated", 0),
        unaccounted=state["unaccounted"],
        counted_twice=state.get("countedTwice", 0),
    )


def cloud_counts(stack: Stack, now: float, hours: int | None) -> Counts:
    """Sum the stack's metrics, since it was created or over the last hours."""
    period = HOUR if hours else DAY
    begin = now - hours * HOUR if hours else max(stack.created, now - RETENTION)
    metrics = {
        name: Metric(NAMESPACE, metric, {"service": stack.name}, "Sum", period) for name, metric in TOTALS.items()
    }
    found = MetricStore(stack.service("cloudwatch")).read(metrics, begin, now + 60)
    return Counts(**{name: round(sum(series.values())) for name, series in found.items()})


def overdue_erasures(stack: Stack, now: float) -> int:
    """Return the number of overdue erasures at the audit's last check; 0 if there was none in twelve hours."""
    metric = Metric(NAMESPACE, ERASURES_OVERDUE, {"service": stack.name}, "Maximum", HOUR)
    store = MetricStore(stack.service("cloudwatch"))
    series = store.read({"overdue": metric}, now - 12 * HOUR, now + 60)["overdue"]
    return round(series[max(series)]) if series else 0


def rejected_by_reason(store: MetricStore, stack: str, begin: float, end: float, period: int) -> dict[str, int]:
    """Return the number of rejected events by reason, of reasons seen in the last two weeks. Raises Unavailable.

    `begin` and `end` are epoch seconds; `period` is the length of one sum, in seconds.
    """
    service = {"service": stack}
    reasons = store.values_of("reason", NAMESPACE, EVENTS_REJECTED_BY_REASON, service)
    if not reasons:
        return {}
    # A reason is not a valid query name.
    names = {f"r{number}": reason for number, reason in enumerate(sorted(reasons))}
    metrics = {
        name: Metric(NAMESPACE, EVENTS_REJECTED_BY_REASON, service | {"reason": reason}, "Sum", period)
        for name, reason in names.items()
    }
    found = store.read(metrics, begin, end)
    return {reason: total for name, reason in names.items() if (total := round(sum(found[name].values())))}
