"""Keys that Segment shows: rotated without a refused request, never shown by accident."""

import pytest

from audience_sync.credentials import Keyring
from cli.errors import NotConfirmed, NotThere
from cli.keys import Kind, retire, rotate, show
from tests.unit.cli.conftest import EVENT_KEY, Json, World


def opens(world: World, key: str) -> bool:
    return key.encode() in Keyring.from_json(world.secret("IngestSecret")).event_keys.secrets


def test_after_a_rotation_the_old_and_the_new_key_open(world: World) -> None:
    rotate(world.session(), Kind.EVENT)
    stored = world.secret("IngestSecret")
    assert stored["previousEventKey"] == EVENT_KEY
    assert opens(world, stored["eventKey"])
    assert opens(world, EVENT_KEY)
    assert stored["other"] == "kept"


def test_a_second_rotation_asks_since_it_ends_the_first_key(world: World) -> None:
    rotate(world.session(), Kind.EVENT)
    world.answers = ["n"]
    with pytest.raises(NotConfirmed):
        rotate(world.session(), Kind.EVENT)
    assert opens(world, EVENT_KEY)
    assert "still valid and would end now" in world.questions[0]


def test_a_retired_key_opens_nothing(world: World) -> None:
    rotate(world.session(), Kind.EVENT)
    retire(world.session(yes=True), Kind.EVENT)
    assert not opens(world, EVENT_KEY)


def test_without_a_previous_key_there_is_nothing_to_retire(world: World) -> None:
    with pytest.raises(NotThere):
        retire(world.session(), Kind.EVENT)


def test_a_first_key_has_none_to_retire(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    rotate(world.session(), Kind.AUDIENCE)
    assert "retire" not in capsys.readouterr().out
    assert world.secret("IngestSecret")["previousAudienceKey"] == ""


def test_an_unreadable_secret_is_written_anew_after_asking(world: World) -> None:
    world.stack.service("secretsmanager").put_secret_value(SecretId=world.stack["IngestSecret"], SecretString="no json")
    world.answers = ["y"]
    rotate(world.session(), Kind.EVENT)
    assert opens(world, world.secret("IngestSecret")["eventKey"])


@pytest.mark.parametrize("kind", list(Kind))
def test_values_are_shown_only_when_asked_for(world: World, kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    rotate(world.session(), kind)
    value = world.secret("IngestSecret")[kind.current]
    show(world.session())
    assert value not in "".join(capsys.readouterr())
    show(world.session(), kind, reveal=True)
    assert value in capsys.readouterr().out


def test_a_weak_key_is_called_weak_and_gets_no_fingerprint(world: World, printed: Json) -> None:
    world.put_secret("IngestSecret", {"eventKey": "changeme-changeme-1"})
    show(world.session(as_json=True), Kind.EVENT)
    assert printed()[0] == {
        "kind": "event",
        "slot": "current",
        "state": "too weak, opens nothing",
        "characters": 19,
        "fingerprint": None,
    }
