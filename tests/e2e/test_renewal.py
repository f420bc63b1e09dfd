"""A member whose time to live runs out, on the whole pipeline: the renewal, the queue, the worker, Amazon."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import requests

from local.resources import client
from local.sample_profiles import Person, audience_event
from local.stack import EXAMPLE
from tests.e2e.conftest import LocalStack
from tests.waiting import until

TWO_WEEKS_BEFORE = 383 * 86_400  # seconds of 397 days


def table(stack: LocalStack, named: str) -> str:
    names: list[str] = client("dynamodb", stack.where["aws"]).list_tables()["TableNames"]
    return next(name for name in names if named in name)


def set_(stack: LocalStack, named: str, key: dict[str, Any], attribute: str, value: dict[str, Any]) -> None:
    client("dynamodb", stack.where["aws"]).update_item(
        TableName=table(stack, named),
        Key=key,
        UpdateExpression="SET #attribute = :value",
        ExpressionAttributeNames={"#attribute": attribute},
        ExpressionAttributeValues={":value": value},
    )


def renew(stack: LocalStack) -> Any:
    url = f"{stack.where['api']}/local/lambda/2015-03-31/functions/RenewFunction/invocations"
    return requests.post(url, json={}, timeout=30).json()


def told(stack: LocalStack, member: str) -> list[str]:
    url = f"{stack.where['amazon']}/sandbox/ledger"
    return [entry["action"] for entry in requests.get(url, params={"member": member}, timeout=10).json()]


def test_a_member_who_stays_is_told_again_before_amazon_drops_them_and_is_counted_once(stack: LocalStack) -> None:
    person, about = Person(7), {"audience_id": EXAMPLE.audience_id, "key": EXAMPLE.computation_key or ""}
    assert stack.post(json.dumps(audience_event(person, enters=True, at=datetime.now(UTC), **about)).encode()).ok
    until(stack.members, lambda members: person.user_id in members)
    before = stack.come_to_rest()
    since = stack.members()[person.user_id]["since"]

    audience = {"audienceId": {"S": EXAMPLE.audience_id}}
    member = audience | {"externalUserId": {"S": person.user_id}}
    set_(stack, "Membership", member, "entered", {"N": str(int(time.time()) - TWO_WEEKS_BEFORE)})
    assert renew(stack) == {"renewed": 0, "reason": None}, "nobody has asked for it"
    set_(stack, "Audience", audience, "settings", {"M": {"renew": {"BOOL": True}}})
    assert renew(stack) == {"renewed": 1, "reason": None}

    until(lambda: told(stack, person.user_id), lambda actions: actions == ["CREATE", "CREATE"])
    until(stack.members, lambda members: members[person.user_id]["since"] > since)
    counts = ("accepted", "delivered", "superseded", "parked")
    after = stack.come_to_rest()
    assert [after[name] for name in counts] == [before[name] for name in counts]
    assert renew(stack) == {"renewed": 0, "reason": None}, "they are young again"
