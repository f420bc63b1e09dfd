"""Members, counted in the membership table."""

import time
from dataclasses import replace

from audience_sync.aws.membership_table import MembershipTable
from cli.member_counts import MemberCount, member_counts
from cli.status import count_members
from tests.aws_fixtures import AUDIENCE
from tests.unit.cli.conftest import Deployment, Json, change

OTHER = replace(AUDIENCE, audience_id="5", name="Another", computation_key="another")


def record(deployment: Deployment, *members: tuple[str, bool]) -> None:
    """Record who has entered and who has left, as the worker does."""
    table = MembershipTable(deployment.stack.service("dynamodb"), deployment.stack["MembershipTable"], time.time, 900)
    table.record([change(name, exits=exits) for name, exits in members])


def test_who_is_in_and_who_has_left_is_counted_by_audience(deployment: Deployment) -> None:
    record(deployment, ("m1", False), ("m2", False), ("m3", True))
    seen: list[int] = []
    scan = deployment.session().member_scan
    counts = member_counts(scan, [AUDIENCE, OTHER], seen.append)
    assert counts == [MemberCount(AUDIENCE, 2, 1), MemberCount(OTHER, 0, 0)]
    assert sum(seen) == scan.approximate_rows() == 3


def test_the_newest_change_of_a_member_counts(deployment: Deployment) -> None:
    table = MembershipTable(deployment.stack.service("dynamodb"), deployment.stack["MembershipTable"], time.time, 900)
    for each in (change("m1", at=1), change("m1", at=3, exits=True), change("m1", at=2)):
        table.record([each])
    assert member_counts(deployment.session().member_scan, [AUDIENCE], lambda _: None) == [MemberCount(AUDIENCE, 0, 1)]


def test_many_members_come_in_pages(deployment: Deployment) -> None:
    wide = [{"email": f"{number:064}"} for number in range(100)]
    table = MembershipTable(deployment.stack.service("dynamodb"), deployment.stack["MembershipTable"], time.time, 900)
    entries = [change(f"m{number}") for number in range(120)]
    table.record([replace(each, record=each.record | {"hashedPII": wide}) for each in entries])
    seen: list[int] = []
    assert member_counts(deployment.session().member_scan, [AUDIENCE], seen.append) == [MemberCount(AUDIENCE, 120, 0)]
    assert len(seen) > 1, "over a megabyte"


def test_scripts_get_the_numbers_of_every_listed_audience(deployment: Deployment, printed: Json) -> None:
    deployment.list_audience()
    record(deployment, ("m1", False))
    session = deployment.session(as_json=True)
    session.screen.result([each.as_json() for each in count_members(session)])
    assert printed() == [{"audienceId": AUDIENCE.audience_id, "name": AUDIENCE.name, "in": 1, "out": 0}]
