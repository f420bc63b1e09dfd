"""The checks that differ for a dataset of Ads Data Manager."""

from typing import Any

import pytest

from audience_sync.amazon_ads.data_manager.answers import Funnel, Metrics, Share
from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.errors import AccessDenied, AudienceSyncError, NotFound, ServiceUnavailable
from audience_sync.members.membership import Audience
from audience_sync.operations.dataset_reports import DatasetReport
from audience_sync.reasons import Reason
from audience_sync_cli.checks import dataset_checks, delivered
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.denial import no_data_room, terms_missing
from tests.command.checks.test_audience_checks import HEALTHY, no_stack
from tests.command.conftest import NOW


def share(status: str, revoked_by: str = "", account: str = "ENTITY1", application: str = "DSP_AUDIENCES") -> Share:
    return Share("s-1", "adm-1", application, account, "ATVPDKIKX0DER", status, revoked_by)


LIVE, NO_ACCOUNT = share("ACTIVE"), "no account at Amazon"


def readings(*shares: Share, denied: int = 0, answer: Any = None, **report: Any) -> AudienceReadings:
    """Return what is known about a dataset with these shares, or for which Amazon has this answer."""
    audience = Audience("adm-1", destination=ads_data_manager(), computation_key="big")
    known = {
        "report": answer or DatasetReport("adm-1", shares=shares, **report),
        "parked": {Reason.ACCESS_DENIED: denied} if denied else {},
        "members": None,
    }
    return AudienceReadings(Session(Screen(), no_stack, lambda: NOW), audience, 7, known=HEALTHY | known)


@pytest.mark.parametrize(
    ("shares", "state", "said"),
    [
        pytest.param([], "problem", "shared with nobody", id="no share"),
        pytest.param([share("REVOKED_BY_USER", "USER")], "problem", "revoked by user", id="all revoked"),
        pytest.param([LIVE, share("REVOKED_BY_USER", account="ENTITY2")], "note", "no longer reach", id="one"),
        pytest.param([share("REVOKED_BY_USER"), LIVE], "ok", "go to DSP", id="shared again"),
        pytest.param([share("REVOKED_BY_USER", "ADMIN")], "problem", "revoked by user, admin", id="another reason"),
        pytest.param([share("PENDING")], "note", "Not active yet: DSP advertiser ENTITY1: pending", id="pending"),
        pytest.param([share("SHADOW")], "note", "which Amazon does not explain", id="a state that nobody explains"),
        pytest.param([LIVE], "ok", "go to DSP advertiser ENTITY1", id="active"),
    ],
)
def test_a_dataset_without_a_live_share_is_a_problem(shares: list[Share], state: str, said: str) -> None:
    result = dataset_checks.shares(readings(*shares))
    assert (result.state, said in result.found) == (state, True), result
    ended = next((each.destination for each in shares if each.is_revoked), "ID")
    again = f"audience-sync audiences share big advertiser={ended},marketplace=US"
    assert (result.remedy == again) is (state == "problem" or "no longer" in said), result


@pytest.mark.parametrize(
    ("rate", "funnel", "state", "said", "following"),
    [
        pytest.param(80.0, None, "ok", "Amazon matches 80.0%", "", id="no funnel"),
        pytest.param(80.0, Funnel(), "ok", "Amazon matches 80.0%", "", id="nothing in the last day"),
        pytest.param(80.0, Funnel(100, 99, 98, 90), "ok", "100 received, 99 valid", "", id="few are lost"),
        pytest.param(80.0, Funnel(100, 60, 50, 45), "note", "their format", "parked list --audience adm-1", id="form"),
        pytest.param(80.0, Funnel(100, 98, 20, 15), "note", "lack consent", "mappings try", id="consent"),
        pytest.param(80.0, Funnel(100, 98, 97, 78), "ok", NO_ACCOUNT, "member show USER_ID", id="no account"),
        pytest.param(30.0, Funnel(100, 98, 97, 30), "note", NO_ACCOUNT, "member show USER_ID", id="many of them"),
        pytest.param(5.0, Funnel(100, 98, 5, 5), "problem", "lack consent", "mappings try", id="hardly any match"),
        pytest.param(80.0, Funnel(0, 5, 5, 5), "ok", "Amazon matches", "", id="counts that contradict each other"),
    ],
)
def test_the_funnel_names_the_stage_that_loses_most_records(
    rate: float, funnel: Funnel | None, state: str, said: str, following: str
) -> None:
    metrics = Metrics(accepted=100, match_percent=rate)
    result = dataset_checks.match_rate(readings(records=100, metrics=metrics, funnel=funnel))
    assert (result.state, said in result.found, following in result.remedy) == (state, True, True), result


def test_size_and_match_rate_are_amazons_own() -> None:
    few = readings(records=2, metrics=Metrics(accepted=14, match_percent=14.3))
    assert dataset_checks.match_rate(few).found.startswith("Amazon matches 14.3% of the records")
    assert delivered.size(few).found == "The dataset has 2 records."


@pytest.mark.parametrize(
    ("part", "error", "state", "said"),
    [
        pytest.param("metrics", AccessDenied("403", status=403), "ok", "manager accounts", id="counts denied"),
        pytest.param("funnel", ServiceUnavailable("Amazon answered 503"), "note", "answered 503", id="no counts"),
        pytest.param("shares", ServiceUnavailable("Amazon answered 503"), "note", "answered 503", id="no shares"),
    ],
)
def test_an_unread_part_of_a_dataset_is_named(part: str, error: AudienceSyncError, state: str, said: str) -> None:
    check = dataset_checks.shares if part == "shares" else dataset_checks.match_rate
    result = check(readings(failures={part: error}))
    assert (result.state, said in result.found) == (state, True), result


@pytest.mark.parametrize(
    ("shared", "state", "said"),
    [
        pytest.param(share("ACTIVE"), "note", "needs 2,000 matched members; this audience has 70", id="with DSP"),
        pytest.param(share("ACTIVE", application="AMAZON_MARKETING_CLOUD"), "ok", "not shared with", id="AMC only"),
    ],
)
def test_the_minimum_applies_to_datasets_shared_with_dsp(shared: Share, state: str, said: str) -> None:
    result = dataset_checks.minimum(readings(shared, records=100, metrics=Metrics(accepted=900, match_percent=70.0)))
    assert (result.state, said in result.found) == (state, True), result


def test_invalid_records_are_a_note() -> None:
    assert "4 invalid records" in dataset_checks.jobs(readings(metrics=Metrics(invalid=4))).found
    assert dataset_checks.jobs(readings()).state == dataset_checks.match_rate(readings()).state == "ok"


def test_a_denied_upload_to_a_readable_dataset_names_the_permission() -> None:
    assert "ads_data_manager_edit" in dataset_checks.parked(readings(denied=2)).found
    assert dataset_checks.parked(readings()).state == "ok"


def test_terms_that_are_not_accepted_come_with_the_command_that_accepts_them() -> None:
    missing = terms_missing()
    result = dataset_checks.at_amazon(readings(answer=missing))
    assert (result.state, result.found) == ("problem", str(missing))
    assert result.remedy == "audience-sync terms accept --api data-manager"
    result = dataset_checks.at_amazon(readings(answer=no_data_room()))
    assert "also with a listed NAME" in result.found, "a remedy of more than a command is a part of the finding"


def test_a_deleted_dataset_is_a_problem() -> None:
    result = dataset_checks.at_amazon(readings(answer=NotFound("not found", status=404)))
    assert (result.state, "it was deleted" in result.found) == ("problem", True)
