"""Deliver membership changes from the change queue to Amazon Ads. Use case: audience_sync/delivery."""

import os
import random
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import requests
from aws_lambda_powertools.metrics import MetricUnit

from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.data_manager.client import DataManager
from audience_sync.amazon_ads.login import AccessTokens
from audience_sync.amazon_ads.uploader import ApiUploader
from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.clients import client
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import THREADS, MembershipTable
from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync.delivery.batch import Delivery
from audience_sync.delivery.context import DeliveryContext, Message
from audience_sync.delivery.gates.circuit_breaker import CircuitBreakers
from audience_sync.delivery.gates.gate import UploadGate
from audience_sync.delivery.gates.retry_budget import RetryBudget
from audience_sync.delivery.report import BatchReport
from audience_sync.delivery.stopping import returned_if_stopped
from audience_sync.delivery.uploads import Limits
from audience_sync.runtime import metric_names, telemetry
from audience_sync.runtime.amazon_auth import access_tokens
from audience_sync.runtime.settings import WorkerSettings
from audience_sync.runtime.telemetry import logger, reporting

CLOCK = Clock()
LOGGED = 20  # audiences in one log line
COPY_TIMEOUT = 6.0  # seconds for SQS to store changes that go back; less than the time kept for the end
SQS_TIMEOUT = 8.0  # seconds until a request to SQS has failed: two attempts to connect and to read


class Dependencies(NamedTuple):
    """Objects kept between invocations of one execution environment."""

    settings: WorkerSettings
    queue: Queue
    context: DeliveryContext
    circuit_breakers: CircuitBreakers
    budget: RetryBudget
    tokens: AccessTokens


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first invocation."""
    settings = WorkerSettings.from_env(os.environ)
    secrets, sqs = client("secretsmanager", read_timeout=3.0), client("sqs", read_timeout=3.0)
    dynamodb = client("dynamodb", read_timeout=3.0, attempts=4, connections=THREADS, validate=False)
    members = MembershipTable(dynamodb, settings.membership_table, Sharding(), CLOCK)
    audiences = AudienceListing(AudienceTable(dynamodb, settings.audience_table), time.monotonic)
    queue = Queue(sqs, settings.change_queue_url, time.monotonic)
    # What is sent here is counted when it completes, so a second attempt after a late answer would count twice.
    once = client("sqs", read_timeout=COPY_TIMEOUT, attempts=1)
    # A separate client: uploads must not wait long for the state of a circuit breaker.
    states = client("dynamodb", read_timeout=1.0, attempts=1)
    circuit_breakers = CircuitBreakers(states, settings.membership_table, settings.circuit_seconds, time.time)
    budget = RetryBudget(time.monotonic)
    return Dependencies(
        settings,
        queue,
        DeliveryContext(
            Queue(once, settings.change_queue_url, time.monotonic),
            dead_letters=Queue(sqs, settings.dead_letter_queue_url, time.monotonic),
            jobs=Queue(sqs, settings.job_queue_url, time.monotonic),
            members=members,
            audiences=audiences.with_unlinked,
            limits=Limits(settle=settings.settle_seconds, timings=settings.timings),
            clock=CLOCK,
            gate=UploadGate(circuit_breakers, budget),
            deletes_people=settings.account is not None and settings.account.is_manager,
        ),
        circuit_breakers,
        budget,
        access_tokens(settings, secrets),
    )


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deliver one batch of messages, and return those that stay in the queue."""
    parts = dependencies()
    deadline = CLOCK.deadline(context)
    messages = [_message(record) for record in event["Records"]]
    with returned_if_stopped(parts.queue, messages, CLOCK, deadline):
        is_new_stack = parts.tokens.never_connected()  # asked first: once changes are sent back, they must be counted
        begun = CLOCK.now()
        report = _deliver(parts, messages, deadline)
        with telemetry.printed_together():
            _emit_metrics(report, is_new_stack=is_new_stack)
        receipts = [(deferred.message.receipt_handle, deferred.delay) for deferred in report.deferred]
        parts.queue.postpone(receipts, until=deadline - SQS_TIMEOUT)
        _log(report, begun)
    return {"batchItemFailures": [{"itemIdentifier": deferred.message.message_id} for deferred in report.deferred]}


