"""Answers the worker's requests to DynamoDB, SQS, Secrets Manager and Amazon, each after a set time.

For bench_worker.py, which measures the client: plain HTTP in a process of its own, with as little work as possible.
Rows are kept in a dictionary. It knows the requests that the worker makes, and answers any other with status 400.
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
from functools import cache
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from uuid import uuid4

type Row = dict[str, Any]
type Key = tuple[str, ...]

_INSERT = re.compile(r'INSERT INTO "[^"]+" VALUE \{(.+)\}')
_UPDATE = re.compile(r'UPDATE "[^"]+" SET (.+) WHERE (.+)')
_KEY = ("audienceShard", "externalUserId")
_RECORDS = "/amc/audiences/records"
CONTROL = "/rows"
TOKEN = {"accessToken": "Atza|" + "x" * 360, "expiresAt": 4_102_444_800}
CREDENTIALS = {"clientId": "amzn1.application-oa2-client.1", "clientSecret": "made-up", "refreshToken": "Atzr|made-up"}


class Statement(NamedTuple):
    """One of the two texts of the membership table's writes, taken apart."""

    is_insert: bool
    values: tuple[str, ...]
    conditions: tuple[str, ...]


@cache
def parse_statement(text: str) -> Statement:
    """Read a statement. Raises ValueError where it is neither of the two."""
    if insert := _INSERT.fullmatch(text):
        return Statement(True, tuple(re.findall(r"'(\w+)': \?", insert[1])), ())
    if update := _UPDATE.fullmatch(text):
        values, conditions = (tuple(re.findall(r'"(\w+)"=\?', part)) for part in update.groups())
        return Statement(False, values, conditions)
    raise ValueError(text)


class Services:
    """What the worker calls. Counts requests by operation, and the records that Amazon got."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.kept: dict[str, dict[Key, Row]] = {}  # copies of the rows, by name
        self.requests: Counter[str] = Counter()
        self.records = 0
        self.operations: dict[str, Callable[[Any], Any]] = {
            "BatchGetItem": self.batch_get,
            "BatchExecuteStatement": lambda asked: {"Responses": [self.execute(each) for each in asked["Statements"]]},
            "GetItem": self.get,
            "PutItem": self.put,
            "UpdateItem": self.update,
            "SendMessageBatch": lambda asked: _all_successful(map(_stored, asked["Entries"])),
            "ChangeMessageVisibilityBatch": lambda asked: _all_successful({"Id": e["Id"]} for e in asked["Entries"]),
            "GetSecretValue": _secret,
        }

    def answer(self, operation: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and JSON of an answer. `operation` is empty where the request names none."""
        if path == CONTROL:
            return 200, self.control(**json.loads(body))
        self.requests[operation or path] += 1
        if path == _RECORDS:
            self.records += body.count(b'"externalUserId"')
            return 202, {"jobRequestId": f"job-{uuid4()}"}
        try:
            return 200, self.operations[operation](json.loads(body))
        except (KeyError, ValueError) as error:
            sys.stderr.write(f"{operation} is not known: {error!r}\n")
            return 400, {"__type": "ValidationException", "message": f"{operation}: {error!r}"}

    def control(self, *, keep: str = "", restore: str = "") -> dict[str, Any]:
        """Copy the rows under a name, or start from such a copy. Returns and resets what was counted."""
        counted = {"rows": len(self.rows), "records": self.records, "requests": dict(self.requests)}
        if keep:
            self.kept[keep] = dict(self.rows)
        if restore:
            self.rows = dict(self.kept.get(restore, {}))
        self.records = 0
        self.requests.clear()
        return counted

    def execute(self, asked: Any) -> Any:
        """Run one statement. A row is replaced as a whole, so that copies keep theirs."""
        statement, values = parse_statement(asked["Statement"]), asked["Parameters"]
        if len(values) != len(statement.values) + len(statement.conditions):
            raise ValueError(asked["Statement"])
        count = len(statement.values)
        row = dict(zip(statement.values, values[:count], strict=True))
        if statement.is_insert:
            key = tuple(row[name]["S"] for name in _KEY)
            if key in self.rows:
                return {"TableName": "t", "Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists"}}
            self.rows[key] = row
            return {"TableName": "t"}
        wanted = dict(zip(statement.conditions, values[count:], strict=True))
        key = tuple(wanted[name]["S"] for name in _KEY)
        held = self.rows.get(key)
        if held is None or any(held[name] != value for name, value in wanted.items()):
            return {"TableName": "t", "Error": {"Code": "ConditionalCheckFailed", "Message": "The condition failed"}}
        self.rows[key] = held | row
        return {"TableName": "t"}

    def batch_get(self, asked: Any) -> Any:
        ((table, request),) = asked["RequestItems"].items()
        names = request.get("ProjectionExpression", "").split(", ")
        found: Iterable[Row] = [row for key in request["Keys"] if (row := self.rows.get(_key(key)))]
        if names != [""]:
            found = [{name: row[name] for name in names} for row in found]
        return {"Responses": {table: found}, "UnprocessedKeys": {}}

    def get(self, asked: Any) -> Any:
        row = self.rows.get(_key(asked["Key"]))
        return {"Item": row} if row else {}

    def put(self, asked: Any) -> Any:
        item = asked["Item"]
        self.rows[_key({name: item[name] for name in _KEY})] = item
        return {}

    def update(self, asked: Any) -> Any:
        """Set and remove attributes, unconditionally: the circuit breaker's writes."""
        names, values = asked["ExpressionAttributeNames"], asked["ExpressionAttributeValues"]
        sets, _, removes = asked["UpdateExpression"].partition(" REMOVE ")
        row = dict(self.rows.get(_key(asked["Key"]), asked["Key"]))
        row |= {names[name]: values[value] for name, value in re.findall(r"(#\w+) = (:\w+)", sets)}
        for name in re.findall(r"#\w+", removes):
            row.pop(names[name], None)
        self.rows[_key(asked["Key"])] = row
        return {}


def _key(key: Row) -> Key:
    return tuple(value["S"] for _, value in sorted(key.items()))


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
