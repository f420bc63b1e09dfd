"""Metrics and log lines of one request body, the same at both entry points: the HTTP API and the event queue."""

from collections import Counter
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from audience_sync.errors import AudienceSyncError, InvalidRequest, Unauthorized
from audience_sync.ingest.intake import IntakeResult
from audience_sync.runtime import metric_names, telemetry
from audience_sync.runtime.telemetry import logger

LOGGED = 100  # rejections, also partial ones, and denials of consent in one request that get a log line each


def report(result: IntakeResult) -> None:
    """Count what became of the events of a body, and log each rejection."""
    _emit_metrics(result)
    _log(result)


def report_refused(error: AudienceSyncError, status: int, user_agent: str = "") -> None:
    """Count and log a body that was not taken in: if nobody sends it again, as one rejected event, whatever it held."""
    telemetry.report_refusal(error, status, user_agent)
    if isinstance(error, InvalidRequest) and not isinstance(error, Unauthorized):
        telemetry.count(**{metric_names.EVENTS_REJECTED: 1})
        telemetry.publish(metric_names.EVENTS_REJECTED_BY_REASON, MetricUnit.Count, 1, reason=error.reason)
        logger.warning("events rejected", rejected=1, partly_rejected=0, by_reason={error.reason: 1})


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
