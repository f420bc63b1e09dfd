"""One member: what is known of them, and forgetting them everywhere."""

import time
from dataclasses import replace

import pytest

from audience_sync.aws.membership_table import MembershipTable
from audience_sync.membership import MembershipChange
from cli.errors import NotConfirmed, NotThere, WrongUsage
from cli.member import forget, show
from tests.unit.cli.conftest import AUDIENCE, Json, Simulation, change

OTHER = replace(AUDIENCE, audience_id="5", name="Another", computation_key="another")


@pytest.fixture(autouse=True)
def listed(simulation: Simulation) -> None:
    simulation.list_audience()
    simulation.list_audience(OTHER)


def record(simulation: Simulation, change: MembershipChange) -> None:
    """Note a change as the worker does."""
    table = MembershipTable(simulation.stack.service("dynamodb"), simulation.stack["MembershipTable"], time.time, 900)
    table.record([change])


def test_a_member_is_shown_with_what_was_sent(simulation: Simulation, printed: Json) -> None:
    record(simulation, change("m1", at=1_000))
    record(simulation, change("m1", at=2_000, exits=True))
    simulation.park(change("m1", exits=True, at=2_000), reason="not_found")
    show(simulation.session(as_json=True), "lapsed_premium_buyers", "m1")
    told = printed()
    assert (told["action"], told["at"], told["messageId"]) == ("DELETE", 2_000, "message-m1")
    assert told["identifiers"] == [{"email": "0" * 64}]
    assert abs(told["toldAt"] / 1000 - time.time()) < 60
    assert [letter["reason"] for letter in told["parked"]] == ["not_found"]


def test_a_member_may_be_known_from_a_dead_letter_alone(simulation: Simulation, printed: Json) -> None:
    simulation.park(change("m1"))
    show(simulation.session(as_json=True), AUDIENCE.audience_id, "m1")
    assert len(printed()["parked"]) == 1


def test_a_stranger_is_not_there(simulation: Simulation) -> None:
    with pytest.raises(NotThere):
        show(simulation.session(), AUDIENCE.audience_id, "nobody")


def test_forgetting_sends_an_exit_to_every_audience(simulation: Simulation, printed: Json) -> None:
    record(simulation, change("m1"))
    simulation.park(change("m1"))
    forget(simulation.session(as_json=True, yes=True, now=5.0), "m1")
    assert printed() == {"audiences": 2, "knownIn": 1, "deadLetters": 1}
    sent = simulation.bodies("ChangeQueue")
    assert sorted(body["audienceId"] for body in sent) == [AUDIENCE.audience_id, "5"]
    for body in sent:
        (exit_,) = body["changes"]
        assert (exit_["at"], exit_["erase"], exit_["record"]["action"]) == (5_000, True, "DELETE")
        assert body["replay"] is True  # no event was accepted for it


def test_nobody_is_forgotten_unasked(simulation: Simulation) -> None:
    simulation.answers = ["n"]
    with pytest.raises(NotConfirmed):
        forget(simulation.session(), "m1")
    assert simulation.bodies("ChangeQueue") == []


def test_an_address_is_no_external_user_id(simulation: Simulation) -> None:
    with pytest.raises(WrongUsage):
        forget(simulation.session(yes=True), "maya@example.com")
