"""`connect` with a real browser: the command, and the consent page of Amazon's sandbox."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from local.resources import client
from tests.e2e.chromium import Browser, Page, in_a_browser
from tests.e2e.conftest import ROOT, LocalStack, local_stack
from tests.e2e.test_cli import reset
from tests.support.waiting import LONG, wait_until

pytestmark = [pytest.mark.slow, in_a_browser]


@dataclass
class Visit:
    """The pages that the browser showed, and how the command ended."""

    consent: Page
    answered: Page
    exit_code: int
    printed: str
    notes: str


@pytest.fixture(scope="module")
def running() -> Iterator[LocalStack]:
    with local_stack("--no-status-page") as started:
        yield started


@pytest.fixture
def stack(running: LocalStack) -> LocalStack:
    """A stack as it is after a deployment: not authorized yet."""
    reset(running)
    return running


def test_allowing_access_in_a_browser_connects_the_stack(stack: LocalStack, browser: Browser, tmp_path: Path) -> None:
    before = len(amazon_requests(stack))
    visit = connect(stack, browser, tmp_path, "Allow")

    assert visit.consent.title == "Sandbox of Login with Amazon"
    for line in ("advertising::campaign_management", "advertising::audiences", "Your answer goes to 127.0.0.1:"):
        assert line in visit.consent.text
    assert urlsplit(visit.answered.address).path == "/callback"
    assert "Amazon has answered" in visit.answered.text

    assert (visit.exit_code, "Connected." in visit.printed.splitlines()[-1]) == (0, True)
    assert "Amazon answers with 1 profile" in visit.printed
    assert secret(stack, "CredentialsSecret")["refreshToken"].startswith("Atzr|")
    assert secret(stack, "TokenSecret")["accessToken"].startswith("Atza|")
    assert ("GET", "/v2/profiles") in amazon_requests(stack)[before:]


def test_the_authorization_request_has_state_and_challenge(stack: LocalStack, browser: Browser, tmp_path: Path) -> None:
    visit = connect(stack, browser, tmp_path, "Allow")
    request, answer = (parse_qs(urlsplit(page.address).query) for page in (visit.consent, visit.answered))
    assert request["code_challenge_method"] == ["S256"]
    assert request["state"] == answer["state"]
    assert answer["code"][0] not in visit.printed + visit.notes


def test_denying_access_in_a_browser_changes_nothing(stack: LocalStack, browser: Browser, tmp_path: Path) -> None:
    before = len(amazon_requests(stack))
    visit = connect(stack, browser, tmp_path, "Deny")

    assert "Amazon has answered" in visit.answered.text
    assert (visit.exit_code, visit.printed) == (4, "")
    assert visit.notes.splitlines()[-2:] == ["Access was declined on Amazon's page.", "Nothing was changed."]
    assert secret(stack, "CredentialsSecret")["refreshToken"] == ""
    assert secret(stack, "TokenSecret")["accessToken"] == ""
    assert ("POST", "/auth/o2/token") not in amazon_requests(stack)[before:]


def connect(stack: LocalStack, browser: Browser, folder: Path, button: str) -> Visit:
    """Run the command, and press a button of the page that it opens."""
    command = [sys.executable, "-m", "audience_sync_cli", "connect", "--port", "0", "--local", stack.where["api"]]
    environment = os.environ | {"BROWSER": "true"}  # a command that does nothing: this test starts the browser itself
    noted = folder / "notes"
    with (
        noted.open("wb") as notes,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=notes,
            text=True,
        ) as process,
    ):
        try:
            address = wait_until(lambda: _address(noted.read_text(), stack.where["amazon"]), bool)
            with browser.tab() as tab:
                consent, answered = tab.open(address), tab.press(button)
            printed, _ = process.communicate(timeout=2 * LONG)
        finally:
            process.kill()
    return Visit(consent, answered, process.returncode, printed, noted.read_text())


def secret(stack: LocalStack, part: str) -> dict[str, Any]:
    """Return the value of a secret."""
    names = requests.get(f"{stack.where['api']}/local/resources", timeout=LONG).json()["names"]
    manager = client("secretsmanager", stack.where["aws"])
    value: dict[str, Any] = json.loads(manager.get_secret_value(SecretId=names[part])["SecretString"])
    return value


def amazon_requests(stack: LocalStack) -> list[tuple[str, str]]:
    """Return method and path of all requests to Amazon so far."""
    received = requests.get(f"{stack.where['amazon']}/sandbox/requests", timeout=LONG).json()
    return [(each["method"], each["path"]) for each in received]


def _address(notes: str, amazon: str) -> str:
    """Return the address that the command prints, once its whole line is there."""
    return next(
        (line.strip() for line in notes.splitlines(keepends=True) if line.startswith(amazon) and line[-1] == "\n"), ""
    )
