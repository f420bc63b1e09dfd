"""The status page of the local stack."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web


def status_page(stack: Any) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler of `GET /status`."""

    async def show(_: web.Request) -> web.Response:
        return web.json_response(stack.state())

    return show
