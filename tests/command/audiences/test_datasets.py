"""Datasets of Ads Data Manager: created, shared, shown, linked; and what cannot be done to them."""

from pathlib import Path
from typing import Any

import pytest
import requests

from audience_sync.amazon_ads.destination import Api, ads_data_manager
from audience_sync.errors import NotFound
from audience_sync_cli.audiences.creation import Settings, create, update
from audience_sync_cli.audiences.linking import link, unlink
from audience_sync_cli.audiences.list_and_show import list_, show
from audience_sync_cli.audiences.shares import share, unshare
from audience_sync_cli.checks.diagnose import diagnose
from audience_sync_cli.frame.errors import AlreadyReported, NotThere, OperatorError, WrongUsage
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.member_files.import_plan import ImportOptions
from audience_sync_cli.members.member import show as show_member
from audience_sync_cli.stack.options import Choices, NewTarget, Target
from local.resources import MANAGER_ACCOUNT
from tests.command.conftest import Deployment, change
from tests.support.aws_fixtures import AUDIENCE

pytestmark = pytest.mark.usefixtures("connected")

MANAGER, DSP = {"DataManagerAccountId": MANAGER_ACCOUNT}, {"DataManagerAccountId": "ENTITY9"}
IN_DSP, IN_AMC = "advertiser=ENTITY1,marketplace=US", "amc=amc1a2b,marketplace=DE"
DATASET = NewTarget(api=Api.DATA_MANAGER, share=[IN_DSP, IN_AMC])
INCOMPLETE_SHARES = [
    *("", "advertiser=ENTITY1", "marketplace=US", "advertiser=,marketplace=US", "entity=E1,dsp=E2,marketplace=US"),
    *("advertiser=E1,amc=amc1,marketplace=US", "advertiser=E1,advertiser=E2,marketplace=US"),
]
LINK = Target(api=Api.DATA_MANAGER)


@pytest.fixture(autouse=True)
def account(deployment: Deployment) -> None:
    deployment.stack.parameters = MANAGER


def created(deployment: Deployment, target: NewTarget = DATASET, **options: Any) -> dict[str, Any]:
    made: dict[str, Any] = deployment.json(
        create, "Big spenders", target, Settings(), **{"country": "DE", "key": "big"} | options
    )
    return made


def revoke(deployment: Deployment, share_id: str) -> None:
    url = f"{deployment.amazon}/sandbox/shares/{share_id}"
    requests.put(url, json={"status": "REVOKED_BY_SHARING_GRANT"}, timeout=5).raise_for_status()


def test_diagnose_names_a_missing_data_room_which_creating_the_dataset_again_creates(deployment: Deployment) -> None:
    audience_id = created(deployment)["audienceId"]
    deployment.park(change("m1", audience_id=audience_id), reason="not_found")
    fault = f"{deployment.amazon}/sandbox/faults"
    requests.put(fault, json={"recipe": "data-room"}, timeout=5).raise_for_status()
    printed = deployment.printed(diagnose, "big", raises=AlreadyReported).out
    assert "Amazon's audience: The account has no data room in Ads Data Manager." in printed
    assert "1 dead letter of this audience. First put right what Amazon's audience names; then redrive" in printed
    refused = deployment.refusal(OperatorError, show, "big")
    remedy = "audiences create NAME --api data-manager --country CODE"
    assert ("no data room" in str(refused), remedy in refused.remedy) == (True, True)
    create(deployment.session(), "Big spenders", NewTarget(api=Api.DATA_MANAGER), Settings(), country="DE")
    assert deployment.json(show, "big")["audience"]["audienceId"] == audience_id
    requests.put(fault, json={"recipe": "off"}, timeout=5).raise_for_status()


