"""The simulation's table answers like moto's DynamoDB, call by call."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from audience_sync.aws.membership_table import MembershipTable, WriteResult
from audience_sync.errors import TransientError
from audience_sync.membership import MembershipChange
from local import resources
from local.sqs.queues import SqsQueues
from tests.aws_fixtures import create_membership_table
from tests.model.table_model import TableModel
from tests.servers import serve_aws


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with serve_aws(SqsQueues(time.time)) as url:
        client = resources.client("dynamodb", url)
        create_membership_table(client, "members")
        yield client


def any_change(chance: random.Random) -> MembershipChange:
    exits = chance.random() < 0.4
    record: dict[str, Any] = {
        "externalUserId": chance.choice(["m1", "M1"]),
        "action": "DELETE" if exits else "CREATE",
        "hashedPII": [{"email": email} for email in "abc" if chance.random() < 0.4],
        "userConsent": {},
    }
    at, erase = chance.randint(1, 6), exits and chance.random() < 0.3
    return MembershipChange("418273650912345678", None, at, f"id-{chance.randint(1, 3)}", record, erase)


def comparable(result: WriteResult | TransientError) -> object:
    return result if isinstance(result, WriteResult) else str(result)


def test_the_table_model_behaves_like_dynamodb(dynamodb: Any) -> None:
    chance, clock, model = random.Random(7), [1_800_000_000.0], TableModel()
    client: Any = model
    ours = MembershipTable(client, "members", lambda: clock[0], 900.0)
    theirs = MembershipTable(dynamodb, "members", lambda: clock[0], 900.0)
    everyone = [("418273650912345678", name) for name in ("m1", "M1", "unknown")]
    for _ in range(150):
        clock[0] += chance.choice([1, 400, 1000])
        change = any_change(chance)
        results = [[comparable(each) for each in table.record([change])] for table in (ours, theirs)]
        assert results[0] == results[1]
        if change.erase:
            for table in (ours, theirs):
                table.erase(change)
        assert ours.versions(everyone) == theirs.versions(everyone)
        newest = [sorted(table.newest(everyone), key=lambda each: each.member) for table in (ours, theirs)]
        assert newest[0] == newest[1]
    stored = dynamodb.scan(TableName="members", ConsistentRead=True)["Items"]
    assert {row["externalUserId"]["S"]: _sorted(row) for row in stored} == {
        member: _sorted(row) for (_, member), row in model.rows.items()
    }


def _sorted(row: dict[str, Any]) -> dict[str, Any]:
    return {name: {"SS": sorted(value["SS"])} if "SS" in value else value for name, value in row.items()}
