"""Connecting Amazon, from the consent page to the first access token."""

import socket
import threading
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from audience_sync_cli.authorization import Application, AuthorizationRequest, Listener, read_answer
from audience_sync_cli.connect import application, authorize
from audience_sync_cli.errors import NotConfirmed, NotThere, OperatorError, TryLater
from audience_sync_cli.screen import Screen
from audience_sync_cli.session import Session
from tests.unit.cli import browser
from tests.unit.cli.conftest import CLIENT_ID, CLIENT_SECRET, Deployment

APP = Application(CLIENT_ID, CLIENT_SECRET)


def test_a_person_who_allows_access_connects_the_stack(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def open_and_allow(address: str) -> bool:
        opened.append(address)
        return browser.answer(address).status_code == 200

    authorize(deployment.session(), APP, port=0, opener=open_and_allow)

    stored = deployment.secret("CredentialsSecret")
    assert (stored["clientId"], stored["clientSecret"], stored["other"]) == (CLIENT_ID, CLIENT_SECRET, "kept")
    assert stored["refreshToken"].startswith("Atzr|")
    token = deployment.secret("TokenSecret")["accessToken"]
    assert token.startswith("Atza|")
    query = parse_qs(urlsplit(opened[0]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["scope"] == ["advertising::campaign_management advertising::audiences"]
    shown = "".join(capsys.readouterr())
    assert "Connected" in shown
    for secret in (CLIENT_SECRET, stored["refreshToken"], token):
        assert secret not in shown


def test_without_a_browser_the_address_is_pasted(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    def paste(_: str) -> str:
        noted = capsys.readouterr().err
        (address,) = [line for line in noted.splitlines() if line.startswith(deployment.amazon)]
        return browser.answer(address, follow=False).headers["Location"]

    screen = Screen(answers=paste)
    authorize(Session(screen, lambda: deployment.stack), APP, port=8765, opener=None)
    assert deployment.secret("CredentialsSecret")["refreshToken"].startswith("Atzr|")


def test_a_new_authorization_ends_the_old_access_token(deployment: Deployment) -> None:
    deployment.put_secret("TokenSecret", {"accessToken": "Atza|of-another-login", "expiresAt": 2_000_000_000})
    authorize(deployment.session(), APP, port=0, opener=_allow)
    assert deployment.secret("TokenSecret")["accessToken"] != "Atza|of-another-login"


def test_a_person_who_declines_changes_nothing(deployment: Deployment) -> None:
    before = deployment.secret("CredentialsSecret")
    with pytest.raises(NotConfirmed, match="declined"):
        authorize(deployment.session(), APP, port=0, opener=lambda url: browser.answer(url, "deny").ok)
    assert deployment.secret("CredentialsSecret") == before


def test_a_wrong_client_secret_is_reported_and_nothing_is_stored(deployment: Deployment) -> None:
    with pytest.raises(NotThere, match="client id with this secret"):
        authorize(deployment.session(), Application(CLIENT_ID, "wrong-client-secret"), port=0, opener=_allow)
    assert deployment.secret("CredentialsSecret")["refreshToken"] == ""


def test_an_answer_to_another_request_is_refused_and_the_wait_goes_on() -> None:
    listener = Listener(0)
    try:
        request = AuthorizationRequest(CLIENT_ID, listener.redirect_uri)
        with pytest.raises(TryLater, match="No answer"):
            _while_asking(
                f"{listener.redirect_uri}?code=stolen&state=guessed", lambda: listener.wait(request, seconds=3)
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
        pytest.param("?error=invalid_scope&state=mine", "does not allow this application", id="scope not approved"),
        pytest.param("https://example.com/?state=mine", "no code", id="no code"),
    ],
)
def test_an_answer_without_a_code_of_ours_is_refused(pasted: str, error: str) -> None:
    with pytest.raises((OperatorError, NotConfirmed), match=error):
        AuthorizationRequest(CLIENT_ID, "http://127.0.0.1:8765/callback", state="mine").code(read_answer(pasted))


def test_authorization_requests_differ_and_never_print_their_secrets() -> None:
    first, second = (AuthorizationRequest(CLIENT_ID, "http://127.0.0.1:8765/callback") for _ in range(2))
    assert first.state != second.state
    assert first.verifier != second.verifier
    assert first.state not in repr(first)
    assert first.verifier not in first.url("https://consent.example") + repr(first)
    assert 43 <= len(first.verifier) <= 128  # RFC 7636, 4.1


def test_stored_client_credentials_are_used_again(deployment: Deployment) -> None:
    deployment.connect()
    assert application(deployment.session(), "", ask_again=False) == APP


def test_another_client_id_asks_for_its_own_secret(deployment: Deployment) -> None:
    deployment.connect()
    deployment.answers = ["its-own-secret"]
    assert application(deployment.session(), "client-2", ask_again=False) == Application("client-2", "its-own-secret")


def test_the_client_secret_may_come_from_the_environment(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIENCE_SYNC_CLIENT_SECRET", "from-the-environment")
    assert application(deployment.session(), "client-2", ask_again=False).client_secret == "from-the-environment"


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