def _deliver(parts: Dependencies, messages: Sequence[Message], deadline: float) -> BatchReport:
    # A session for each invocation: a connection does not survive the function being frozen in between.
    with requests.Session() as session:
        api, account = parts.settings.hosts.api, parts.settings.account
        data_manager = DataManager(session, api, parts.tokens, account) if account else None
        amazon = ApiUploader(AmazonAds(session, api, parts.tokens), data_manager)
        uploader = parts.budget.wrap(parts.circuit_breakers.wrap(amazon))
        delivery = Delivery(uploader, parts.context, jitter=random.random)
        return delivery.deliver(messages, deadline=deadline)


def _message(record: dict[str, Any]) -> Message:
    attributes = record.get("attributes", {})
    return Message(
        record["messageId"],
        record["receiptHandle"],
        record["body"],
        int(attributes.get("ApproximateReceiveCount", "1")),
        int(attributes.get("SentTimestamp", "0")),
    )


def _emit_metrics(report: BatchReport, *, is_new_stack: bool) -> None:
    telemetry.count(
        **{
            metric_names.CHANGES_DELIVERED: report.delivered,
            metric_names.CHANGES_SUPERSEDED: report.superseded,
            metric_names.CHANGES_PARKED: report.parked,
            metric_names.ERASURES_RECORDED: report.erasures,
            metric_names.UPLOADS_SENT: len(report.jobs),
            metric_names.UPLOADS_FAILED: report.failed_uploads.total(),
            metric_names.RECORDS_REPEATED: report.repeated.total(),
        }
    )
    telemetry.count_by_time(metric_names.CHANGES_ACCEPTED, report.accepted)
    telemetry.count_by_time(metric_names.CHANGES_COMPLETED, report.completed)
    failing, waiting = report.oldest(is_new_stack=is_new_stack)
    if failing:
        telemetry.publish(metric_names.OLDEST_DEFERRED_CHANGE_AGE, MetricUnit.Seconds, failing)
    if waiting:
        telemetry.publish(metric_names.OLDEST_WAITING_CHANGE_AGE, MetricUnit.Seconds, waiting)


def _log(report: BatchReport, begun: float) -> None:
    for job in report.jobs:
        logger.info("upload accepted", audience_id=job.target.audience_id, job_id=job.job_id, records=len(job.changes))
    if report.counted_from_one:  # which Amazon does not document
        logger.warning("refused members counted from 1", job_ids=sorted(report.counted_from_one))
    if report.repeated:
        logger.info("records repeated", by_audience=dict(report.repeated.most_common(LOGGED)))
    if report.waiting:
        logger.info("changes wait for a job", by_audience=dict(report.waiting.most_common(LOGGED)))
    if unknown := +report.unknown_fields:  # a newer version has sent them, or somebody else
        logger.warning("unknown fields of records left out", by_audience=dict(unknown.most_common(LOGGED)))
    if report.left_out:
        logger.warning("identities left out", by_audience=dict(report.left_out.most_common(LOGGED)))
    telemetry.warn_of_damaged_rows(report.unread)
    if report.reasons or report.deferred:
        facts: dict[str, Any] = {
            "by_reason": dict(report.reasons),
            "uploads_failed": dict(report.failed_uploads),
            "parked": dict(report.parked_reasons),
            "deferred": sorted({each.reason for each in report.deferred}),
            "audience_ids": sorted(report.incomplete)[:LOGGED],
        }
        if report.oldest_deferred:
            facts["waits_since"] = round(begun - report.oldest_deferred)  # epoch seconds
        log = logger.warning if report.has_failures else logger.info
        log("delivery incomplete", **facts)
