"""Read the metrics and shares of datasets. Use case: audience_sync/operations/dataset_reports.py."""

import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache, partial
from typing import Any, NamedTuple

import requests
from aws_lambda_powertools.metrics import MetricUnit

from audience_sync.amazon_ads.data_manager.accounts import Account
from audience_sync.amazon_ads.data_manager.answers import Share
from audience_sync.amazon_ads.data_manager.client import DataManager
from audience_sync.amazon_ads.login import AccessTokens
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.checkpoint import DATASETS, PUBLISHED, Checkpoint
from audience_sync.aws.clients import client
from audience_sync.clock import Clock
from audience_sync.errors import AccessDenied, AudienceSyncError
from audience_sync.members.membership import Audience
from audience_sync.operations.dataset_reports import DatasetReport, datasets_of, read_report, with_revocation_times
from audience_sync.runtime import audience_numbers, metric_names, telemetry
from audience_sync.runtime.amazon_auth import access_tokens
from audience_sync.runtime.settings import DatasetsSettings
from audience_sync.runtime.telemetry import logger, reporting

CLOCK = Clock()
AT_ONCE = 10  # datasets read side by side: Amazon may take a second for each of four answers
LOGGED = 50  # shares of one dataset in its log line


class Dependencies(NamedTuple):
    """Objects kept between invocations of one execution environment."""

    settings: DatasetsSettings
    table: AudienceTable
    first_seen: Checkpoint  # share id to the time of the run that first saw it revoked
    published: Callable[[str], Checkpoint]  # the row of a dataset's published numbers
    tokens: AccessTokens


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first invocation."""
    settings = DatasetsSettings.from_env(os.environ)
    dynamodb = client("dynamodb", read_timeout=3.0)
    return Dependencies(
        settings,
        AudienceTable(dynamodb, settings.audience_table),
        Checkpoint(dynamodb, settings.membership_table, DATASETS),
        partial(Checkpoint, dynamodb, settings.membership_table, PUBLISHED),
        access_tokens(settings, client("secretsmanager", read_timeout=3.0)),
    )


@reporting
def lambda_handler(_event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Read all listed datasets, as far as the time allows."""
    deadline = CLOCK.deadline(context)
    settings, table, first_seen, published, _ = dependencies()
    account = settings.account
    listed = datasets_of(table.all()) if account else []
    if account is None:
        return {"datasets": 0}
    random.shuffle(listed)  # so that a lack of time does not always leave out the same ones
    with ThreadPoolExecutor(AT_ONCE) as pool:
        reports = list(pool.map(lambda each: _read(account, each, deadline), listed))
    reports = with_revocation_times(reports, first_seen, CLOCK.now())
    for report in reports:
        counts = {metric_names.AUDIENCE_RECEIVED: report.records, metric_names.AUDIENCE_MATCH_RATE: report.match_rate}
        numbers = audience_numbers.record(published(report.dataset_id), counts, CLOCK.now())
        audience_numbers.publish(report.dataset_id, numbers)
        _log(report, account)
    revoked = sum(len(report.ended_recently(CLOCK.now())) for report in reports)
    telemetry.publish(metric_names.SHARES_REVOKED, MetricUnit.Count, revoked)  # also 0: the audit waits for a value
    denied = sum(any(_is_expected(each, account) for each in report.failures.values()) for report in reports)
    if denied:
        logger.info("counts of datasets need a manager account", datasets=denied)
    return {"datasets": len(reports), "revoked": revoked}


def _read(account: Account, listed: Audience, deadline: float) -> DatasetReport:
    """Read one dataset, with a session of its own: a session serves one exchange at a time."""
    parts = dependencies()
    with requests.Session() as session:
        amazon = DataManager(session, parts.settings.hosts.api, parts.tokens, account)
        return read_report(amazon, listed.audience_id, CLOCK, deadline=deadline)


def _is_expected(error: AudienceSyncError, account: Account) -> bool:
    """Return whether Amazon denies counts to a DSP account, for which it documents no permission."""
    return isinstance(error, AccessDenied) and not account.is_manager


def _log(report: DatasetReport, account: Account) -> None:
    if not report.is_unread:
        line: dict[str, Any] = {
            "audience_id": report.dataset_id,
            "records": report.records,
            "match_rate": report.match_rate,
            "funnel": asdict(report.funnel) if report.funnel else None,
            "shares": None if "shares" in report.failures else _logged(report.current_shares),
        }
        if report.ended_recently(CLOCK.now()):
            logger.warning("dataset read", **line)
        else:
            logger.info("dataset read", **line)
    failures = {part: error for part, error in report.failures.items() if not _is_expected(error, account)}
    if failures:
        logger.warning(
            "dataset not read completely",
            audience_id=report.dataset_id,
            unread={part: error.reason for part, error in failures.items()},
            detail=str(next(iter(failures.values()))),
        )


def _logged(shares: Sequence[Share]) -> list[dict[str, Any]]:
    """Format shares for the log, from which the dashboard reads them."""
    return [
        {
            "shareId": each.share_id,
            "application": each.application,
            "account": each.destination,
            "status": each.status,
            "revokedBy": each.revoked_by,
            "revokedAt": each.revoked_at,
        }
        for each in shares[:LOGGED]
    ]
