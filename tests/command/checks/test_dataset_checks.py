"""The checks that differ for a dataset of Ads Data Manager."""

from collections.abc import Callable
from typing import Any

import pytest

from audience_sync.amazon_ads.data_manager.answers import Funnel, Metrics, Share
from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.errors import AccessDenied, AudienceSyncError, NotFound, ServiceUnavailable
from audience_sync.members.membership import Audience
from audience_sync.operations.dataset_reports import DatasetReport
from audience_sync.reasons import Reason
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.checks.dataset_checks import at_amazon, jobs, match_rate, parked, shares
from audience_sync_cli.checks.dataset_checks import minimum as dsp_minimum
from audience_sync_cli.checks.delivered import size
from audience_sync_cli.frame.finding import Finding
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.denial import no_data_room, terms_missing
from tests.command.checks.test_audience_checks import HEALTHY, no_stack
from tests.command.conftest import NOW


def share(status: str, revoked_by: str = "", account: str = "ENTITY1", application: str = "DSP_AUDIENCES") -> Share:
    return Share("s-1", "adm-1", application, account, "ATVPDKIKX0DER", status, revoked_by)


LIVE, NO_ACCOUNT, GONE = share("ACTIVE"), "no account at Amazon", NotFound("not found", status=404)


def readings(*shares: Share, denied: int = 0, answer: Any = None, **report: Any) -> AudienceReadings:
    """Return what is known about a dataset with these shares, or for which Amazon has this answer."""
    audience = Audience("adm-1", destination=ads_data_manager(), computation_key="big")
    known = {
        "report": answer or DatasetReport("adm-1", shares=shares, **report),
        "parked": {Reason.ACCESS_DENIED: denied} if denied else {},
        "members": None,
    }
    return AudienceReadings(Session(Screen(), no_stack, lambda: NOW), audience, 7, known=HEALTHY | known)


def failing(part: str, error: AudienceSyncError) -> AudienceReadings:
    return readings(failures={part: error})


@pytest.mark.parametrize(
    ("given", "state", "said"),
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
def test_a_dataset_without_a_live_share_is_a_problem(given: list[Share], state: str, said: str) -> None:
    result = shares(readings(*given))
    assert (result.state, said in result.found) == (state, True), result
    ended = next((each.destination for each in given if each.is_revoked), "ID")
    again = f"audience-sync audiences share big advertiser={ended},marketplace=US"
    assert (result.remedy == again) is (state == "problem" or "no longer" in said), result


def counted(rate: float, *stages: int, **report: Any) -> AudienceReadings:
    """Return what is known about a dataset of which Amazon matches a share, after these stages of the last day."""
    funnel = Funnel(*stages) if stages else None
    return readings(records=100, metrics=Metrics(accepted=100, match_percent=rate), funnel=funnel, **report)


def minimum(application: str) -> AudienceReadings:
    return readings(
        share("ACTIVE", application=application), records=100, metrics=Metrics(accepted=900, match_percent=70.0)
    )


FORM, CONSENT, MEMBER = "parked list --audience adm-1", "mappings try", "member show USER_ID"
FEW = readings(records=2, metrics=Metrics(accepted=14, match_percent=14.3))
NO_COUNTS, UNAVAILABLE = AccessDenied("403", status=403), ServiceUnavailable("Amazon answered 503")
FEW_FOR_DSP, ACCEPT = "needs 2,000 matched members; this audience has 70", "terms accept --api data-manager"


@pytest.mark.parametrize(
    ("check", "given", "state", "said", "following"),
    [
        pytest.param(match_rate, counted(80.0), "ok", "Amazon matches 80.0%", "", id="no funnel"),
        pytest.param(match_rate, counted(80.0, 0), "ok", "Amazon matches 80.0%", "", id="nothing in the last day"),
        pytest.param(match_rate, counted(80.0, 100, 99, 98, 90), "ok", "100 received, 99 valid", "", id="few are lost"),
        pytest.param(match_rate, counted(80.0, 100, 60, 50, 45), "note", "their format", FORM, id="a format"),
        pytest.param(match_rate, counted(80.0, 100, 98, 20, 15), "note", "lack consent", CONSENT, id="consent"),
        pytest.param(match_rate, counted(80.0, 100, 98, 97, 78), "ok", NO_ACCOUNT, MEMBER, id="some have no account"),
        pytest.param(match_rate, counted(30.0, 100, 98, 97, 30), "note", NO_ACCOUNT, MEMBER, id="many have none"),
        pytest.param(match_rate, counted(5.0, 100, 98, 5, 5), "problem", "lack consent", CONSENT, id="hardly any"),
        pytest.param(match_rate, counted(80.0, 0, 5, 5, 5), "ok", "Amazon matches", "", id="contradictory counts"),
        pytest.param(match_rate, FEW, "ok", "Amazon matches 14.3% of the records", "", id="Amazon's own rate"),
        pytest.param(size, FEW, "ok", "The dataset has 2 records.", "", id="Amazon's own size"),
        pytest.param(match_rate, failing("metrics", NO_COUNTS), "ok", "manager accounts", "", id="counts denied"),
        pytest.param(match_rate, failing("funnel", UNAVAILABLE), "note", "answered 503", "", id="no funnel is read"),
        pytest.param(shares, failing("shares", UNAVAILABLE), "note", "answered 503", "", id="no shares are read"),
        pytest.param(dsp_minimum, minimum("DSP_AUDIENCES"), "note", FEW_FOR_DSP, "", id="too few for DSP"),
        pytest.param(dsp_minimum, minimum("AMAZON_MARKETING_CLOUD"), "ok", "not shared with", "", id="AMC alone"),
        pytest.param(jobs, readings(metrics=Metrics(invalid=4)), "note", "4 invalid records", "", id="invalid records"),
        pytest.param(jobs, readings(), "ok", "", "", id="no counts, which are no problem of the jobs"),
        pytest.param(match_rate, readings(), "ok", "", "", id="nor of the match rate"),
        pytest.param(parked, readings(denied=2), "problem", "ads_data_manager_edit", "", id="a denied upload"),
        pytest.param(parked, readings(), "ok", "", "", id="nothing parked"),
        pytest.param(at_amazon, readings(answer=terms_missing()), "problem", str(terms_missing()), ACCEPT, id="terms"),
        pytest.param(at_amazon, readings(answer=no_data_room()), "problem", "with a listed NAME", "", id="no room"),
        pytest.param(at_amazon, readings(answer=GONE), "problem", "it was deleted", "", id="a deleted dataset"),
    ],
)
def test_each_check_of_a_dataset_reports_the_state_of_its_readings(
    check: Callable[[AudienceReadings], Finding], given: AudienceReadings, state: str, said: str, following: str
) -> None:
    result = check(given)
    assert (result.state, said in result.found, following in result.remedy) == (state, True, True), result
