"""Connections and terms: nothing is removed or agreed by accident."""

import pytest
import requests

from cli.connections import ACCEPTANCE, accept_terms, create, delete, list_, readable, show_terms
from cli.errors import NotConfirmed, NotThere, WrongUsage
from tests.unit.cli.conftest import Json, Simulation


@pytest.fixture(autouse=True)
def connected(simulation: Simulation) -> None:
    simulation.connect()


def test_a_connection_is_made_listed_and_removed(simulation: Simulation, printed: Json) -> None:
    create(simulation.session(as_json=True), amc_instance="amc-1", dsp_advertiser="590071284455661234", default=True)
    made = printed()["connectionId"]
    list_(simulation.session(as_json=True))
    (listed,) = printed()
    assert (listed["connectionId"], listed["dspAdvertiserId"]) == (made, "590071284455661234")
    delete(simulation.session(yes=True), made)
    assert simulation.session().amazon.connections() == []


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_blank_id_removes_nothing(simulation: Simulation, blank: str) -> None:
    create(simulation.session(), amc_instance="amc-1")
    with pytest.raises(WrongUsage, match="blank"):
        delete(simulation.session(yes=True), blank)
    assert len(simulation.session().amazon.connections()) == 1
    calls = requests.get(f"{simulation.amazon}/sandbox/requests", timeout=5).text
    assert "DELETE" not in calls


def test_a_connection_is_not_removed_unasked(simulation: Simulation) -> None:
    create(simulation.session(), amc_instance="amc-1")
    (known,) = simulation.session().amazon.connections()
    simulation.answers = ["n"]
    with pytest.raises(NotConfirmed):
        delete(simulation.session(), known["connectionId"])
    assert len(simulation.session().amazon.connections()) == 1


def test_an_unknown_connection_is_not_there(simulation: Simulation) -> None:
    with pytest.raises(NotThere):
        delete(simulation.session(yes=True), "unknown")


def test_a_connection_to_nothing_is_refused_here(simulation: Simulation) -> None:
    with pytest.raises(WrongUsage):
        create(simulation.session(), amc_account="account")


@pytest.mark.parametrize("typed", ["y", "yes", "", ACCEPTANCE.lower()])
def test_terms_are_accepted_by_the_whole_sentence_only(simulation: Simulation, typed: str, printed: Json) -> None:
    simulation.answers = [typed]
    with pytest.raises(NotConfirmed):
        accept_terms(simulation.session(as_json=True, yes=True))
    show_terms(simulation.session(as_json=True))
    assert printed() == {"accepted": False}


def test_whoever_types_the_sentence_accepts_the_terms(
    simulation: Simulation, capsys: pytest.CaptureFixture[str]
) -> None:
    simulation.answers = [ACCEPTANCE]
    accept_terms(simulation.session())
    assert "Sandbox text" in capsys.readouterr().out  # the terms were shown before
    assert simulation.session().amazon.terms().accepted


def test_terms_are_shown_as_text_that_cannot_steer_a_terminal() -> None:
    assert readable("<h1>Terms</h1><p>a &amp; b\x1b[2J&#27;[0m</p>") == "Terms\na & b[2J[0m"
