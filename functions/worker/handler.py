"""Deliver membership changes from the change queue to Amazon Ads."""

import os
import random
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
from audience_sync.delivery.batch import Delivery, Message, Report
from audience_sync.delivery.circuit_breaker import CircuitBreakers
from audience_sync.delivery.members import DeliveryContext
from audience_sync.delivery.retry_budget import RetryBudget
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import TransientError
from audience_sync.jobs import job_messages
from audience_sync.settings import WorkerSettings
from audience_sync.telemetry import logger, reporting


class Worker(NamedTuple):
    """What one execution environment keeps between invocations."""

    settings: WorkerSettings
    queue: Queue
    jobs: Queue
    books: DeliveryContext
    circuits: CircuitBreakers
    budget: RetryBudget
    tokens: AccessTokens


@cache
def worker() -> Worker:
    """Build once per execution environment, on the first invocation."""
    settings = WorkerSettings.from_env(os.environ)
    secrets, sqs = client("secretsmanager", read_timeout=3.0), client("sqs", read_timeout=3.0)
    dynamodb = client("dynamodb", read_timeout=3.0, attempts=4, connections=THREADS)
    members = MembershipTable(dynamodb, settings.membership_table, time.time, settings.effective_after)
    queue = Queue(sqs, settings.change_queue_url, time.monotonic)
    return Worker(
        settings,
        queue,
        Queue(sqs, settings.job_queue_url, time.monotonic),
        DeliveryContext(
            queue,
            dead_letters=Queue(sqs, settings.dead_letter_queue_url, time.monotonic),
            members=members if settings.ordering_guard else None,
            limits=Limits(
                settings.max_records_per_upload,
                settings.max_upload_bytes,
                settle=settings.settle_seconds,
                job=settings.job_seconds,
            ),
            now=lambda: time.time_ns() // 1_000_000,
        ),
        CircuitBreakers(dynamodb, settings.membership_table, settings.circuit_seconds, time.monotonic),
        RetryBudget(time.monotonic),
        access_tokens(settings, secrets),
    )


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deliver one batch of messages; name those that must come back."""
    settings, queue, jobs, books, circuits, budget, tokens = worker()
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    # A session for each invocation: a connection does not survive the function being frozen in between.
    with requests.Session() as session:
        amazon = budget.wrap(circuits.wrap(AmazonAds(session, settings.hosts.api, tokens)))
        delivery = Delivery(amazon, books, monotonic=time.monotonic, jitter=random.random)
        report = delivery.deliver([_message(record) for record in event["Records"]], deadline=deadline)
    queue.postpone([(deferred.message.receipt_handle, deferred.delay) for deferred in report.deferred])
    _follow_up(report, jobs, settings.job_seconds, deadline)
    _tell(report)
    return {"batchItemFailures": [{"itemIdentifier": deferred.message.message_id} for deferred in report.deferred]}


def _follow_up(report: Report, jobs: Queue, delay: float, deadline: float) -> None:
    """Have the uploads' jobs looked at later. The changes are delivered without that: what fails here is only told."""
    now = time.time_ns() // 1_000_000
    messages = [
        text
        for job in report.jobs
        for text in job_messages(job.job_id, job.audience_id, job.members, now, report.again)
    ]
    try:
        jobs.send(messages, deadline=deadline, delay=delay)
    except TransientError as error:
        logger.warning("jobs will not be followed up", reason=error.reason, jobs=len(report.jobs))


def _message(record: dict[str, Any]) -> Message:
    attributes = record.get("attributes", {})
    return Message(
        record["messageId"],
        record["receiptHandle"],
        record["body"],
        int(attributes.get("ApproximateReceiveCount", "1")),
        int(attributes.get("SentTimestamp", "0")),
    )


def _tell(report: Report) -> None:
    telemetry.count(
        **{
            telemetry.CHANGES_DELIVERED: report.delivered,
            telemetry.CHANGES_SUPERSEDED: report.superseded,
            telemetry.CHANGES_PARKED: report.parked,
            telemetry.MESSAGES_DEFERRED: len(report.deferred) + report.requeued,
            telemetry.UPLOADS_SENT: report.uploads_sent,
            telemetry.UPLOADS_FAILED: report.uploads_failed,
        }
    )
    telemetry.count_ended(report.ended)
    if report.longest_wait:
        telemetry.publish(telemetry.OLDEST_DEFERRED_CHANGE_AGE, MetricUnit.Seconds, report.longest_wait)
    for job in report.jobs:
        logger.info("upload accepted", audience_id=job.audience_id, job_id=job.job_id, records=len(job.members))
    if report.reasons or report.deferred:
        deferred = sorted({each.reason for each in report.deferred})
        logger.warning("not everything delivered", by_reason=report.reasons, deferred=deferred)
