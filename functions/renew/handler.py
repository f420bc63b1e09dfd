"""Re-send active members before their TTL expires. Use case: audience_sync/operations/renewal.py."""

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.clients import client
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.sqs import Queue
from audience_sync.clock import Clock
from audience_sync.operations.renewal import Renewal, RenewalReport
from audience_sync.runtime import telemetry
from audience_sync.runtime.settings import RenewSettings
from audience_sync.runtime.telemetry import logger, reporting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CLOCK = Clock()


class Dependencies(NamedTuple):
    """Objects kept between invocations of one execution environment."""

    settings: RenewSettings
    dynamodb: "DynamoDBClient"
    renewal: Renewal


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first invocation."""
    settings = RenewSettings.from_env(os.environ)
    dynamodb = client("dynamodb", read_timeout=5.0, attempts=4)  # a page is a megabyte of rows
    scan = MembershipScan(dynamodb, settings.membership_table, Sharding())
    checkpoint = Checkpoint(dynamodb, settings.membership_table, RENEWAL)
    queue = Queue(client("sqs", read_timeout=3.0), settings.change_queue_url, time.monotonic)
    return Dependencies(settings, dynamodb, Renewal(scan, checkpoint, queue, CLOCK))


@reporting
def lambda_handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Queue members whose TTL expires soon, as far as the time allows."""
    settings, dynamodb, renewal = dependencies()
    deadline = CLOCK.deadline(context)
    # A list of its own for each run, so that a setting that was just changed takes effect.
    audiences = AudienceTable(dynamodb, settings.audience_table)
    report = renewal.run(audiences.all(), deadline=deadline)
    _log(report)
    return {"renewed": report.renewed, "reason": report.reason}


def _log(report: RenewalReport) -> None:
    if report.reason is not None:
        logger.warning("renewal stopped", reason=report.reason)
    telemetry.warn_of_damaged_rows(report.unread)
    if report.unknown:
        logger.warning("audiences of an API that this version does not know", audiences=report.unknown)
    logger.info("members renewed", audiences=report.audiences, rows=report.rows, renewed=report.renewed)
