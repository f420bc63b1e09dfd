"""What the functions tell of themselves: one logger, one set of metrics, and the names of both.

Log lines hold ids, counts and reason codes. They never hold traits, identifiers, secrets or tokens.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

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
MESSAGES_DEFERRED = "MessagesDeferred"
UPLOADS_SENT = "UploadsSent"
UPLOADS_FAILED = "UploadsFailed"
JOBS_ENDED = "JobsEnded"
JOBS_UNRESOLVED = "JobsUnresolved"  # given up, or unknown to Amazon
AUDIENCE_MATCH_RATE = "AudienceMatchRate"  # percent; by audience
AUDIENCE_RECEIVED = "AudienceReceived"  # records; by audience
AUDIENCE_SIZE_DSP = "AudienceSizeDsp"  # members; by audience
TOKENS_REFRESHED = "TokensRefreshed"
TOKEN_REFRESH_FAILED = "TokenRefreshFailed"  # noqa: S105 - the name of a metric

# Service and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL, which the template sets.
logger = Logger(use_rfc3339=True, log_uncaught_exceptions=False)
metrics = Metrics(namespace=NAMESPACE)


type Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def reporting(handler: Handler) -> Handler:
    """Have a handler's log lines carry its request id, and print its metrics at the end, whatever the outcome."""

    @wraps(handler)
    def run(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(request_id=getattr(context, "aws_request_id", None))
        try:
            return handler(event, context)
        finally:
            # Powertools' own decorator warns on every invocation that counts nothing.
            if metrics.provider.metric_set:
                metrics.flush_metrics()

    return run


def count(**counts: int) -> None:
    """Add to metrics, by name; zeros are left out."""
    for name, value in counts.items():
        if value:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