def test_a_dataset_is_created_once_with_its_shares_and_the_ids_of_the_dsp_console(deployment: Deployment) -> None:
    first, again = created(deployment), created(deployment)
    assert (first["created"], again["created"], first["audienceId"]) == (True, False, again["audienceId"])
    assert (first["api"], first["name"]) == ("data-manager", "Big spenders")
    assert first["datasetName"] == first["externalAudienceId"]
    in_dsp, in_amc = first["shares"]
    assert (in_dsp["accountId"], len(in_dsp["dspAudienceIds"])) == ("ENTITY1", 2)
    assert (in_amc["accountId"], in_amc["marketplaceId"]) == ("amc1a2b", "A1PA6795UKMFR9")
    assert [each["shareId"] for each in again["shares"]] == [each["shareId"] for each in first["shares"]]
    seen = deployment.printed(create, "Big spenders", DATASET, Settings(), country="US", key="big")
    assert "Amazon's names have no spaces" in seen.out
    assert "Differs from the request: --country. A dataset cannot be changed at Amazon" in seen.err


@pytest.mark.parametrize(
    ("target", "settings", "said"),
    [
        pytest.param(NewTarget(share=[IN_DSP]), Settings(), "--api data-manager", id="a share in the audience API"),
        pytest.param(NewTarget("59", api=Api.DATA_MANAGER), Settings(), "Use --share", id="an advertiser"),
        pytest.param(DATASET, Settings(ttl_days=5), "--ttl-days is not possible with --api data-manager", id="a ttl"),
        pytest.param(DATASET, Settings(cpm_cents=5, currency="USD"), "has no fees", id="a fee"),
        pytest.param(DATASET, Settings(renew=True), "need no renewal", id="renewal"),
        pytest.param(DATASET, Settings(dsp=True), "through its shares", id="dsp"),
        *(
            pytest.param(NewTarget(api=Api.DATA_MANAGER, share=share), Settings(), said, id=f"the shares {share}")
            for share, said in [
                ([IN_DSP, IN_DSP], "no share before it"),
                *(([text], "one account") for text in INCOMPLETE_SHARES),
                (["advertiser=E1,marketplace=Mars"], "marketplace is not known"),
            ]
        ),
    ],
)
def test_settings_that_datasets_do_not_have_are_refused_by_option_name(
    deployment: Deployment, target: NewTarget, settings: Settings, said: str
) -> None:
    caught = deployment.refusal(WrongUsage, create, "Big spenders", target, settings, country="DE")
    assert said in f"{caught} {caught.remedy}"
    assert deployment.session().audiences.all() == []


def test_create_warns_that_nobody_can_be_erased_with_a_dsp_account_and_needs_an_account(deployment: Deployment) -> None:
    creating = (create, "Big spenders", DATASET, Settings())
    deployment.stack.parameters = {}
    assert "make deploy" in deployment.refusal(NotThere, *creating, country="DE").remedy
    deployment.stack.parameters = DSP
    assert "Amazon deletes nobody" in deployment.declined(*creating, country="DE")
    assert deployment.session().audiences.all() == []
    deployment.answers.append("y")
    audience_id = created(deployment)["audienceId"]
    assert "Amazon ends no share" in str(deployment.refusal(OperatorError, unshare, audience_id, "any"))
    shown = deployment.printed(show, audience_id)
    assert ("DSP account" in shown.out, "does not show the counts" in shown.err) == (True, True)


def test_show_prints_the_counts_of_a_dataset_and_who_revoked_a_share(deployment: Deployment) -> None:
    made = created(deployment)
    revoke(deployment, made["shares"][0]["shareId"])
    found = deployment.json(show, "big")
    assert (found["dataset"]["country"], found["dataset"]["uploads"], found["dataset"]["ofManager"]) == ("DE", 0, True)
    by = {each["accountId"]: each["revokedBy"] for each in found["shares"]}
    assert by == {"ENTITY1": "SHARING_GRANT", "amc1a2b": None}
    seen = " ".join(deployment.printed(show, "big").out.split())
    assert "revoked by sharing grant" in seen
    assert "manager account" in seen
    assert "Ads Data Manager" in deployment.printed(list_).out


