"""Takes the pictures of the dashboard in docs/images, and prints how heavy the page is and when it is seen.

Run `python -m tests.e2e.dashboard_pictures`. It needs Chromium, and ImageMagick for fewer colours. Facts of a deployed
stack are made up (tests/command/dashboard/states.py); those of a local stack are real: it runs the demo.
"""

import io
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from audience_sync_cli.dashboard.command import NOTE
from audience_sync_cli.dashboard.facts import Facts
from audience_sync_cli.dashboard.page import build_page
from audience_sync_cli.dashboard.server import DashboardServer
from local.demo import demonstrate
from tests.e2e import chromium
from tests.e2e.chromium import Tab
from tests.e2e.conftest import ROOT, local_stack
from tests.e2e.test_dashboard_page import STATES

IMAGES = ROOT / "docs" / "images"
COLOURS = "96"
SENT = ("07-track-missing-userid", "08-track-email-as-userid", "08-track-email-as-userid")
SHOWN = "$('headline').textContent !== 'Loading'"


class Picture(NamedTuple):
    """One picture: its name, and how the page is shown."""

    name: str
    width: int = 1280  # pixels
    height: int = 800
    dark: bool = False
    before: str = ""  # a script to run first


DEPLOYED = {
    "flowing": [
        Picture("dashboard-deployed", height=1000),
        Picture("dashboard-deployed-dark", height=1000, dark=True),
    ],
    "outage": [Picture("dashboard-outage", height=560)],
    "unshared": [Picture("dashboard-shares", height=440, before="$('alarms').scrollIntoView()")],
    "parked": [Picture("dashboard-redrive", height=760, before="$('redrive').click()")],
}


def _noted(facts: Facts) -> Facts:
    return replace(facts, place=replace(facts.place, note=NOTE))


class _Shown:
    def __init__(self, state: str) -> None:
        self._state = state
        self.switched: list[tuple[str, str]] = []

    def read(self, chosen: str) -> Facts:
        return replace(_noted(STATES[self._state](time.time())), range=chosen)

    def redrive(self, reason: str) -> list[str]:
        return [reason]

    def switch(self, action: str, fields: Mapping[str, str]) -> list[str]:
        self.switched.append((action, fields.get("note", "")))
        return []

    def find(self, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        return [{"title": fields["id"], "facts": {}}]


@contextmanager
def _deployed(state: str) -> Iterator[str]:
    with DashboardServer(_Shown(state), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.url
        server.shutdown()


def _take(tab: Tab, picture: Picture) -> None:
    tab.show(width=picture.width, height=picture.height, dark=picture.dark)
    tab.read("document.querySelectorAll('dialog').forEach((each) => each.close()); scrollTo(0, 0)")
    if picture.before:
        tab.read(picture.before)
    time.sleep(1)
    file = IMAGES / f"{picture.name}.png"
    file.write_bytes(tab.screenshot())
    if shutil.which("convert"):
        subprocess.run(["convert", file, "+dither", "-colors", COLOURS, f"PNG8:{file}"], check=True)
    sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes\n")


def _open(tab: Tab, url: str) -> None:
    tab.show()
    tab.call("Emulation.setScrollbarsHidden", hidden=True)
    tab.open(url)
    tab.wait(SHOWN)


def _pictures_of_deployed_stacks(folder: Path) -> None:
    with chromium.browser(folder / "deployed") as browser, browser.tab() as tab:
        for state, pictures in DEPLOYED.items():
            with _deployed(state) as url:
                _open(tab, url)
                for picture in pictures:
                    _take(tab, picture)


def _pictures_of_a_local_stack(folder: Path) -> None:
    with local_stack() as stack, chromium.browser(folder / "local") as browser, browser.tab() as tab:
        _open(tab, stack.where["status"])
        _take(tab, Picture("dashboard-local-empty", height=840))
        demonstrate(stack.where, enter=5000, leave=800, console=Console(file=io.StringIO()))
        for name in SENT:
            stack.post_example(f"{name}.json")
        time.sleep(3)
        _take(tab, Picture("status-page", height=1000))
        _take(tab, Picture("status-page-dark", height=1000, dark=True))


def _first_paint(folder: Path) -> None:
    """Print when the page is seen, in a browser that has just been started, as an operator's mostly has not."""
    with chromium.browser(folder / "timed") as browser, browser.tab() as tab, _deployed("flowing") as url:
        _open(tab, url)
        entry = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        paint = tab.wait(entry)
        sys.stdout.write(f"page: {len(build_page().encode()):,} bytes; first contentful paint after {paint:.0f} ms\n")


def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        _first_paint(Path(folder))
        _pictures_of_deployed_stacks(Path(folder))
        if "--deployed" not in sys.argv:
            _pictures_of_a_local_stack(Path(folder))


if __name__ == "__main__":
    main()
