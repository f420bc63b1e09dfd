"""Members, counted in the membership table."""

import time
from dataclasses import replace

from audience_sync.aws.membership_table import MembershipTable
from cli.member_counts import MemberCount, about, member_counts
from cli.status import count_members
from tests.unit.cli.conftest import AUDIENCE, Json, Simulation, change

OTHER = replace(AUDIENCE, audience_id="5", name="Another", computation_key="another")


def record(simulation: Simulation, *members: tuple[str, bool]) -> None:
    """Note who has entered and who has left, as the worker does."""
    table = MembershipTable(simulation.stack.service("dynamodb"), simulation.stack["MembershipTable"], time.time, 900)
    table.record([change(name, exits=exits) for name, exits in members])


def test_who_is_in_and_who_has_left_is_counted_by_audience(simulation: Simulation) -> None:
    record(simulation, ("m1", False), ("m2", False), ("m3", True))
    seen: list[int] = []
    counts = member_counts(simulation.stack, [AUDIENCE, OTHER], seen.append)
    assert counts == [MemberCount(AUDIENCE, 2, 1), MemberCount(OTHER, 0, 0)]
    assert sum(seen) == about(simulation.stack) == 3


def test_the_newest_change_of_a_member_counts(simulation: Simulation) -> None:
    table = MembershipTable(simulation.stack.service("dynamodb"), simulation.stack["MembershipTable"], time.time, 900)
    for each in (change("m1", at=1), change("m1", at=3, exits=True), change("m1", at=2)):
        table.record([each])
    assert member_counts(simulation.stack, [AUDIENCE], lambda _: None) == [MemberCount(AUDIENCE, 0, 1)]


def test_many_members_come_in_pages(simulation: Simulation) -> None:
    wide = [{"email": f"{number:064}"} for number in range(100)]
    table = MembershipTable(simulation.stack.service("dynamodb"), simulation.stack["MembershipTable"], time.time, 900)
    entries = [change(f"m{number}") for number in range(120)]
    table.record([replace(each, record=each.record | {"hashedPII": wide}) for each in entries])
    seen: list[int] = []
    assert member_counts(simulation.stack, [AUDIENCE], seen.append) == [MemberCount(AUDIENCE, 120, 0)]
    assert len(seen) > 1, "over a megabyte"


def test_scripts_get_the_numbers_of_every_listed_audience(simulation: Simulation, printed: Json) -> None:
    simulation.list_audience()
    record(simulation, ("m1", False))
    session = simulation.session(as_json=True)
    session.screen.result([each.as_json() for each in count_members(session)])
    assert printed() == [{"audienceId": AUDIENCE.audience_id, "name": AUDIENCE.name, "in": 1, "out": 0}]
