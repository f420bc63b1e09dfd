"""Check Amazon's jobs, publish sizes and match rates, and ask Amazon to delete people.

Use cases: audience_sync/operations/job_tracking.py and people_deletion.py.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple

import requests
from aws_lambda_powertools.metrics import MetricUnit

from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.data_manager.client import DataManager
from audience_sync.amazon_ads.login import AccessTokens
from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.checkpoint import PUBLISHED, Checkpoint
from audience_sync.aws.clients import client
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import THREADS, MembershipTable
from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync.errors import AudienceSyncError, InvalidMessage, NotConnected, RequestRejected, TransientError
from audience_sync.members.job_messages import DeletionMessage, JobMessage, read_job_queue
from audience_sync.operations.job_tracking import RESERVE, JobCheck, JobContext, JobOutcome, JobTracker
from audience_sync.operations.people_deletion import DeletionContext, DeletionReport, PeopleDeletion
from audience_sync.runtime import audience_numbers, metric_names, telemetry
from audience_sync.runtime.amazon_auth import access_tokens
from audience_sync.runtime.settings import JobsSettings
from audience_sync.runtime.telemetry import logger, reporting

CLOCK = Clock()
AT_ONCE = 10  # jobs checked side by side: Amazon may take a second for each answer

type Checked = tuple[JobCheck, dict[str, float]]  # with the numbers of its audience to publish


class Dependencies(NamedTuple):
    """Objects kept between invocations of one execution environment."""

    settings: JobsSettings
    changes: Queue
    jobs: Queue
    dead_letters: Queue
    members: MembershipTable
    audiences: AudienceListing
    published: Callable[[str], Checkpoint]  # the row of an audience's published numbers
    tokens: AccessTokens


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first invocation."""
    settings = JobsSettings.from_env(os.environ)
    secrets = client("secretsmanager", read_timeout=3.0)
    sqs = client("sqs", read_timeout=3.0, connections=AT_ONCE)
    dynamodb = client("dynamodb", read_timeout=3.0, connections=AT_ONCE * THREADS, validate=False)
    return Dependencies(
        settings,
        Queue(sqs, settings.change_queue_url, time.monotonic),
        Queue(sqs, settings.job_queue_url, time.monotonic),
        Queue(sqs, settings.dead_letter_queue_url, time.monotonic),
        MembershipTable(dynamodb, settings.membership_table, Sharding(), CLOCK),
        AudienceListing(AudienceTable(dynamodb, settings.audience_table), time.monotonic),
        partial(Checkpoint, dynamodb, settings.membership_table, PUBLISHED),
        access_tokens(settings, secrets),
    )


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle a few messages side by side, and return those that stay in the queue."""
    deadline = CLOCK.deadline(context)
    parts = dependencies()
    records = event["Records"]
    bodies = dict.fromkeys(record["body"] for record in records)  # SQS may deliver one twice, and each check doubles it
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(zip(bodies, pool.map(lambda body: _handle(parts, body, deadline), bodies), strict=True))
    failed: set[str] = set()
    for body, result in results.items():
        match result:
            case JobCheck() as check, numbers:
                _emit_metrics(check)
                audience_numbers.publish(check.message.audience_id, numbers)
                _log(check)
            case DeletionReport():
                _report_deletion(result)
            case InvalidMessage():  # it stays, until SQS moves it to the dead letters of the job queue
                logger.error("not a job message", reason=result.reason)
                failed.add(body)
            case AudienceSyncError():  # a refusal may end when a person acts; ask until then
                logger.warning("job check failed", reason=result.reason, detail=str(result))
                failed.add(body)
    return {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in records if each["body"] in failed]}


def _handle(parts: Dependencies, body: str, deadline: float) -> Checked | DeletionReport | AudienceSyncError:
    """Handle one message, with a session of its own: a session serves one exchange at a time."""
    try:
        message = read_job_queue(body)
        with requests.Session() as session:
            if isinstance(message, JobMessage):
                return _check(parts, session, message, deadline)
            return _delete(parts, session, message, deadline)
    except (InvalidMessage, TransientError, RequestRejected) as error:
        return error


def _check(parts: Dependencies, session: requests.Session, message: JobMessage, deadline: float) -> Checked:
    amazon = AmazonAds(session, parts.settings.hosts.api, parts.tokens)
    tracker = JobTracker(
        JobContext(
            amazon,
            parts.members,
            parts.changes,
            parts.jobs,
            parts.dead_letters,
            CLOCK,
            parts.settings.timings,
        )
    )
    check = tracker.check(message, deadline=deadline)
    report = check.report
    if not (report and report.is_final and CLOCK.monotonic() < deadline - RESERVE):  # or a later job has them
        return check, {}
    numbers = {
        metric_names.AUDIENCE_MATCH_RATE: report.sizes.match_rate,
        metric_names.AUDIENCE_RECEIVED: report.sizes.received,
        metric_names.AUDIENCE_PROCESSED: report.processed,
        metric_names.AUDIENCE_SIZE_DSP: report.sizes.dsp,
    }
    return check, audience_numbers.record(parts.published(message.audience_id), numbers, CLOCK.now())


def _delete(
    parts: Dependencies, session: requests.Session, message: DeletionMessage, deadline: float
) -> DeletionReport:
    settings = parts.settings
    if settings.account is None:
        raise NotConnected("no account of Ads Data Manager is set; deploy with the parameter DataManagerAccountId")
    amazon = DataManager(session, settings.hosts.api, parts.tokens, settings.account)
    context = DeletionContext(
        amazon,
        parts.members,
        parts.audiences.with_unlinked,
        parts.changes,
        parts.jobs,
        CLOCK,
        settings.timings.datasets,
    )
    return PeopleDeletion(context).handle(message, deadline=deadline)


def _report_deletion(report: DeletionReport) -> None:
    """Log a handled deletion. A refusal counts at once, and again with each check of erasures while it lasts."""
    if refused := report.refused.total():
        telemetry.publish(metric_names.ERASURES_OVERDUE, MetricUnit.Count, refused)
        logger.warning("deletion refused", people=refused, by_reason=dict(report.refused), detail=report.detail)
    telemetry.warn_of_damaged_rows(report.unread)
    if report.accepted or report.detail:
        logger.info(
            "deletion of people requested",
            accepted=report.accepted,
            waiting=report.waiting,
            entered_again=report.entered_again,
            detail=report.detail,
        )


def _emit_metrics(check: JobCheck) -> None:
    has_failed = check.report is not None and check.report.has_failed
    telemetry.count(
        **{
            metric_names.JOBS_UNRESOLVED: int(has_failed or check.outcome in (JobOutcome.GIVEN_UP, JobOutcome.UNKNOWN)),
            # Counted as delivered when the upload was accepted; the job has shown otherwise.
            metric_names.CHANGES_DELIVERED: -check.counted,
            metric_names.CHANGES_PARKED: check.counted,
        }
    )


def _log(check: JobCheck) -> None:
    ids: dict[str, Any] = {"audience_id": check.message.audience_id, "job_id": check.message.job_id}
    logger.info(
        "job checked",
        **ids,
        outcome=check.outcome.value,
        state=check.report.state if check.report else None,
        parked=check.parked,
        repeated=check.repeated,
        erased=check.erased,
    )
    telemetry.warn_of_damaged_rows(check.unread)
