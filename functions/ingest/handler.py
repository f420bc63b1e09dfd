"""Accept audience events from Segment over HTTP."""

import base64
import json
import os
import time
from collections import Counter
from functools import cache
from typing import Any

from audience_sync import telemetry
from audience_sync.aws.clients import client
from audience_sync.aws.secrets import JsonSecret
from audience_sync.aws.sqs import Queue
from audience_sync.aws.tables import AudienceTable
from audience_sync.errors import (
    AudienceSyncError,
    InvalidRequest,
    TooLarge,
    TransientError,
    Unauthorized,
    UnsupportedMediaType,
)
from audience_sync.intake import Intake, Reading
from audience_sync.settings import IngestSettings
from audience_sync.telemetry import logger, reporting
from audience_sync.translation import Policy

BUDGET = 3.5  # seconds for one request; Segment gives up after about four
MIN_LEFT = 1.0  # seconds the function must still have, or it does not begin
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
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Turn HTTP into one call, and its result or error into a status."""
    if event.get("routeKey") == "GET /v1/health":
        return _answer(200, {"status": "ok"})
    left = context.get_remaining_time_in_millis() / 1000 if hasattr(context, "get_remaining_time_in_millis") else BUDGET
    try:
        if left < MIN_LEFT:
            raise TransientError("not enough time left", reason="out_of_time")
        deadline = time.monotonic() + min(BUDGET, left - MIN_LEFT / 2)
        reading = intake().accept(_headers(event), _body(event), deadline=deadline)
    except AudienceSyncError as error:
        return _refusal(error)
    _tell(reading)
    return _answer(200 if reading.accepted or reading.ignored else 400, _summary(reading))


def _headers(event: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def _body(event: dict[str, Any]) -> bytes:
    body = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def _summary(reading: Reading) -> dict[str, Any]:
    return {
        "accepted": reading.accepted,
        "ignored": reading.ignored,
        "rejected": len(reading.rejections),
        "rejections": [rejection.as_json() for rejection in reading.rejections[:LISTED]],
    }


def _refusal(error: AudienceSyncError) -> dict[str, Any]:
    """Answer for a request of which nothing was queued, or not all."""
    match error:
        case Unauthorized():
            telemetry.count(**{telemetry.REQUESTS_UNAUTHORIZED: 1})
            return _answer(401, {"error": "unauthorized"})
        case TooLarge():
            status = 413
        case UnsupportedMediaType():
            status = 415
        case InvalidRequest():
            status = 400
        case _:  # trouble of our own: Segment sends the whole request again, which is harmless
            telemetry.count(**{telemetry.REQUESTS_UNAVAILABLE: 1})
            logger.error("request not taken", reason=error.reason, detail=str(error))
            return _answer(503, {"error": "temporarily unavailable"}, {"Retry-After": "5"})
    logger.warning("request refused", reason=error.reason, detail=str(error), status=status)
    return _answer(status, {"error": str(error)})


def _tell(reading: Reading) -> None:
    telemetry.count(
        **{
            telemetry.EVENTS_ACCEPTED: reading.accepted,
            telemetry.EVENTS_IGNORED: reading.ignored,
            telemetry.EVENTS_REJECTED: len(reading.rejections),
            telemetry.SIGNATURES_INVALID: int(reading.signature_unverified),
            telemetry.CHANGES_ACCEPTED: len(reading.changes) + reading.superseded,
            telemetry.CHANGES_SUPERSEDED: reading.superseded,
        }
    )
    for rejection in reading.rejections[:LOGGED]:
        logger.warning("event rejected", reason=rejection.reason, message_id=rejection.message_id)
    if reading.rejections:
        reasons = Counter(rejection.reason for rejection in reading.rejections)
        logger.warning("events rejected", rejected=len(reading.rejections), by_reason=dict(reasons))


def _answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"} | (headers or {}),
        "body": json.dumps(body, separators=(",", ":")),
    }
