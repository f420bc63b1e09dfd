"""A member whose TTL is about to expire, in the whole pipeline: renewal, queue, worker and Amazon."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import requests

from audience_sync.aws.membership_rows import Sharding
from local.example_audiences import EXAMPLE
from local.resources import client
from local.sample_profiles import Person, audience_event
from tests.e2e.conftest import LocalStack
from tests.waiting import wait_until

AGE = 382 * 86_400  # seconds; fifteen days before the 397 days are over


def table(stack: LocalStack, part: str) -> str:
    names: list[str] = client("dynamodb", stack.where["aws"]).list_tables()["TableNames"]
    return next(name for name in names if part in name)


def set_attribute(stack: LocalStack, part: str, key: dict[str, Any], attribute: str, value: dict[str, Any]) -> None:
    client("dynamodb", stack.where["aws"]).update_item(
        TableName=table(stack, part),
        Key=key,
        UpdateExpression="SET #attribute = :value",
        ExpressionAttributeNames={"#attribute": attribute},
        ExpressionAttributeValues={":value": value},
    )


def renew(stack: LocalStack) -> Any:
    url = f"{stack.where['api']}/local/lambda/2015-03-31/functions/RenewFunction/invocations"
    return requests.post(url, json={}, timeout=30).json()


def actions_sent(stack: LocalStack, member: str) -> list[str]:
    url = f"{stack.where['amazon']}/sandbox/ledger"
    return [record["action"] for record in requests.get(url, params={"member": member}, timeout=10).json()]


def test_an_active_member_is_sent_again_before_amazon_drops_it_and_is_counted_once(stack: LocalStack) -> None:
    person, example = Person(7), {"audience_id": EXAMPLE.audience_id, "key": EXAMPLE.computation_key or ""}
    assert stack.post(json.dumps(audience_event(person, enters=True, at=datetime.now(UTC), **example)).encode()).ok
    wait_until(stack.members, lambda members: person.user_id in members)
    before = stack.wait_until_quiescent()
    since = stack.members()[person.user_id]["since"]

    audience = {"audienceId": {"S": EXAMPLE.audience_id}}
    member = Sharding().key_of((EXAMPLE.audience_id, person.user_id))
    set_attribute(stack, "Membership", member, "entered", {"N": str(int(time.time()) - AGE)})
    assert renew(stack) == {"renewed": 0, "reason": None}, "the setting is off"
    set_attribute(stack, "Audience", audience, "settings", {"M": {"renew": {"BOOL": True}}})
    assert renew(stack) == {"renewed": 1, "reason": None}

    wait_until(lambda: actions_sent(stack, person.user_id), lambda actions: actions == ["CREATE", "CREATE"])
    wait_until(stack.members, lambda members: members[person.user_id]["since"] > since)
    counts = ("accepted", "delivered", "superseded", "parked")
    after = stack.wait_until_quiescent()
    assert [after[name] for name in counts] == [before[name] for name in counts]
    assert renew(stack) == {"renewed": 0, "reason": None}, "the TTL starts again"
