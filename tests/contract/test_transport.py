"""No exchange takes longer than its timeout: at the wire, with servers that trickle or stop."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import requests

from audience_sync.amazon_ads.exchange import Exchange
from audience_sync.amazon_ads.login import AccessTokens, Login, Token
from audience_sync.amazon_ads.transport import TotalTimeoutAdapter
from audience_sync.errors import OutcomeUnknown, TokenUnavailable
from tests.support.aws_fixtures import CREDENTIALS
from tests.support.doubles.secrets import StoredSecret

TIMEOUT = 0.6  # seconds
LIMIT = 60.0  # seconds; a busy machine may be late
MISBEHAVIOUR = 120.0  # seconds for which a server misbehaves, unless the test has ended: far more than the limit

type Server = Callable[[socket.socket, Callable[[], bool]], None]


def trickling_headers(client: socket.socket, keep_going: Callable[[], bool]) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    while keep_going():
        client.sendall(b"X-More: 1\r\n")
        time.sleep(0.05)


def silent_after_late_headers(client: socket.socket, keep_going: Callable[[], bool]) -> None:
    time.sleep(TIMEOUT * 0.8)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    while keep_going():
        time.sleep(0.05)


def trickling_body_of_a_closed_connection(client: socket.socket, keep_going: Callable[[], bool]) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9999\r\n\r\n")
    while keep_going():
        client.sendall(b"x")
        time.sleep(0.05)


def silent_body_of_a_closed_connection(client: socket.socket, keep_going: Callable[[], bool]) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9999\r\n\r\n")
    silent(client, keep_going)


def silent(client: socket.socket, keep_going: Callable[[], bool]) -> None:
    assert client
    while keep_going():
        time.sleep(0.05)


def closing(client: socket.socket, _: Callable[[], bool]) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def resetting(client: socket.socket, _: Callable[[], bool]) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it is reset, not closed


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """Serve one connection after the other, each for MISBEHAVIOUR seconds at most."""
    ended = threading.Event()

    def misbehave(client: socket.socket) -> None:
        until = time.monotonic() + MISBEHAVIOUR
        server(client, lambda: time.monotonic() < until and not ended.is_set())

    def serve() -> None:
        while not ended.is_set():
            with suppress(OSError):
                client, _ = listener.accept()
                with client:
                    client.recv(65_536)
                    misbehave(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize(
    "server",
    [
        trickling_headers,
        silent_after_late_headers,
        silent,
        trickling_body_of_a_closed_connection,
        silent_body_of_a_closed_connection,
    ],
)
def test_an_exchange_ends_at_its_timeout(server: Server) -> None:
    stored = StoredSecret(Token("Atza|stored", time.time() + 3000).as_json())
    with serving(server) as url, requests.Session() as session:
        login = Login(session, f"{url}/auth/o2/token", StoredSecret(dict(CREDENTIALS)), time.time)
        exchange = Exchange(session, url, AccessTokens(stored, login, time.time))
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            exchange.call("POST", "/amc/audiences/records", "application/json", body=b"{}", timeout=TIMEOUT)
        assert TIMEOUT * 0.9 <= time.monotonic() - began < LIMIT


def test_a_login_ends_at_its_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync.amazon_ads.login.TOTAL_TIMEOUT", TIMEOUT)
    with serving(trickling_headers) as url, requests.Session() as session:
        login = Login(session, url, StoredSecret(dict(CREDENTIALS)), time.time)
        began = time.monotonic()
        with pytest.raises(TokenUnavailable):
            login.fetch()
        assert time.monotonic() - began < LIMIT


def test_a_hanging_connection_times_out_although_another_was_closed() -> None:
    with serving(closing) as closed, serving(silent) as hanging, requests.Session() as session:
        adapter = TotalTimeoutAdapter.mount_on(session)
        assert session.get(closed, timeout=LIMIT).status_code == 200
        began = time.monotonic()
        with pytest.raises(requests.ConnectionError), adapter.limit(TIMEOUT):
            session.get(hanging, timeout=MISBEHAVIOUR)
        assert TIMEOUT * 0.9 <= time.monotonic() - began < LIMIT


def test_a_hanging_connection_times_out_although_others_were_reset() -> None:
    with ExitStack() as servers, requests.Session() as session:
        adapter = TotalTimeoutAdapter.mount_on(session)
        for _ in range(8):  # they are cut in any order; the one that hangs is hardly the first of nine
            assert session.get(servers.enter_context(serving(resetting)), timeout=LIMIT).status_code == 200
        hanging = servers.enter_context(serving(silent))
        began = time.monotonic()
        with pytest.raises(requests.ConnectionError), adapter.limit(TIMEOUT):
            session.get(hanging, timeout=MISBEHAVIOUR)
        assert time.monotonic() - began < LIMIT
