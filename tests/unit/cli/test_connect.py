"""Connecting Amazon, from the consent page to the first access token."""

import socket
import threading
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from cli.authorization import Application, AuthorizationRequest, Listener, read_answer
from cli.connect import application, authorize
from cli.errors import NotConfirmed, NotThere, OperatorError, TryLater
from cli.screen import Screen
from cli.session import Session
from tests.unit.cli import browser
from tests.unit.cli.conftest import CLIENT_ID, CLIENT_SECRET, Simulation

APP = Application(CLIENT_ID, CLIENT_SECRET)


def test_a_person_who_allows_access_connects_the_stack(
    simulation: Simulation, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def open_and_allow(address: str) -> bool:
        opened.append(address)
        return browser.answer(address).status_code == 200

    authorize(simulation.session(), APP, port=0, opener=open_and_allow)

    stored = simulation.secret("CredentialsSecret")
    assert (stored["clientId"], stored["clientSecret"], stored["other"]) == (CLIENT_ID, CLIENT_SECRET, "kept")
    assert stored["refreshToken"].startswith("Atzr|")
    token = simulation.secret("TokenSecret")["accessToken"]
    assert token.startswith("Atza|")
    asked = parse_qs(urlsplit(opened[0]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["scope"] == ["advertising::campaign_management advertising::audiences"]
    shown = "".join(capsys.readouterr())
    assert "Connected" in shown
    for secret in (CLIENT_SECRET, stored["refreshToken"], token):
        assert secret not in shown


def test_without_a_browser_the_address_is_pasted(simulation: Simulation, capsys: pytest.CaptureFixture[str]) -> None:
    def paste(_: str) -> str:
        noted = capsys.readouterr().err
        (address,) = [line for line in noted.splitlines() if line.startswith(simulation.amazon)]
        return browser.answer(address, follow=False).headers["Location"]

    screen = Screen(answers=paste)
    authorize(Session(screen, lambda: simulation.stack), APP, port=8765, opener=None)
    assert simulation.secret("CredentialsSecret")["refreshToken"].startswith("Atzr|")


def test_a_new_authorization_ends_the_old_access_token(simulation: Simulation) -> None:
    simulation.put_secret("TokenSecret", {"accessToken": "Atza|of-someone-else", "expiresAt": 2_000_000_000})
    authorize(simulation.session(), APP, port=0, opener=_allow)
    assert simulation.secret("TokenSecret")["accessToken"] != "Atza|of-someone-else"


def test_a_person_who_declines_changes_nothing(simulation: Simulation) -> None:
    before = simulation.secret("CredentialsSecret")
    with pytest.raises(NotConfirmed, match="declined"):
        authorize(simulation.session(), APP, port=0, opener=lambda url: browser.answer(url, "deny").ok)
    assert simulation.secret("CredentialsSecret") == before


def test_a_wrong_client_secret_is_said_and_nothing_stored(simulation: Simulation) -> None:
    with pytest.raises(NotThere, match="client id with this secret"):
        authorize(simulation.session(), Application(CLIENT_ID, "wrong-client-secret"), port=0, opener=_allow)
    assert simulation.secret("CredentialsSecret")["refreshToken"] == ""


def test_an_answer_to_another_question_is_waited_through() -> None:
    listener = Listener(0)
    try:
        question = AuthorizationRequest(CLIENT_ID, listener.redirect_uri)
        with pytest.raises(TryLater, match="No answer"):
            _while_asking(
                f"{listener.redirect_uri}?code=stolen&state=guessed", lambda: listener.wait(question, seconds=3)
            )
    finally:
        listener.close()


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OperatorError, match=r"Port \d+ is in use"):
            Listener(other.getsockname()[1])


@pytest.mark.parametrize(
    ("pasted", "error"),
    [
        pytest.param("http://127.0.0.1:8765/callback?code=a&state=other", "another request", id="another state"),
        pytest.param("http://127.0.0.1:8765/callback?code=a", "another request", id="no state"),
        pytest.param("?error=access_denied&state=mine", "declined", id="declined"),
        pytest.param("?error=invalid_scope&state=mine", "does not let this application", id="scope not approved"),
        pytest.param("https://example.com/?state=mine", "no code", id="no code"),
    ],
)
def test_an_answer_without_a_code_of_ours_is_refused(pasted: str, error: str) -> None:
    with pytest.raises((OperatorError, NotConfirmed), match=error):
        AuthorizationRequest(CLIENT_ID, "http://127.0.0.1:8765/callback", state="mine").code(read_answer(pasted))


def test_questions_are_never_alike_and_never_print_their_secrets() -> None:
    first, second = (AuthorizationRequest(CLIENT_ID, "http://127.0.0.1:8765/callback") for _ in range(2))
    assert first.state != second.state
    assert first.verifier != second.verifier
    assert first.state not in repr(first)
    assert first.verifier not in first.url("https://consent.example") + repr(first)
    assert 43 <= len(first.verifier) <= 128  # RFC 7636, 4.1


def test_stored_client_credentials_are_used_again(simulation: Simulation) -> None:
    simulation.connect()
    assert application(simulation.session(), "", ask_again=False) == APP


def test_another_client_id_asks_for_its_own_secret(simulation: Simulation) -> None:
    simulation.connect()
    simulation.answers = ["its-own-secret"]
    assert application(simulation.session(), "client-2", ask_again=False) == Application("client-2", "its-own-secret")


def test_the_client_secret_may_come_from_the_environment(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIENCE_SYNC_CLIENT_SECRET", "from-the-environment")
    assert application(simulation.session(), "client-2", ask_again=False).client_secret == "from-the-environment"


def _allow(address: str) -> bool:
    return browser.answer(address).ok


def _while_asking(address: str, wait: Callable[[], object]) -> None:
    statuses: list[int] = []
    asking = threading.Thread(target=lambda: statuses.append(requests.get(address, timeout=5).status_code))
    asking.start()
    try:
        wait()
    finally:
        asking.join(5)
        assert statuses == [404]
