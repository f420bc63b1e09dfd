"""Keys that Segment sends: rotated without a refused request, never shown by accident."""

import pytest

from audience_sync.credentials import Keyring
from cli.errors import NotConfirmed, NotThere
from cli.keys import Kind, retire, rotate, show
from tests.aws_fixtures import EVENT_KEY
from tests.unit.cli.conftest import Deployment, Json


def opens(deployment: Deployment, key: str) -> bool:
    return key.encode() in Keyring.from_json(deployment.secret("IngestSecret")).event_keys.secrets


def test_after_a_rotation_the_old_and_the_new_key_open(deployment: Deployment) -> None:
    rotate(deployment.session(), Kind.EVENT)
    stored = deployment.secret("IngestSecret")
    assert stored["previousEventKey"] == EVENT_KEY
    assert opens(deployment, stored["eventKey"])
    assert opens(deployment, EVENT_KEY)
    assert stored["other"] == "kept"


def test_a_second_rotation_asks_since_it_ends_the_first_key(deployment: Deployment) -> None:
    rotate(deployment.session(), Kind.EVENT)
    deployment.answers = ["n"]
    with pytest.raises(NotConfirmed):
        rotate(deployment.session(), Kind.EVENT)
    assert opens(deployment, EVENT_KEY)
    assert "still valid and would stop working now" in deployment.questions[0]


def test_a_retired_key_opens_nothing(deployment: Deployment) -> None:
    rotate(deployment.session(), Kind.EVENT)
    retire(deployment.session(yes=True), Kind.EVENT)
    assert not opens(deployment, EVENT_KEY)


def test_without_a_previous_key_there_is_nothing_to_retire(deployment: Deployment) -> None:
    with pytest.raises(NotThere):
        retire(deployment.session(), Kind.EVENT)


def test_a_first_key_has_none_to_retire(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    rotate(deployment.session(), Kind.AUDIENCE)
    assert "retire" not in capsys.readouterr().out
    assert deployment.secret("IngestSecret")["previousAudienceKey"] == ""


def test_an_unreadable_secret_is_replaced_after_asking(deployment: Deployment) -> None:
    deployment.stack.service("secretsmanager").put_secret_value(
        SecretId=deployment.stack["IngestSecret"], SecretString="no json"
    )
    deployment.answers = ["y"]
    rotate(deployment.session(), Kind.EVENT)
    assert opens(deployment, deployment.secret("IngestSecret")["eventKey"])


@pytest.mark.parametrize("kind", list(Kind))
def test_values_are_shown_only_when_asked_for(
    deployment: Deployment, kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    rotate(deployment.session(), kind)
    value = deployment.secret("IngestSecret")[kind.current]
    show(deployment.session())
    assert value not in "".join(capsys.readouterr())
    show(deployment.session(), kind, reveal=True)
    assert value in capsys.readouterr().out


def test_a_weak_key_is_called_weak_and_gets_no_fingerprint(deployment: Deployment, printed: Json) -> None:
    deployment.put_secret("IngestSecret", {"eventKey": "changeme-changeme-1"})
    show(deployment.session(as_json=True), Kind.EVENT)
    assert printed()[0] == {
        "kind": "event",
        "slot": "current",
        "state": "too weak, not accepted",
        "characters": 19,
        "fingerprint": None,
    }
