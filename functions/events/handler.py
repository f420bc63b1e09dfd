"""Accept audience events from the event queue, the second door. Use case: audience_sync/ingest/intake.py."""

import os
import time
from functools import cache
from typing import Any, NamedTuple

from aws_lambda_powertools.metrics import MetricUnit

from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.clients import client
from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock, to_seconds
from audience_sync.errors import AudienceSyncError, InvalidRequest
from audience_sync.ingest.intake import Intake, IntakeResult
from audience_sync.runtime import metric_names, telemetry
from audience_sync.runtime.ingest_settings import IngestSettings
from audience_sync.runtime.intake_report import report
from audience_sync.runtime.telemetry import logger, reporting

CLOCK = Clock()
RESERVE = 5.0  # seconds kept for a call that has begun, and for the answer
LARGEST_WITH_REASON = 1_048_500  # bytes of a body; SQS accepts 1 MiB with the attribute


class Dependencies(NamedTuple):
    """Objects kept between invocations of one execution environment."""

    intake: Intake
    dead_letters: Queue


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first invocation."""
    settings = IngestSettings.from_env(os.environ, from_queue=True)
    audiences = AudienceTable(client("dynamodb", read_timeout=1.0), settings.audience_table)
    sqs = client("sqs", read_timeout=1.0)
    return Dependencies(
        Intake(
            AudienceListing(audiences, time.monotonic),
            Queue(sqs, settings.change_queue_url, time.monotonic),
            settings.policy,
            CLOCK,
        ),
        Queue(sqs, settings.event_dead_letter_queue_url, time.monotonic),
    )


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take in each message as the body of a request, and return those that stay in the queue."""
    deadline = CLOCK.deadline(context) - RESERVE
    parts = dependencies()
    with logger.append_context_keys(door="queue"):
        left = [each for each in event["Records"] if not _is_done(parts, each["body"], deadline)]
    if left:
        sent = min(int(each["attributes"]["SentTimestamp"]) for each in left)  # epoch milliseconds
        telemetry.publish(metric_names.OLDEST_FAILED_EVENT_AGE, MetricUnit.Seconds, CLOCK.now() - to_seconds(sent))
    return {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in left]}


def _is_done(parts: Dependencies, body: str, deadline: float) -> bool:
    """Take in one body and report on it; a message that is not done comes back."""
    try:
        found = _taken_in(parts, body, deadline)
    except AudienceSyncError as error:
        telemetry.report_refusal(error, 503)
        return False
    with telemetry.printed_together():  # with each message: the function may be stopped at the next one
        if isinstance(found, IntakeResult):
            report(found)
        else:
            _report_parked(found)
    return True


def _taken_in(parts: Dependencies, body: str, deadline: float) -> IntakeResult | InvalidRequest:
    """Queue the changes of a body, or put it among the dead letters if no retry can mend it."""
    try:
        return parts.intake.accept(body.encode(errors="surrogatepass"), deadline=deadline)
    except InvalidRequest as error:
        attributes: dict[str, str] = {"reason": error.reason} if len(body.encode()) <= LARGEST_WITH_REASON else {}
        parts.dead_letters.send([body], deadline=deadline, attributes=attributes)
        return error


def _report_parked(error: InvalidRequest) -> None:
    """Count a body that was parked as one rejected event."""
    telemetry.count(**{metric_names.EVENTS_REJECTED: 1})
    telemetry.publish(metric_names.EVENTS_REJECTED_BY_REASON, MetricUnit.Count, 1, reason=error.reason)
    logger.warning("request refused", reason=error.reason, detail=str(error), status=400)
    logger.warning("events rejected", rejected=1, partly_rejected=0, by_reason={error.reason: 1})
