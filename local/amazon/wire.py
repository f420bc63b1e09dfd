"""Carries out fault rules: reads the request, applies it or not, and answers well, badly or not at all."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from local.amazon.data_manager.answers import error_answer
from local.amazon.data_manager.operations import error_type
from local.amazon.exchange import EFFECT, ENTRY, RAW, SANDBOX
from local.amazon.faults import Effect, MatchedCall
from local.amazon.refusals import Refusal

OWN_PATHS = "/sandbox/"
_CHUNK = 65_536  # bytes read at a time


@web.middleware
async def exchange(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Log one API or login request, look for a rule, and answer accordingly."""
    if request.path.startswith(OWN_PATHS):
        return await handler(request)
    sandbox = request.app[SANDBOX]
    entry = sandbox.requests.open(
        sandbox.now(), request.method, request.path, request.query_string, dict(request.headers)
    )
    effect, entry.faults = sandbox.faults.pick(MatchedCall(request.method, request.path))
    if effect.close_before_read:
        return _reset(request)
    raw = await _read(request, sandbox.options.body_limit(request.path))
    sandbox.requests.keep_body(entry, raw)
    effect, entry.faults = sandbox.faults.pick(MatchedCall(request.method, request.path, raw))
    request[EFFECT], request[ENTRY], request[RAW] = effect, entry, raw
    answer = await _answer(request, handler, effect)
    if effect.delay:
        await asyncio.sleep(effect.delay)
    if effect.resets:
        return _reset(request)
    entry.status = answer.status
    if effect.close_mid_response:
        return await _break_off(request, answer)
    if effect.trickle is not None:
        return await _trickle(request, answer, effect.trickle)
    return answer


async def _read(request: web.Request, limit: int) -> bytes:
    """Read the body to its end, so that a client always gets its answer, but keep little more than `limit` bytes."""
    kept = bytearray()
    with contextlib.suppress(
        web.RequestPayloadError
    ):  # a broken encoding is refused by its header, half a body as JSON
        async for chunk in request.content.iter_chunked(_CHUNK):
            if len(kept) <= limit:
                kept += chunk
    return bytes(kept)


async def _answer(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], effect: Effect
) -> web.Response:
    answer = web.Response()
    if effect.applies:
        try:
            handled = await handler(request)
        except web.HTTPException as error:  # no such path or method
            handled = _plain_error(request, error.status)
        if isinstance(handled, web.Response):
            answer = handled
    if effect.redirect is not None:
        return web.Response(status=effect.status or 307, headers={"Location": effect.redirect})
    status = effect.status or answer.status
    if effect.body is not None:
        is_text = isinstance(effect.body, str)
        body = effect.body if is_text else json.dumps(effect.body)
        headers = {"Content-Type": "text/html" if is_text else "application/json"} | dict(effect.headers)
        return web.Response(status=status, body=body.encode(), headers=headers)
    if effect.status is not None:
        answer = _plain_error(request, status)
    answer.headers.update(effect.headers)
    return answer


def _plain_error(request: web.Request, status: int) -> web.Response:
    """Build an error in the shape of the API that was called."""
    reason = web.Response(status=status).reason
    if request.path.startswith("/adm/"):
        media_type = error_type(request.method, request.path)
        return error_answer(Refusal(reason, status=status), request[ENTRY].n, media_type)
    return web.json_response({"message": reason}, status=status)


def _reset(request: web.Request) -> web.Response:
    """End the connection with a TCP reset instead of an answer."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # a client that has left counts as reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()  # is never sent


async def _break_off(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Send the head and half of the body that it announces."""
    body, stream = await _open(request, answer)
    await stream.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()  # an orderly end, so that the half arrives
    return stream


async def _trickle(request: web.Request, answer: web.Response, seconds: float) -> web.StreamResponse:
    """Send the body one byte at a time."""
    body, stream = await _open(request, answer)
    with contextlib.suppress(ConnectionError):  # the client need not wait for the end
        for position in range(len(body)):
            await stream.write(body[position : position + 1])
            await asyncio.sleep(seconds)
    return stream


async def _open(request: web.Request, answer: web.Response) -> tuple[bytes, web.StreamResponse]:
    body = answer.body if isinstance(answer.body, bytes) else b""
    stream = web.StreamResponse(status=answer.status, headers=answer.headers)
    stream.content_length = len(body)
    await stream.prepare(request)
    return body, stream
