"""Check Amazon's jobs, and publish sizes and match rates. Use case: audience_sync/operations/job_tracking.py."""

import os
import time
from functools import cache
from typing import Any, NamedTuple

import requests
from aws_lambda_powertools.metrics import MetricUnit

from audience_sync import metric_names, telemetry
from audience_sync.amazon_ads.client import AmazonAds
from audience_sync.amazon_ads.login import AccessTokens
from audience_sync.amazon_auth import access_tokens
from audience_sync.aws.clients import client
from audience_sync.aws.membership_table import THREADS, MembershipTable
from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync.errors import InvalidMessage, RequestRejected, TransientError
from audience_sync.messages import JobMessage
from audience_sync.operations.job_tracking import JobCheck, JobOutcome, JobTracker
from audience_sync.settings import JobsSettings
from audience_sync.telemetry import logger, reporting

CLOCK = Clock()


class Dependencies(NamedTuple):
    """What one execution environment keeps between invocations."""

    settings: JobsSettings
    jobs: Queue
    dead_letters: Queue
    members: MembershipTable | None  # None where it is not kept
    tokens: AccessTokens


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first invocation."""
    settings = JobsSettings.from_env(os.environ)
    secrets, sqs = client("secretsmanager", read_timeout=3.0), client("sqs", read_timeout=3.0)
    dynamodb = client("dynamodb", read_timeout=3.0, connections=THREADS)
    members = MembershipTable(dynamodb, settings.membership_table, time.time)
    return Dependencies(
        settings,
        Queue(sqs, settings.job_queue_url, time.monotonic),
        Queue(sqs, settings.dead_letter_queue_url, time.monotonic),
        # Without the guard a row is as old as the day on which it was switched off.
        members if settings.ordering_guard else None,
        access_tokens(settings, secrets),
    )


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Check a few jobs, and return the messages that must come back."""
    parts = dependencies()
    deadline = CLOCK.deadline(context)
    failed: list[str] = []
    with requests.Session() as session:
        amazon = AmazonAds(session, parts.settings.hosts.api, parts.tokens)
        tracker = JobTracker(amazon, parts.members, parts.jobs, parts.dead_letters, CLOCK)
        for record in event["Records"]:
            try:
                check = tracker.check(JobMessage.from_body(record["body"]), deadline=deadline)
            except InvalidMessage as error:
                logger.error("not a job message", reason=error.reason)
            except (TransientError, RequestRejected) as error:  # a refusal may end when a person acts; ask until then
                logger.warning("job check failed", reason=error.reason, detail=str(error))
                failed.append(record["messageId"])
            else:
                _emit_metrics(check)
                _log(check)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _emit_metrics(check: JobCheck) -> None:
    message, report = check.message, check.report
    counted = 0 if message.is_replay else check.parked  # a replay was counted before
    telemetry.count(
        **{
            metric_names.JOBS_ENDED: int(check.outcome is JobOutcome.ENDED),
            metric_names.JOBS_UNRESOLVED: int(check.outcome in (JobOutcome.GIVEN_UP, JobOutcome.UNKNOWN)),
            # Counted as delivered when the upload was accepted; the job has shown that they were not.
            metric_names.CHANGES_DELIVERED: -counted,
            metric_names.CHANGES_PARKED: counted,
            metric_names.REJECTED_RECORDS_UNTRACKED: check.untracked,
        }
    )
    if report and report.is_final:
        sizes = report.sizes
        for name, unit, value in (
            (metric_names.AUDIENCE_MATCH_RATE, MetricUnit.Percent, sizes.match_rate),
            (metric_names.AUDIENCE_RECEIVED, MetricUnit.Count, sizes.received),
            (metric_names.AUDIENCE_PROCESSED, MetricUnit.Percent, report.processed),
            (metric_names.AUDIENCE_SIZE_DSP, MetricUnit.Count, sizes.dsp),
        ):
            if value is not None:
                telemetry.publish(name, unit, value, audience=message.audience_id)


def _log(check: JobCheck) -> None:
    ids: dict[str, Any] = {"audience_id": check.message.audience_id, "job_id": check.message.job_id}
    state = check.report.state if check.report else None
    logger.info("job checked", **ids, outcome=check.outcome.value, state=state, parked=check.parked)
    if check.untracked:
        logger.warning("rejected records not parked", **ids, reason="unguarded", records=check.untracked)
