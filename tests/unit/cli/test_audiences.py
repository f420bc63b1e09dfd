"""Audiences: linked, created, changed, looked at."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.errors import InvalidAudience, NotFound
from cli.audiences import Choices, Target, link, list_, show, unlink
from cli.creation import Settings, create, update
from cli.errors import NotConfirmed, NotThere, OperatorError, WrongUsage
from tests.unit.cli.conftest import AUDIENCE, Json, Simulation

ADVERTISER = Target(advertiser="590071284455661234")


@pytest.fixture(autouse=True)
def connected(simulation: Simulation) -> None:
    simulation.connect()


def test_linking_ties_an_audience_of_amazon_to_a_computation_key(simulation: Simulation, printed: Json) -> None:
    link(simulation.session(as_json=True), AUDIENCE.audience_id, key="big_spenders", country="uk")
    told = printed()
    assert (told["computationKey"], told["country"], told["name"]) == ("big_spenders", "GB", AUDIENCE.name)
    found = simulation.session().audiences.by_computation_key("big_spenders")
    assert [each.audience_id for each in found] == [AUDIENCE.audience_id]


def test_linking_again_keeps_what_is_not_given(simulation: Simulation, printed: Json) -> None:
    simulation.list_audience()
    link(simulation.session(as_json=True), AUDIENCE.audience_id, name="Another name")
    told = printed()
    assert (told["name"], told["computationKey"], told["country"]) == ("Another name", AUDIENCE.computation_key, "US")
    row = simulation.stack.service("dynamodb").get_item(
        TableName=simulation.stack["AudienceTable"], Key={"audienceId": {"S": AUDIENCE.audience_id}}
    )["Item"]
    assert row["created"] == {"N": "7"}


def test_an_audience_of_a_connection_may_also_go_to_dsp(simulation: Simulation) -> None:
    link(simulation.session(), AUDIENCE.audience_id, Target(connection="connection-1"), choices=Choices(dsp=True))
    found = simulation.session().audiences.by_id(AUDIENCE.audience_id)
    assert found is not None
    assert (found.connection_id, found.target_types) == ("connection-1", ("DSP",))


def test_linking_without_a_target_takes_the_advertiser_that_amazon_names(simulation: Simulation, printed: Json) -> None:
    link(simulation.session(as_json=True), AUDIENCE.audience_id)
    told = printed()
    assert (told["advertiserId"], told["connectionId"]) == (ADVERTISER.advertiser, None)


def test_an_advertiser_that_amazon_contradicts_is_refused(simulation: Simulation) -> None:
    with pytest.raises(WrongUsage):
        link(simulation.session(), AUDIENCE.audience_id, Target("999999"))


def test_what_was_linked_without_a_target_is_not_created_a_second_time(simulation: Simulation, printed: Json) -> None:
    link(simulation.session(as_json=True), AUDIENCE.audience_id)
    external_id = printed()["externalAudienceId"]
    create(
        simulation.session(as_json=True), "Lapsed premium buyers", ADVERTISER, Settings(), "US", external_id=external_id
    )
    told = printed()
    assert (told["audienceId"], told["created"]) == (AUDIENCE.audience_id, False)
    assert len(simulation.session().audiences.all()) == 1


@pytest.mark.parametrize(
    ("target", "at_fault"),
    [
        pytest.param(Target("590071284455661234", "c-1"), "advertiserId, connectionId", id="both"),
        pytest.param(Target(advertiser="ENTITY123"), "advertiserId", id="an advertiser of letters"),
        pytest.param(Target(advertiser="5.9e17"), "advertiserId", id="an advertiser that was rounded"),
        pytest.param(Target(connection="c" * 257), "connectionId", id="a connection too long"),
    ],
)
def test_a_target_is_linked_by_the_rules_it_is_created_by(
    simulation: Simulation, target: Target, at_fault: str
) -> None:
    with pytest.raises(InvalidAudience) as caught:
        link(simulation.session(), AUDIENCE.audience_id, target)
    assert [fault.field for fault in caught.value.faults] == [at_fault]
    assert simulation.session().audiences.all() == []


def test_another_target_takes_the_place_of_the_one_before(simulation: Simulation, printed: Json) -> None:
    in_amc = Target(connection="c-1")
    expected = {in_amc: (None, "c-1", {"dsp": True}), ADVERTISER: (ADVERTISER.advertiser, None, {})}
    for target, choices in ((ADVERTISER, Choices()), (in_amc, Choices(dsp=True)), (ADVERTISER, Choices())):
        link(simulation.session(as_json=True), AUDIENCE.audience_id, target, choices=choices)
        told = printed()
        assert (told["advertiserId"], told["connectionId"], told["settings"]) == expected[target]


def test_linking_again_keeps_the_connection_whatever_advertiser_amazon_names(
    simulation: Simulation, printed: Json
) -> None:
    for name in ("One name", "Another name"):
        target = Target(connection="c-1") if name == "One name" else Target()
        link(simulation.session(as_json=True), AUDIENCE.audience_id, target, name=name)
        told = printed()
        assert (told["name"], told["advertiserId"], told["connectionId"]) == (name, None, "c-1")


def test_an_advertisers_audience_has_no_choice_about_dsp(simulation: Simulation) -> None:
    with pytest.raises(InvalidAudience) as caught:
        link(simulation.session(), AUDIENCE.audience_id, ADVERTISER, choices=Choices(dsp=True))
    assert [fault.field for fault in caught.value.faults] == ["dsp"]


@pytest.mark.parametrize(
    ("audience_id", "country", "error"),
    [
        pytest.param("12x", "", WrongUsage, id="no number"),
        pytest.param(AUDIENCE.audience_id, "XX", WrongUsage, id="no country"),
        pytest.param(AUDIENCE.audience_id, "UNKNOWN", WrongUsage, id="Amazon's word for no country"),
        pytest.param(AUDIENCE.audience_id, "zz", WrongUsage, id="Amazon's code for no country"),
        pytest.param("418273650912345679", "", NotFound, id="unknown to Amazon"),
    ],
)
def test_what_cannot_be_linked_is_refused(
    simulation: Simulation, audience_id: str, country: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        link(simulation.session(), audience_id, country=country)
    assert simulation.session().audiences.all() == []


def test_one_computation_key_has_one_audience(simulation: Simulation) -> None:
    simulation.list_audience()
    create(simulation.session(), "Another audience", ADVERTISER, Settings(), country="US")
    other = next(each for each in simulation.session().audiences.all() if each.audience_id != AUDIENCE.audience_id)
    with pytest.raises(OperatorError, match="Another audience has that computation key"):
        link(simulation.session(), other.audience_id, key=AUDIENCE.computation_key or "")


def test_an_unlinked_audience_is_reached_by_nothing(simulation: Simulation) -> None:
    simulation.list_audience()
    simulation.answers = ["n", "y"]
    with pytest.raises(NotConfirmed):
        unlink(simulation.session(), "lapsed_premium_buyers")
    unlink(simulation.session(), "lapsed_premium_buyers")
    assert simulation.session().audiences.all() == []


def test_after_unlinking_the_same_creation_makes_another_audience_and_the_first_stays_at_amazon(
    simulation: Simulation, printed: Json
) -> None:
    made = []
    for _ in range(2):
        create(simulation.session(as_json=True), "VIP", ADVERTISER, Settings(), country="US", key="vip")
        made.append(printed()["audienceId"])
        unlink(simulation.session(as_json=True, yes=True), "vip")
        assert printed() == {"audienceId": made[-1], "unlinked": True}
    first, second = made
    assert first != second
    assert simulation.rows("AudienceTable") == []
    link(simulation.session(as_json=True), first)
    assert printed()["audienceId"] == first, "Amazon knows it still"


def test_unlinking_one_audience_leaves_the_others_creation_alone(simulation: Simulation, printed: Json) -> None:
    made = {}
    for name in ("VIP", "Winback"):
        create(simulation.session(as_json=True), name, ADVERTISER, Settings(), country="US")
        made[name] = printed()["audienceId"]
    unlink(simulation.session(as_json=True, yes=True), made["VIP"])
    printed()
    create(simulation.session(as_json=True), "Winback", ADVERTISER, Settings(), country="US")
    assert printed()["audienceId"] == made["Winback"]
    assert [each.audience_id for each in simulation.session().audiences.all()] == [made["Winback"]]
    assert len(simulation.rows("AudienceTable")) == 2, "the audience, and what remains of its creation"


@pytest.mark.parametrize("told", ["vip", "418273650912345679", "#mappings"])
def test_what_is_not_listed_cannot_be_unlinked(simulation: Simulation, told: str) -> None:
    simulation.list_audience()
    with pytest.raises(NotThere, match="not listed here"):
        unlink(simulation.session(yes=True), told)
    assert len(simulation.session().audiences.all()) == 1


def test_creating_twice_gives_one_audience(simulation: Simulation, printed: Json) -> None:
    create(simulation.session(as_json=True), "VIP", ADVERTISER, Settings(), country="US", key="vip")
    first = printed()
    create(simulation.session(as_json=True), "VIP", ADVERTISER, Settings(), country="US", key="vip")
    second = printed()
    assert (first["created"], second["created"]) == (True, False)
    assert first["audienceId"] == second["audienceId"]
    assert first["name"] == "Segment audience VIP"


def test_creating_again_tells_what_is_in_force_and_what_is_not(simulation: Simulation, printed: Json) -> None:
    for settings in (Settings(ttl_days=30), Settings(ttl_days=7, renew=True)):
        create(simulation.session(as_json=True), "VIP", ADVERTISER, settings, country="US", external_id="vip")
        told = printed()
    assert (told["created"], told["settings"]) == (False, {"description": "VIP", "ttl": 30 * 86_400})
    assert [each["field"] for each in told["differs"]] == ["ttl", "renew"]


def test_a_person_is_told_how_to_change_what_is_not_in_force(
    simulation: Simulation, capsys: pytest.CaptureFixture[str]
) -> None:
    create(simulation.session(), "VIP", ADVERTISER, Settings(), country="US", external_id="vip")
    assert "Not as asked for" not in capsys.readouterr().err
    settings = Settings(ttl_days=7, renew=True)
    create(simulation.session(), "Very important", ADVERTISER, settings, country="US", key="vip", external_id="vip")
    seen = capsys.readouterr()
    assert "Segment audience VIP (it was there already)" in seen.out
    assert "Not as asked for: audienceName. Amazon never changes it" in seen.err
    assert "Not as asked for: ttl, renew. `audience-sync audiences update`" in seen.err
    assert "Not as asked for: computationKey. `audience-sync audiences link --key`" in seen.err


def test_a_wrong_setting_is_named_with_what_it_may_hold(simulation: Simulation) -> None:
    with pytest.raises(InvalidAudience) as error:
        create(simulation.session(), "VIP", Target(), Settings(), country="US")
    assert error.value.faults[0].field == "advertiserId, connectionId"


def test_a_shorter_life_asks_since_members_drop_out(simulation: Simulation, printed: Json) -> None:
    simulation.list_audience()
    simulation.answers = ["y"]
    update(simulation.session(as_json=True), AUDIENCE.audience_id, Settings(ttl_days=0))
    assert printed()["settings"] == {"ttl": 0}
    show(simulation.session(as_json=True), AUDIENCE.audience_id)
    assert printed()["amazon"] == {"received": None, "matched": None, "inDsp": None, "ttl": 0}


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        pytest.param({}, ["members go to Amazon DSP", "fee none"], id="an advertiser's, without a fee"),
        pytest.param(
            {"connection_id": "c-1", "settings": {"cpmCents": 1_250, "currency": "EUR"}},
            ["members go to AMC, not Amazon DSP", "fee 1,250 cents EUR for a thousand impressions"],
            id="a connection's, with a fee",
        ),
        pytest.param(
            {"connection_id": "c-1", "settings": {"dsp": True}}, ["members go to AMC and Amazon DSP"], id="with DSP"
        ),
    ],
)
def test_fee_and_ways_are_shown(
    simulation: Simulation, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], lines: list[str]
) -> None:
    simulation.list_audience(replace(AUDIENCE, **changed))
    show(simulation.session(), AUDIENCE.audience_id)
    seen = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert set(lines) <= set(seen)


def test_the_fee_that_amazon_reports_is_shown(simulation: Simulation, printed: Json) -> None:
    simulation.stack.parameters = {"MaxCpmCents": "200"}
    settings = Settings(cpm_cents=150, currency="USD")
    create(simulation.session(as_json=True), "ObjectValue here", ADVERTISER, settings, country="US")
    audience_id = printed()["audienceId"]
    link(simulation.session(as_json=True), audience_id)
    simulation.list_audience(replace(AUDIENCE, audience_id=audience_id, settings={}))
    printed()
    show(simulation.session(as_json=True), audience_id)
    told = printed()
    assert (told["fees"], told["dsp"]) == ([{"cpmCents": 150, "currency": "USD"}], True)


def test_renewal_is_switched_on_shown_and_switched_off(
    simulation: Simulation, capsys: pytest.CaptureFixture[str]
) -> None:
    simulation.list_audience()
    shown = {}
    for renew in (True, False):
        update(simulation.session(), AUDIENCE.audience_id, Settings(renew=renew))
        show(simulation.session(), AUDIENCE.audience_id)
        shown[renew] = capsys.readouterr().out
    assert "told again after 383 days" in shown[True]
    assert "drop out when their time to live ends" in shown[False]


def test_linking_with_renewal_takes_over_the_ttl_that_amazon_reports(simulation: Simulation, printed: Json) -> None:
    create(simulation.session(as_json=True), "ObjectValue here", ADVERTISER, Settings(ttl_days=30), country="US")
    audience_id = printed()["audienceId"]
    unlink(simulation.session(as_json=True, yes=True), audience_id)
    printed()
    link(simulation.session(as_json=True), audience_id, choices=Choices(renew=True))
    assert printed()["settings"] == {"renew": True, "ttl": 30 * 86_400}


@pytest.mark.parametrize("days", [0, 2])
def test_renewal_of_members_who_hardly_stay_is_refused(simulation: Simulation, days: int) -> None:
    with pytest.raises(InvalidAudience) as error:
        create(simulation.session(), "VIP", ADVERTISER, Settings(ttl_days=days, renew=True), country="US")
    assert [(fault.field, "3 days" in fault.allowed) for fault in error.value.faults] == [("ttl", True)]


def test_a_ttl_that_was_changed_elsewhere_is_pointed_out(
    simulation: Simulation, capsys: pytest.CaptureFixture[str]
) -> None:
    create(simulation.session(), "ObjectValue here", ADVERTISER, Settings(ttl_days=30, renew=True), country="US")
    (made,) = simulation.session().audiences.all()
    simulation.list_audience(replace(made, settings=made.settings | {"ttl": 90 * 86_400}))
    show(simulation.session(), made.audience_id)
    assert "Renewal counts by another time to live" in capsys.readouterr().err


def test_an_update_of_nothing_is_wrong_usage(simulation: Simulation) -> None:
    simulation.list_audience()
    with pytest.raises(WrongUsage):
        update(simulation.session(), AUDIENCE.audience_id, Settings())


def test_an_audience_is_found_by_any_of_its_names_and_others_are_not(simulation: Simulation, printed: Json) -> None:
    simulation.list_audience()
    show(simulation.session(as_json=True), "lapsed_premium_buyers")
    assert printed()["audience"]["audienceId"] == AUDIENCE.audience_id
    with pytest.raises(NotThere):
        show(simulation.session(), "nobody_knows")


def test_an_empty_list_says_what_to_do(simulation: Simulation, capsys: pytest.CaptureFixture[str]) -> None:
    list_(simulation.session())
    assert "audiences link" in capsys.readouterr().out
