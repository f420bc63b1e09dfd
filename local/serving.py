"""Serves an aiohttp application while a block of code runs."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from audience_sync_cli.dashboard.access import is_own_host

LOOPBACK = "127.0.0.1"


class PortInUse(Exception):
    """Another program uses the port, perhaps an earlier local stack."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is in use; choose others with --port and --amazon-port, or stop the program that uses it"
        )


def _own_pages_only(address: str) -> Middleware:
    """Refuse what a page of another site makes the developer's browser send. `address` is the one that is served."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        is_ours = is_own_host(host) or host.rpartition(":")[0] == address
        if is_ours and request.headers.get("Origin") in (None, f"http://{host}"):
            return await handler(request)
        refusal = "only accepted from this machine, and from no page of another site"
        return web.json_response({"error": refusal}, status=403)

    return check


@asynccontextmanager
async def serve(
    app: web.Application, *, host: str = LOOPBACK, port: int = 0, decompress: bool = True
) -> AsyncIterator[str]:
    """Serve programs on this machine in the running event loop; yields the base URL. Port 0 is any free one.

    Raises PortInUse.
    """
    app.middlewares.insert(0, _own_pages_only(host))
    # A client that hangs up during a long poll must not receive a message: hence the cancellation.
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=1, handler_cancellation=True, auto_decompress=decompress
    )
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortInUse(port) from None
