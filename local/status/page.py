"""Serves the dashboard of the local stack, with what only a rehearsal needs: sample events, and faults at Amazon."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from audience_sync_cli.dashboard.access import is_from_page
from audience_sync_cli.dashboard.deployed import DeployedStack, Pace
from audience_sync_cli.dashboard.page import HEADERS, build_page, headers_of
from audience_sync_cli.dashboard.ranges import Range, asked
from audience_sync_cli.dashboard.server import ACTIONS, act
from audience_sync_cli.frame import stacks
from local.stack_view import StackView
from local.status.rehearsal import SAMPLE_EXITS, SAMPLE_MEMBERS, Rehearsal, examples

FOLDER = Path(__file__).parent
PACE = Pace(longest=0.5, usual=Range(span=300, period=5, history=3_600), sizes=1)  # nothing costs; a run takes seconds

type Action = Callable[[Mapping[str, str]], dict[str, Any]]


class StatusPage:
    """The page. It reads the stack over its own HTTP, in threads, and from the first request for facts on."""

    def __init__(self, view: StackView) -> None:
        self._view = view
        self._rehearsal = Rehearsal(view)
        self._shown: DeployedStack | None = None
        self._finding = asyncio.Lock()

    def add_routes(self, app: web.Application) -> None:
        """Serve the page and its requests under `/status`, to programs on this machine only.

        `GET /status` returns the page; the facts if the client accepts JSON and not HTML; and `{"eventKey": "..."}` for
        `?reveal=eventKey`, so that the key is in neither of the two. `POST /status/...` runs an action of a button,
        only for the page itself.
        """
        app.router.add_get("/status", self._show)
        app.router.add_post("/status/{action}", self._act)
        app.on_cleanup.append(self._close)

    async def _show(self, request: web.Request) -> web.Response:
        if request.query.get("reveal") == "eventKey":
            return _json({"eventKey": await asyncio.to_thread(self._rehearsal.event_key)})
        accepted = request.headers.get("Accept", "")
        if "application/json" in accepted and "text/html" not in accepted:
            shown = await self._stack()
            facts = await asyncio.to_thread(shown.read, asked(request.query.get("range", "")))
            own = {
                "examples": [each._asdict() for each in examples()],
                "samples": {"enter": SAMPLE_MEMBERS, "exit": SAMPLE_EXITS},
                "faults": self._view.sandbox.recipes(),
            }
            return _json(facts.as_json() | own)
        page = build_page(_faults_part())
        return web.Response(text=page, content_type="text/html", charset="utf-8", headers=headers_of(page))

    async def _act(self, request: web.Request) -> web.Response:
        if not is_from_page(request.headers):
            return web.json_response({"error": "only accepted from the page itself"}, status=403, headers=HEADERS)
        try:
            fields = {name: str(value) for name, value in (await request.json()).items()}
        except (ValueError, RecursionError, AttributeError):
            return web.json_response({"error": "not a JSON object"}, status=400, headers=HEADERS)
        action = request.match_info["action"]
        if action == "faults":
            return _json(self._rehearsal.set_fault(fields.get("recipe", "")))
        own: dict[str, Action] = {"send": self._rehearsal.send_example, "samples": self._rehearsal.send_samples}
        if action in own:
            return _json(await asyncio.to_thread(own[action], fields))
        if action in ACTIONS:
            return _json(await asyncio.to_thread(act, await self._stack(), action, fields))
        return web.json_response({"error": "not found"}, status=404, headers=HEADERS)

    async def _stack(self) -> DeployedStack:
        async with self._finding:
            if self._shown is None:
                self._shown = await asyncio.to_thread(self._find)
        return self._shown

    def _find(self) -> DeployedStack:
        return DeployedStack(stacks.local(self._view.urls["api"]), time.time, pace=PACE)

    async def _close(self, _: web.Application) -> None:
        if self._shown:
            self._shown.close()


def _faults_part() -> str:
    """Return the section with the sandbox's faults, which only the local page has."""
    section, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("faults.html", "faults.js"))
    return f"{section}<script>\n{script}</script>\n"


def _json(answer: dict[str, Any]) -> web.Response:
    return web.json_response(answer, headers=HEADERS)
