"""What the functions tell of themselves: one logger, one set of metrics, and the names of both.

Log lines hold ids, counts and reason codes. They never hold traits, identifiers, secrets or tokens.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric

NAMESPACE = "AudienceSync"

EVENTS_ACCEPTED = "EventsAccepted"
EVENTS_IGNORED = "EventsIgnored"
EVENTS_REJECTED = "EventsRejected"
REQUESTS_UNAUTHORIZED = "RequestsUnauthorized"
REQUESTS_UNAVAILABLE = "RequestsUnavailable"
SIGNATURES_INVALID = "SignaturesInvalid"  # beside a valid event key: counted, not refused
CHANGES_ACCEPTED = "ChangesAccepted"  # = delivered + superseded + parked + waiting
CHANGES_DELIVERED = "ChangesDelivered"
CHANGES_SUPERSEDED = "ChangesSuperseded"
CHANGES_PARKED = "ChangesParked"
CHANGES_COMPLETED = "ChangesCompleted"  # delivered, superseded or parked; dated by when they were accepted
MESSAGES_DEFERRED = "MessagesDeferred"
OLDEST_DEFERRED_CHANGE_AGE = (
    "OldestDeferredChangeAge"  # seconds since the oldest change was accepted that went back into the queue
)
ACCOUNTING_GAP = "AccountingGap"  # accepted changes of which nobody knows what became of them
AUDIT_LAG = "AuditLagSeconds"  # seconds since the time until which it is known
UPLOADS_SENT = "UploadsSent"
UPLOADS_FAILED = "UploadsFailed"
JOBS_ENDED = "JobsEnded"
JOBS_UNRESOLVED = "JobsUnresolved"  # given up, or unknown to Amazon
REJECTED_RECORDS_UNTRACKED = (
    "RejectedRecordsUntracked"  # rejected by a job while nobody keeps their changes; they stay delivered
)
AUDIENCE_MATCH_RATE = "AudienceMatchRate"  # percent; by audience
AUDIENCE_RECEIVED = "AudienceReceived"  # records; by audience
AUDIENCE_PROCESSED = "AudienceProcessed"  # percent of an upload's records that were processed; by audience
AUDIENCE_SIZE_DSP = "AudienceSizeDsp"  # members; by audience
MEMBERS_RENEWED = "MembersRenewed"  # told again before their time to live ran out; no change of theirs counts anew
RENEWALS_UNFINISHED = "RenewalsUnfinished"  # runs that left a part to the next one
TOKENS_REFRESHED = "TokensRefreshed"
TOKEN_REFRESH_FAILED = "TokenRefreshFailed"  # noqa: S105 - the name of a metric

MINUTE = 60_000  # milliseconds; the resolution of our metrics
DATED_BACK = 13 * 86_400_000  # milliseconds; CloudWatch takes a metric for up to fourteen days

# Service and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL, which the template sets.
logger = Logger(use_rfc3339=True, log_uncaught_exceptions=False)
metrics = Metrics(namespace=NAMESPACE)


type Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def reporting(handler: Handler) -> Handler:
    """Have a handler's log lines carry its request id, and print its metrics at the end, whatever the outcome."""

    @wraps(handler)
    def run(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(request_id=getattr(context, "aws_request_id", None))
        date(time.time_ns() // 1_000_000)
        try:
            return handler(event, context)
        finally:
            # Powertools' own decorator warns on every invocation that counts nothing.
            if metrics.provider.metric_set:
                metrics.flush_metrics()

    return run


def date(moment: int) -> None:
    """Date what this invocation counts, in epoch milliseconds; from its start where nobody says otherwise."""
    metrics.set_timestamp(moment)


def count(**counts: int) -> None:
    """Add to metrics, by name; zeros are left out."""
    for name, value in counts.items():
        if value:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def count_ended(ended: Mapping[int, int]) -> None:
    """Count changes that have ended, each under the time at which it was accepted.

    Accepted and ended changes of one time can then be set against each other, however long they waited in between.

    Args:
        ended: changes by the epoch millisecond at which ingest accepted them. Those of one minute become one metric;
            CloudWatch takes none that is too old.
    """
    by_minute: Counter[int] = Counter()
    oldest = time.time_ns() // 1_000_000 - DATED_BACK
    for accepted, changes in ended.items():
        if accepted > oldest:
            by_minute[accepted // MINUTE * MINUTE] += changes
    for minute, changes in by_minute.items():
        publish(CHANGES_COMPLETED, MetricUnit.Count, changes, at=minute)


def publish(name: str, unit: MetricUnit, value: float, *, at: int | None = None, **dimensions: str) -> None:
    """Print one metric with a time or with dimensions of its own, beside `service`."""
    with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="service", value=os.environ.get("POWERTOOLS_SERVICE_NAME", "audience-sync"))
        for dimension, its_value in dimensions.items():
            metric.add_dimension(name=dimension, value=its_value)
        if at is not None:
            metric.set_timestamp(at)
