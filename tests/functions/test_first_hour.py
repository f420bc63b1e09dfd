"""The checks for the first hour in an AWS account, in docs/operate.md, as far as the local AWS can make them."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.ingest import handler as ingest
from local.sample_profiles import Person, audience_event
from tests.functions.test_events import dead, receive
from tests.support.cloud import EVENT_KEY, ROOT, Cloud, Context
from tests.support.invocations import body, change, deliver

SECTION = (ROOT / "docs/operate.md").read_text().split("\n## First hour in an account\n")[1].split("\n## ")[0]
EMPTY = {"clientId": "", "clientSecret": "", "refreshToken": ""}


def test_an_event_is_accepted_and_kept_before_amazon_is_connected(cloud: Cloud, printed: Callable[[], str]) -> None:
    (row,) = re.findall(r"put-item .* --item '(.*)'", SECTION)
    cloud.client("dynamodb").put_item(TableName=cloud.name_of("AudienceTable"), Item=json.loads(row))
    cloud.put_secret("CredentialsSecret", EMPTY)
    cloud.put_secret("TokenSecret", {"accessToken": "", "expiresAt": 0})
    event = audience_event(Person(1), enters=True, at=datetime.now(UTC), audience_id="1", key="lapsed_premium_buyers")
    headers = {"content-type": "application/json", "authorization": f"Bearer {EVENT_KEY}"}
    request: dict[str, Any] = {"routeKey": "POST /v1/events", "headers": headers, "body": json.dumps(event)}
    cloud.enter("IngestFunction")
    answer = ingest.lambda_handler(request | {"version": "2.0", "isBase64Encoded": False}, Context())
    assert json.loads(answer["body"])["accepted"] == 1
    assert len(deliver(cloud)) == 1, "the message stays in the queue"
    lines = printed()
    assert '"not_connected"' in lines
    assert "OldestWaitingChangeAge" in lines, "so that the audit does not miss it"
    assert "OldestDeferredChangeAge" not in lines, "so that DeliveryStalled does not go off"
    rows = cloud.client("dynamodb").scan(TableName=cloud.name_of("MembershipTable"), ConsistentRead=True)["Items"]
    assert [each["audienceShard"]["S"] for each in rows if each["audienceShard"]["S"].startswith("1#")]


def test_the_refused_body_goes_to_the_dead_letters_with_the_reason_of_the_page(cloud: Cloud) -> None:
    ((refused, reason),) = re.findall(r"--message-body '(.*)'(?:.*\n)*?.*with the reason `(\w+)`", SECTION)
    assert receive(cloud, refused.encode()) == []
    assert dead(cloud) == [(refused, {"reason": reason})]


@pytest.mark.parametrize(
    ("secret", "value"),
    [
        pytest.param("TokenSecret", {"accessToken": "Atza|old", "expiresAt": 1}, id="the authorization was lost"),
        pytest.param("CredentialsSecret", EMPTY | {"refreshToken": "Atzr|new"}, id="connected, without a client"),
    ],
)
def test_a_stack_that_was_connected_reports_changes_that_cannot_be_delivered(
    cloud: Cloud, printed: Callable[[], str], secret: str, value: dict[str, Any]
) -> None:
    cloud.put_secret("CredentialsSecret", EMPTY)
    cloud.put_secret("TokenSecret", {"accessToken": "", "expiresAt": 0})
    cloud.put_secret(secret, value)
    assert len(deliver(cloud, body(change("m1")))) == 1
    assert "OldestDeferredChangeAge" in printed()
