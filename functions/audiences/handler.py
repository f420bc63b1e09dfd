"""Create audiences at Amazon and find them again, as Segment's Webhook Audiences asks."""

import os
import time
import uuid
from functools import cache
from typing import Any, NamedTuple

import requests

from audience_sync.amazon_ads.client import AmazonAds
from audience_sync.amazon_ads.login import AccessTokens
from audience_sync.amazon_auth import access_tokens
from audience_sync.api_gateway import Answer, Request, answer, deadline, refusal
from audience_sync.audiences import Audiences, Clock, Created, admit
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.clients import client
from audience_sync.aws.creation_locks import CreationLocks
from audience_sync.aws.secrets import JsonSecret
from audience_sync.errors import AudienceSyncError
from audience_sync.settings import AudiencesSettings
from audience_sync.telemetry import logger, reporting

BUDGET = 28.0  # seconds for one request; the gateway gives up after thirty
MAX_BODY = 65_536  # bytes; a description is at most 1,000 characters


class Collaborators(NamedTuple):
    """What one execution environment keeps between requests."""

    settings: AudiencesSettings
    secret: JsonSecret
    table: AudienceTable
    intents: CreationLocks
    tokens: AccessTokens


@cache
def collaborators() -> Collaborators:
    """Build once per execution environment, on the first request."""
    settings = AudiencesSettings.from_env(os.environ)
    secrets, dynamodb = client("secretsmanager", read_timeout=2.0), client("dynamodb", read_timeout=2.0)
    return Collaborators(
        settings,
        JsonSecret(secrets, settings.ingest_secret_arn, time.monotonic),
        AudienceTable(dynamodb, settings.audience_table, time.monotonic),
        CreationLocks(dynamodb, settings.audience_table, lambda: uuid.uuid4().hex),
        access_tokens(settings, secrets),
    )


@reporting
def lambda_handler(event: dict[str, Any], context: Any) -> Answer:
    """Turn HTTP into one call, and its result or error into a status."""
    request = Request.of(event)
    try:
        due = deadline(context, BUDGET)
        settings, secret, table, intents, tokens = collaborators()
        admit(secret, request.headers, request.query)
        told = request.json_object(max_bytes=MAX_BODY)
        # A session for each request: a connection does not survive the function being frozen in between.
        with requests.Session() as session:
            amazon = AmazonAds(session, settings.hosts.api, tokens)
            clock = Clock(lambda: time.time_ns() // 1_000_000, time.monotonic, time.sleep)
            audiences = Audiences(table, intents, amazon, clock, max_cpm_cents=settings.max_cpm_cents)
            if request.route == "POST /v1/audiences/get":
                found = audiences.find(told)
                return answer(200, {"externalId": found.audience_id}) if found else answer(404, {"error": "not found"})
            created = audiences.create(told, deadline=due)
    except AudienceSyncError as error:
        return refusal(error)
    _tell(created)
    return answer(200, created.as_json())


def _tell(created: Created) -> None:
    if created.attempts:
        logger.info("audience created", audience_id=created.audience_id)
    if created.attempts > 1:
        logger.warning("created again: nobody knows what became of the time before", audience_id=created.audience_id)
    if created.mismatches:
        fields = [each.field for each in created.mismatches]
        logger.warning("audience exists with other settings", audience_id=created.audience_id, fields=fields)
