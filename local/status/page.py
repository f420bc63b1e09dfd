"""Serves the page, and the numbers it asks for every second, at one address: `Accept` decides which.

The page is one file. Its policy names its own style and script by digest and allows nothing else, so that no value that
ever reaches it, a log line for instance, can become markup or code.
"""

import base64
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from local.stack_view import StackView
from local.status.view import view

PAGE = Path(__file__).parent.with_suffix(".html")  # local/status.html

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}


def status_page(stack: StackView) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler of `GET /status`.

    It answers with the page; with the numbers where the client accepts JSON and not HTML; and with
    `{"eventKey": "..."}` for `?reveal=eventKey`, so that the key is in neither of the two.
    """

    async def show(request: web.Request) -> web.Response:
        if request.query.get("reveal") == "eventKey":
            return web.json_response({"eventKey": stack.event_key}, headers=_HEADERS)
        if _wants_json(request):
            return web.json_response(view(stack, time.time()), headers=_HEADERS)
        page = PAGE.read_text(encoding="utf-8")  # each time: a reload shows an edit
        headers = _HEADERS | {"Content-Security-Policy": content_security_policy(page)}
        return web.Response(text=page, content_type="text/html", charset="utf-8", headers=headers)

    return show


def content_security_policy(page: str) -> str:
    """Allow the style and the script in the page, requests to its own origin, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {_digests('style', page)}",
            f"script-src {_digests('script', page)}",
            "connect-src 'self'",
            "img-src data:",  # the empty icon, which spares a request for one
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _digests(element: str, page: str) -> str:
    bodies = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies]
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _wants_json(request: web.Request) -> bool:
    accepted = request.headers.get("Accept", "")
    return "application/json" in accepted and "text/html" not in accepted
