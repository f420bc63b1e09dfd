"""Connecting Amazon, from the consent page to the first access token."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from audience_sync_cli.frame.errors import NotConfirmed, NotThere, OperatorError, TryLater, WrongUsage
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.setup import callback
from audience_sync_cli.setup.authorization import Application, AuthorizationRequest, check_redirect_uri, read_answer
from audience_sync_cli.setup.callback import Listener, _Server
from audience_sync_cli.setup.connect import application, authorize, connect
from tests.command.conftest import CLIENT_ID, CLIENT_SECRET, Deployment
from tests.support import browser

APP = Application(CLIENT_ID, CLIENT_SECRET)
RETURN_URL = "http://127.0.0.1:8765/callback"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with closing(Listener(0)) as listening:
        yield listening


@pytest.fixture
def request_(listener: Listener) -> AuthorizationRequest:
    """A request whose answer the listener waits for."""
    return AuthorizationRequest(CLIENT_ID, listener.redirect_uri)


def declined(request: AuthorizationRequest) -> str:
    """Return the address at which the browser ends if access is declined."""
    return f"{request.redirect_uri}?error=access_denied&state={request.state}"


def test_allowing_access_in_the_browser_connects_the_stack_and_replaces_the_token(deployment: Deployment) -> None:
    opened: list[str] = []
    former = {"accessToken": "Atza|of-another-login", "expiresAt": 2_000_000_000}
    deployment.put_secret("TokenSecret", former)
    before = time.time()

    def open_and_allow(address: str) -> bool:
        opened.append(address)
        return browser.answer(address).status_code == 200

    shown = "".join(deployment.printed(authorize, APP, port=0, opener=open_and_allow))
    stored, token = deployment.secret("CredentialsSecret"), deployment.secret("TokenSecret")["accessToken"]
    assert (stored["clientId"], stored["clientSecret"], stored["other"]) == (CLIENT_ID, CLIENT_SECRET, "kept")
    assert stored["refreshToken"].startswith("Atzr|")
    assert token.startswith("Atza|")
    assert token != former["accessToken"]
    assert before - 1 <= stored["authorizedAt"] <= time.time()
    query = parse_qs(urlsplit(opened[0]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["scope"] == ["advertising::campaign_management advertising::audiences"]
    assert "Connected" in shown
    assert [secret for secret in (CLIENT_SECRET, stored["refreshToken"], token) if secret in shown] == []


def test_the_page_after_consent_loads_nothing_and_points_to_the_terminal(
    listener: Listener, request_: AuthorizationRequest
) -> None:
    with ExitStack() as idle:
        for _ in range(50):  # connections that say nothing, before the wait begins
            idle.enter_context(socket.create_connection(("127.0.0.1", urlsplit(listener.redirect_uri).port or 0), 1))
        answers = list[dict[str, str]]()
        page = _while_asking(declined(request_), lambda: answers.append(listener.wait(request_)), status=200)
    assert [each["error"] for each in answers] == ["access_denied"]
    assert "The terminal shows whether the stack is connected" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none';")


def test_the_page_is_sent_before_the_command_can_end(
    listener: Listener, request_: AuthorizationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, early = threading.Event(), list[bool]()

    class Page:
        def encode(self) -> bytes:
            early.append(ended.wait(0.5))
            return b""

    monkeypatch.setattr(callback, "_PAGE", Page())
    threading.Thread(target=requests.get, args=(declined(request_),), kwargs={"timeout": 5}).start()
    listener.wait(request_)
    ended.set()
    assert early == [False]


def test_another_redirect_uri_implies_pasting(deployment: Deployment) -> None:
    deployment.connect()
    deployment.answers = ["?error=access_denied&state=another"]
    with pytest.raises(OperatorError, match="another request"):
        connect(deployment.session(), redirect_uri="https://example.com/callback")
    assert deployment.questions == ["Paste that address: "]


@pytest.mark.parametrize(
    "address",
    [
        *("notaurl", "http://example.com/cb", "https://", "ftp://example.com", "https://a b/", "http://[::1"),
        "https://x.example/#part",
    ],
)
def test_an_invalid_redirect_uri_is_refused(deployment: Deployment, address: str) -> None:
    assert "--redirect-uri must be" in str(deployment.refusal(WrongUsage, connect, redirect_uri=address))
    assert deployment.questions == []


@pytest.mark.parametrize("address", ["https://example.com/cb", "http://localhost:9000/cb", "http://127.0.0.1:9000/cb"])
def test_a_valid_redirect_uri_is_accepted(address: str) -> None:
    check_redirect_uri(address)


def test_without_a_browser_the_address_is_pasted(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    others = ["foo", "https://amazon.example/ap/oa?client_id=1&state=x"]

    def paste(_: str) -> str:
        if others:
            return others.pop()
        noted = capsys.readouterr().err
        (address,) = [line for line in noted.splitlines() if line.startswith(deployment.amazon)]
        return browser.answer(address, follow=False).headers["Location"]

    authorize(Session(Screen(answers=paste), lambda: deployment.stack), APP, port=8765, opener=None)
    assert others == [], "anything else is asked for again"
    assert deployment.secret("CredentialsSecret")["refreshToken"].startswith("Atzr|")


@pytest.mark.parametrize("reason", ["authorization_refused", "throttled"])
def test_connect_reports_changes_that_waited_for_the_login_as_status_does(deployment: Deployment, reason: str) -> None:
    deployment.log("Worker", "delivery incomplete", deferred=[reason], waits_since=1_772_615_722)
    found = deployment.printed(authorize, APP, port=0, opener=_allow).out
    waits = "Waits since 2026-03-04 09:15:22Z: Amazon is authorized again. Next try by 20"
    assert (waits in found) is (reason == "authorization_refused")


def test_declining_access_or_a_wrong_client_secret_changes_nothing(deployment: Deployment) -> None:
    before, wrong = deployment.secret("CredentialsSecret"), Application(CLIENT_ID, "wrong-client-secret")
    with pytest.raises(NotConfirmed, match="declined"):
        authorize(deployment.session(), APP, port=0, opener=lambda url: browser.answer(url, "deny").ok)
    with pytest.raises(NotThere, match="client id with this secret"):
        authorize(deployment.session(), wrong, port=0, opener=_allow)
    assert deployment.secret("CredentialsSecret") == before


def test_an_answer_with_another_state_gets_a_404(listener: Listener, request_: AuthorizationRequest) -> None:
    with pytest.raises(TryLater, match="No answer") as caught:
        _while_asking(f"{listener.redirect_uri}?code=stolen&state=guessed", lambda: listener.wait(request_, seconds=3))
    assert listener.redirect_uri in caught.value.remedy


@contextmanager
def _sending_slowly(redirect_uri: str) -> Iterator[None]:
    """Keep two connections open: one sends a byte at a time and never ends its request, the other is silent."""
    address = (urlsplit(redirect_uri).hostname, urlsplit(redirect_uri).port)
    is_over = threading.Event()

    def send(connection: socket.socket) -> None:
        with suppress(OSError):
            for _ in range(120):  # a minute, so that a listener that waits for this fails and does not hang
                connection.sendall(b"G")
                if is_over.wait(0.5):
                    return

    with socket.create_connection(address) as slow, socket.create_connection(address):
        sender = threading.Thread(target=send, args=(slow,))
        sender.start()
        yield
        assert sender.is_alive(), "it was waited for"
        is_over.set()
        sender.join()


def test_a_slow_connection_delays_neither_the_answer_nor_the_deadline(
    listener: Listener, request_: AuthorizationRequest
) -> None:
    answers = list[dict[str, str]]()
    address = f"{listener.redirect_uri}?code=ours&state={request_.state}"
    with _sending_slowly(listener.redirect_uri):
        with pytest.raises(TryLater):
            listener.wait(AuthorizationRequest(CLIENT_ID, listener.redirect_uri), seconds=1)
        _while_asking(address, lambda: answers.append(listener.wait(request_)), status=200)
    assert [each["code"] for each in answers] == ["ours"]


def test_only_the_first_answer_to_a_request_counts() -> None:
    server, request = _Server(0), AuthorizationRequest(CLIENT_ID, RETURN_URL)
    with closing(server.socket):
        server.expected = request
        answer = {"code": "ours", "state": request.state}
        assert [server.accepts(answer) for _ in range(2)] == [True, False]


def test_the_wait_for_the_browser_counts_down() -> None:
    left: list[float] = []
    with closing(Listener(0, count(start=100.0).__next__)) as listener:  # each reading of the clock is a second later
        request = AuthorizationRequest(CLIENT_ID, listener.redirect_uri)
        with pytest.raises(TryLater):
            listener.wait(request, seconds=2.0, on_wait=left.append)
    assert left == [1.0, 0.0]


@pytest.mark.parametrize(("seconds", "text"), [(300.0, "5:00"), (299.4, "4:59"), (65, "1:05"), (0.2, "0:00")])
def test_a_terminal_shows_the_time_left_in_minutes_and_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: float, text: str
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # Rich's way to say that a stream is a terminal
    with Screen().progress("waiting") as bar:
        bar.count_down("waiting", seconds)
    assert f"waiting, {text} left" in capsys.readouterr().err


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OperatorError, match=r"Port \d+ is in use"):
            Listener(other.getsockname()[1])


@pytest.mark.parametrize(
    ("pasted", "error"),
    [
        pytest.param(f"{RETURN_URL}?code=a&state=other", "another request", id="another state"),
        pytest.param(f"{RETURN_URL}?code=a", "another request", id="no state"),
        pytest.param("?error=access_denied&state=mine", "declined", id="declined"),
        pytest.param("?error=invalid_scope&state=mine", "does not allow this application", id="scope not approved"),
        pytest.param("https://example.com/?state=mine", "no code", id="no code"),
    ],
)
def test_an_answer_without_our_state_and_a_code_is_refused(pasted: str, error: str) -> None:
    with pytest.raises((OperatorError, NotConfirmed), match=error):
        AuthorizationRequest(CLIENT_ID, RETURN_URL, state="mine").code(read_answer(pasted))


def test_authorization_requests_differ_and_never_print_their_secrets() -> None:
    first, second = (AuthorizationRequest(CLIENT_ID, RETURN_URL) for _ in range(2))
    assert len({first.state, second.state, first.verifier, second.verifier}) == 4
    assert first.state not in repr(first)
    assert first.verifier not in first.url("https://consent.example") + repr(first)
    assert 43 <= len(first.verifier) <= 128  # RFC 7636, 4.1


def test_a_stored_client_is_reused_and_another_asks_for_its_secret_unless_the_environment_has_it(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.connect()
    assert application(deployment.session(), "", ask_again=False) == APP
    deployment.answers = ["its-own-secret"]
    assert application(deployment.session(), "client-2", ask_again=False) == Application("client-2", "its-own-secret")
    monkeypatch.setenv("AUDIENCE_SYNC_CLIENT_SECRET", "from-the-environment")
    assert application(deployment.session(), "client-2", ask_again=False).client_secret == "from-the-environment"


def _allow(address: str) -> bool:
    return browser.answer(address).ok


def _while_asking(address: str, wait: Callable[[], object], *, status: int = 404) -> requests.Response:
    pages: list[requests.Response] = []
    asking = threading.Thread(target=lambda: pages.append(requests.get(address, timeout=5)))
    asking.start()
    try:
        wait()
    finally:
        asking.join(5)
        assert [page.status_code for page in pages] == [status]
    return pages[0]
