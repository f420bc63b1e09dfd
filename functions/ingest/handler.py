"""Accept audience events from Segment over HTTP. Use case: audience_sync/ingest/intake.py."""

import gc
import os
import time
from functools import cache
from typing import Any, NamedTuple

from audience_sync.access.sources import AllowedSources
from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.clients import client
from audience_sync.aws.secrets import JsonSecret
from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync.errors import AudienceSyncError
from audience_sync.ingest.intake import HttpIntake, Intake, IntakeResult
from audience_sync.runtime import telemetry
from audience_sync.runtime.api_gateway import Answer, Request, answer, deadline, error_answer
from audience_sync.runtime.ingest_settings import IngestSettings
from audience_sync.runtime.intake_report import report, report_refused
from audience_sync.runtime.telemetry import reporting

BUDGET = 2.5  # seconds for one request; calls begun by then end before Segment gives up, after about five
LISTED = 20  # rejections in an answer; Segment's client hangs on long ones
# Objects until Python's garbage collector looks for young cycles. A request creates no garbage before its answer, so
# collecting every 2,000 objects, Python's default, would take a twentieth of the time and find nothing.
YOUNG_OBJECTS = 100_000


class Dependencies(NamedTuple):
    """Objects kept between requests of one execution environment."""

    sources: AllowedSources
    intake: HttpIntake


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first request."""
    gc.set_threshold(YOUNG_OBJECTS)
    settings = IngestSettings.from_env(os.environ)
    audiences = AudienceTable(client("dynamodb", read_timeout=1.0), settings.audience_table)
    intake = HttpIntake(
        JsonSecret(client("secretsmanager", read_timeout=1.0), settings.ingest_secret_arn, time.monotonic),
        Intake(
            AudienceListing(audiences, time.monotonic),
            Queue(client("sqs", read_timeout=1.0), settings.change_queue_url, time.monotonic),
            settings.policy,
            Clock(),
        ),
        Clock(),
        on_authenticated=telemetry.CredentialUse(time.monotonic).report,
    )
    return Dependencies(settings.allowed_sources, intake)


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> Answer:
    """Turn HTTP into one call, and its result or error into a status."""
    request = Request.of(event)
    if request.route == "GET /v1/health":
        return answer(200, {"status": "ok"})
    try:
        due = deadline(context, BUDGET)  # building the clients counts
        sources, intake = dependencies()
        sources.require(request.source)
        result = intake.accept(request.headers, request.body, deadline=due)
    except AudienceSyncError as error:
        refused = error_answer(error)
        report_refused(error, refused["statusCode"], request.headers.get("user-agent", ""))
        return refused
    report(result)
    return answer(200 if result.accepted or result.ignored else 400, _summary(result))


def _summary(result: IntakeResult) -> dict[str, Any]:
    return {
        "accepted": result.accepted,
        "ignored": result.ignored,
        "rejected": len(result.rejections),
        "rejections": [each.as_json() for each in (*result.rejections, *result.partial_rejections)[:LISTED]],
        **({"partlyRejected": len(result.partial_rejections)} if result.partial_rejections else {}),
        **({"consentDenied": len(result.denials)} if result.denials else {}),
    }
