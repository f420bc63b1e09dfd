"""Connections and terms: nothing is removed or agreed by accident."""

import pytest
import requests

from cli.connections import ACCEPTANCE, accept_terms, create, delete, list_, readable, show_terms
from cli.errors import NotConfirmed, NotThere, WrongUsage
from tests.unit.cli.conftest import Json, World


@pytest.fixture(autouse=True)
def connected(world: World) -> None:
    world.connect()


def test_a_connection_is_made_listed_and_removed(world: World, printed: Json) -> None:
    create(world.session(as_json=True), amc_instance="amc-1", dsp_advertiser="590071284455661234", default=True)
    made = printed()["connectionId"]
    list_(world.session(as_json=True))
    (listed,) = printed()
    assert (listed["connectionId"], listed["dspAdvertiserId"]) == (made, "590071284455661234")
    delete(world.session(yes=True), made)
    assert world.session().amazon.connections() == []


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_blank_id_removes_nothing(world: World, blank: str) -> None:
    create(world.session(), amc_instance="amc-1")
    with pytest.raises(WrongUsage, match="blank"):
        delete(world.session(yes=True), blank)
    assert len(world.session().amazon.connections()) == 1
    calls = requests.get(f"{world.amazon}/sandbox/requests", timeout=5).text
    assert "DELETE" not in calls


def test_a_connection_is_not_removed_unasked(world: World) -> None:
    create(world.session(), amc_instance="amc-1")
    (known,) = world.session().amazon.connections()
    world.answers = ["n"]
    with pytest.raises(NotConfirmed):
        delete(world.session(), known["connectionId"])
    assert len(world.session().amazon.connections()) == 1


def test_an_unknown_connection_is_not_there(world: World) -> None:
    with pytest.raises(NotThere):
        delete(world.session(yes=True), "unknown")


def test_a_connection_to_nothing_is_refused_here(world: World) -> None:
    with pytest.raises(WrongUsage):
        create(world.session(), amc_account="account")


@pytest.mark.parametrize("typed", ["y", "yes", "", ACCEPTANCE.lower()])
def test_terms_are_accepted_by_the_whole_sentence_only(world: World, typed: str, printed: Json) -> None:
    world.answers = [typed]
    with pytest.raises(NotConfirmed):
        accept_terms(world.session(as_json=True, yes=True))
    show_terms(world.session(as_json=True))
    assert printed() == {"accepted": False}


def test_whoever_types_the_sentence_accepts_the_terms(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.answers = [ACCEPTANCE]
    accept_terms(world.session())
    assert "Sandbox text" in capsys.readouterr().out  # the terms were shown before
    assert world.session().amazon.terms().accepted


def test_terms_are_shown_as_text_that_cannot_steer_a_terminal() -> None:
    assert readable("<h1>Terms</h1><p>a &amp; b\x1b[2J&#27;[0m</p>") == "Terms\na & b[2J[0m"
