"""Create and find audiences for Segment's Webhook Audiences. Use case: audience_sync/audiences/creation.py."""

import os
import time
import uuid
from functools import cache
from typing import Any, NamedTuple

import requests

from audience_sync.access.sources import AllowedSources
from audience_sync.amazon_ads.advertiser_audiences.client import AmazonAds
from audience_sync.amazon_ads.data_manager.client import DataManager
from audience_sync.amazon_ads.destination import Api, requested_api
from audience_sync.amazon_ads.login import AccessTokens
from audience_sync.audiences.creation import Audiences, Created, Limits, authenticate
from audience_sync.audiences.dataset_creation import CreatedDataset, Datasets
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.clients import client
from audience_sync.aws.creation_locks import CreationLocks
from audience_sync.aws.secrets import JsonSecret
from audience_sync.clock import Clock
from audience_sync.errors import AudienceSyncError
from audience_sync.reasons import Reason
from audience_sync.runtime import telemetry
from audience_sync.runtime.amazon_auth import access_tokens
from audience_sync.runtime.api_gateway import Answer, Request, answer, deadline, error_answer
from audience_sync.runtime.metric_names import AUDIENCES_CREATED
from audience_sync.runtime.settings import AudiencesSettings
from audience_sync.runtime.telemetry import logger, reporting

BUDGET = 28.0  # seconds for one request; the gateway gives up after thirty
MAX_BODY = 65_536  # bytes; a description is at most 1,000 characters
CLOCK = Clock()


class Dependencies(NamedTuple):
    """Objects kept between requests of one execution environment."""

    settings: AudiencesSettings
    sources: AllowedSources
    secret: JsonSecret
    table: AudienceTable
    locks: CreationLocks
    tokens: AccessTokens
    use: telemetry.CredentialUse


@cache
def dependencies() -> Dependencies:
    """Build once per execution environment, on the first request."""
    settings = AudiencesSettings.from_env(os.environ)
    secrets, dynamodb = client("secretsmanager", read_timeout=2.0), client("dynamodb", read_timeout=2.0)
    return Dependencies(
        settings,
        AllowedSources(settings.allowed_sources),
        JsonSecret(secrets, settings.ingest_secret_arn, time.monotonic),
        AudienceTable(dynamodb, settings.audience_table),
        CreationLocks(dynamodb, settings.audience_table, lambda: uuid.uuid4().hex),
        access_tokens(settings, secrets),
        telemetry.CredentialUse(time.monotonic),
    )


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> Answer:
    """Turn HTTP into one call, and its result or error into a status."""
    request = Request.of(event)
    try:
        due = deadline(context, BUDGET)
        settings, sources, secret, table, locks, tokens, use = dependencies()
        sources.require(request.source)
        use.report(authenticate(secret, request.headers, request.query, now=CLOCK.now()))
        extras = request.json_object(max_bytes=MAX_BODY)
        # A session for each request: a connection does not survive the function being frozen in between.
        with requests.Session() as session:
            amazon = AmazonAds(session, settings.hosts.api, tokens)
            account = settings.account
            data_manager = DataManager(session, settings.hosts.api, tokens, account) if account else None
            ceiling, prefix = settings.max_cpm_cents, settings.audience_name_prefix
            limits = Limits(settings.allowed_targets)
            audiences = Audiences(table, locks, amazon, CLOCK, max_cpm_cents=ceiling, limits=limits, name_prefix=prefix)
            if request.route == "POST /v1/audiences/get":
                found = audiences.find(extras, data_manager)
                return answer(200, {"externalId": found.audience_id}) if found else answer(404, {"error": "not found"})
            if requested_api(extras) is Api.DATA_MANAGER:
                datasets = Datasets(table, locks, data_manager, CLOCK, limits, prefix)
                made = datasets.create(extras, deadline=due)
                _log_dataset(made)
                return answer(200, made.as_json())
            created = audiences.create(extras, deadline=due)
    except AudienceSyncError as error:
        refused = error_answer(error)
        # Also one that the limit refuses: whoever uses up the day is to set off the alarm.
        telemetry.count(**{AUDIENCES_CREATED: int(error.reason is Reason.TOO_MANY_AUDIENCES)})
        telemetry.report_refusal(error, refused["statusCode"], request.headers.get("user-agent", ""))
        return refused
    _log(created)
    return answer(200, created.as_json())


def _log_dataset(made: CreatedDataset) -> None:
    shares = [{"application": each.application, "status": each.status} for each in made.shares]
    if made.is_new:
        telemetry.count(**{AUDIENCES_CREATED: 1})
        logger.info("audience created", audience_id=made.audience_id, shares=shares)
    if made.differs:
        logger.warning("audience exists with other settings", audience_id=made.audience_id, fields=[*made.differs])
    if made.warning:
        logger.warning("people cannot be erased from this audience", audience_id=made.audience_id)


def _log(created: Created) -> None:
    if created.attempts:
        telemetry.count(**{AUDIENCES_CREATED: 1})
        logger.info("audience created", audience_id=created.audience_id)
    if created.attempts > 1:
        logger.warning(
            "audience created again: the outcome of the first attempt is unknown", audience_id=created.audience_id
        )
    if created.mismatches:
        fields = [each.field for each in created.mismatches]
        logger.warning("audience exists with other settings", audience_id=created.audience_id, fields=fields)
