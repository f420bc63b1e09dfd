"""Accept audience events from Segment over HTTP."""

import os
import time
from collections import Counter
from functools import cache
from typing import Any

from audience_sync import telemetry
from audience_sync.api_gateway import Answer, Request, answer, deadline, refusal
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.clients import client
from audience_sync.aws.secrets import JsonSecret
from audience_sync.aws.sqs import Queue
from audience_sync.errors import AudienceSyncError
from audience_sync.intake import Intake, IntakeResult
from audience_sync.settings import IngestSettings
from audience_sync.telemetry import logger, reporting
from audience_sync.translation import Policy

BUDGET = 2.5  # seconds for one request; what was begun by then shall end before Segment gives up, after about five
LISTED = 20  # rejections in an answer; Segment's client hangs on long ones
LOGGED = 100  # rejections of one request that get a log line each


@cache
def intake() -> Intake:
    """Build once per execution environment, on the first request."""
    settings = IngestSettings.from_env(os.environ)
    return Intake(
        JsonSecret(client("secretsmanager", read_timeout=1.0), settings.ingest_secret_arn, time.monotonic),
        AudienceTable(client("dynamodb", read_timeout=1.0), settings.audience_table, time.monotonic),
        Queue(client("sqs", read_timeout=1.0), settings.change_queue_url, time.monotonic),
        Policy(consent=settings.consent_policy, literal_email=settings.literal_email),
        accept_first_event=settings.accept_first_event_signature,
        monotonic=time.monotonic,
        now=lambda: time.time_ns() // 1_000_000,
    )


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> Answer:
    """Turn HTTP into one call, and its result or error into a status."""
    request = Request.of(event)
    if request.route == "GET /v1/health":
        return answer(200, {"status": "ok"})
    try:
        due = deadline(context, BUDGET)  # building the clients counts
        reading = intake().accept(request.headers, request.body, deadline=due)
    except AudienceSyncError as error:
        return refusal(error)
    _tell(reading)
    return answer(200 if reading.accepted or reading.ignored else 400, _summary(reading))


def _summary(reading: IntakeResult) -> dict[str, Any]:
    return {
        "accepted": reading.accepted,
        "ignored": reading.ignored,
        "rejected": len(reading.rejections),
        "rejections": [rejection.as_json() for rejection in reading.rejections[:LISTED]],
    }


def _tell(reading: IntakeResult) -> None:
    telemetry.date(reading.at)
    telemetry.count(
        **{
            telemetry.EVENTS_ACCEPTED: reading.accepted,
            telemetry.EVENTS_IGNORED: reading.ignored,
            telemetry.EVENTS_REJECTED: len(reading.rejections),
            telemetry.SIGNATURES_INVALID: int(reading.signature_unverified),
            telemetry.CHANGES_ACCEPTED: len(reading.changes) + reading.superseded,
            telemetry.CHANGES_SUPERSEDED: reading.superseded,
            telemetry.CHANGES_COMPLETED: reading.superseded,
        }
    )
    for rejection in reading.rejections[:LOGGED]:
        logger.warning("event rejected", reason=rejection.reason, message_id=rejection.message_id)
    if reading.rejections:
        reasons = Counter(rejection.reason for rejection in reading.rejections)
        logger.warning("events rejected", rejected=len(reading.rejections), by_reason=dict(reasons))
