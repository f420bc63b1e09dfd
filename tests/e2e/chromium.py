"""Headless Chromium, controlled over its DevTools protocol with aiohttp, so that no driver has to be downloaded."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from tests.support.waiting import LONG, wait_until

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

_KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, "")}  # virtual key codes, and the text that they enter


def installed() -> str | None:
    """Return the path of the first browser of NAMES that this machine has."""
    return next(filter(None, map(shutil.which, NAMES)), None)


in_a_browser = pytest.mark.skipif(installed() is None, reason=f"no browser: none of {', '.join(NAMES)} is installed")


@dataclass(frozen=True)
class Page:
    """What a page shows once it is loaded."""

    address: str
    title: str
    text: str
    loaded: bool


class Tab:
    """One tab of the browser. Takes one call at a time."""

    def __init__(self, socket: ClientWebSocketResponse, runner: asyncio.Runner) -> None:
        self._socket = socket
        self._runner = runner
        self._calls = 0

    def open(self, address: str) -> Page:
        """Go to an address."""
        self.call("Page.navigate", url=address)
        return self._page_after("about:blank")

    def press(self, button: str) -> Page:
        """Press the button with this label, and return the page that it leads to."""
        before = self._read_page()
        self._evaluate(_CLICK % json.dumps(button))
        return self._page_after(before.address if before else "")

    def show(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Set the size of the page in pixels, and whether the desktop is dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def read(self, script: str) -> Any:
        """Return the value of an expression in the page. Fails where it raises."""
        return self._evaluate(script)

    def wait(self, script: str) -> Any:
        """Return the value of an expression, once it is true."""
        return wait_until(lambda: self._evaluate(script), bool)

    def key(self, name: str, *, shift: bool = False) -> None:
        """Press a key, as a person at the keyboard."""
        code, text = _KEYS[name]
        pressed = {"key": name, "code": name, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def accessible(self) -> list[dict[str, Any]]:
        """Return what a screen reader finds: role, name and description of everything that is not ignored."""
        answer = self.call("Accessibility.getFullAXTree")
        found = [each for each in answer["result"]["nodes"] if not each.get("ignored")]
        parts = ("role", "name", "description")
        return [{part: each.get(part, {}).get("value", "") for part in parts} for each in found]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its whole answer. Events that arrive before it are skipped."""
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters}

        async def answer() -> dict[str, Any]:
            async with asyncio.timeout(LONG):
                await self._socket.send_json(call)
                while (message := await self._socket.receive_json()).get("id") != self._calls:
                    pass
            answered: dict[str, Any] = message
            return answered

        return self._runner.run(answer())

    def _page_after(self, address: str) -> Page:
        def is_loaded(page: Page | None) -> bool:
            return page is not None and page.loaded and page.address != address

        page = wait_until(self._read_page, is_loaded)
        assert page
        return page

    def _read_page(self) -> Page | None:
        """Return the page, or nothing in the moment between two pages."""
        page = self._evaluate(_READ_PAGE)
        return Page(**page) if page else None

    def _evaluate(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, userGesture=True)
        result = answer.get("result", {})
        assert "exceptionDetails" not in result, result
        return result.get("result", {}).get("value")


class Browser:
    """A running browser, whose start costs as much as several tests. Its tabs share nothing, as in private windows."""

    def __init__(self, address: str, session: ClientSession, runner: asyncio.Runner) -> None:
        self._address = address
        self._session = session
        self._runner = runner

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open a tab with a new profile, and close it at the end."""
        with self._connected(self._address) as control:
            profile = control.call("Target.createBrowserContext")["result"]
            target = control.call("Target.createTarget", url="about:blank", **profile)["result"]["targetId"]
            try:
                with self._connected(f"{self._address.partition('/browser/')[0]}/page/{target}") as tab:
                    yield tab
            finally:
                control.call("Target.disposeBrowserContext", **profile)

    @contextmanager
    def _connected(self, address: str) -> Iterator[Tab]:
        async def connect() -> ClientWebSocketResponse:
            return await self._session.ws_connect(address, max_msg_size=0)

        socket = self._runner.run(connect())
        try:
            yield Tab(socket, self._runner)
        finally:
            self._runner.run(socket.close())


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start the browser, and end it in any case. `profile` is a folder for its files."""
    command = [installed() or NAMES[0], *_SWITCHES, f"--user-data-dir={profile}", "about:blank"]
    with (
        profile.with_suffix(".log").open("wb") as log,
        subprocess.Popen(command, stderr=log) as process,
        asyncio.Runner() as runner,
    ):
        try:
            address = _address(profile, process)
            session = runner.run(_session())
            try:
                yield Browser(address, session, runner)
            finally:
                runner.run(session.close())
        finally:
            process.terminate()
            try:
                process.wait(LONG)
            except subprocess.TimeoutExpired:
                process.kill()


async def _session() -> ClientSession:
    return ClientSession()


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait for the file in which the browser writes its port and path, and return the address of its protocol."""
    port_file = profile / "DevToolsActivePort"
    while not port_file.exists() or "\n" not in port_file.read_text():
        assert process.poll() is None, profile.with_suffix(".log").read_text()
        time.sleep(0.05)
    port, path = port_file.read_text().splitlines()
    return f"ws://127.0.0.1:{port}{path}"
