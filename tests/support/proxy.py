"""A proxy before the local AWS that fails on demand. It distinguishes calls by X-Amz-Target, as AWS does.

The tests say what happens to which calls: `proxy.on("SendMessageBatch", refuse("ThrottlingException"), times=2)`.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

from local.aws import LARGEST_REQUEST
from tests.support.servers import serve

ALWAYS = 1_000_000  # times
_NOT_FORWARDED = {"host", "content-length", "transfer-encoding", "content-encoding", "connection", "date", "server"}


@dataclass(frozen=True)
class Call:
    """One call that arrived. `forward` has AWS answer it, with these or other parameters."""

    operation: str
    request: web.Request
    parameters: dict[str, Any]
    forward: Callable[[dict[str, Any]], Awaitable[web.Response]]


Effect = Callable[[Call], Awaitable[web.Response]]


@dataclass
class _Rule:
    operation: str
    effect: Effect
    times: int
    after: int

    def fires(self) -> bool:
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class FaultProxy:
    """The faults in force, and the calls received so far."""

    upstream: str
    url: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _rules: list[_Rule] = field(default_factory=list)

    def on(self, operation: str, effect: Effect, *, times: int = ALWAYS, after: int = 0) -> None:
        """Let `effect` happen to the next `times` calls of `operation`, once `after` of them have passed."""
        self._rules.append(_Rule(operation, effect, times, after))

    def clear_faults(self) -> None:
        """End all faults."""
        self._rules.clear()

    def count(self, operation: str) -> int:
        """How often `operation` was called."""
        return Counter(name for name, _ in self.calls)[operation]

    def parameters(self, operation: str) -> list[dict[str, Any]]:
        """What `operation` was called with, in order."""
        return [parameters for name, parameters in self.calls if name == operation]

    def build(self) -> web.Application:
        """The application before `upstream`."""
        sessions: list[ClientSession] = []

        async def connected(_: web.Application) -> AsyncIterator[None]:
            async with ClientSession() as session:
                sessions.append(session)
                yield

        async def answer(request: web.Request) -> web.Response:
            operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
            parameters = json.loads(await request.read())
            self.calls.append((operation, parameters))

            async def forward(changed: dict[str, Any]) -> web.Response:
                headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED}
                async with sessions[0].post(self.upstream + request.path, json=changed, headers=headers) as answered:
                    kept = {k: v for k, v in answered.headers.items() if k.lower() not in _NOT_FORWARDED}
                    return web.Response(status=answered.status, headers=kept, body=await answered.read())

            call = Call(operation, request, parameters, forward)
            for rule in [rule for rule in self._rules if rule.operation == operation]:
                if rule.fires():
                    return await rule.effect(call)
            return await forward(parameters)

        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.cleanup_ctx.append(connected)
        app.router.add_post("/{path:.*}", answer)
        return app


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Serve a proxy before `upstream`, on a free port of the loopback address."""
    proxy = FaultProxy(upstream)
    with serve(proxy.build) as served:
        proxy.url = served.url
        yield proxy


def refuse(code: str, status: int = 400, message: str = "") -> Effect:
    """Answer with an AWS error; the call has no effect."""

    async def effect(_: Call) -> web.Response:
        return web.json_response({"__type": code, "message": message}, status=status)

    return effect


def only(effect: Effect, **parameters: object) -> Effect:
    """Let an effect happen to calls with these parameters; others pass."""

    async def chosen(call: Call) -> web.Response:
        is_one = parameters.items() <= call.parameters.items()
        return await (effect(call) if is_one else call.forward(call.parameters))

    return chosen


def hang_up() -> Effect:
    """Close the connection; the call has no effect."""

    async def effect(call: Call) -> web.Response:
        return _closed(call)

    return effect


def lose_answer() -> Effect:
    """Let the call take effect, and close the connection instead of answering."""

    async def effect(call: Call) -> web.Response:
        await call.forward(call.parameters)
        return _closed(call)

    return effect


def answer_after(seconds: float) -> Effect:
    """Let the call take effect at once, and hold its answer back."""

    async def effect(call: Call) -> web.Response:
        answer = await call.forward(call.parameters)
        await asyncio.sleep(seconds)
        return answer

    return effect


def fail_entries(*positions: int) -> Effect:
    """Report these entries of a batch as failed, counted from 0; the others take effect."""

    async def effect(call: Call) -> web.Response:
        entries = call.parameters["Entries"]
        failed = [
            {"Id": entry["Id"], "SenderFault": False, "Code": "InternalError", "Message": "try again"}
            for position, entry in enumerate(entries)
            if position in positions
        ]
        kept = [entry for position, entry in enumerate(entries) if position not in positions]
        result: dict[str, Any] = {}  # without "Successful", as SQS answers if all fail
        if kept:
            answer = await call.forward(call.parameters | {"Entries": kept})
            assert isinstance(answer.body, bytes)
            result = json.loads(answer.body)
        return web.json_response(result | {"Failed": failed}, content_type="application/x-amz-json-1.0")

    return effect


def hold(arrived: threading.Event, released: threading.Event) -> Effect:
    """Set `arrived`, and answer nothing before `released`; the call has no effect."""

    async def effect(call: Call) -> web.Response:
        arrived.set()
        while not released.is_set():
            await asyncio.sleep(0.01)
        return _closed(call)

    return effect


def _closed(call: Call) -> web.Response:
    if call.request.transport is not None:
        call.request.transport.abort()
    return web.Response()
