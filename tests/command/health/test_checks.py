"""`test`: one line for each part, and a remedy where something is missing."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audience_sync.aws.audience_table import MAPPINGS_KEY
from audience_sync_cli.errors import AlreadyReported
from audience_sync_cli.health.checks import test as run
from tests.aws_fixtures import CREDENTIALS, EVENT_KEY
from tests.command.conftest import CLIENT_SECRET, Deployment


def findings(deployment: Deployment) -> dict[str, tuple[str, str]]:
    found = deployment.json(run, raises=AlreadyReported)["findings"]  # there is no gateway here
    return {each["part"]: (each["state"], each["remedy"]) for each in found}


def test_a_new_stack_shows_what_to_do_first(deployment: Deployment) -> None:
    found = findings(deployment)
    assert found["event key"] == ("ok", "")
    assert found["Amazon credentials"] == ("problem", "audience-sync connect")
    assert found["Amazon Ads"][0] == "problem"
    assert found["audience key"] == ("note", "audience-sync keys rotate audience")
    assert found["audience table"] == ("note", "audience-sync audiences link")


def test_a_connected_stack_is_in_order_but_for_the_gateway(deployment: Deployment) -> None:
    deployment.connect()
    deployment.list_audience()
    deployment.stack.service("lambda").invoke(FunctionName="RefreshFunction", Payload=b"{}")
    found = findings(deployment)
    assert [part for part, (state, _) in found.items() if state == "problem"] == ["gateway"]


def test_a_weak_event_key_is_a_problem(deployment: Deployment) -> None:
    deployment.put_secret("IngestSecret", {"eventKey": "too-short"})
    assert findings(deployment)["event key"] == ("problem", "audience-sync keys rotate event")


@pytest.mark.parametrize(
    ("days_left", "expected"),
    [
        pytest.param(60, None, id="later"),
        pytest.param(7, ("note", "audience-sync keys add event NEW-NAME"), id="soon"),
        pytest.param(-2, ("note", "audience-sync keys remove event emea"), id="expired"),
        pytest.param(None, ("problem", "audience-sync keys remove event emea"), id="an unreadable date"),
    ],
)
def test_reports_source_keys_that_expire_soon_or_have_expired(
    deployment: Deployment, days_left: int | None, expected: tuple[str, str] | None
) -> None:
    last = "soon" if days_left is None else (datetime.now(UTC).date() + timedelta(days=days_left)).isoformat()
    of_source = {"eventKey.emea": {"key": "an-event-key-of-emea-0001", "expiresOn": last}}
    deployment.put_secret("IngestSecret", {"eventKey": EVENT_KEY} | of_source)
    assert findings(deployment).get("event key of emea") == expected


def test_an_expired_token_is_a_problem(deployment: Deployment) -> None:
    deployment.put_secret("TokenSecret", {"accessToken": "Atza|old", "expiresAt": time.time() - 1})
    assert findings(deployment)["access token"][0] == "problem"


@pytest.mark.parametrize(
    ("authorized", "expected"),
    [
        pytest.param(None, ("ok", ""), id="not known: connected by an earlier version"),
        pytest.param("2026-01-01", ("ok", ""), id="not a time"),
        pytest.param(319, ("ok", ""), id="more than 45 days are left"),
        pytest.param(321, ("note", "audience-sync connect"), id="less than 45 days are left"),
        pytest.param(366, ("problem", "audience-sync connect"), id="it has ended"),
    ],
)
def test_a_consent_that_ends_within_45_days_is_a_note(
    deployment: Deployment, authorized: Any, expected: tuple[str, str]
) -> None:
    days_ago = isinstance(authorized, int)
    at = time.time() - authorized * 86_400 if days_ago else authorized
    deployment.put_secret("CredentialsSecret", CREDENTIALS | {"authorizedAt": at})
    assert findings(deployment)["Amazon credentials"] == expected


def test_an_unreadable_secret_does_not_hide_other_parts(deployment: Deployment) -> None:
    deployment.stack.service("secretsmanager").put_secret_value(
        SecretId=deployment.stack["IngestSecret"], SecretString="no json"
    )
    found = findings(deployment)
    assert found["ingest secret"][0] == "problem"
    assert found["change queue"][0] == "ok"


@pytest.mark.parametrize("document", ["{not json", '"text"', "null", '{"mappings": [{"name": "Mine"}]}'])
def test_mappings_that_ingest_cannot_use_are_a_problem(deployment: Deployment, document: str) -> None:
    item = {"audienceId": {"S": MAPPINGS_KEY}, "document": {"S": document}}
    deployment.stack.service("dynamodb").put_item(TableName=deployment.stack["AudienceTable"], Item=item)
    assert findings(deployment)["mappings"] == ("problem", "audience-sync mappings apply")


def test_disabled_mappings_are_a_note(deployment: Deployment) -> None:
    mapping = {"name": "Mine", "trigger": 'type = "track"', "fields": {"email": {"@path": "$.email"}}, "enabled": False}
    mapping["fields"] |= {"external_user_id": {"@path": "$.userId"}}  # type: ignore[operator]
    item = {"audienceId": {"S": MAPPINGS_KEY}, "document": {"S": json.dumps([mapping])}}
    deployment.stack.service("dynamodb").put_item(TableName=deployment.stack["AudienceTable"], Item=item)
    assert findings(deployment)["mappings"] == ("note", "audience-sync mappings show")


def test_no_secret_is_shown(deployment: Deployment) -> None:
    deployment.connect()
    shown = "".join(deployment.printed(run, raises=AlreadyReported))
    assert EVENT_KEY not in shown
    assert CLIENT_SECRET not in shown
