"""Serves the dashboard of the local stack: the page, its facts, and its buttons."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from audience_sync_cli.dashboard.access import is_from_page
from audience_sync_cli.dashboard.page import HEADERS, build_page, headers_of
from audience_sync_cli.dashboard.ranges import asked
from local.stack_view import StackView
from local.status.actions import SAMPLE_EXITS, SAMPLE_MEMBERS, StatusActions, examples
from local.status.facts import read_facts
from local.status.requests import opened_request
from local.status.sizes import SizeHistory

FOLDER = Path(__file__).parent

type Handler = Callable[[web.Request], Awaitable[web.Response]]


def add_routes(app: web.Application, stack: StackView, sizes: SizeHistory) -> None:
    """Serve the page and its requests under `/status`, to programs on this machine only.

    `GET /status` returns the page; the facts if the client accepts JSON and not HTML; `{"eventKey": "..."}` for
    `?reveal=eventKey`, so that the key is in neither of the two; and one request to Amazon, without its values, for
    `?request=N`. `POST /status/...` runs an action of a button, only for the page itself.
    """
    actions = StatusActions(stack)

    async def show(request: web.Request) -> web.Response:
        if request.query.get("reveal") == "eventKey":
            return _json({"eventKey": await actions.event_key()})
        if "request" in request.query:
            return _opened(stack, request.query["request"])
        if _wants_json(request):
            buttons = {
                "examples": [each._asdict() for each in examples()],
                "samples": {"enter": SAMPLE_MEMBERS, "exit": SAMPLE_EXITS},
                "faults": stack.sandbox.recipes(),
            }
            chosen = asked(request.query.get("range", ""))
            facts = read_facts(stack, sizes, time.time(), actions.blockers(), chosen)
            return _json(facts.as_json() | buttons)
        page = build_page(_faults_part())
        return web.Response(text=page, content_type="text/html", charset="utf-8", headers=headers_of(page))

    app.router.add_get("/status", show)
    pressed: dict[str, Callable[[Mapping[str, str]], Awaitable[dict[str, Any]]]] = {
        "send": lambda fields: actions.send_example(fields.get("file", "")),
        "samples": lambda _: actions.send_samples(),
        "redrive": lambda fields: actions.redrive(fields.get("reason", "")),
        "faults": lambda fields: actions.set_fault(fields.get("recipe", "")),
        "find": actions.find,
        "pause": partial(actions.switch, "pause"),
        "resume": partial(actions.switch, "resume"),
    }
    for name, act in pressed.items():
        app.router.add_post(f"/status/{name}", _with_fields(act))


def _faults_part() -> str:
    """Return the section with the sandbox's faults, which only the local page has."""
    section, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("faults.html", "faults.js"))
    return f"{section}<script>\n{script}</script>\n"


def _with_fields(act: Callable[[Mapping[str, str]], Awaitable[dict[str, Any]]]) -> Handler:
    """Run a button's action with the fields of a request of the page itself."""

    async def run(request: web.Request) -> web.Response:
        if not is_from_page(request.headers):
            return web.json_response({"error": "only accepted from the page itself"}, status=403, headers=HEADERS)
        try:
            fields = await request.json()
        except (ValueError, RecursionError):
            return web.json_response({"error": "the body is not JSON"}, status=400, headers=HEADERS)
        known = fields.items() if isinstance(fields, dict) else ()
        return _json(await act({name: str(value) for name, value in known}))

    return run


def _opened(stack: StackView, number: str) -> web.Response:
    n = int(number) if number.isascii() and number.isdigit() else 0
    found = [each for each in stack.sandbox.requests.since(n - 1) if each.n == n]
    if not found:
        return web.json_response({"error": "the sandbox no longer has that request"}, status=404, headers=HEADERS)
    return _json(opened_request(found[0]))


def _json(answer: dict[str, Any]) -> web.Response:
    return web.json_response(answer, headers=HEADERS)


def _wants_json(request: web.Request) -> bool:
    accepted = request.headers.get("Accept", "")
    return "application/json" in accepted and "text/html" not in accepted
