"""Reconcile accepted against completed changes. Use case: audience_sync/operations/audit.py.

It also reports rejection reasons (rejections.py), because it runs every hour and reads metrics anyway. Every six hours
it checks the erasures that are not closed (audience_sync/operations/erasure_check.py), and once a day, whether an
audience has shrunk (audience_trends.py).
"""

import json
import os
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from aws_lambda_powertools.metrics import MetricUnit

from audience_sync.aws.checkpoint import AUDIT, Checkpoint
from audience_sync.aws.clients import client
from audience_sync.aws.cloudwatch import Metric, MetricStore
from audience_sync.aws.seen_reasons import SeenReasons
from audience_sync.clock import Clock
from audience_sync.errors import AudienceSyncError, Unavailable
from audience_sync.operations import rejections
from audience_sync.operations.audit import HOUR, STEP, AuditResult, Counts, longest_waits, reconcile, repeated_percent
from audience_sync.reasons import Reason
from audience_sync.runtime import metric_names, telemetry
from audience_sync.runtime.settings import AuditSettings
from audience_sync.runtime.telemetry import logger, reporting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CLOCK = Clock()
LOOKBACK = 14 * 24 * HOUR  # seconds; CloudWatch accepts no older metrics
LOGGED = 20  # gaps of one run that get a log line each
ERASURES_EVERY = 6 * HOUR  # seconds
RESERVE = 15.0  # seconds kept for one slow read, one slow write, the job queue and the report


