"""Members of an older table: what is copied, what is said about the rest, and that nobody stays who was erased."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime

import pytest

from audience_sync.aws.membership_rows import KEEP_EXIT, Sharding, state_from_row
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Identity, MembershipChange
from audience_sync_cli.frame.errors import NotConfirmed, NotThere, WrongUsage
from audience_sync_cli.frame.screen import iso_time
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.members.restoration import MAX_AGE
from audience_sync_cli.members.restore_members import restore_members
from tests.command.conftest import NOW, Deployment, change
from tests.support.aws_fixtures import AUDIENCE, create_membership_table
from tests.support.builders import notice

SOURCE = "restored"
UNLISTED = "7"


@pytest.fixture(autouse=True)
def source(deployment: Deployment) -> Iterator[None]:
    deployment.list_audience()
    create_membership_table(deployment.stack.service("dynamodb"), SOURCE)
    yield
    deployment.stack.service("dynamodb").delete_table(TableName=SOURCE)


def record(
    deployment: Deployment, *changes: MembershipChange, source: bool = True, now: float = NOW, shards: int = 8
) -> None:
    """Bring changes into one of the two tables as the worker would at some time."""
    client = deployment.stack.service("dynamodb")
    name = SOURCE if source else deployment.stack["MembershipTable"]
    table = MembershipTable(client, name, Sharding(shards), Clock())
    for each in changes:
        known = table.read([each.member]).get(each.member)
        (result,) = table.write([apply_changes(known, [each], now=int(now), timing=Timing(900)).state])
        assert isinstance(result, MemberState)


def members(deployment: Deployment) -> set[tuple[str, str]]:
    """Everyone in the stack's table, by audience."""
    return {
        (row["audienceShard"]["S"].partition("#")[0], row["externalUserId"]["S"])
        for row in deployment.rows("MembershipTable")
    }


def active(deployment: Deployment) -> set[tuple[str, str]]:
    """Everyone who is in an audience by the stack's table."""
    states = map(state_from_row, deployment.rows("MembershipTable"))
    return {state.member for state in states if state.active and not state.newest.exits}


def test_rows_of_an_unlinked_audience_are_restored(deployment: Deployment) -> None:
    record(deployment, change("missing"), change("erased"))
    record(deployment, notice("erased", 3_000), source=False)
    assert deployment.session().audiences.unlink(AUDIENCE.audience_id, at=5_000)
    (outcomes,) = deployment.json(restore_members, SOURCE, since="1h", yes=True, now=NOW)["audiences"]
    assert (outcomes["copied"], outcomes["toRemove"], outcomes["unlisted"]) == (1, 1, 0)
    assert active(deployment) == {(AUDIENCE.audience_id, "missing")}


def test_missing_and_older_rows_are_copied_and_the_rest_is_counted(deployment: Deployment) -> None:
    record(deployment, change("missing"), change("older", at=2), change("newer"), change("same"))
    record(deployment, change("other", audience_id=UNLISTED), change("erased"), change("left"), change("moved"))
    record(deployment, change("expired", exits=True), now=NOW - KEEP_EXIT - 1)
    record(deployment, change("older"), change("newer", exits=True, at=2), change("same"), source=False)
    record(deployment, notice("erased", 3_000), source=False)
    record(deployment, change("left", at=2_000, exits=True, identities=()), source=False)
    record(deployment, change("moved", at=2_000, identities=(Identity(2_000, {"email": "1" * 64}),)), source=False)
    result = deployment.json(restore_members, SOURCE, since="1h", yes=True, now=NOW)
    names = "read copied merged toRemove alreadyThere newerHere changedMeanwhile expired unlisted"
    nothing = dict.fromkeys(names.split(), 0)
    once = {"merged": 1, "alreadyThere": 1, "newerHere": 1, "expired": 1}
    here = nothing | once | {"read": 8, "copied": 2, "toRemove": 2}
    assert result["audiences"] == [
        {"audienceId": AUDIENCE.audience_id, **here},
        {"audienceId": UNLISTED, **nothing, "read": 1, "unlisted": 1},
    ]
    assert result["deletionNotices"] == nothing
    assert result["total"] == here | {"read": 9, "unlisted": 1}
    assert (result["source"], result["since"], result["dryRun"]) == (SOURCE, iso_time((NOW - 3600) * 1000), False)
    audience = AUDIENCE.audience_id
    assert active(deployment) == {(audience, member) for member in ("missing", "older", "newer", "same", "moved")}
    assert {each["record"]["externalUserId"] for each in deployment.changes()} == {"erased", "left"}


