"""SQS over HTTP: one aiohttp handler."""

import json
from collections.abc import Awaitable, Callable
from uuid import uuid4

from aiohttp import web

from local.sqs.addresses import Addresses
from local.sqs.errors import SqsError
from local.sqs.protocol import answer, error_body, query_error
from local.sqs.queues import SqsQueues

TARGET = "X-Amz-Target"
PREFIX = "AmazonSQS."


def handler(queues: SqsQueues, *, region: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """An aiohttp handler for requests whose target starts with `AmazonSQS.`, whatever their path."""

    async def handle(request: web.Request) -> web.Response:
        addresses = Addresses(region, f"{request.scheme}://{request.host}")
        operation = request.headers.get(TARGET, "").removeprefix(PREFIX)
        headers = {"x-amzn-RequestId": str(uuid4())}
        try:
            status, body = 200, await answer(queues, addresses, operation, await request.read())
        except SqsError as error:
            status, body = 400, error_body(error)
            headers["x-amzn-query-error"] = query_error(error)
        return web.Response(
            status=status, body=json.dumps(body).encode(), headers=headers, content_type="application/x-amz-json-1.0"
        )

    return handle
