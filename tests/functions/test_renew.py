"""The renewal as Lambda runs it, and the delivery of its messages: with backdated rows, the worker and Amazon."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests

from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.membership_rows import KEEP_ACTIVE, Sharding
from audience_sync.aws.sqs import Queue
from audience_sync.members.membership import Audience, Destination
from functions.renew import handler
from tests.support.cloud import AUDIENCE, CREDENTIALS, Cloud, Context
from tests.support.invocations import EMAIL, body, change, deliver

DAY = 86_400  # seconds
RENEWED = replace(AUDIENCE, settings={"renew": True})


@pytest.fixture
def listed(cloud: Cloud) -> Cloud:
    return put_audience(cloud, RENEWED)


def put_audience(cloud: Cloud, audience: Audience) -> Cloud:
    table = cloud.audiences
    table.put(audience, created=0)
    return cloud


def renew(cloud: Cloud, context: Context | None = None, **variables: str) -> Any:
    cloud.enter("RenewFunction", **variables)
    return handler.lambda_handler({"source": "aws.events"}, context or Context(milliseconds=900_000))


def backdate(cloud: Cloud, member: str, days: float) -> None:
    """Set the time at which a member was last sent to so many days ago."""
    cloud.client("dynamodb").update_item(
        TableName=cloud.name_of("MembershipTable"),
        Key=key(member),
        UpdateExpression="SET entered = :then, expiresAt = :end",
        ExpressionAttributeValues={
            ":then": {"N": str(int(time.time() - days * DAY))},
            ":end": {"N": str(int(time.time() - days * DAY) + KEEP_ACTIVE)},
        },
    )


def key(member: str) -> dict[str, Any]:
    return Sharding().key_of((AUDIENCE.audience_id, member))


def row(cloud: Cloud, member: str) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("dynamodb").get_item(
        TableName=cloud.name_of("MembershipTable"), Key=key(member), ConsistentRead=True
    )["Item"]
    return found


def actions_sent(cloud: Cloud, member: str) -> list[str]:
    log = requests.get(f"{cloud.amazon_url}/sandbox/ledger", params={"member": member}, timeout=5).json()
    return [record["action"] for record in log]


def counted(text: str, name: str) -> list[float]:
    """The values of one metric in what a function printed."""
    lines = [json.loads(line) for line in text.splitlines() if f'"{name}":[' in line.replace(" ", "")]
    return [value for line in lines for value in line[name]]


def test_a_member_whose_ttl_expires_soon_is_sent_again_and_not_counted(
    listed: Cloud, printed: Callable[[], str]
) -> None:
    deliver(listed, body(change("cust_1"), change("cust_2")))
    assert counted(printed(), "ChangesDelivered") == [2.0]
    backdate(listed, "cust_1", days=384)
    assert renew(listed) == {"renewed": 1, "reason": None}
    assert [each["record"]["externalUserId"] for each in listed.changes()] == ["cust_1"]

    assert deliver(listed) == []
    assert (actions_sent(listed, "cust_1"), actions_sent(listed, "cust_2")) == (["CREATE", "CREATE"], ["CREATE"])
    text = printed()
    assert "ChangesDelivered" not in text
    assert not any(secret in text for secret in (EMAIL, "cust_1", *CREDENTIALS.values()))
    found = row(listed, "cust_1")
    assert int(found["entered"]["N"]) == pytest.approx(time.time(), abs=600)
    assert int(found["expiresAt"]["N"]) == int(found["entered"]["N"]) + KEEP_ACTIVE

    assert renew(listed) == {"renewed": 0, "reason": None}


def test_a_rejected_renewal_is_not_repeated_every_day(listed: Cloud) -> None:
    deliver(listed, body(change("cust_1")))
    backdate(listed, "cust_1", days=384)
    listed.fault("/amc/audiences/records", {"status": 400})
    assert renew(listed)["renewed"] == 1
    assert deliver(listed) == []
    assert len(listed.messages("DeadLetterQueue")) == 1
    assert renew(listed) == {"renewed": 0, "reason": None}


def test_an_audience_of_an_unknown_api_is_skipped_and_logged(listed: Cloud, printed: Callable[[], str]) -> None:
    deliver(listed, body(change("cust_1")))
    backdate(listed, "cust_1", days=384)
    put_audience(listed, replace(RENEWED, destination=Destination.of({"api": "new"})))
    assert renew(listed) == {"renewed": 0, "reason": None}
    assert listed.changes() == []
    assert '"message":"audiences of an API that this version does not know"' in printed()


def test_a_changed_setting_takes_effect_in_the_next_run(cloud: Cloud) -> None:
    deliver(cloud, body(change("cust_1")))
    backdate(cloud, "cust_1", days=384)
    renew(cloud)
    put_audience(cloud, RENEWED)
    assert handler.lambda_handler({}, Context(milliseconds=900_000))["renewed"] == 1  # the same environment


def test_a_run_without_time_left_is_continued_by_the_next_one(listed: Cloud, printed: Callable[[], str]) -> None:
    deliver(listed, body(change("cust_1")))
    backdate(listed, "cust_1", days=384)
    assert renew(listed, Context(milliseconds=5_000)) == {"renewed": 0, "reason": "out_of_time"}
    checkpoint = Checkpoint(listed.client("dynamodb"), listed.name_of("MembershipTable"), RENEWAL)
    assert checkpoint.position() == {"audience": AUDIENCE.audience_id, "shard": "0"}
    assert '"message":"renewal stopped"' in printed().replace(": ", ":")
    assert renew(listed)["renewed"] == 1
    assert checkpoint.position().keys() == {"completed"}


def test_delayed_messages_do_not_stop_a_renewal(listed: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync.operations.renewal.MAX_WAITING", 5)
    deliver(listed, body(change("cust_1")))
    backdate(listed, "cust_1", days=384)
    queue = Queue(listed.client("sqs"), listed.name_of("ChangeQueue"), time.monotonic)
    queue.send(["{}"] * 6, deadline=time.monotonic() + 60, delay=900)
    assert renew(listed) == {"renewed": 1, "reason": None}
