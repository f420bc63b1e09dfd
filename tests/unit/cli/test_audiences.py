"""Audiences: linked, created, changed, looked at."""

import pytest

from audience_sync.amazon_ads.form import InvalidAudience
from audience_sync.errors import NotFound
from cli.audiences import Target, link, list_, show, unlink
from cli.creation import Settings, create, update
from cli.errors import NotConfirmed, NotThere, OperatorError, WrongUsage
from tests.unit.cli.conftest import AUDIENCE, Json, World

ADVERTISER = Target(advertiser="590071284455661234")


@pytest.fixture(autouse=True)
def connected(world: World) -> None:
    world.connect()


def test_linking_ties_an_audience_of_amazon_to_a_computation_key(world: World, printed: Json) -> None:
    link(world.session(as_json=True), AUDIENCE.audience_id, key="big_spenders", country="uk")
    told = printed()
    assert (told["computationKey"], told["country"], told["name"]) == ("big_spenders", "GB", AUDIENCE.name)
    found = world.session().audiences.by_computation_key("big_spenders")
    assert found is not None
    assert found.audience_id == AUDIENCE.audience_id


def test_linking_again_keeps_what_is_not_given(world: World, printed: Json) -> None:
    world.list_audience()
    link(world.session(as_json=True), AUDIENCE.audience_id, name="Another name")
    told = printed()
    assert (told["name"], told["computationKey"], told["country"]) == ("Another name", AUDIENCE.computation_key, "US")
    row = world.stack.service("dynamodb").get_item(
        TableName=world.stack["AudienceTable"], Key={"audienceId": {"S": AUDIENCE.audience_id}}
    )["Item"]
    assert row["created"] == {"N": "7"}


def test_an_audience_of_a_connection_may_also_go_to_dsp(world: World) -> None:
    link(world.session(), AUDIENCE.audience_id, Target(connection="connection-1"), dsp=True)
    found = world.session().audiences.by_id(AUDIENCE.audience_id)
    assert found is not None
    assert (found.connection_id, found.target_types) == ("connection-1", ("DSP",))


@pytest.mark.parametrize(
    ("audience_id", "country", "error"),
    [
        pytest.param("12x", "", WrongUsage, id="no number"),
        pytest.param(AUDIENCE.audience_id, "XX", WrongUsage, id="no country"),
        pytest.param("418273650912345679", "", NotFound, id="unknown to Amazon"),
    ],
)
def test_what_cannot_be_linked_is_refused(world: World, audience_id: str, country: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        link(world.session(), audience_id, country=country)
    assert world.session().audiences.all() == []


def test_one_computation_key_has_one_audience(world: World) -> None:
    world.list_audience()
    create(world.session(), "Another audience", ADVERTISER, Settings(), country="US")
    other = next(each for each in world.session().audiences.all() if each.audience_id != AUDIENCE.audience_id)
    with pytest.raises(OperatorError, match="Another audience has that computation key"):
        link(world.session(), other.audience_id, key=AUDIENCE.computation_key or "")


def test_an_unlinked_audience_is_reached_by_nothing(world: World) -> None:
    world.list_audience()
    world.answers = ["n", "y"]
    with pytest.raises(NotConfirmed):
        unlink(world.session(), "lapsed_premium_buyers")
    unlink(world.session(), "lapsed_premium_buyers")
    assert world.session().audiences.all() == []


def test_creating_twice_gives_one_audience(world: World, printed: Json) -> None:
    create(world.session(as_json=True), "VIP", ADVERTISER, Settings(), country="US", key="vip")
    first = printed()
    create(world.session(as_json=True), "VIP", ADVERTISER, Settings(), country="US", key="vip")
    second = printed()
    assert (first["created"], second["created"]) == (True, False)
    assert first["audienceId"] == second["audienceId"]
    assert first["name"] == "Segment audience VIP"


def test_a_wrong_setting_is_named_with_what_it_may_hold(world: World) -> None:
    with pytest.raises(InvalidAudience) as error:
        create(world.session(), "VIP", Target(), Settings(), country="US")
    assert error.value.faults[0].field == "advertiserId, connectionId"


def test_a_shorter_life_asks_since_members_drop_out(world: World, printed: Json) -> None:
    world.list_audience()
    world.answers = ["y"]
    update(world.session(as_json=True), AUDIENCE.audience_id, Settings(ttl_days=0))
    assert printed()["settings"] == {"ttl": 0}
    show(world.session(as_json=True), AUDIENCE.audience_id)
    assert printed()["amazon"] == {"received": None, "matched": None, "inDsp": None, "ttl": 0}


def test_an_update_of_nothing_is_wrong_usage(world: World) -> None:
    world.list_audience()
    with pytest.raises(WrongUsage):
        update(world.session(), AUDIENCE.audience_id, Settings())


def test_an_audience_is_found_by_any_of_its_names_and_others_are_not(world: World, printed: Json) -> None:
    world.list_audience()
    show(world.session(as_json=True), "lapsed_premium_buyers")
    assert printed()["audience"]["audienceId"] == AUDIENCE.audience_id
    with pytest.raises(NotThere):
        show(world.session(), "nobody_knows")


def test_an_empty_list_says_what_to_do(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    list_(world.session())
    assert "audiences link" in capsys.readouterr().out
