"""Serves an aiohttp application while a block of code runs."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

LOOPBACK = "127.0.0.1"


class PortInUse(Exception):
    """Another program uses the port, perhaps an earlier local stack."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is in use; choose others with --port and --amazon-port, or stop the program that uses it"
        )


@asynccontextmanager
async def serve(
    app: web.Application, *, host: str = LOOPBACK, port: int = 0, decompress: bool = True
) -> AsyncIterator[str]:
    """Serve in the running event loop; yields the base URL. Port 0 is any free one.

    Raises PortInUse.
    """
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
