"""Runs an aiohttp application in a thread of its own, for tests that talk to it over HTTP."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from local import aws
from local.sqs.queues import SqsQueues


@dataclass
class Served:
    """Where the application answers."""

    url: str
    loop: asyncio.AbstractEventLoop
    app: web.Application


@contextmanager
def serve(build: Callable[[], web.Application], *, decompress: bool = True, cancel: bool = False) -> Iterator[Served]:
    """Build the application in a loop of its own and serve it on a free port of the loopback address.

    `cancel` ends a handler whose client has hung up.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[web.AppRunner, Served]:
        app = build()
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, auto_decompress=decompress, handler_cancellation=cancel
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, Served(f"http://127.0.0.1:{runner.addresses[0][1]}", loop, app)

    async def end() -> None:
        await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # answers that are held back
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    runner, served = asyncio.run_coroutine_threadsafe(start(), loop).result(300)
    try:
        yield served
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(300)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@contextmanager
def serve_aws(queues: SqsQueues) -> Iterator[str]:
    """Serve the local AWS, with these queues; gives its URL."""
    with serve(lambda: aws.build_app(queues), cancel=True) as served:
        yield served.url
