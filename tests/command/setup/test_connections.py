"""Connections and terms: nothing is removed or agreed by accident."""

import pytest
import requests

from audience_sync.amazon_ads.destination import Api, amc_connection
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.errors import NotConfirmed, NotThere, WrongUsage
from audience_sync_cli.setup.connections import create, delete, list_
from audience_sync_cli.setup.terms import ACCEPTANCES, accept_terms, readable, show_terms
from tests.command.conftest import Deployment

pytestmark = pytest.mark.usefixtures("connected")


@pytest.fixture
def known(deployment: Deployment) -> str:
    """The id of a connection."""
    return str(deployment.json(create, amc_instance="amc-1")["connectionId"])


def test_a_connection_is_created_listed_and_deleted(deployment: Deployment) -> None:
    found = deployment.json(create, amc_instance="amc-1", dsp_advertiser="590071284455661234", default=True)
    made = found["connectionId"]
    (listed,) = deployment.json(list_)
    assert (listed["connectionId"], listed["dspAdvertiserId"]) == (made, "590071284455661234")
    delete(deployment.session(yes=True), made)
    assert deployment.session().amazon.connections() == []
    deployment.refusal(WrongUsage, create, amc_account="account")  # it needs an instance or an advertiser


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_blank_or_unknown_connection_id_deletes_nothing(deployment: Deployment, known: str, blank: str) -> None:
    assert "blank" in str(deployment.refusal(WrongUsage, delete, blank, yes=True))
    assert f"Did you mean {known}?" in deployment.refusal(NotThere, delete, f"{known}x", yes=True).remedy
    assert [each["connectionId"] for each in deployment.session().amazon.connections()] == [known]
    assert "DELETE" not in requests.get(f"{deployment.amazon}/sandbox/requests", timeout=5).text


def test_the_question_counts_the_audiences_that_use_the_connection(deployment: Deployment, known: str) -> None:
    for audience_id in ("1", "2"):
        deployment.list_audience(Audience(audience_id, destination=amc_connection(known)))
    deployment.session().audiences.unlink("1", at=5)
    assert "uploads to 2 audiences, 1 of them unlinked, will fail" in deployment.declined(delete, known)
    assert len(deployment.session().amazon.connections()) == 1


def test_terms_are_accepted_only_by_the_whole_sentence_typed_or_in_the_option(deployment: Deployment) -> None:
    sentence = ACCEPTANCES[Api.AUDIENCES]
    for typed in ("y", "yes", "", sentence.lower()):
        deployment.answers = [typed]
        assert "The text does not match" in str(deployment.refusal(NotConfirmed, accept_terms, as_json=True, yes=True))
    wrong = deployment.refusal(WrongUsage, accept_terms, confirm="yes")
    assert ("--confirm does not match" in str(wrong), sentence in wrong.remedy) == (True, True)
    assert deployment.json(show_terms) == {"accepted": False}
    deployment.answers = [sentence]
    assert "Sandbox text" in deployment.printed(accept_terms).out  # the terms were shown before
    assert deployment.session().amazon.terms().accepted


def test_terms_are_printed_without_markup_or_control_characters() -> None:
    assert readable("<h1>Terms</h1><p>a &amp; b\x1b[2J&#27;[0m</p>") == "Terms\na & b[2J[0m"