def test_a_dry_run_prints_the_counts_and_what_to_repeat(deployment: Deployment) -> None:
    record(deployment, change("m1"), change("m2"))
    record(deployment, notice("m2", 3_000))
    shown = deployment.printed(restore_members, SOURCE, dry_run=True, since="2027-01-15T07:00Z", now=NOW).out
    counts = ("3 rows of 3 would be written.", "1 removal would be queued", "(deletion notices)")
    assert [said for said in counts if said not in shown] == []
    assert ("Changes after 2027-01-15 07:00:00Z" in shown, "member erase" in shown) == (True, True)
    assert (members(deployment), deployment.changes()) == (set(), [])


@pytest.mark.parametrize("days", [0, 34, 35, 39, 40, 41, 100])
def test_nobody_erased_since_is_restored_as_active(deployment: Deployment, days: int) -> None:
    now = NOW + days * DAY
    at = round(NOW * 1000)
    record(deployment, change("m1", at=at - 2))
    live = [replace(change("m1", exits=True, at=at), erase=True), notice("m1", at)]
    if days < MAX_AGE / DAY:  # then they have expired
        record(deployment, *live, source=False, now=NOW)
        deployment.stack.service("dynamodb").delete_item(  # even if the member's own row was lost
            TableName=deployment.stack["MembershipTable"], Key=Sharding(8).key_of(change("m1").member)
        )
    with pytest.raises(WrongUsage, match="40 or more days old") if days >= MAX_AGE / DAY else nullcontext():
        restore_members(deployment.session(yes=True, now=now), SOURCE, since=f"{days}d")
    assert active(deployment) == set()
    assert MAX_AGE <= KEEP_EXIT, "otherwise a notice could have expired since the source was up to date"


def test_the_age_of_a_restored_table_is_read_from_dynamodb(deployment: Deployment) -> None:
    client, table = deployment.stack.service("dynamodb"), deployment.stack["MembershipTable"]
    backups, restored = {"PointInTimeRecoveryEnabled": True}, {"TargetTableName": "in-time"}
    client.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=backups)
    record(deployment, change("m1"), source=False, now=time.time())
    client.restore_table_to_point_in_time(SourceTableName=table, **restored, UseLatestRestorableTime=True)
    client.delete_item(TableName=table, Key=Sharding(8).key_of(change("m1").member))
    result = deployment.json(restore_members, "in-time", yes=True)
    assert abs(datetime.fromisoformat(result["since"]).timestamp() - time.time()) < 3_600
    assert result["total"]["copied"] == 1


def test_a_source_with_another_number_of_shards_is_refused(deployment: Deployment) -> None:
    record(deployment, *(change(f"m{number}") for number in range(20)), shards=3)
    assert "8 shards" in str(deployment.refusal(WrongUsage, restore_members, SOURCE, since="1h", yes=True, now=NOW))
    assert members(deployment) == set()


def test_restore_members_names_renewed_audiences_and_asks_for_confirmation(deployment: Deployment) -> None:
    record(deployment, change("m1"))
    deployment.list_audience(replace(AUDIENCE, settings={"renew": True}))
    deployment.answers = ["n"]
    noted = deployment.printed(restore_members, SOURCE, since="1h", now=NOW, raises=NotConfirmed).err
    assert f"Renewed every day: {AUDIENCE.name}." in noted
    assert "Is delivery paused?" in deployment.questions[-1]
    assert members(deployment) == set()


@pytest.mark.parametrize(
    ("table", "since", "message"),
    [
        pytest.param(SOURCE, "", "the age of its rows is unknown", id="age unknown"),
        pytest.param(SOURCE, "2040-01-01", "in the future", id="future"),
        pytest.param("MembershipTable", "1h", "own membership table", id="onto itself"),
        pytest.param("AudienceTable", "1h", "not a membership table", id="another kind of table"),
        pytest.param("missing", "1h", "There is no such table", id="no table"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused(deployment: Deployment, table: str, since: str, message: str) -> None:
    name, error = (
        deployment.stack[table] if table.endswith("Table") else table,
        NotThere if table == "missing" else WrongUsage,
    )
    assert message in str(deployment.refusal(error, restore_members, name, since=since, yes=True, now=NOW))
