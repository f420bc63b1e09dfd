"""SQS, DynamoDB, Secrets Manager and CloudWatch on one port, for the real boto3.

The queues, the logs and the metrics are our own. The rest is moto's server, called in this process: it is not
thread-safe, so all its calls run one after another on a single thread, which serves as its lock.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiohttp import web
from moto.core.exceptions import JsonRESTError
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.test import Client, EnvironBuilder

from local import dynamodb_statements, logs, metrics
from local.dynamodb_calls import OPERATIONS, DynamoDbCalls
from local.dynamodb_statements import InvalidStatementError
from local.logs import LogGroups
from local.metrics import Metrics
from local.sqs import server as sqs_server
from local.sqs.queues import SqsQueues
from local.template import REGION

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from werkzeug.test import TestResponse

LARGEST_REQUEST = 32 * 1024 * 1024  # bytes; DynamoDB accepts 16 MB in a batch, plus base64
_DYNAMODB = "DynamoDB_20120810"
_MOTO_SERVICES: dict[str, Literal["dynamodb", "secretsmanager", "cloudwatch", "sts"]] = {
    _DYNAMODB: "dynamodb",
    "secretsmanager": "secretsmanager",
    metrics.SERVICE: "cloudwatch",  # alarms
    "": "sts",  # the only protocol without this header
}
_JSON = "application/x-amz-json-1.0"


class _Request(NamedTuple):
    """A request, read to its end."""

    path: str
    base_url: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def region(self) -> str:
        """The region of the request's signature: Credential=KEY/DATE/REGION/..."""
        signature = next((value for name, value in self.headers if name.lower() == "authorization"), "")
        scope = signature.partition("Credential=")[2].split("/")
        return scope[2] if len(scope) > 2 else REGION


class Moto:
    """moto's services. Their state belongs to the Python process: one server at a time in each."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moto")
        self._apps: dict[str, WSGIApplication] = {}

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """Build the services, which takes most of a second, and reset their state at the end."""
        loop = asyncio.get_running_loop()
        for prefix, service in _MOTO_SERVICES.items():
            self._apps[prefix] = await loop.run_in_executor(self._thread, create_backend_app, service)
        yield
        await self.reset()
        self._thread.shutdown()

    async def reset(self) -> None:
        """Delete all tables, rows, secrets and alarms."""
        await asyncio.get_running_loop().run_in_executor(self._thread, moto_api_backend.reset)

    async def answer(self, request: web.Request) -> web.Response:
        """Forward one request."""
        received = _Request(
            "/",  # all of these services have one path
            f"{request.scheme}://{request.host}",
            list(request.headers.items()),
            await request.read(),
        )
        service, _, operation = request.headers.get(sqs_server.TARGET, "").partition(".")
        app = self._apps[service]
        answer: Callable[[WSGIApplication, _Request], web.Response] = self._response
        if service == _DYNAMODB and operation in OPERATIONS:
            answer = partial(self._row_call, operation)
        elif service == _DYNAMODB and operation == "BatchExecuteStatement":
            answer = self._write
        return await asyncio.get_running_loop().run_in_executor(self._thread, answer, app, received)

    def _write(self, _app: "WSGIApplication", request: _Request) -> web.Response:
        """Answer BatchExecuteStatement with one PutItem for each statement: see dynamodb_statements.py."""
        try:
            answered = dynamodb_statements.execute(json.loads(request.body), DynamoDbCalls(request.region).put_item)
        except InvalidStatementError as error:
            refusal = {"__type": "com.amazon.coral.validate#ValidationException", "message": str(error)}
            return web.json_response(refusal, status=HTTPStatus.BAD_REQUEST, content_type=_JSON)
        return web.json_response(answered, content_type=_JSON)

    def _row_call(self, operation: str, app: "WSGIApplication", request: _Request) -> web.Response:
        """Answer a read or write of rows: see dynamodb_calls.py."""
        try:
            answered = DynamoDbCalls(request.region).answer(operation, json.loads(request.body))
        except JsonRESTError:
            return self._response(app, request)  # in moto's words; nothing has changed
        return web.json_response(answered, content_type=_JSON)

    def _response(self, app: "WSGIApplication", request: _Request) -> web.Response:
        answer = _open(app, request)
        return web.Response(status=answer.status_code, headers=answer.headers, body=answer.data)


MOTO = web.AppKey("moto", Moto)


def _open(app: "WSGIApplication", request: _Request) -> "TestResponse":
    builder = EnvironBuilder(
        request.path, base_url=request.base_url, method="POST", headers=request.headers, data=request.body
    )
    return Client(app, use_cookies=False).open(builder)


def build_app(queues: SqsQueues, log_groups: LogGroups | None = None, stored: Metrics | None = None) -> web.Application:
    """One application for all services, chosen by the header X-Amz-Target.

    The queues, the log groups and the stored metrics are shared with the caller, who may use them directly in the same
    event loop.
    """
    moto, queue_calls, log_calls = Moto(), sqs_server.handler(queues), logs.handler(log_groups or LogGroups())
    stored = stored or Metrics()
    running: set[asyncio.Task[Any] | None] = set()

    async def route(request: web.Request) -> web.Response:
        service, _, call = request.headers.get(sqs_server.TARGET, "").partition(".")
        if service == metrics.SERVICE and call in metrics.CALLS:
            return web.json_response(stored.answer(call, await request.json()), content_type=_JSON)
        if service in _MOTO_SERVICES:
            return await moto.answer(request)
        if service == logs.SERVICE:
            return await log_calls(request)
        if service != "AmazonSQS":
            return web.json_response({"__type": "UnknownOperationException"}, status=HTTPStatus.BAD_REQUEST)
        running.add(asyncio.current_task())
        try:
            return await queue_calls(request)
        finally:
            running.discard(asyncio.current_task())

    async def end_waits(_app: web.Application) -> None:
        """A receive can wait for 20 seconds; stopping the server must not."""
        for task in running:
            if task is not None:
                task.cancel()

    app = web.Application(client_max_size=LARGEST_REQUEST)
    app.router.add_post("/{path:.*}", route)
    app[MOTO] = moto
    app.cleanup_ctx.append(moto.running)
    app.on_shutdown.append(end_waits)
    return app
