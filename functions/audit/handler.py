"""Tell when accepted changes are unaccounted for."""

import os
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from aws_lambda_powertools.metrics import MetricUnit

from audience_sync import telemetry
from audience_sync.aws.checkpoint import Checkpoint
from audience_sync.aws.clients import client
from audience_sync.aws.cloudwatch import Metric, MetricStore
from audience_sync.operations.audit import HOUR, STEP, AuditResult, Counts, longest_waits, reconcile
from audience_sync.settings import AuditSettings
from audience_sync.telemetry import logger, reporting

KNOWN = 14 * 24 * HOUR  # seconds; CloudWatch takes no metric that is dated further back
LOGGED = 20  # gaps of one run that get a log line each


class Audit(NamedTuple):
    """What one execution environment keeps between invocations."""

    metrics: dict[str, Metric]
    store: MetricStore
    mark: Checkpoint


@cache
def audit() -> Audit:
    """Build once per execution environment, on the first invocation."""
    settings = AuditSettings.from_env(os.environ)
    stack = {"service": settings.stack}
    queue, worker = {"QueueName": settings.change_queue_name}, {"FunctionName": settings.worker_function}
    metrics = {
        "accepted": Metric(telemetry.NAMESPACE, telemetry.CHANGES_ACCEPTED, stack, "Sum", STEP),
        "ended": Metric(telemetry.NAMESPACE, telemetry.CHANGES_COMPLETED, stack, "Sum", STEP),
        "put_off": Metric(telemetry.NAMESPACE, telemetry.OLDEST_DEFERRED_CHANGE_AGE, stack, "Maximum", HOUR),
        "oldest": Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", queue, "Maximum", HOUR),
        "visible": Metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", queue, "Minimum", HOUR),
        "crashes": Metric("AWS/Lambda", "Errors", worker, "Sum", HOUR),
        "invocations": Metric("AWS/Lambda", "Invocations", worker, "Sum", HOUR),
    }
    mark = Checkpoint(client("dynamodb", read_timeout=3.0), settings.membership_table)
    return Audit(metrics, MetricStore(client("cloudwatch", read_timeout=10.0)), mark)


@reporting
def lambda_handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Close the books as far as possible; count and name what is missing."""
    metrics, store, mark = audit()
    now = time.time()
    since = mark.read()
    if since is None:
        # The functions of the version before dated nothing: the books begin with the next whole step.
        closing = AuditResult(int(now) // STEP * STEP + STEP, ())
    else:
        begin = max(since, int(now - KNOWN) // STEP * STEP)
        read = store.read(metrics, min(begin, now - HOUR), now)
        counts = Counts(read.pop("accepted"), read.pop("ended"), longest_waits(**read))
        closing = reconcile(counts, begin, now)
    _tell(closing, now)
    mark.move(closing.until)
    return {"closedUntil": closing.until, "missing": closing.missing}


def _tell(closing: AuditResult, now: float) -> None:
    telemetry.count(**{telemetry.ACCOUNTING_GAP: closing.missing})
    telemetry.publish(telemetry.AUDIT_LAG, MetricUnit.Seconds, max(0.0, now - closing.until))
    for gap in closing.gaps[:LOGGED]:
        accepted = datetime.fromtimestamp(gap.at, UTC).isoformat()
        logger.error("changes without an end", accepted=accepted, within_seconds=STEP, changes=gap.changes)
    logger.info("books closed", until=closing.until, missing=closing.missing)
