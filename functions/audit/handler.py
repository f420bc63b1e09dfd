"""Reconcile accepted against completed changes. Use case: audience_sync/operations/audit.py.

It also reports rejection reasons (rejections.py) and findings (findings.py), because it runs every hour and reads
metrics anyway. Every six hours it checks the erasures that are not closed (audience_sync/operations/erasure_check.py),
and once a day, whether an audience has shrunk (audience_trends.py).
"""

import os
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from aws_lambda_powertools.metrics import MetricUnit

from audience_sync.aws.checkpoint import AUDIT, FINDINGS, RENEWAL, Checkpoint
from audience_sync.aws.clients import client
from audience_sync.aws.cloudwatch import Metric, MetricStore
from audience_sync.aws.seen_reasons import SeenReasons
from audience_sync.clock import Clock
from audience_sync.errors import AudienceSyncError
from audience_sync.operations import rejections
from audience_sync.operations.audit import HOUR, STEP, AuditResult, Counts, longest_waits, reconcile
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
    signs: dict[str, Metric]  # of findings
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
        "crashes": Metric("AWS/Lambda", "Errors", worker, "Sum", HOUR),
        "invocations": Metric("AWS/Lambda", "Invocations", worker, "Sum", HOUR),
    }
    signs = {
        "unresolved": ours(metric_names.JOBS_UNRESOLVED, "Sum", HOUR),
        "ending": ours(metric_names.CONSENT_ENDING, "Sum", HOUR),
        "expiring": ours(metric_names.SOURCE_KEY_EXPIRING, "Sum", HOUR),
        "unreadable": ours(metric_names.ROWS_UNREADABLE, "Maximum", HOUR),
        "revoked": ours(metric_names.SHARES_REVOKED, "Maximum", HOUR),
        "created": ours(metric_names.AUDIENCES_CREATED, "Sum", HOUR),
        "strangers": ours(metric_names.REQUESTS_WITHOUT_CREDENTIAL, "Sum", HOUR),
        "repeated": ours(metric_names.RECORDS_REPEATED, "Sum", HOUR),
        "delivered": ours(metric_names.CHANGES_DELIVERED, "Sum", HOUR),
        "refreshes": Metric("AWS/Lambda", "Invocations", {"FunctionName": settings.refresh_function}, "Sum", HOUR),
    }
    dynamodb, table = client("dynamodb", read_timeout=3.0), settings.membership_table
    return Dependencies(
        settings,
        dynamodb,
        metrics,
        signs,
        MetricStore(client("cloudwatch", read_timeout=10.0)),
        Checkpoint(dynamodb, table, AUDIT),
        SeenReasons(dynamodb, table),
    )


@reporting
def lambda_handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Reconcile as far as possible, and report missing changes."""
    settings, dynamodb, metrics, signs, store, checkpoint, seen = dependencies()
    now = CLOCK.now()
    since = checkpoint.time()
    if since is None:
        # Functions of an older version did not date their metrics: the audit begins with the next whole window.
        result = AuditResult(int(now) // STEP * STEP + STEP, ())
    else:
        begin = max(since, int(now - LOOKBACK) // STEP * STEP)
        series = store.read(metrics, begin, now)
        counts = Counts(series.pop("accepted"), series.pop("completed"), longest_waits(**series))
        result = reconcile(counts, begin, now)
    _emit_metrics(result, now)
    _log(result)
    if since is None:
        checkpoint.begin(result.until)
    else:
        checkpoint.advance(result.until)
    _report_rejections(settings, store, seen, now)
    if now % ERASURES_EVERY < HOUR:
        _check_erasures(settings, dynamodb, CLOCK.deadline(context) - RESERVE)
    _report_findings(settings, dynamodb, signs, store, now)
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
    counts |= dict.fromkeys(counts.keys() & {Reason.CONSENT_DENIED}, 0.0)  # accepted: these people are removed
    reported = seen.all()
    reports = rejections.to_report(counts, sum(sums[len(reasons) :]), reported, now)
    for reason in reports:
        is_new, events = reason not in reported, round(counts[reason])
        logger.warning("rejection reason reported", reason=reason, events=events, is_new=is_new)
    telemetry.count(**{metric_names.REJECTION_REASONS_NEW: len(reports)})
    if reports:
        seen.save(reported | reports)


def _report_findings(
    settings: AuditSettings, dynamodb: "DynamoDBClient", metrics: dict[str, Metric], store: MetricStore, now: float
) -> None:
    """Tell what is new in the alarm, and store what is open.

    Raises:
        Unavailable: something could not be read or told. The next run tells it, and FunctionErrors hears of it.
    """
    from audience_sync.amazon_ads.destination import is_known  # noqa: PLC0415 - as for erasures
    from audience_sync.aws.audience_table import AudienceTable  # noqa: PLC0415
    from audience_sync.operations import findings  # noqa: PLC0415
    from audience_sync.operations.audience_trends import trend_of  # noqa: PLC0415
    from audience_sync.operations.renewal import is_renewed  # noqa: PLC0415
    from audience_sync.runtime import audience_history  # noqa: PLC0415

    table = settings.membership_table
    checkpoint, renewal = Checkpoint(dynamodb, table, AUDIT, FINDINGS), Checkpoint(dynamodb, table, RENEWAL)
    before = findings.Findings.from_fields(checkpoint.position())
    audiences = [each for each in AudienceTable(dynamodb, settings.audience_table).all() if is_known(each.destination)]
    waiting = ["refreshes", "renewal", *(["revoked"] if settings.reads_datasets else [])]
    watched = {name: before.watched.get(name, now) for name in waiting}
    renewed = float(renewal.position().get("completed", watched["renewal"]))
    series = store.read(metrics, now - 24 * HOUR, now)
    signs = findings.Signs(now, series, watched, any(map(is_renewed, audiences)), renewed)
    shrunk, today = findings.about_audiences(before.open), audience_history.last_day(now)
    if before.day != today:
        histories = audience_history.read(store, settings.stack, audiences, now)
        trends = {each: trend_of(history, today, settings.shrink_percent) for each, history in histories.items()}
        shrunk = findings.of_audiences(trends, audiences, shrunk)
    after = findings.Findings((*findings.of_the_stack(signs), *shrunk), watched, today)
    new = before.new_in(after.open)
    for state in findings.alarm_states(before, after):
        store.set_alarm(settings.findings_alarm, state, findings.reason(new, len(after.open) - len(new)))
    checkpoint.save(after.fields)
    for each in new:
        logger.warning("finding", finding=each.name, about=each.about)  # the sentence has an audience's name


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
