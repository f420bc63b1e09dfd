"""What is wrong with an audience is said in options, since that is what was typed."""

import re
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.advertiser_audiences import audience_settings
from audience_sync.errors import InvalidAudience
from audience_sync.members.membership import Destination
from audience_sync_cli.audiences.creation import Settings, create, update
from audience_sync_cli.audiences.linking import link
from audience_sync_cli.audiences.list_and_show import show
from audience_sync_cli.frame.errors import USAGE, OperatorError, WrongUsage
from audience_sync_cli.frame.explanation import explained
from audience_sync_cli.frame.settings_faults import OPTIONS
from audience_sync_cli.stack.options import NewTarget
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import AUDIENCE

pytestmark = pytest.mark.usefixtures("connected")

ADVERTISER = NewTarget(advertiser="590071284455661234")
NOTHING = Settings()


def refused(call: object, *arguments: object, **options: object) -> OperatorError:
    with pytest.raises((InvalidAudience, OperatorError)) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    return explained(caught.value)


def test_create_without_a_target_names_the_ones_of_other_audiences(deployment: Deployment) -> None:
    assert "Known here" not in refused(create, deployment.session(), "VIP", NewTarget(), NOTHING, "US").remedy
    targets: list[dict[str, str]] = [{"advertiserId": "59007"}, {"advertiserId": "59007"}, {"connectionId": "c-1"}]
    for number, target in enumerate(targets):
        listed = replace(AUDIENCE, audience_id=str(number), name=f"Audience {number}")
        deployment.list_audience(replace(listed, destination=Destination.of(target)))
    remedy = refused(create, deployment.session(), "VIP", NewTarget(), NOTHING, "US").remedy
    assert remedy.endswith("Known here: --advertiser 59007 (as Audience 0), --connection c-1 (as Audience 2).")


FEE = Settings(cpm_cents=5, currency="USD")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param({"name": ""}, "NAME must be a name of 1 to 128 characters", id="no name"),
        pytest.param({"target": NewTarget()}, "either an advertiser or a connection", id="no target"),
        pytest.param({"target": NewTarget("abc")}, "--advertiser must be the DSP advertiser's id", id="letters"),
        pytest.param({"target": NewTarget("", "c" * 257)}, "--connection must be 1 to 256", id="a long connection"),
        pytest.param({"country": ""}, "--country must be", id="no country"),
        pytest.param({"settings": Settings(ttl_days=1, renew=True)}, "at least 3 days", id="short renewal"),
        pytest.param({"settings": Settings(dsp=True)}, "--dsp must be given with a --connection", id="needless dsp"),
        pytest.param({"settings": Settings(cpm_cents=5)}, "together with --cpm-cents", id="no currency"),
        pytest.param({"settings": Settings(currency="USD")}, "together with --currency", id="no fee"),
        pytest.param({"settings": FEE}, "MaxCpmCents", id="a fee above the ceiling"),
        pytest.param({"settings": Settings(description="x" * 1001)}, "--description must be", id="long text"),
    ],
)
def test_an_invalid_setting_is_named_by_its_option(deployment: Deployment, wrong: dict[str, Any], said: str) -> None:
    usual = {"name": "VIP", "target": ADVERTISER, "settings": NOTHING, "country": "US"}
    failure = refused(create, deployment.session(), **(usual | wrong))
    text = f"{failure} {failure.remedy}"
    assert (said in text, failure.exit_code, bool(failure.remedy)) == (True, USAGE, True)
    assert re.findall(r"\b(extras|[a-z]+[A-Z]\w*)\b", text) == []
    assert deployment.session().audiences.all() == []


def test_several_invalid_settings_are_listed_one_per_line_and_a_taken_key_is_one(deployment: Deployment) -> None:
    failure = refused(create, deployment.session(), "", NewTarget(), NOTHING, "Nowhere")
    assert str(failure) == "3 settings are not valid."
    assert [line.split()[0] for line in failure.remedy.splitlines()] == ["NAME", "An", "--country"]
    deployment.list_audience()
    failure = refused(create, deployment.session(), "VIP", ADVERTISER, NOTHING, "US", key=AUDIENCE.computation_key)
    assert (
        str(failure)
        == "--key must be a key that is no name of another audience, listed or unlinked: no key, id or external id."
    )
    assert "link ID --key KEY --also" in failure.remedy