class Dependencies(NamedTuple):
    """Objects kept between invocations of one execution environment."""

    settings: AuditSettings
    dynamodb: "DynamoDBClient"
    metrics: dict[str, Metric]
    store: MetricStore
    checkpoint: Checkpoint
    seen: SeenReasons


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first invocation."""
    settings = AuditSettings.from_env(os.environ)
    queue, worker = {"QueueName": settings.change_queue_name}, {"FunctionName": settings.worker_function}

    def ours(name: str, stat: Any, period: int) -> Metric:
        return Metric(metric_names.NAMESPACE, name, {"service": settings.stack}, stat, period)

    metrics = {
        "accepted": ours(metric_names.CHANGES_ACCEPTED, "Sum", STEP),
        "completed": ours(metric_names.CHANGES_COMPLETED, "Sum", STEP),
        "deferred": ours(metric_names.OLDEST_DEFERRED_CHANGE_AGE, "Maximum", HOUR),
        "waiting": ours(metric_names.OLDEST_WAITING_CHANGE_AGE, "Maximum", HOUR),
        "oldest": Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", queue, "Maximum", HOUR),
        "visible": Metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", queue, "Minimum", HOUR),
        "repeated": ours(metric_names.RECORDS_REPEATED, "Sum", HOUR),
        "sent": ours(metric_names.RECORDS_SENT, "Sum", HOUR),
        "crashes": Metric("AWS/Lambda", "Errors", worker, "Sum", HOUR),
        "invocations": Metric("AWS/Lambda", "Invocations", worker, "Sum", HOUR),
    }
    dynamodb, table = client("dynamodb", read_timeout=3.0), settings.membership_table
    return Dependencies(
        settings,
        dynamodb,
        metrics,
        MetricStore(client("cloudwatch", read_timeout=10.0)),
        Checkpoint(dynamodb, table, AUDIT),
        SeenReasons(dynamodb, table),
    )


@reporting
def lambda_handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Reconcile as far as possible, and report missing changes."""
    settings, dynamodb, metrics, store, checkpoint, seen = dependencies()
    now = CLOCK.now()
    since = checkpoint.time()
    if since is None:
        # Functions of an older version did not date their metrics: the audit begins with the next whole window.
        result = AuditResult(int(now) // STEP * STEP + STEP, ())
    else:
        begin = max(since, int(now - LOOKBACK) // STEP * STEP)
        series = store.read(metrics, min(begin, now - 2 * HOUR), now)
        hour = int(now) // HOUR * HOUR - HOUR  # the last full hour
        share = repeated_percent(*(series.pop(name).get(hour, 0.0) for name in ("repeated", "sent")))
        telemetry.publish(metric_names.REPEATED_PERCENT, MetricUnit.Percent, share)
        counts = Counts(series.pop("accepted"), series.pop("completed"), longest_waits(**series))
        result = reconcile(counts, begin, now)
    _emit_metrics(result, now)
    _log(result)
    if since is None:
        checkpoint.begin(result.until)
    else:
        checkpoint.advance(result.until)
    _report_rejections(settings, store, seen, now)
    if settings.ordering_guard and now % ERASURES_EVERY < HOUR:
        _check_erasures(settings, dynamodb, CLOCK.deadline(context) - RESERVE)
    _check_audiences(settings, dynamodb, store, now)
    return {"reconciledUntil": result.until, "missing": result.missing}


def _report_rejections(settings: AuditSettings, store: MetricStore, seen: SeenReasons, now: float) -> None:
    """Count and log each rejection reason when it is new, and again while it takes many events: its alarm goes off."""
    name, stack = metric_names.EVENTS_REJECTED_BY_REASON, {"service": settings.stack}
    reasons = sorted(store.values_of("reason", metric_names.NAMESPACE, name, stack))
    if not reasons:
        return
    metrics = [Metric(metric_names.NAMESPACE, name, stack | {"reason": each}, "Sum", HOUR) for each in reasons]
    metrics += [Metric(metric_names.NAMESPACE, each, stack, "Sum", HOUR) for each in metric_names.ARRIVALS]
    series = store.read({f"m{number}": each for number, each in enumerate(metrics)}, now - rejections.COUNTED, now)
    sums = [sum(each.values()) for each in series.values()]
    counts = dict(zip(reasons, sums, strict=False))
    if settings.ordering_guard:
        counts |= dict.fromkeys(counts.keys() & {Reason.CONSENT_DENIED}, 0.0)  # accepted: these people are removed
    reported = seen.all()
    reports = rejections.to_report(counts, sum(sums[len(reasons) :]), reported, now)
    for reason in reports:
        is_new, events = reason not in reported, round(counts[reason])
        logger.warning("rejection reason reported", reason=reason, events=events, is_new=is_new)
    telemetry.count(**{metric_names.REJECTION_REASONS_NEW: len(reports)})
    if reports:
        seen.save(reported | reports)


def _check_audiences(settings: AuditSettings, dynamodb: "DynamoDBClient", store: MetricStore, now: float) -> None:
    """Compare audiences with their last weeks once a day, and notify of changes: a day later if that fails."""
    from audience_sync.runtime import audience_history  # noqa: PLC0415 - as for erasures

    checkpoint = Checkpoint(dynamodb, settings.membership_table, AUDIT, "audiences")
    last, today = checkpoint.position(), audience_history.last_day(now)
    if last.get("day") == str(today):
        return
    from audience_sync.amazon_ads.destination import is_known  # noqa: PLC0415
    from audience_sync.aws.audience_table import AudienceTable  # noqa: PLC0415
    from audience_sync.operations.audience_notices import changes  # noqa: PLC0415
    from audience_sync.operations.audience_trends import trend_of  # noqa: PLC0415

    listed = AudienceTable(dynamodb, settings.audience_table).all()
    audiences = [each for each in listed if is_known(each.destination)]
    histories = audience_history.read(store, settings.stack, audiences, now)
    trends = {each: trend_of(history, today, settings.shrink_percent) for each, history in histories.items()}
    notified = last.get("notified", "{}")
    found = changes(trends, json.loads(notified))
    try:
        for state in found.alarm:
            store.set_alarm(settings.shrink_alarm, state, found.reason(audiences))
        notified = json.dumps(found.notified)
    except Unavailable as error:
        remedy = "if denied, allow cloudwatch:SetAlarmState in the permissions boundary: docs/permissions-boundary.json"
        logger.warning("alarm not set", detail=str(error), remedy=remedy)
    checkpoint.save({"day": str(today), "notified": notified})
    for audience_id, trend in found.worse.items():
        logger.warning(
            "audience below its last weeks", audience_id=audience_id, state=trend.state, detail=trend.sentence
        )


def _check_erasures(settings: AuditSettings, dynamodb: "DynamoDBClient", deadline: float) -> None:
    """Count open erasures, and close those that are done.

    A failure is only logged: the next check is in six hours, and after some without a count the alarm is without data.
    """
    # Loading them takes longer than a few milliseconds, which the other five runs save.
    from audience_sync.aws.audience_table import AudienceTable  # noqa: PLC0415 - see above
    from audience_sync.aws.membership_rows import Sharding  # noqa: PLC0415
    from audience_sync.aws.membership_scan import MembershipScan  # noqa: PLC0415
    from audience_sync.aws.membership_table import MembershipTable  # noqa: PLC0415
    from audience_sync.aws.sqs import Queue  # noqa: PLC0415
    from audience_sync.operations.erasure_check import ErasureContext, Pass, check_erasures  # noqa: PLC0415

    sharding = Sharding()
    checkpoint = Checkpoint(dynamodb, settings.membership_table, AUDIT, "erasures")
    try:
        report = check_erasures(
            ErasureContext(
                MembershipScan(dynamodb, settings.membership_table, sharding),
                MembershipTable(dynamodb, settings.membership_table, sharding, CLOCK),
                AudienceTable(dynamodb, settings.audience_table).with_unlinked(),
                settings.timings,
                Queue(client("sqs", read_timeout=3.0), settings.job_queue_url, CLOCK.monotonic),
                CLOCK,
                deadline=deadline,
            ),
            Pass.from_fields(checkpoint.position()),
        )
        checkpoint.save(report.left.fields)
    except AudienceSyncError as error:
        logger.warning("erasures not checked", reason=error.reason, detail=str(error))
        return
    if report.is_complete or report.overdue:  # a 0 ends the alarm, so it must be true of everybody
        telemetry.publish(metric_names.ERASURES_OVERDUE, MetricUnit.Count, report.overdue)
    unchecked = CLOCK.now() - report.unchecked_since
    telemetry.publish(metric_names.ERASURES_UNCHECKED_AGE, MetricUnit.Seconds, unchecked)
    telemetry.warn_of_damaged_rows(report.unread)
    logger.info(
        "erasures checked",
        open=report.open,
        overdue=report.overdue,
        waiting=report.waiting,
        closed=report.closed,
        past_due=report.woken,
        unchecked_seconds=round(unchecked),
        is_complete=report.is_complete,
    )


def _emit_metrics(result: AuditResult, now: float) -> None:
    telemetry.count(**{metric_names.ACCOUNTING_GAP: result.missing, metric_names.COUNTED_TWICE: result.counted_twice})
    telemetry.publish(metric_names.AUDIT_LAG, MetricUnit.Seconds, max(0.0, now - result.until))


def _log(result: AuditResult) -> None:
    for gap in result.gaps[:LOGGED]:
        accepted = datetime.fromtimestamp(gap.at, UTC).isoformat()
        logger.error("unaccounted changes", accepted=accepted, within_seconds=STEP, changes=gap.changes)
    logger.info("audit completed", until=result.until, missing=result.missing, counted_twice=result.counted_twice)
