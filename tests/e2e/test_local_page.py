"""The page of the local stack in a browser: what its buttons send arrives, and the answer is on the page."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.e2e import chromium
from tests.e2e.chromium import Tab
from tests.e2e.conftest import ROOT, LocalStack

pytestmark = pytest.mark.slow
in_a_browser = pytest.mark.skipif(
    chromium.installed() is None, reason=f"no browser: none of {', '.join(chromium.NAMES)} is installed"
)


def visit(stack: LocalStack, folder: Path, work: Callable[[Tab], Awaitable[None]]) -> None:
    async def run() -> None:
        async with chromium.tab(folder / "profile") as tab:
            await tab.show()
            await tab.open(stack.where["status"])
            await tab.wait("$('live').textContent.startsWith('live')")
            await work(tab)

    asyncio.run(run())


@in_a_browser
def test_from_the_first_screen_to_an_audience_with_members_it_takes_one_button(
    stack: LocalStack, tmp_path: Path
) -> None:
    async def work(tab: Tab) -> None:
        assert await tab.read("$('headline').textContent") == "Waiting for the first event."
        assert "500 enter the audience, 80 of them leave it again." in await tab.read("$('start').innerText")
        await tab.read("$('samples').click()")
        await tab.wait("$('headline').textContent === 'Everything has arrived.'")
        assert await tab.read("$('start').hidden")
        await tab.wait("$('amazon').innerText.includes('420')")
        assert await tab.read("$('balance').textContent") == "adds up"

        await tab.read("$('example').value = 'events/segment/07-track-missing-userid.json'")
        await tab.read("$('send').click()")
        answer = await tab.wait("$('send').textContent === 'Send' && $('answer').textContent")
        assert answer.startswith('400 {"accepted":0')
        assert "member id missing: external_user_id, or a part of it, is empty" in answer
        await tab.wait("document.querySelector('#rejected-events .open')?.textContent === 'member id missing'")

        opens = "[...document.querySelectorAll('#requests .open')].find((each) => each.textContent.endsWith('records'))"
        await tab.read(f"{opens}.click()")
        await tab.wait("$('opened').open")
        opened = await tab.read("$('opened').innerText")
        assert '"externalUserId": "string of ' in opened
        assert "Lapsed premium buyers" in opened

    visit(stack, tmp_path, work)


@in_a_browser
def test_the_key_is_in_the_page_only_while_it_is_shown(stack: LocalStack, tmp_path: Path) -> None:
    async def work(tab: Tab) -> None:
        key = stack.where["eventKey"]
        await tab.read("document.querySelector('#try details').open = true")
        assert key not in await tab.read("document.documentElement.textContent")
        await tab.read("$('reveal').click()")
        await tab.wait(f"$('command').textContent.includes('{key}')")
        assert await tab.read("$('reveal').ariaPressed") == "true"
        await tab.read("$('reveal').click()")
        await tab.wait(f"!document.documentElement.textContent.includes('{key}')")

    visit(stack, tmp_path, work)


@in_a_browser
def test_a_fault_is_set_and_ended_by_its_button(stack: LocalStack, tmp_path: Path) -> None:
    def button(name: str) -> str:
        return f"[...document.querySelectorAll('#fault-buttons button')].find((each) => each.textContent === '{name}')"

    async def work(tab: Tab) -> None:
        await tab.wait(f"{button('off')}?.ariaPressed === 'true'")
        await tab.read(f"{button('denied')}.click()")
        await tab.wait(f"{button('denied')}.ariaPressed === 'true' && {button('off')}.ariaPressed === 'false'")
        assert await tab.read("$('fault-now').textContent") == (
            "Uploads get 403. Reason: access_denied. In the runbook: DeadLetters."
        )
        await tab.read(f"{button('off')}.click()")
        await tab.wait("$('fault-now').textContent === 'None of them is set.'")

    visit(stack, tmp_path, work)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_command_names_the_page_of_a_local_stack(stack: LocalStack, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "audience_sync_cli", "dashboard", "--local", stack.where["api"], *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    url = json.loads(done.stdout)["url"] if options else done.stdout.strip()
    assert (url, done.stderr) == (stack.where["status"], "")
