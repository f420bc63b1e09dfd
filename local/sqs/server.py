"""SQS over HTTP, in its JSON protocol: one aiohttp handler."""

import json
from collections.abc import Awaitable, Callable
from uuid import uuid4

from aiohttp import web

from local.sqs.operations import Operations
from local.sqs.queues import SqsQueues
from local.sqs.sqs_errors import SqsError

TARGET = "X-Amz-Target"
PREFIX = "AmazonSQS."


def handler(queues: SqsQueues) -> Callable[[web.Request], Awaitable[web.Response]]:
    """An aiohttp handler for requests whose target starts with `AmazonSQS.`, at any path."""

    async def handle(request: web.Request) -> web.Response:
        operations = Operations(queues, f"{request.scheme}://{request.host}")
        headers = {"x-amzn-RequestId": str(uuid4())}
        try:
            operation = request.headers.get(TARGET, "").removeprefix(PREFIX)
            status, body = 200, await operations.run(operation, await request.json())
        except SqsError as error:
            status, body = 400, {"__type": error.shape, "message": str(error)}
            headers["x-amzn-query-error"] = f"{error.query_code};Sender"
        return web.Response(
            status=status, body=json.dumps(body).encode(), headers=headers, content_type="application/x-amz-json-1.0"
        )

    return handle