def test_link_and_update_name_options_as_well(deployment: Deployment) -> None:
    deployment.list_audience()
    linked = refused(link, deployment.session(), AUDIENCE.audience_id, NewTarget("ENTITY1"))
    assert "--advertiser must be" in str(linked)
    changed = refused(update, deployment.session(yes=True), AUDIENCE.audience_id, Settings(ttl_days=1, renew=True))
    assert "at least 3 days" in str(changed)


def test_every_field_of_the_extras_has_an_option() -> None:
    fields = set(audience_settings._CHANGEABLE) | set(audience_settings._FIXED) - {"name", "targetResource"}
    assert fields | {"computationKey"} == set(OPTIONS)


@pytest.mark.parametrize("typed", ["UK", "uk", " uk ", "GB"])
def test_uk_is_read_as_gb_with_a_note(deployment: Deployment, capsys: pytest.CaptureFixture[str], typed: str) -> None:
    refused(create, deployment.session(), "VIP", NewTarget(), NOTHING, typed)
    assert ("UK is read as GB" in capsys.readouterr().err) is (typed != "GB")
    assert deployment.json(create, "VIP", ADVERTISER, NOTHING, typed)["country"] == "GB"


@pytest.mark.parametrize("key", ["Not Snake Case", "vip\tbuyers", " vip", "vip\n"])
def test_a_key_with_white_space_is_refused_with_an_example(deployment: Deployment, key: str) -> None:
    linking = refused(link, deployment.session(), AUDIENCE.audience_id, key=key)
    for failure in (linking, refused(create, deployment.session(), "VIP", ADVERTISER, NOTHING, "US", key=key)):
        assert isinstance(failure, WrongUsage)
        assert "lapsed_premium_buyers" in str(failure)
        assert "settings of the audience in Segment" in failure.remedy
    assert linking.remedy.startswith("Did you mean not_snake_case? ") is (key == "Not Snake Case")
    assert deployment.session().audiences.all() == []


@pytest.mark.parametrize(
    ("key", "warned"),
    [
        pytest.param("lapsed_premium_buyers", False, id="an audience's"),
        pytest.param("j_o_winback__opened_email_t7c2q", False, id="a journey's"),
        pytest.param("BigSpenders", True, id="capitals"),
        pytest.param("big-spenders", True, id="a hyphen"),
    ],
)
def test_an_unusual_key_is_accepted_with_a_warning(deployment: Deployment, key: str, warned: bool) -> None:
    assert ("Unusual --key" in deployment.printed(link, AUDIENCE.audience_id, key=key, yes=True).err) is warned
    assert len(deployment.session().audiences.by_computation_key(key)) == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        pytest.param("lapsed_premium_buyer", "lapsed_premium_buyers", id="one letter short"),
        pytest.param("lapsed", "lapsed_premium_buyers", id="the beginning"),
        pytest.param("Lapsed premium buyers", "lapsed_premium_buyers", id="the name"),
        pytest.param("418273650912345679", "lapsed_premium_buyers", id="an id with a wrong digit"),
        pytest.param("41827365091234678", "lapsed_premium_buyers", id="an id without one of its digits"),
        pytest.param("4182736509123499", "418273650912349999", id="the beginning of one of two similar ids"),
        pytest.param("4182736509123", None, id="the beginning of two ids"),
        pytest.param("VIP", "418273650000000000", id="an audience without a key"),
        pytest.param("winback", None, id="nothing similar"),
    ],
)
def test_a_similar_audience_is_suggested(deployment: Deployment, typed: str, meant: str | None) -> None:
    deployment.list_audience()
    unlinked = replace(AUDIENCE, computation_key=None, external_audience_id=None)
    for audience_id, name in (("418273650000000000", "VIP"), ("418273650912349999", "Premium buyers, Germany")):
        deployment.list_audience(replace(unlinked, audience_id=audience_id, name=name))
    failure = refused(show, deployment.session(), typed)
    assert failure.remedy.startswith(f"Did you mean {meant} (") is (meant is not None)
