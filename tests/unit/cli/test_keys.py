"""Keys that Segment shows: rotated without a refused request, never shown by accident."""

import pytest

from audience_sync.credentials import Keyring
from cli.errors import NotConfirmed, NotThere
from cli.keys import Kind, retire, rotate, show
from tests.unit.cli.conftest import EVENT_KEY, Json, Simulation


def opens(simulation: Simulation, key: str) -> bool:
    return key.encode() in Keyring.from_json(simulation.secret("IngestSecret")).event_keys.secrets


def test_after_a_rotation_the_old_and_the_new_key_open(simulation: Simulation) -> None:
    rotate(simulation.session(), Kind.EVENT)
    stored = simulation.secret("IngestSecret")
    assert stored["previousEventKey"] == EVENT_KEY
    assert opens(simulation, stored["eventKey"])
    assert opens(simulation, EVENT_KEY)
    assert stored["other"] == "kept"


def test_a_second_rotation_asks_since_it_ends_the_first_key(simulation: Simulation) -> None:
    rotate(simulation.session(), Kind.EVENT)
    simulation.answers = ["n"]
    with pytest.raises(NotConfirmed):
        rotate(simulation.session(), Kind.EVENT)
    assert opens(simulation, EVENT_KEY)
    assert "still valid and would end now" in simulation.questions[0]


def test_a_retired_key_opens_nothing(simulation: Simulation) -> None:
    rotate(simulation.session(), Kind.EVENT)
    retire(simulation.session(yes=True), Kind.EVENT)
    assert not opens(simulation, EVENT_KEY)


def test_without_a_previous_key_there_is_nothing_to_retire(simulation: Simulation) -> None:
    with pytest.raises(NotThere):
        retire(simulation.session(), Kind.EVENT)


def test_a_first_key_has_none_to_retire(simulation: Simulation, capsys: pytest.CaptureFixture[str]) -> None:
    rotate(simulation.session(), Kind.AUDIENCE)
    assert "retire" not in capsys.readouterr().out
    assert simulation.secret("IngestSecret")["previousAudienceKey"] == ""


def test_an_unreadable_secret_is_written_anew_after_asking(simulation: Simulation) -> None:
    simulation.stack.service("secretsmanager").put_secret_value(
        SecretId=simulation.stack["IngestSecret"], SecretString="no json"
    )
    simulation.answers = ["y"]
    rotate(simulation.session(), Kind.EVENT)
    assert opens(simulation, simulation.secret("IngestSecret")["eventKey"])


@pytest.mark.parametrize("kind", list(Kind))
def test_values_are_shown_only_when_asked_for(
    simulation: Simulation, kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    rotate(simulation.session(), kind)
    value = simulation.secret("IngestSecret")[kind.current]
    show(simulation.session())
    assert value not in "".join(capsys.readouterr())
    show(simulation.session(), kind, reveal=True)
    assert value in capsys.readouterr().out


def test_a_weak_key_is_called_weak_and_gets_no_fingerprint(simulation: Simulation, printed: Json) -> None:
    simulation.put_secret("IngestSecret", {"eventKey": "changeme-changeme-1"})
    show(simulation.session(as_json=True), Kind.EVENT)
    assert printed()[0] == {
        "kind": "event",
        "slot": "current",
        "state": "too weak, opens nothing",
        "characters": 19,
        "fingerprint": None,
    }
