"""The checks that differ for a dataset of Ads Data Manager."""

from dataclasses import replace

import pytest

from audience_sync.amazon_ads.data_manager.answers import Metrics, Share
from audience_sync.amazon_ads.destination import of_data_manager
from audience_sync.errors import NotFound
from audience_sync.membership import Audience
from audience_sync.reasons import Reason
from audience_sync_cli.diagnosis import datasets
from audience_sync_cli.diagnosis.facts import DatasetReport, Facts


def share(status: str, revoked_by: str = "") -> Share:
    return Share("s-1", "adm-1", "DSP_AUDIENCES", "ENTITY1", "ATVPDKIKX0DER", status, revoked_by)


def facts(*shares: Share, denied: int = 0, **metrics: int) -> Facts:
    audience = Audience("adm-1", destination=of_data_manager(), computation_key="big")
    parked: dict[str, int] = {Reason.ACCESS_DENIED: denied} if denied else {}
    return Facts(0, 7, audience, report=DatasetReport(shares, Metrics(**metrics)), parked=parked)


@pytest.mark.parametrize(
    ("shares", "state", "said"),
    [
        pytest.param([], "problem", "shared with nobody", id="no share"),
        pytest.param([share("REVOKED_BY_USER", "USER")], "problem", "revoked by user", id="all revoked"),
        pytest.param([share("ACTIVE"), share("REVOKED_BY_DATASET")], "look", "no longer reach", id="one revoked"),
        pytest.param([share("REVOKED_BY_USER", "ADMIN")], "problem", "revoked by user, admin", id="another reason"),
        pytest.param([share("PENDING")], "look", "Not active yet: DSP advertiser ENTITY1", id="not active yet"),
        pytest.param([share("SHADOW")], "look", "Not active yet", id="a state that nobody explains"),
        pytest.param([share("ACTIVE")], "ok", "go to DSP advertiser ENTITY1", id="active"),
    ],
)
def test_members_reach_somebody(shares: list[Share], state: str, said: str) -> None:
    result = datasets.shares(facts(*shares))
    assert (result.state, said in result.found) == (state, True), result


def test_the_counts_say_where_records_are_lost() -> None:
    counted = facts(accepted=100, with_identity=60, resolved=30, invalid=4)
    assert "Of 100 accepted records, 60 have an identity, and 30 are resolved" in datasets.match_rate(counted).found
    assert "4 invalid records" in datasets.jobs(counted).found
    assert datasets.jobs(facts()).state == datasets.match_rate(facts()).state == "ok"


def test_a_denied_upload_to_a_dataset_that_can_be_read_names_the_permission() -> None:
    assert "ads_data_manager_edit" in datasets.parked(facts(denied=2)).found
    assert datasets.parked(facts()).state == "ok"


def test_a_dataset_that_was_deleted_is_a_problem() -> None:
    result = datasets.at_amazon(replace(facts(), report=NotFound("not found", status=404)))
    assert (result.state, "it was deleted" in result.found) == ("problem", True)
