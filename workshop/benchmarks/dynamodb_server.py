"""Answers the worker's requests to DynamoDB, SQS, Secrets Manager and Amazon, each after a set time.

For bench_worker.py, which measures the client: plain HTTP in a process of its own, with as little work as possible.
It knows the requests that the worker makes, and answers any other with status 400.
"""

import asyncio
import hashlib
import json
import os
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any
from uuid import uuid4

from tests.support.doubles.dynamodb import MembershipRows

_UPLOADS = re.compile("/amc/audiences/records|/adm/audiences/[^/]+/members")
CONTROL = "/rows"
TOKEN = {"accessToken": "Atza|" + "x" * 360, "expiresAt": 4_102_444_800}
CREDENTIALS = {"clientId": "amzn1.application-oa2-client.1", "clientSecret": "made-up", "refreshToken": "Atzr|made-up"}


class Services:
    """What the worker calls. Counts requests by operation, and the records that Amazon got."""

    def __init__(self) -> None:
        self.table = MembershipRows()  # values stay as they are in JSON
        self.kept: dict[str, dict[Any, Any]] = {}  # copies of the rows, by name
        self.requests: Counter[str] = Counter()
        self.records = 0
        self.operations: dict[str, Callable[[Any], Any]] = {
            "BatchGetItem": lambda asked: self.table.batch_get_item(**asked),
            "BatchExecuteStatement": lambda asked: self.table.batch_execute_statement(**asked),
            "GetItem": lambda asked: self.table.get_item(**asked),
            "PutItem": lambda asked: self.table.put_item(**asked),
            "UpdateItem": lambda asked: self.table.update_item(**asked),
            "SendMessageBatch": lambda asked: _all_successful(map(_stored, asked["Entries"])),
            "ChangeMessageVisibilityBatch": lambda asked: _all_successful({"Id": e["Id"]} for e in asked["Entries"]),
            "GetSecretValue": _secret,
        }

    def answer(self, operation: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and JSON of an answer. `operation` is empty where the request names none."""
        if path == CONTROL:
            return 200, self.control(**json.loads(body))
        self.requests[operation or path] += 1
        if _UPLOADS.fullmatch(path):
            self.records += body.count(b'"externalUserId"')
            return 202, {"jobRequestId": f"job-{uuid4()}", "ingressId": f"{uuid4()}"}
        try:
            return 200, self.operations[operation](json.loads(body))
        except (AssertionError, KeyError, ValueError) as error:
            sys.stderr.write(f"{operation} is not known: {error!r}\n")
            return 400, {"__type": "ValidationException", "message": f"{operation}: {error!r}"}

    def control(self, *, keep: str = "", restore: str = "") -> dict[str, Any]:
        """Copy the rows under a name, or start from such a copy. Returns and resets what was counted."""
        counted = {"rows": len(self.table.rows), "records": self.records, "requests": dict(self.requests)}
        if keep:
            self.kept[keep] = dict(self.table.rows)
        if restore:
            self.table.rows.clear()
            self.table.rows.update(self.kept.get(restore, {}))
        self.records = 0
        self.requests.clear()
        return counted


def _stored(entry: Any) -> Any:
    digest = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"Id": entry["Id"], "MessageId": str(uuid4()), "MD5OfMessageBody": digest}


def _all_successful(entries: Iterable[Any]) -> Any:
    return {"Successful": list(entries), "Failed": []}


def _secret(asked: Any) -> Any:
    value = TOKEN if "Token" in asked["SecretId"] else CREDENTIALS
    return {"ARN": asked["SecretId"], "Name": asked["SecretId"], "SecretString": json.dumps(value)}


class HttpConnection(asyncio.Protocol):
    """One connection: a request, its answer after `delay` seconds, the next request."""

    def __init__(self, services: Services, delay: float) -> None:
        self._services = services
        self._delay = delay
        self._received = bytearray()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        began = time.perf_counter()
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = end + 4 + int(headers.get("content-length", "0"))
        if len(self._received) < length:
            return
        body = bytes(self._received[end + 4 : length])
        del self._received[:length]
        path = first.split(" ")[1]
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        status, answer = self._services.answer(operation, path, body)
        text = json.dumps(answer, separators=(",", ":")).encode()
        head = (
            f"HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(text)}\r\n"
            f"x-amzn-RequestId: {uuid4()}\r\nx-amz-crc32: {zlib.crc32(text)}\r\n\r\n"
        )
        # The time that the answer took to make is part of the delay.
        left = 0.0 if path == CONTROL else self._delay - (time.perf_counter() - began)
        self._loop.call_later(max(0.0, left), self._transport.write, head.encode() + text)


def serve(ready: Connection, delay: float, processor: int, services: type[Services] = Services) -> None:
    """Answer on a free port, which goes to `ready`, until the other end of that is closed. Takes one processor."""
    os.sched_setaffinity(0, {processor})

    async def run() -> None:
        shared = services()
        server = await asyncio.get_running_loop().create_server(lambda: HttpConnection(shared, delay), "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        closed = asyncio.Event()
        asyncio.get_running_loop().add_reader(ready.fileno(), closed.set)  # also when the other process was killed
        await closed.wait()

    asyncio.run(run())
