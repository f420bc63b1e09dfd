"""Accept audience events from the event queue, the second entry point. Use case: ingest/message_intake.py."""

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
from audience_sync.errors import AudienceSyncError, InvalidRequest, Unavailable
from audience_sync.ingest.message_intake import MessageIntake
from audience_sync.runtime import metric_names, telemetry
from audience_sync.runtime.ingest_settings import IngestSettings
from audience_sync.runtime.intake_report import report, report_refused
from audience_sync.runtime.telemetry import logger, reporting

CLOCK = Clock()
RESERVE = 5.0  # seconds kept for a call that has begun, and for the answer
LARGEST_WITH_REASON = 1_048_500  # bytes of a body; SQS accepts 1 MiB with the attribute


class Dependencies(NamedTuple):
    """Objects kept between invocations of one execution environment."""

    intake: MessageIntake
    dead_letters: Queue


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first invocation."""
    settings = IngestSettings.from_env(os.environ, from_queue=True)
    audiences = AudienceTable(client("dynamodb", read_timeout=1.0), settings.audience_table)
    sqs = client("sqs", read_timeout=1.0)
    return Dependencies(
        MessageIntake(
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
    parts, records = dependencies(), event["Records"]
    sent_at = [int(each["attributes"]["SentTimestamp"]) for each in records]  # epoch milliseconds, by SQS's clock
    bodies = [each["body"].encode(errors="surrogatepass") for each in records]
    left: list[dict[str, Any]] = []
    with logger.append_context_keys(entryPoint="queue"):
        for results, failures in parts.intake.accept_all([*zip(bodies, sent_at, strict=True)], deadline=deadline):
            with telemetry.printed_together():  # at once: the function may be stopped before the others are taken in
                for each in results:
                    report(each)
            for place, error in failures.items():
                if _stays(parts, records[place]["body"], error, deadline):
                    left.append(records[place])
    if left:
        sent = min(int(each["attributes"]["SentTimestamp"]) for each in left)  # epoch milliseconds
        telemetry.publish(metric_names.OLDEST_FAILED_EVENT_AGE, MetricUnit.Seconds, CLOCK.now() - to_seconds(sent))
    return {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in left]}


def _stays(parts: Dependencies, body: str, error: AudienceSyncError, deadline: float) -> bool:
    """Put a body that no retry can mend among the dead letters; any other stays in the queue. Reports on either."""
    if isinstance(error, InvalidRequest):
        attributes: dict[str, str] = {"reason": error.reason} if len(body.encode()) <= LARGEST_WITH_REASON else {}
        try:
            parts.dead_letters.send([body], deadline=deadline, attributes=attributes)
        except Unavailable as failure:
            error = failure
        else:
            with telemetry.printed_together():
                report_refused(error, 400)
            return False
    report_refused(error, 503)
    return True
