"""The server of the page: nothing without the token, nothing under another name, buttons for the page alone."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPConnection
from socket import create_connection
from typing import Any

import pytest
import requests

from audience_sync_cli.dashboard.facts import Facts
from audience_sync_cli.dashboard.page import build_page
from audience_sync_cli.dashboard.server import DashboardServer
from audience_sync_cli.frame.errors import TryLater
from tests.support import dashboard_states as states


class Shown:
    """A stack whose facts are given, and which remembers what was redriven."""

    def __init__(self, facts: Facts) -> None:
        self.facts: Facts | Exception = facts
        self.redriven: list[str] = []
        self.switched: list[tuple[str, str]] = []

    def read(self, chosen: str) -> Facts:
        if isinstance(self.facts, Exception):
            raise self.facts
        return replace(self.facts, range=chosen)

    def redrive(self, reason: str) -> list[str]:
        self.read("")
        self.redriven.append(reason)
        return ["3 dead letters redriven."]

    def switch(self, action: str, fields: Mapping[str, str]) -> list[str]:
        self.switched.append((action, fields.get("note", "")))
        return []

    def find(self, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        return [{"title": "Dead letter", "facts": {"members": fields["id"]}}]


@pytest.fixture
def shown() -> Shown:
    return Shown(states.parked())


@pytest.fixture
def server(shown: Shown) -> Iterator[DashboardServer]:
    with DashboardServer(shown, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(60)


def origin(server: DashboardServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def post(server: DashboardServer, path: str, source: str = "", **fields: str) -> requests.Response:
    """Press a button of the page, or of another one."""
    headers = {"Origin": source or origin(server)}
    return requests.post(f"{server.url}/{path}", json=fields, headers=headers, timeout=60)


def get_facts(address: str) -> requests.Response:
    return requests.get(address, headers={"Accept": "application/json"}, timeout=60)


def test_a_browser_gets_the_page_under_its_policy(server: DashboardServer) -> None:
    answer = requests.get(server.url, headers={"Accept": "text/html,*/*;q=0.8"}, timeout=60)
    assert answer.text == build_page()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert answer.headers["Referrer-Policy"] == "no-referrer"  # the address holds the token
    assert answer.headers["Server"].strip() == "audience-sync"
    for given in (answer, get_facts(server.url), get_facts(f"{server.url}/redrive")):
        assert given.headers["Cache-Control"] == "no-store"
        assert given.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("asked", "chosen"), [("7d", "7d"), ("", ""), ("8d", ""), ("7d&range=1h", "7d"), ("%00", "")])
def test_an_unknown_range_falls_back_to_the_usual_one(server: DashboardServer, asked: str, chosen: str) -> None:
    answer = get_facts(f"{server.url}?range={asked}").json()
    assert (answer["range"], answer["deadLetters"]) == (chosen, 3)


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_only_the_page_pauses_and_resumes(server: DashboardServer, shown: Shown, action: str) -> None:
    for source, expected in (("", 200), ("https://other.example", 403)):
        assert post(server, action, source, note="why").status_code == expected
    assert shown.switched == [(action, "why")]


def test_every_start_has_a_new_address_on_this_machine_only(shown: Shown) -> None:
    with DashboardServer(shown, 0) as first, DashboardServer(shown, 0) as second:
        assert first.path != second.path
        assert len(first.path) >= 32
        assert first.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/status", "/facts", "/%2e%2e", "/token", "//"])
def test_nothing_is_served_without_the_token(server: DashboardServer, path: str) -> None:
    answer = get_facts(origin(server) + path)
    assert (answer.status_code, answer.json()) == (404, {"error": "not found"})
    headers = {"Origin": origin(server)}
    assert requests.post(f"{origin(server)}{path}/redrive", json={}, headers=headers, timeout=60).status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_served_under_another_host_name(server: DashboardServer, shown: Shown, method: str) -> None:
    headers = {"Host": "rebound.example", "Origin": "http://rebound.example", "Accept": "application/json"}
    path = server.url if method == "GET" else f"{server.url}/redrive"
    answer = requests.request(method, path, json={}, headers=headers, timeout=60)
    assert (answer.status_code, shown.redriven) == (403, [])


def test_the_page_redrives_and_an_error_is_a_sentence_on_it(server: DashboardServer, shown: Shown) -> None:
    assert post(server, "redrive", reason="access_denied").json() == {"sentences": ["3 dead letters redriven."]}
    assert shown.redriven == ["access_denied"]
    shown.facts = TryLater("AWS cannot be reached.", "Check the network and the region.")
    assert get_facts(server.url).json() == {"error": "AWS cannot be reached."}
    assert post(server, "redrive").json()["error"] == "AWS cannot be reached. Check the network and the region."


def test_the_page_looks_for_an_id_in_a_body_and_no_request_is_logged(
    server: DashboardServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """The address holds the token."""
    found = post(server, "find", id="cust_1").json()["found"]
    assert found == [{"title": "Dead letter", "facts": {"members": "cust_1"}}]
    assert requests.get(f"{server.url}/find", timeout=60).status_code == 404
    assert requests.post(f"{server.url}/find", json={"id": "cust_1"}, timeout=60).status_code == 403
    assert (get_facts(server.url).status_code, get_facts(f"{origin(server)}/nothing").status_code) == (200, 404)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param({"Origin": "https://elsewhere.example"}, b"{}", 403, id="another site"),
        pytest.param({}, b"[]", 400, id="no object"),
        pytest.param({}, b"{", 400, id="no JSON"),
        pytest.param({}, b" " * 10_001, 413, id="too large"),
    ],
)
def test_requests_from_elsewhere_do_not_redrive(
    server: DashboardServer, shown: Shown, headers: dict[str, str], body: bytes, status: int
) -> None:
    sent = {"Origin": origin(server), "Content-Type": "application/json"} | headers
    answer = requests.post(f"{server.url}/redrive", data=body, headers=sent, timeout=60)
    assert (answer.status_code, shown.redriven) == (status, [])


# The third is a digit, too, in a header.
@pytest.mark.parametrize("length", ["", "-1", "\u00b2", "1e3", "9" * 30, "9" * 5_000])
def test_a_body_of_unknown_length_is_refused(
    server: DashboardServer, shown: Shown, length: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(HTTPConnection("127.0.0.1", server.server_port, timeout=60)) as connection:
        connection.putrequest("POST", f"{server.path}/redrive")
        headers = {"Origin": origin(server), "Content-Type": "application/json", "Content-Length": length}
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders()
        assert connection.getresponse().status == 413
    assert (shown.redriven, capfd.readouterr().err) == ([], "")


def test_other_origins_cannot_read_any_answer(server: DashboardServer) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET", "HEAD", "PUT"):
        answer = requests.request(method, f"{server.url}/redrive", headers=asked, timeout=60)
        assert answer.status_code >= 400
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_a_hundred_idle_connections_do_not_fill_the_backlog_of_the_page(shown: Shown) -> None:
    with DashboardServer(shown, 0) as server, ExitStack() as opened:  # which accepts none yet, as if it were busy
        for _ in range(100):
            opened.enter_context(create_connection(("127.0.0.1", server.server_port), timeout=5))
