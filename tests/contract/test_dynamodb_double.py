"""The table in memory answers like the local AWS, call by call."""

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.errors import TransientError
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import MembershipChange
from tests.support import builders
from tests.support.builders import AUDIENCE
from tests.support.doubles.dynamodb import MEMBERSHIP_KEY, MembershipRows


def any_change(chance: random.Random) -> MembershipChange:
    exits = chance.random() < 0.4
    member, emails = chance.choice(["m1", "M1"]), [email for email in "abc" if chance.random() < 0.4]
    at, erase = chance.randint(1, 6), exits and chance.random() < 0.3
    message_id = f"id-{chance.randint(1, 3)}"
    return builders.change(member, *emails, at=at, exits=exits, message_id=message_id, erase=erase)


def comparable(result: MemberState | TransientError) -> object:
    return result if isinstance(result, MemberState) else type(result)


def test_the_double_behaves_like_dynamodb(dynamodb: Any) -> None:
    chance, now, model = random.Random(7), 1_800_000_000, MembershipRows()
    client: Any = model
    tables = [MembershipTable(each, "members", Sharding(2), Clock()) for each in (client, dynamodb)]
    members = [(AUDIENCE, name) for name in ("m1", "M1", "unknown")]
    outdated: list[MemberState] = []
    for _ in range(150):
        now += chance.choice([1, 400, 1000])
        change = any_change(chance)
        (ours, theirs) = (table.read(members) for table in tables)
        assert ours == theirs
        state = apply_changes(ours.get(change.member), [change], now=now, timing=Timing(1020)).state
        written = [state] if chance.random() < 0.8 or not outdated else [chance.choice(outdated)]
        results = [[comparable(each) for each in table.write(written)] for table in tables]
        assert results[0] == results[1]
        outdated.append(state)
    stored = dynamodb.scan(TableName="members", ConsistentRead=True)["Items"]
    assert {tuple(row[name]["S"] for name in MEMBERSHIP_KEY): row for row in stored} == model.rows


ROW = {
    "audienceShard": {"S": "#state"},
    "externalUserId": {"S": "a"},
    "n": {"N": "2"},
    "s": {"S": "#circuit"},
    "c": {"N": "5"},
}
KEY = {name: ROW[name] for name in MEMBERSHIP_KEY}
VALUES = {":two": {"N": "2"}, ":ten": {"N": "10"}, ":prefix": {"S": "#"}, ":more": {"SS": ["b"]}}


@pytest.mark.parametrize(
    "condition",
    [
        "#n = :two AND (attribute_exists(s) OR #n > :two)",
        "NOT #n = :two",
        "begins_with(s, :prefix) AND #n < :ten",
        "absent < :two OR #n = :ten",
        "attribute_not_exists(#n) OR #n < :two",
    ],
)
def test_the_double_evaluates_conditions_and_updates_like_dynamodb(dynamodb: Any, condition: str) -> None:
    def outcomes(client: Any) -> Iterator[Any]:
        client.put_item(TableName="members", Item=ROW)
        for text, call in (
            (condition, partial(client.put_item, Item=ROW | {"n": {"N": "3"}}, ConditionExpression=condition)),
            (
                "SET #n = :ten REMOVE s ADD t :more, c :two",
                partial(client.update_item, Key=KEY, ReturnValues="ALL_NEW"),
            ),
        ):
            values = {name: value for name, value in VALUES.items() if name in text}
            more = {} if text is condition else {"UpdateExpression": text}
            names = {"ExpressionAttributeNames": {"#n": "n"}, "ExpressionAttributeValues": values}
            try:
                answer = call(TableName="members", ReturnValuesOnConditionCheckFailure="ALL_OLD", **names, **more)
                yield answer.get("Attributes")
            except ClientError as error:
                yield error.response["Error"]["Code"], error.response.get("Item")
            yield client.get_item(TableName="members", Key=KEY, ConsistentRead=True)["Item"]

    assert list(outcomes(MembershipRows())) == list(outcomes(dynamodb))
