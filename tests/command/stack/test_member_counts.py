"""Members, counted in the membership table."""

from dataclasses import replace

from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.members.member_state import Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Identity
from audience_sync_cli.checks.status import count_members
from audience_sync_cli.stack.member_counts import MemberCount, member_counts
from tests.command.conftest import Deployment, change
from tests.support.aws_fixtures import AUDIENCE

OTHER = replace(AUDIENCE, audience_id="5", name="Another", computation_key="another")


def test_current_and_former_members_are_counted_by_audience(deployment: Deployment) -> None:
    deployment.record(change("m1"), change("m2"), change("m3", exits=True))
    seen: list[int] = []
    scan = deployment.session().member_scan
    counts = member_counts(scan, [AUDIENCE, OTHER], seen.append)
    assert counts == [MemberCount(AUDIENCE, 2, 1), MemberCount(OTHER, 0, 0)]
    assert sum(seen) == scan.size().rows == 3


def test_members_are_counted_over_several_pages(deployment: Deployment) -> None:
    client, name, sharding = deployment.stack.service("dynamodb"), deployment.stack["MembershipTable"], Sharding(1)
    wide = tuple(Identity(1_000, {"email": f"{number:064}"}) for number in range(100))
    entries = (change(f"m{number}", identities=wide) for number in range(300))
    states = [apply_changes(None, [each], now=1, timing=Timing(900)).state for each in entries]
    MembershipTable(client, name, sharding, Clock()).write(states)
    seen: list[int] = []
    scan = MembershipScan(client, name, sharding)
    assert member_counts(scan, [AUDIENCE], seen.append) == [MemberCount(AUDIENCE, 300, 0)]
    assert len(seen) == 2, "over a megabyte"


def test_json_has_the_counts_of_every_listed_audience(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.record(change("m1"))
    assert [each.as_json() for each in count_members(deployment.session())] == [
        {"audienceId": AUDIENCE.audience_id, "name": AUDIENCE.name, "in": 1, "out": 0}
    ]
