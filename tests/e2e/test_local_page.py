"""The page of the local stack in a browser: what its buttons send arrives, and the answer is on the page."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.chromium import Browser, Tab, in_a_browser
from tests.e2e.conftest import ROOT, LocalStack

pytestmark = pytest.mark.slow


@pytest.fixture
def tab(stack: LocalStack, browser: Browser) -> Iterator[Tab]:
    with browser.tab() as tab:
        tab.show()
        tab.open(stack.where["status"])
        tab.wait("$('live').textContent.startsWith('live')")
        yield tab


@in_a_browser
def test_one_button_leads_from_the_first_screen_to_an_audience_with_members(tab: Tab) -> None:
    assert tab.read("$('headline').textContent") == "Waiting for the first event."
    assert "500 enter the audience, 80 of them leave it again." in tab.read("$('start').innerText")
    tab.read("$('samples').click()")
    tab.wait("$('headline').textContent === 'Everything has arrived.'")
    assert tab.read("$('start').hidden")
    tab.wait("$('amazon').innerText.includes('420')")
    assert tab.read("$('balance').textContent") == "adds up"

    tab.read("$('example').value = 'events/segment/07-track-missing-userid.json'")
    tab.read("$('send').click()")
    answer = tab.wait("$('send').textContent === 'Send' && $('answer').textContent")
    assert answer.startswith('400 {"accepted":0')
    assert "member id missing: external_user_id, or a part of it, is empty" in answer
    tab.wait("document.querySelector('#rejected-events .open')?.textContent === 'member id missing'")

    tab.wait("document.querySelector('#uploads .open') != null")
    tab.read("document.querySelector('#uploads .open').click()")
    tab.wait("$('opened').open")
    assert "Lapsed premium buyers" in tab.read("$('opened').innerText")


@in_a_browser
def test_the_key_is_in_the_page_only_while_shown(stack: LocalStack, tab: Tab) -> None:
    key = stack.where["eventKey"]
    tab.read("document.querySelector('#try details').open = true")
    assert key not in tab.read("document.documentElement.textContent")
    tab.read("$('reveal').click()")
    tab.wait(f"$('command').textContent.includes('{key}')")
    assert tab.read("$('reveal').ariaPressed") == "true"
    tab.read("$('reveal').click()")
    tab.wait(f"!document.documentElement.textContent.includes('{key}')")


@in_a_browser
def test_a_button_sets_and_ends_a_fault(tab: Tab) -> None:
    def button(name: str) -> str:
        return f"[...document.querySelectorAll('#fault-buttons button')].find((each) => each.textContent === '{name}')"

    tab.wait(f"{button('off')}?.ariaPressed === 'true'")
    tab.read(f"{button('denied')}.click()")
    tab.wait(f"{button('denied')}.ariaPressed === 'true' && {button('off')}.ariaPressed === 'false'")
    assert tab.read("$('fault-now').textContent") == (
        "Uploads get 403. Reason: access_denied. In the runbook: DeadLetters."
    )
    tab.read(f"{button('off')}.click()")
    tab.wait("$('fault-now').textContent === 'None of them is set.'")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_dashboard_names_the_page_of_a_local_stack(stack: LocalStack, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "audience_sync_cli", "dashboard", "--local", stack.where["api"], *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    url = json.loads(done.stdout)["url"] if options else done.stdout.strip()
    assert (url, done.stderr) == (stack.where["status"], "")
