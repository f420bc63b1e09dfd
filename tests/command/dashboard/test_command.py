"""`audience-sync dashboard`: one line with the address, and the page behind it until Ctrl-C."""

import socket
import threading
from dataclasses import replace

import pytest
import requests

from audience_sync_cli.dashboard.command import dashboard
from audience_sync_cli.dashboard.server import DashboardServer
from audience_sync_cli.frame.errors import NotThere, OperatorError, WrongUsage
from tests.command.conftest import Deployment


@pytest.fixture
def deployed(deployment: Deployment) -> Deployment:
    return replace(deployment, stack=replace(deployment.stack, local=None, created=0))


class Visit:
    """A browser that asks for the facts once, and then an operator who presses Ctrl-C."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.facts: dict[str, object] = {}
        self.url = ""
        self.opened: list[str] = []
        self._serve = DashboardServer.serve_forever

        def visit(server: DashboardServer) -> None:
            self._visit(server)

        monkeypatch.setattr(DashboardServer, "serve_forever", visit)
        monkeypatch.setattr("webbrowser.open", self._open)

    def _open(self, url: str) -> bool:
        self.opened.append(url)
        return True

    def _visit(self, server: DashboardServer) -> None:
        served = threading.Thread(target=self._serve, args=(server, 0.01), daemon=True)
        served.start()
        self.url = server.url
        self.facts = requests.get(server.url, headers={"Accept": "application/json"}, timeout=60).json()
        server.shutdown()
        served.join(60)
        raise KeyboardInterrupt


def test_it_serves_until_it_is_interrupted(deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = Visit(monkeypatch)
    printed = deployed.printed(dashboard, browser=True)
    assert printed == (f"{visit.url}\n", "Ctrl-C ends it.\nEnded.\n")
    assert visit.opened == [visit.url]
    assert visit.url.startswith("http://127.0.0.1:")
    assert visit.facts["deadLetters"] == 0


def test_with_json_the_address_is_one_document(deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = Visit(monkeypatch)
    assert deployed.json(dashboard) == {"url": visit.url}
    assert visit.opened == []


def test_a_port_that_is_in_use_is_named(deployed: Deployment) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} is not available" in str(deployed.refusal(OperatorError, dashboard, port=port))


def test_a_local_stack_serves_its_page_itself(deployment: Deployment) -> None:
    refused = deployment.refusal(WrongUsage, dashboard, port=8099)
    assert ("serves its page itself" in str(refused), "Leave --port out" in refused.remedy) == (True, True)
    assert "has no status page" in str(deployment.refusal(NotThere, dashboard))
