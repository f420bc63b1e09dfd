"""The table in memory answers like the local AWS, write by write."""

import random
from typing import Any

from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.errors import TransientError
from audience_sync.member_state import MemberState, Timing
from audience_sync.member_step import step
from audience_sync.membership import MembershipChange
from tests import builders
from tests.builders import AUDIENCE
from tests.doubles.dynamodb import MEMBERSHIP_KEY, MembershipRows


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
        state = step(ours.get(change.member), [change], now=now, timing=Timing(1020)).state
        written = [state] if chance.random() < 0.8 or not outdated else [chance.choice(outdated)]
        results = [[comparable(each) for each in table.write(written)] for table in tables]
        assert results[0] == results[1]
        outdated.append(state)
    stored = dynamodb.scan(TableName="members", ConsistentRead=True)["Items"]
    assert {tuple(row[name]["S"] for name in MEMBERSHIP_KEY): row for row in stored} == model.rows
