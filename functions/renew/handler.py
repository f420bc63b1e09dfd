"""Have Amazon told again who is in an audience, before it drops them."""

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from audience_sync import telemetry
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.clients import client
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.sqs import Queue
from audience_sync.operations.renewal import Clock, Renewal, Report
from audience_sync.settings import RenewSettings
from audience_sync.telemetry import logger, reporting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Tools(NamedTuple):
    """What one execution environment keeps between invocations."""

    settings: RenewSettings
    dynamodb: "DynamoDBClient"
    renewal: Renewal


@cache
def tools() -> Tools:
    """Build once per execution environment, on the first invocation."""
    settings = RenewSettings.from_env(os.environ)
    dynamodb = client("dynamodb", read_timeout=5.0, attempts=4)  # a page is a megabyte of rows
    entries = MembershipScan(dynamodb, settings.membership_table) if settings.ordering_guard else None
    queue = Queue(client("sqs", read_timeout=3.0), settings.change_queue_url, time.monotonic)
    return Tools(settings, dynamodb, Renewal(entries, queue, Clock(time.time, time.monotonic, time.sleep)))


@reporting
def lambda_handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Queue those whose time to live is about to run out, as far as the time allows."""
    settings, dynamodb, renewal = tools()
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    # A list of its own for each run: whoever has just changed the setting and tries it out should not meet an old one.
    audiences = AudienceTable(dynamodb, settings.audience_table, time.monotonic)
    report = renewal.run(audiences.all(), deadline=deadline)
    _tell(report)
    return {"renewed": report.renewed, "reason": report.reason}


def _tell(report: Report) -> None:
    unfinished = report.reason is not None
    telemetry.count(**{telemetry.MEMBERS_RENEWED: report.renewed, telemetry.RENEWALS_UNFINISHED: int(unfinished)})
    if unfinished:
        logger.warning("renewal stopped", reason=report.reason)
    logger.info("members renewed", audiences=report.audiences, rows=report.rows, renewed=report.renewed)
