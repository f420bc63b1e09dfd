"""Accept audience events from Segment over HTTP. Use case: audience_sync/ingest/intake.py."""

import gc
import os
import time
from collections import Counter
from functools import cache
from typing import Any, NamedTuple

from aws_lambda_powertools.metrics import MetricUnit

from audience_sync.access.sources import AllowedSources
from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.clients import client
from audience_sync.aws.secrets import JsonSecret
from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync.errors import AudienceSyncError
from audience_sync.ingest.intake import Intake, IntakeResult
from audience_sync.ingest.record_rules import Policy
from audience_sync.runtime import metric_names, telemetry
from audience_sync.runtime.api_gateway import Answer, Request, answer, deadline, error_answer
from audience_sync.runtime.ingest_settings import IngestSettings
from audience_sync.runtime.telemetry import logger, reporting

BUDGET = 2.5  # seconds for one request; calls begun by then end before Segment gives up, after about five
LISTED = 20  # rejections in an answer; Segment's client hangs on long ones
LOGGED = 100  # rejections, also partial ones, and denials of consent in one request that get a log line each
# Objects until Python's garbage collector looks for young cycles. A request creates no garbage before its answer, so
# collecting every 2,000 objects, Python's default, would take a twentieth of the time and find nothing.
YOUNG_OBJECTS = 100_000


class Dependencies(NamedTuple):
    """Objects kept between requests of one execution environment."""

    sources: AllowedSources
    intake: Intake


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first request."""
    gc.set_threshold(YOUNG_OBJECTS)
    settings = IngestSettings.from_env(os.environ)
    audiences = AudienceTable(client("dynamodb", read_timeout=1.0), settings.audience_table)
    intake = Intake(
        JsonSecret(client("secretsmanager", read_timeout=1.0), settings.ingest_secret_arn, time.monotonic),
        AudienceListing(audiences, time.monotonic),
        Queue(client("sqs", read_timeout=1.0), settings.change_queue_url, time.monotonic),
        Policy(settings.consent_policy, settings.literal_email, settings.max_enter_age, settings.keeps_rows),
        Clock(),
        accept_first_event=settings.accept_first_event_signature,
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
        telemetry.report_refusal(error, refused["statusCode"])
        return refused
    _emit_metrics(result)
    _log(result)
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


def _emit_metrics(result: IntakeResult) -> None:
    telemetry.date(result.at)
    telemetry.count(
        **{
            metric_names.EVENTS_ACCEPTED: result.accepted,
            metric_names.EVENTS_IGNORED: result.ignored,
            metric_names.EVENTS_REJECTED: len(result.rejections),
            metric_names.SIGNATURES_INVALID: int(result.signature_unverified),
            metric_names.CHANGES_ACCEPTED: len(result.changes) + result.superseded,
            metric_names.CHANGES_SUPERSEDED: result.superseded,
            metric_names.CHANGES_COMPLETED: result.superseded,
        }
    )
    for reason, events in _by_reason(result).items():
        # CloudWatch charges for the reasons that occur; the audit reports each once.
        telemetry.publish(metric_names.EVENTS_REJECTED_BY_REASON, MetricUnit.Count, events, reason=reason)


def _log(result: IntakeResult) -> None:
    found = [("event rejected", each) for each in (*result.rejections, *result.partial_rejections)]
    found += [("consent denied", each) for each in result.denials]
    for message, each in found[:LOGGED]:
        audience: dict[str, Any] = {"audience_id": each.audience_id} if each.audience_id else {}
        # The detail, as in the answer: it names the field and the remedy, and holds no value of the event.
        detail = each.as_json()["detail"]
        logger.warning(message, reason=each.reason, message_id=each.message_id, detail=detail, **audience)
    if result.identities_left_out:
        logger.warning("identities left out", identities=result.identities_left_out)
    if found:
        partly = len(result.partial_rejections)
        rejected, by_reason = len(result.rejections), _by_reason(result)
        logger.warning("events rejected", rejected=rejected, partly_rejected=partly, by_reason=by_reason)


def _by_reason(result: IntakeResult) -> dict[str, int]:
    """Count rejections by all audiences of an event or some of them, and denials of consent as consent_denied."""
    return dict(Counter(each.reason for each in (*result.rejections, *result.partial_rejections, *result.denials)))
