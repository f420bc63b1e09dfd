"""Ask Amazon what became of uploads: park what a job rejected, and publish sizes and match rates."""

import os
import time
from functools import cache
from typing import Any, NamedTuple

import requests
from aws_lambda_powertools.metrics import MetricUnit

from audience_sync import telemetry
from audience_sync.amazon_ads.client import AmazonAds
from audience_sync.amazon_ads.login import AccessTokens
from audience_sync.amazon_auth import access_tokens
from audience_sync.aws.clients import client
from audience_sync.aws.membership_table import THREADS, MembershipTable
from audience_sync.aws.sqs import Queue
from audience_sync.errors import InvalidMessage, RequestRejected, TransientError
from audience_sync.jobs import JobMessage
from audience_sync.operations.job_tracking import Clock, JobCheck, JobTracker
from audience_sync.settings import JobsSettings
from audience_sync.telemetry import logger, reporting


class Tools(NamedTuple):
    """What one execution environment keeps between invocations."""

    settings: JobsSettings
    jobs: Queue
    dead_letters: Queue
    members: MembershipTable | None  # None where it is not kept
    tokens: AccessTokens


@cache
def tools() -> Tools:
    """Build once per execution environment, on the first invocation."""
    settings = JobsSettings.from_env(os.environ)
    secrets, sqs = client("secretsmanager", read_timeout=3.0), client("sqs", read_timeout=3.0)
    dynamodb = client("dynamodb", read_timeout=3.0, connections=THREADS)
    members = MembershipTable(dynamodb, settings.membership_table, time.time, settings.job_seconds)
    return Tools(
        settings,
        Queue(sqs, settings.job_queue_url, time.monotonic),
        Queue(sqs, settings.dead_letter_queue_url, time.monotonic),
        # Without the guard a row is as old as the day on which it was switched off.
        members if settings.ordering_guard else None,
        access_tokens(settings, secrets),
    )


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Look at a few jobs; name the messages that must come back."""
    settings, jobs, dead_letters, members, tokens = tools()
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    failed: list[str] = []
    with requests.Session() as session:
        amazon = AmazonAds(session, settings.hosts.api, tokens)
        clock = Clock(lambda: time.time_ns() // 1_000_000, time.monotonic)
        tracker = JobTracker(amazon, members, jobs, dead_letters, clock)
        for record in event["Records"]:
            try:
                _tell(tracker.check(JobMessage.from_body(record["body"]), deadline=deadline))
            except InvalidMessage as error:
                logger.error("not a job", reason=error.reason)
            except (TransientError, RequestRejected) as error:  # a refusal may end when a person acts; ask until then
                logger.warning("job not looked at", reason=error.reason, detail=str(error))
                failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _tell(finding: JobCheck) -> None:
    message, report = finding.message, finding.report
    logger.info(
        "job looked at",
        audience_id=message.audience_id,
        job_id=message.job_id,
        outcome=finding.outcome,
        state=report.state if report else None,
        parked=finding.parked,
    )
    if finding.unparkable:
        logger.warning(
            "rejected records not parked",
            audience_id=message.audience_id,
            job_id=message.job_id,
            reason="unguarded",
            records=finding.unparkable,
        )
    counted = 0 if message.again else finding.parked  # a repetition was counted as what it was the first time
    telemetry.count(
        **{
            telemetry.JOBS_ENDED: int(finding.outcome == "ended"),
            telemetry.JOBS_UNRESOLVED: int(finding.outcome in ("given_up", "unknown")),
            # Counted as delivered when the upload was accepted; the job has shown that they were not.
            telemetry.CHANGES_DELIVERED: -counted,
            telemetry.CHANGES_PARKED: counted,
            telemetry.REJECTED_RECORDS_UNTRACKED: finding.unparkable,
        }
    )
    if report and report.is_final:
        sizes = report.sizes
        for name, unit, value in (
            (telemetry.AUDIENCE_MATCH_RATE, MetricUnit.Percent, sizes.match_rate),
            (telemetry.AUDIENCE_RECEIVED, MetricUnit.Count, sizes.received),
            (telemetry.AUDIENCE_PROCESSED, MetricUnit.Percent, report.processed),
            (telemetry.AUDIENCE_SIZE_DSP, MetricUnit.Count, sizes.dsp),
        ):
            if value is not None:
                telemetry.publish(name, unit, value, audience=message.audience_id)
