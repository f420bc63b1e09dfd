"""Unlinked audiences: off the list, back on it, and in a row of their own for as long as rows of members exist."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.aws.audience_table import AudienceTable
from audience_sync_cli.audiences.creation import Settings, create
from audience_sync_cli.audiences.linking import link, unlink
from audience_sync_cli.audiences.list_and_show import list_, show
from audience_sync_cli.frame.errors import NotThere
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.options import NewTarget
from audience_sync_cli.stack.unlinking import KEEP_UNLINKED
from local.template import ROOT
from tests.command.conftest import NOW, Deployment
from tests.support.aws_fixtures import AUDIENCE

pytestmark = pytest.mark.usefixtures("connected")

KEY = AUDIENCE.computation_key or ""
RENEWED = replace(AUDIENCE, destination=amc_connection("c-1"), settings={"dsp": True, "renew": True})


def unlink_at(deployment: Deployment, name: str, now: float) -> None:
    unlink(deployment.session(as_json=True, yes=True, now=now), name)


def with_key(deployment: Deployment) -> list[str]:
    return [each.audience_id for each in deployment.session().audiences.by_computation_key(KEY)]


@pytest.fixture
def unlinked(deployment: Deployment) -> None:
    """Its audience is unlinked."""
    deployment.list_audience(RENEWED)
    unlink_at(deployment, KEY, NOW)


@pytest.mark.usefixtures("unlinked")
def test_unlinked_audiences_are_listed_with_unlinked_only_and_found_by_no_other_command(deployment: Deployment) -> None:
    for name in (KEY, AUDIENCE.audience_id):
        for command in (show, unlink):
            deployment.refusal(NotThere, command, name, yes=True)
    assert deployment.json(list_) == []
    (shown,) = deployment.json(list_, unlinked=True)
    assert (shown["audienceId"], shown["unlinkedAt"]) == (AUDIENCE.audience_id, "2027-01-15T08:00:00.000Z")
    assert (shown["name"], shown["computationKey"]) == (AUDIENCE.name, KEY), "a name that stays taken"


def test_an_empty_list_of_audiences_prints_a_hint(deployment: Deployment) -> None:
    for is_unlinked, said in (True, "No audience is unlinked."), (False, "audiences link"):
        assert said in deployment.printed(list_, unlinked=is_unlinked).out


def test_unlink_prints_the_command_that_links_the_audience_again(deployment: Deployment) -> None:
    deployment.list_audience()
    found = deployment.printed(unlink, KEY, yes=True).out
    assert f"`audience-sync audiences link {AUDIENCE.audience_id} --key {KEY}`" in found
    link(deployment.session(), AUDIENCE.audience_id, key=KEY)
    assert with_key(deployment) == [AUDIENCE.audience_id]
    assert deployment.session().audiences.contents().unlinked == []


@pytest.mark.usefixtures("unlinked")
def test_linking_again_keeps_the_target_and_switches_renewal_off(deployment: Deployment) -> None:
    """Of members who left while it was unlinked nothing is known: renewal would add them again."""
    shown = deployment.json(link, AUDIENCE.audience_id)
    assert (shown["connectionId"], shown["settings"], shown["computationKey"]) == ("c-1", {"dsp": True}, None)


@pytest.mark.usefixtures("unlinked")
def test_the_key_of_an_unlinked_audience_can_be_reused(deployment: Deployment) -> None:
    created = deployment.json(create, "Another", NewTarget("590071284455661234"), Settings(), "US", key=KEY)
    assert created["audienceId"] != AUDIENCE.audience_id
    assert with_key(deployment) == [created["audienceId"]]


def test_an_unlinked_audience_is_removed_once_every_member_row_has_expired(deployment: Deployment) -> None:
    for number in range(3):
        deployment.list_audience(replace(AUDIENCE, audience_id=str(number), computation_key=None))
    unlink_at(deployment, "0", NOW)
    unlink_at(deployment, "1", NOW + KEEP_UNLINKED - 1)
    assert kept(deployment) == ["0", "1", "2"]
    unlink_at(deployment, "2", NOW + KEEP_UNLINKED + 1)
    assert kept(deployment) == ["1", "2"]


@pytest.mark.parametrize("document", ["privacy.md", "runbook.md"])
def test_the_documentation_states_how_long_unlinked_audiences_are_kept(document: str) -> None:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    assert f"{KEEP_UNLINKED / DAY:.0f} days" in text


def kept(deployment: Deployment) -> list[Any]:
    table = AudienceTable(deployment.stack.service("dynamodb"), deployment.stack["AudienceTable"])
    return sorted(each.audience_id for each in table.with_unlinked())
