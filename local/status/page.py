"""Serves the dashboard of the local stack, and the numbers it asks for, at one address: `Accept` decides which."""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from audience_sync_cli.dashboard.page import HEADERS, build_page, headers_of
from local.stack_view import StackView
from local.status.view import view


def status_page(stack: StackView) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler of `GET /status`.

    It answers with the page; with the numbers where the client accepts JSON and not HTML; and with
    `{"eventKey": "..."}` for `?reveal=eventKey`, so that the key is in neither of the two.
    """

    async def show(request: web.Request) -> web.Response:
        if request.query.get("reveal") == "eventKey":
            return web.json_response({"eventKey": stack.event_key}, headers=HEADERS)
        if _wants_json(request):
            return web.json_response(view(stack, time.time()), headers=HEADERS)
        page = build_page()
        return web.Response(text=page, content_type="text/html", charset="utf-8", headers=headers_of(page))

    return show


def _wants_json(request: web.Request) -> bool:
    accepted = request.headers.get("Accept", "")
    return "application/json" in accepted and "text/html" not in accepted