def test_shares_are_listed_added_and_ended(deployment: Deployment) -> None:
    created(deployment, NewTarget(api=Api.DATA_MANAGER))
    assert "members reach nobody" in deployment.printed(show, "big").err
    made = deployment.json(share, "big", IN_DSP)
    assert deployment.json(share, "big", IN_DSP)["shareId"] == made["shareId"], "the same share"
    assert [each["shareId"] for each in deployment.json(show, "big")["shares"]] == [made["shareId"]]
    assert "\nshare id" in deployment.printed(show, "big").out
    assert "Members stay in the DSP audience" in deployment.declined(unshare, "big", made["shareId"])
    assert deployment.json(unshare, "big", made["shareId"], yes=True) == {"shareId": made["shareId"], "revoked": True}
    assert "has ended: revoked by user" in deployment.printed(unshare, "big", made["shareId"]).out
    deployment.refusal(NotThere, unshare, "big", "another", yes=True)
    in_amc = deployment.json(share, "big", IN_AMC)
    assert "no longer see" in deployment.declined(unshare, "big", in_amc["shareId"])
    deployment.list_audience()  # of the audience API
    assert "Only datasets" in str(deployment.refusal(WrongUsage, share, AUDIENCE.audience_id, IN_DSP))


def test_a_dataset_cannot_be_updated_but_unlinked_and_linked_again(deployment: Deployment) -> None:
    audience_id = created(deployment)["audienceId"]
    refused = deployment.refusal(WrongUsage, update, "big", Settings(description="Other"))
    assert "cannot be changed at Amazon" in str(refused)
    again = deployment.printed(unlink, "big", yes=True).out
    assert f"`audience-sync audiences link {audience_id} --api data-manager --key big`" in again
    of_advertiser = Target("590071284455661234", api=Api.DATA_MANAGER)
    for target, choices in (Target(), Choices()), (of_advertiser, Choices()), (LINK, Choices(dsp=True)):
        deployment.refusal(WrongUsage, link, audience_id, target, choices=choices)
    shown = deployment.json(link, audience_id, LINK, key="big")
    assert (shown["audienceId"], shown["api"], shown["country"]) == (audience_id, "data-manager", "DE")
    for text, missing in (("adm-unknown", NotFound), ("no id/of any kind", WrongUsage)):
        deployment.refusal(missing, link, text, LINK)


def test_a_dataset_is_diagnosed_by_its_shares_and_its_members_are_shown(deployment: Deployment) -> None:
    made = created(deployment)
    deployment.record(change("m1", audience_id=made["audienceId"], destination=ads_data_manager()))
    assert [each["audienceId"] for each in deployment.json(show_member, "m1")["audiences"]] == [made["audienceId"]]
    assert diagnosed(deployment)["Amazon's audience"]["state"] == "ok"
    for each in made["shares"]:
        revoke(deployment, each["shareId"])
    found = diagnosed(deployment)["target and terms"]
    assert found["state"] == "problem"
    assert "AMC instance amc1a2b: revoked by sharing grant" in found["found"]


def diagnosed(deployment: Deployment) -> dict[str, Any]:
    found = deployment.json(diagnose, "big", raises=AlreadyReported)
    return {each["check"]: each for each in found["findings"]}


def test_an_import_into_a_dataset_needs_consent_for_each_member(deployment: Deployment, tmp_path: Path) -> None:
    created(deployment)
    file = tmp_path / "members.csv"
    lines = ["external_user_id,email,country,amzn_user_data", "m1,a@example.com,US,", "m2,b@example.com,US,GRANTED"]
    file.write_text("\n".join(lines), encoding="utf-8")
    found = deployment.json(import_members, str(file), "big", ImportOptions(dry_run=True))
    assert found["leftOut"] == {"consent_missing": 1}
