"""Logger and metrics of the functions.

Log lines hold ids, counts and reason codes. They never hold traits, identifiers, secrets or tokens.
"""

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import wraps
from io import StringIO
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from audience_sync.errors import AudienceSyncError, CredentialMissing, RowKey, SourceNotAllowed
from audience_sync.runtime.metric_names import (
    NAMESPACE,
    PREVIOUS_AUDIENCE_KEY_USED,
    PREVIOUS_EVENT_KEY_USED,
    PREVIOUS_SIGNING_SECRET_USED,
    REQUESTS_FROM_OTHER_SOURCES,
    REQUESTS_UNAUTHORIZED,
    REQUESTS_UNAVAILABLE,
    REQUESTS_WITHOUT_CREDENTIAL,
    ROWS_UNREADABLE,
    SOURCE_KEY_EXPIRING,
)

if TYPE_CHECKING:
    from audience_sync.access.credentials import Authenticated

MINUTE = 60_000  # milliseconds; the resolution of our metrics
MAX_AGE = 13 * 86_400_000  # milliseconds; CloudWatch accepts a metric up to fourteen days old
PREVIOUS_USED = {  # by entry of the ingest secret
    "previousEventKey": PREVIOUS_EVENT_KEY_USED,
    "previousAudienceKey": PREVIOUS_AUDIENCE_KEY_USED,
    "previousSigningSecret": PREVIOUS_SIGNING_SECRET_USED,
}
# Of Segment's own clients: packages/core/src/create-request-client.ts of its action-destinations, and classic Webhooks.
SEGMENT_USER_AGENTS = frozenset({"Segment (Actions)", "Segment.io/1.0"})
MAX_ROWS = 100  # keys of damaged rows in one log line
USE_LOGGED_EVERY = 3600.0  # seconds between two log lines of one credential in one environment

# Service and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL, which the template sets.
logger = Logger(use_rfc3339=True, log_uncaught_exceptions=False)
metrics = Metrics(namespace=NAMESPACE)


type Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


class UnexpectedError(Exception):
    """An error of a kind that no code expects, by the name of its class: its own text may quote a person."""


def reporting(handler: Handler) -> Handler:
    """Add the request id to a handler's log lines, and print its metrics at the end, whatever the outcome."""

    @wraps(handler)
    def run(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(request_id=getattr(context, "aws_request_id", None))
        date(time.time_ns() // 1_000_000)
        try:
            return handler(event, context)
        except AudienceSyncError:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised again, without its text
            raise UnexpectedError(type(error).__name__).with_traceback(error.__traceback__) from None
        finally:
            _flush()

    return run


def _flush() -> None:
    """Print the metrics, if there are any: Powertools would warn of every invocation without."""
    if metrics.provider.metric_set:
        metrics.flush_metrics()


def date(moment: int) -> None:
    """Set the time of the metrics of this invocation, in epoch milliseconds. The default is its start."""
    metrics.set_timestamp(moment)


def count(**counts: int) -> None:
    """Add to metrics, by name; zeros are left out."""
    for name, value in counts.items():
        if value:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def count_by_time(name: str, counts: Mapping[int, int]) -> None:
    """Count changes, each under the time at which it was accepted.

    So accepted and completed changes of the same time can be compared, however long they waited.

    Args:
        name: of the metric.
        counts: changes by the epoch millisecond at which they were accepted. Counts of one minute become one metric;
            CloudWatch rejects old ones.
    """
    by_minute: Counter[int] = Counter()
    oldest = time.time_ns() // 1_000_000 - MAX_AGE
    for accepted, changes in counts.items():
        if accepted > oldest and changes:
            by_minute[accepted // MINUTE * MINUTE] += changes
    for minute, changes in by_minute.items():
        publish(name, MetricUnit.Count, changes, at=minute)


@contextmanager
def printed_together() -> Iterator[None]:
    """Print the metrics of a block at its end, in one write: a function that is stopped has printed all or none."""
    with redirect_stdout(StringIO()) as printed:
        yield
        _flush()
    sys.stdout.write(printed.getvalue())
    sys.stdout.flush()


def publish(name: str, unit: MetricUnit, value: float, *, at: int | None = None, **dimensions: str) -> None:
    """Print one metric with its own time, or with dimensions besides `service`."""
    with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="service", value=os.environ.get("POWERTOOLS_SERVICE_NAME", "audience-sync"))
        for dimension, its_value in dimensions.items():
            metric.add_dimension(name=dimension, value=its_value)
        if at is not None:
            metric.set_timestamp(at)


def warn_of_damaged_rows(keys: Collection[RowKey]) -> None:
    """Count rows of the membership table that cannot be read, and log their keys: these members wait, nobody else."""
    if keys:
        count(**{ROWS_UNREADABLE: len(keys)})
        rows = [{"audienceShard": key.partition, "externalUserId": key.external_user_id} for key in sorted(keys)]
        logger.warning("membership rows cannot be read", rows=rows[:MAX_ROWS], damaged=len(rows))


def report_refusal(error: AudienceSyncError, status: int, user_agent: str = "") -> None:
    """Count and log an HTTP request that was answered with an error."""
    match status:
        case 401:
            # Counted separately: a sender with a wrong key loses events at any volume, a scanner loses nothing. Segment
            # without a key loses them also, and counts in both; whoever imitates its client gains a false alarm.
            missing = isinstance(error, CredentialMissing)
            count(**{REQUESTS_WITHOUT_CREDENTIAL: int(missing)})
            count(**{REQUESTS_UNAUTHORIZED: int(not missing or user_agent in SEGMENT_USER_AGENTS)})
            count(**{REQUESTS_FROM_OTHER_SOURCES: int(isinstance(error, SourceNotAllowed))})
        case 503:
            count(**{REQUESTS_UNAVAILABLE: 1})
            logger.error("request unavailable", reason=error.reason, detail=str(error))
        case _:
            logger.warning("request refused", reason=error.reason, detail=str(error), status=status)


class CredentialUse:
    """Reports the stored credentials that let requests in.

    The operator sees when a previous one may be retired, and when one that expires must be replaced.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._logged: dict[str, float] = {}  # second of the last line, by entry

    def report(self, authenticated: "Authenticated") -> None:
        """Count each use of a previous credential. Once an hour, log any use, and count it if the key expires soon."""
        entry = authenticated.entry
        if entry in PREVIOUS_USED:
            count(**{PREVIOUS_USED[entry]: 1})
        now = self._monotonic()
        if now - self._logged.get(entry, -math.inf) >= USE_LOGGED_EVERY:
            self._logged[entry] = now
            logger.info("credential used", entry=entry)
            count(**{SOURCE_KEY_EXPIRING: int(authenticated.expires_soon)})
