"""Audiences: linked, created, changed, shown."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from audience_sync.amazon_ads.destination import amc_connection, destination_of_changes
from audience_sync.aws.audience_table import VERSION_KEY
from audience_sync.errors import InvalidMessage, NotFound
from audience_sync.members.membership import Destination
from audience_sync_cli.audiences.creation import Settings, create, update
from audience_sync_cli.audiences.linking import link, unlink
from audience_sync_cli.audiences.list_and_show import list_, show
from audience_sync_cli.checks import check_all as checks
from audience_sync_cli.frame.errors import AlreadyReported, NotConfirmed, NotThere, WrongUsage
from audience_sync_cli.frame.screen import iso_time
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY, HOUR
from audience_sync_cli.stack.listed import completions
from audience_sync_cli.stack.options import Choices, NewTarget, Target
from tests.command.conftest import NOW, Deployment
from tests.support.aws_fixtures import AUDIENCE

pytestmark = pytest.mark.usefixtures("connected")

ADVERTISER = NewTarget(advertiser="590071284455661234")
ID = AUDIENCE.audience_id


def created(deployment: Deployment, name: str = "Created by a test", /, **settings: Any) -> str:
    """Create an audience, and return its id."""
    made = deployment.json(create, name, ADVERTISER, Settings(**settings), country="US")
    return str(made["audienceId"])


def listed(deployment: Deployment) -> list[str]:
    return [each.audience_id for each in deployment.session().audiences.all()]


def test_linking_gives_a_computation_key_and_linking_again_keeps_what_is_left_out(deployment: Deployment) -> None:
    shown = deployment.json(link, ID, key="big_spenders", country="uk")
    assert (shown["computationKey"], shown["country"], shown["name"]) == ("big_spenders", "GB", AUDIENCE.name)
    assert [each.audience_id for each in deployment.session().audiences.by_computation_key("big_spenders")] == [ID]
    deployment.list_audience()
    again = deployment.json(link, ID, name="Another name")
    kept = {"name": "Another name", "computationKey": AUDIENCE.computation_key, "country": "US"}
    assert again.items() >= kept.items()
    (row,) = (row for row in deployment.rows("AudienceTable") if row["audienceId"]["S"] == ID)
    assert row["created"] == {"N": "7"}


def test_create_finds_an_audience_that_was_linked_without_a_target(deployment: Deployment) -> None:
    external_id = deployment.json(link, ID)["externalAudienceId"]
    shown = deployment.json(create, "Lapsed premium buyers", ADVERTISER, Settings(), "US", external_id=external_id)
    assert (shown["audienceId"], shown["created"], listed(deployment)) == (ID, False, [ID])


def test_linking_with_another_target_replaces_the_former_one_and_without_one_keeps_it(deployment: Deployment) -> None:
    in_amc = Target(connection="c-1")
    expected = {in_amc: (None, "c-1", {"dsp": True}), ADVERTISER: (ADVERTISER.advertiser, None, {})}
    for target, choices in ((ADVERTISER, Choices()), (in_amc, Choices(dsp=True)), (ADVERTISER, Choices())):
        shown = deployment.json(link, ID, target, choices=choices)
        assert (shown["advertiserId"], shown["connectionId"], shown["settings"]) == expected[target]
        (found,) = deployment.session().audiences.all()
        dsp = destination_of_changes(found) == amc_connection("c-1", dsp=True)
        assert dsp is (target == in_amc), "an audience of a connection may also go to DSP"
    for target, name in (in_amc, "One name"), (Target(), "Another name"):
        shown = deployment.json(link, ID, target, name=name)
        assert (shown["name"], shown["advertiserId"], shown["connectionId"]) == (name, None, "c-1")


@pytest.mark.parametrize(
    ("audience_id", "options", "error"),
    [
        pytest.param("12x", {}, WrongUsage, id="no number"),
        pytest.param(ID, {"country": "XX"}, WrongUsage, id="no country"),
        pytest.param(ID, {"country": "UNKNOWN"}, WrongUsage, id="Amazon's word for no country"),
        pytest.param(ID, {"country": "zz"}, WrongUsage, id="Amazon's code for no country"),
        pytest.param(ID, {"target": Target("999999")}, WrongUsage, id="another advertiser's"),
        pytest.param("418273650912345679", {}, NotFound, id="unknown to Amazon"),
    ],
)
def test_link_refuses_what_amazon_does_not_know(
    deployment: Deployment, audience_id: str, options: dict[str, Any], error: type[Exception]
) -> None:
    deployment.refusal(error, link, audience_id, **options)
    assert listed(deployment) == []


def test_create_after_unlink_makes_a_new_audience_and_amazon_keeps_the_old_one(deployment: Deployment) -> None:
    made = []
    for _ in range(2):
        made.append(deployment.json(create, "VIP", ADVERTISER, Settings(), country="US", key="vip")["audienceId"])
        assert deployment.json(unlink, "vip", yes=True) == {"audienceId": made[-1], "unlinked": True}
    first, second = made
    assert (first != second, listed(deployment)) == (True, [])
    assert deployment.json(link, first)["audienceId"] == first, "Amazon knows it still"


def test_unlinking_an_audience_keeps_the_creation_locks_of_others(deployment: Deployment) -> None:
    vip, winback = created(deployment, "VIP"), created(deployment, "Winback")
    deployment.answers = ["n", "y"]
    deployment.refusal(NotConfirmed, unlink, vip, as_json=True)
    unlink(deployment.session(as_json=True), vip)
    assert created(deployment, "Winback") == winback
    assert listed(deployment) == [winback]
    rows = [row for row in deployment.rows("AudienceTable") if row["audienceId"]["S"] != VERSION_KEY]
    assert len(rows) == 3, "both audiences, and what remains of the listed one's creation"


@pytest.mark.parametrize(
    ("published", "shown"),
    [
        pytest.param({}, (None, None, None, ""), id="none"),
        pytest.param({3: 400, 2: 500, 1: 500}, (500, 60.0, 2, "500 60.0% 2027-01-13"), id="grown two days ago"),
        pytest.param({1: 400}, (400, 60.0, 1, "400 60.0% 2027-01-14"), id="one"),
    ],
)
def test_list_shows_the_size_the_match_rate_and_the_last_change(
    deployment: Deployment, published: dict[int, int], shown: tuple[int | None, float | None, int | None, str]
) -> None:
    deployment.list_audience()
    for days, records in published.items():
        about = {"audience": ID}
        deployment.publish(NOW - days * DAY, about, AudienceReceived=records, AudienceMatchRate=60)
    (found,) = deployment.json(list_, now=NOW)
    size, rate, days_ago, cells = shown
    changed_at = None if days_ago is None else iso_time((NOW - days_ago * DAY) // HOUR * HOUR * 1000)
    assert (found["size"], found["matchRate"], found["changedAt"]) == (size, rate, changed_at)
    assert cells in " ".join(deployment.printed(list_, now=NOW).out.split())


def test_the_size_of_an_audience_that_shrank_within_the_hour_is_its_newest(deployment: Deployment) -> None:
    deployment.list_audience()
    hour = (NOW - DAY) // HOUR * HOUR
    for minutes, records in ((-90, 900), (5, 900), (20, 40), (40, 60)):
        deployment.publish(hour + minutes * 60, {"audience": ID}, AudienceReceived=records, AudienceMatchRate=records)
    (found,) = deployment.json(list_, now=NOW)
    assert (found["size"], found["matchRate"], found["changedAt"]) == (60, 60.0, iso_time(hour * 1000))


def test_list_marks_moved_and_ended_audiences_and_needs_no_metrics(deployment: Deployment) -> None:
    deployment.list_audience(replace(AUDIENCE, audience_id="7", moved_to="8"))
    deployment.list_audience(replace(AUDIENCE, audience_id="8", computation_key="other", settings={"ttl": 0}))
    deployment.fail("cloudwatch", EndpointConnectionError(endpoint_url="https://monitoring"))
    seen = deployment.printed(list_)
    shown = " ".join(seen.out.split())
    assert ("(moved to 8)" in shown, "other (ended)" in shown) == (True, True)
    assert "Sizes are left out: CloudWatch does not answer" in seen.err


def test_an_audience_of_an_unknown_api_is_listed_but_cannot_be_shown(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.list_audience(replace(AUDIENCE, audience_id="7", destination=Destination.of({"api": "new"})))
    assert "new, unknown to" in deployment.printed(list_).out
    assert [each["api"] for each in deployment.json(list_)] == ["audiences", "new"]
    assert "this version does not know" in str(deployment.refusal(InvalidMessage, show, "7"))


@pytest.mark.parametrize("shown", ["vip", "418273650912345679", "#mappings"])
def test_unlink_refuses_an_audience_that_is_not_listed(deployment: Deployment, shown: str) -> None:
    deployment.list_audience()
    assert f"No audience {shown} is listed here" in str(deployment.refusal(NotThere, unlink, shown, yes=True))
    assert len(deployment.session().audiences.all()) == 1


@pytest.mark.parametrize(
    ("replacement", "said"), [("9", "moved and ended at 2027-01-15"), (None, "taken off the list at")]
)
def test_an_unlinked_audience_is_named_with_the_one_in_its_place(
    deployment: Deployment, replacement: str | None, said: str
) -> None:
    deployment.list_audience(replace(AUDIENCE, audience_id="9", name="VIP"))
    deployment.list_audience(replace(AUDIENCE, audience_id="7", unlinked_at=int(NOW * 1000), moved_to=replacement))
    refused = deployment.refusal(NotThere, show, "7")
    assert f"7 was {said}" in str(refused)
    instead, listed_by = "Use 9 (VIP) instead.", "`audience-sync audiences list --unlinked` shows it."
    assert refused.remedy == (instead if replacement else listed_by)


def test_the_shell_completes_keys_and_the_ids_of_audiences_without_one(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for audience_id, key in (("71", "vip"), ("72", None), ("8", "winback")):
        deployment.list_audience(replace(AUDIENCE, audience_id=audience_id, computation_key=key))
    monkeypatch.setattr(Session, "of_command", lambda *_: deployment.session())
    context: Any = None
    completed = [sorted(completions(context, typed)) for typed in ("", "7", "w")]
    assert completed == [["72", "vip", "winback"], ["72"], ["winback"]]


def test_creating_again_returns_the_settings_in_force_and_how_to_change_them(deployment: Deployment) -> None:
    options: dict[str, Any] = {"country": "US", "external_id": "vip"}
    other = Settings(ttl_days=7, renew=True)
    first = deployment.printed(create, "VIP", ADVERTISER, Settings(ttl_days=30), as_json=True, **options)
    assert ("Differs from" in first.err, first.json["created"]) == (False, True)
    shown = deployment.json(create, "VIP", ADVERTISER, other, **options)
    assert (shown["created"], shown["audienceId"]) == (False, first.json["audienceId"])
    assert shown["settings"] == {"description": "VIP", "ttl": 30 * 86_400}
    assert [each["field"] for each in shown["differs"]] == ["ttl", "renew"]
    seen = deployment.printed(create, "Very important", ADVERTISER, other, **options, key="vip")
    assert "Segment audience VIP (it existed already)" in seen.out
    assert "Differs from the request: NAME. Amazon never changes it" in seen.err
    assert "Differs from the request: --ttl-days, --renew. `audience-sync audiences update`" in seen.err
    assert "Differs from the request: --key. `audience-sync audiences link --key`" in seen.err


def test_a_shorter_ttl_asks_for_confirmation(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.answers = ["y"]
    assert deployment.json(update, ID, Settings(ttl_days=0))["settings"] == {"ttl": 0}
    found = deployment.json(show, ID)
    assert found["amazon"] == {"received": None, "matched": None, "inDsp": None, "ttl": 0}
    for about in (link, ID), (create, "VIP", ADVERTISER, Settings(ttl_days=0), "US"):
        noted = deployment.printed(*about).err
        assert "Its time to live is 0: Amazon does not keep its members. `audience-sync audiences update " in noted
        assert "--ttl-days 397`" in noted
    tested = deployment.json(checks.test, raises=AlreadyReported)["findings"]
    named = {each["part"] for each in tested if each["found"].startswith("Its time to live is 0")}
    assert named == {f"audience {AUDIENCE.name}", "audience Segment audience VIP"}
    assert "time to live" not in deployment.printed(create, "Winback", ADVERTISER, Settings(), country="US").err


IN_AMC: dict[str, Any] = {"destination": amc_connection("c-1")}
FEE, FEE_SHOWN = {"cpmCents": 1_250, "currency": "EUR"}, "fee 1,250 cents EUR for a thousand impressions"


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        pytest.param({}, ["members go to Amazon DSP", "fee none"], id="an advertiser's, without a fee"),
        pytest.param(IN_AMC | {"settings": FEE}, ["members go to AMC, not Amazon DSP", FEE_SHOWN], id="with a fee"),
        pytest.param(IN_AMC | {"settings": {"dsp": True}}, ["members go to AMC and Amazon DSP"], id="with DSP"),
    ],
)
def test_show_prints_fee_and_amazon_products(deployment: Deployment, changed: dict[str, Any], lines: list[str]) -> None:
    deployment.list_audience(replace(AUDIENCE, **changed))
    seen = [" ".join(line.split()) for line in deployment.printed(show, ID).out.splitlines()]
    assert set(lines) <= set(seen)


def test_create_puts_the_stacks_prefix_first_and_show_prints_the_fee_that_amazon_reports(
    deployment: Deployment,
) -> None:
    deployment.stack.parameters = {"AudienceNamePrefix": "Brand A - ", "MaxCpmCents": "200"}
    audience_id = created(deployment, cpm_cents=150, currency="USD")
    assert deployment.json(link, audience_id)["name"] == "Brand A - Created by a test"
    deployment.list_audience(replace(AUDIENCE, audience_id=audience_id, settings={}))
    shown = deployment.json(show, audience_id)
    assert (shown["fees"], shown["dsp"]) == ([{"cpmCents": 150, "currency": "USD"}], True)


def test_update_switches_renewal_on_and_off_and_needs_a_setting(deployment: Deployment) -> None:
    deployment.list_audience()
    deployment.refusal(WrongUsage, update, ID, Settings())
    for renew, said in (True, "re-sent after 381.75 days"), (False, "drop out when their time to live ends"):
        update(deployment.session(), ID, Settings(renew=renew))
        assert said in deployment.printed(show, ID).out


def test_linking_with_renewal_stores_amazons_ttl_and_show_warns_of_another(deployment: Deployment) -> None:
    audience_id, table = created(deployment, ttl_days=30), deployment.stack["AudienceTable"]
    deployment.stack.service("dynamodb").delete_item(TableName=table, Key={"audienceId": {"S": audience_id}})
    shown = deployment.json(link, audience_id, choices=Choices(renew=True))
    assert shown["settings"] == {"renew": True, "ttl": 30 * 86_400}
    assert "Renewal uses" not in deployment.printed(show, audience_id).err
    (made,) = deployment.session().audiences.all()
    deployment.list_audience(replace(made, settings=made.settings | {"ttl": 90 * 86_400}))
    assert "Renewal uses a different time to live" in deployment.printed(show, audience_id).err
