"""Headless Chromium, controlled over its DevTools protocol with aiohttp, so that no driver has to be downloaded."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

from tests.waiting import LONG

NAMES = ("chromium", "chromium-browser", "google-chrome")
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # its sandbox does not start as root; the browser opens pages of this machine only
    "--disable-dev-shm-usage",  # containers have little shared memory
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
)
_READ_PAGE = """({address: location.href, title: document.title, text: document.body?.innerText ?? "",
             loaded: document.readyState === "complete"})"""
_CLICK = "[...document.querySelectorAll('button')].find(each => each.innerText === %s).click()"


def installed() -> str | None:
    """Return the path of the first browser of NAMES that this machine has."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(frozen=True)
class Page:
    """What a page shows once it is loaded."""

    address: str
    title: str
    text: str
    loaded: bool


class Tab:
    """One tab of the browser. Takes one call at a time."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0

    async def open(self, address: str) -> Page:
        """Go to an address."""
        await self.call("Page.navigate", url=address)
        return await self._page_after("about:blank")

    async def press(self, button: str) -> Page:
        """Press the button with this label, and return the page that it leads to."""
        before = await self._read_page()
        await self._evaluate(_CLICK % json.dumps(button))
        return await self._page_after(before.address if before else "")

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its whole answer. Events that arrive before it are skipped."""
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            message: dict[str, Any] = await self._socket.receive_json()
            if message.get("id") == self._calls:
                return message

    async def _page_after(self, address: str) -> Page:
        while True:
            page = await self._read_page()
            if page and page.loaded and page.address != address:
                return page
            await asyncio.sleep(0.05)

    async def _read_page(self) -> Page | None:
        """Return the page, or nothing in the moment between two pages."""
        page = await self._evaluate(_READ_PAGE)
        return Page(**page) if page else None

    async def _evaluate(self, script: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, userGesture=True)
        result = answer.get("result", {})
        assert "exceptionDetails" not in result, result
        return result.get("result", {}).get("value")


@asynccontextmanager
async def tab(profile: Path) -> AsyncIterator[Tab]:
    """Start the browser with a new profile, and end it in any case. All of it may take two minutes."""
    command = [installed() or NAMES[0], *_SWITCHES, f"--user-data-dir={profile}", "about:blank"]
    with profile.with_suffix(".log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            async with asyncio.timeout(2 * LONG), ClientSession() as session:
                port = await _port(profile, process)
                async with session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as response:
                    address = (await response.json(content_type=None))["webSocketDebuggerUrl"]
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    yield Tab(socket)
        finally:
            process.terminate()
            try:
                process.wait(LONG)
            except subprocess.TimeoutExpired:
                process.kill()


async def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    """Wait for the file in which the browser writes its port."""
    port_file = profile / "DevToolsActivePort"
    while not port_file.exists() or "\n" not in port_file.read_text():
        assert process.poll() is None, profile.with_suffix(".log").read_text()
        await asyncio.sleep(0.05)
    return int(port_file.read_text().splitlines()[0])
