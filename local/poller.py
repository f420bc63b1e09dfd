"""Feeds a queue to a function as Lambda's event source mapping does: batches, a window, partial failures."""

import asyncio
from collections.abc import Sequence
from typing import Any

from local.functions import FunctionError, Functions
from local.sqs.message import Received, md5_of_body
from local.sqs.queues import SqsQueues
from local.template import REGION, QueueSource

MAX_PAYLOAD = 6_000_000  # bytes of one invocation; Lambda closes the batch before it
ENVELOPE = 1_000  # bytes that each message adds beside its body
POLL = 10  # messages Lambda asks for at a time
KILLED = 0.5  # seconds until messages of a killed invocation are back; at AWS, their visibility timeout of minutes
LONGEST_POLL = 1.0  # seconds; until then, a disabled source is still disabling. Lambda's polls take 20


class Poller:
    """Polls one queue."""

    def __init__(self, queues: SqsQueues, url: str, arn: str, source: QueueSource, functions: Functions) -> None:
        self._queues = queues
        self._url = url
        self._arn = arn
        self._source = source
        self._functions = functions
        self._slots = asyncio.Semaphore(source.concurrency)
        self._invocations: set[asyncio.Task[None]] = set()
        self._enabled = asyncio.Event()
        self._is_gathering = False
        self.enable(source.enabled)

    @property
    def state(self) -> str:
        """The event source's state, as Lambda names it."""
        if self._enabled.is_set():
            return "Enabled"
        return "Disabling" if self._is_gathering else "Disabled"

    def enable(self, enabled: bool) -> None:
        """Poll from now on, or stop after what has been received."""
        self._enabled.set() if enabled else self._enabled.clear()

    async def run(self) -> None:
        """Poll until cancelled; let running invocations end."""
        try:
            while True:
                await self._enabled.wait()
                for batch in await self._gather():
                    await self._slots.acquire()
                    task = asyncio.create_task(self._invoke(batch))
                    self._invocations.add(task)
                    task.add_done_callback(self._invocations.discard)
        finally:
            await asyncio.gather(*self._invocations, return_exceptions=True)

    async def _gather(self) -> list[list[Received]]:
        """Collect one batch: from its first message on, for at most the window. Several if one is too small."""
        self._is_gathering = True
        loop = asyncio.get_running_loop()
        batch: list[Received] = []
        size = 0
        closes = float("inf")
        while len(batch) < self._source.batch_size and loop.time() < closes and self._enabled.is_set():
            wait = min(LONGEST_POLL, closes - loop.time())
            limit = min(POLL, self._source.batch_size - len(batch))
            received = await self._queues.receive(self._url, limit, max(0.0, wait))
            if received and not batch:
                closes = loop.time() + self._source.window
            batch += received
            size += sum(map(_size, received))
            if size > MAX_PAYLOAD:
                break
        self._is_gathering = False
        return _cut(batch)

    async def _invoke(self, batch: Sequence[Received]) -> None:
        try:
            event = {"Records": [record_of(each, self._arn) for each in batch]}
            answer = await self._functions.invoke(self._source.function, event)
            failed = _failures(answer, batch)
        except FunctionError:
            failed = {each.message.id for each in batch}
        except asyncio.CancelledError:
            for each in batch:
                self._queues.change_visibility(self._url, each.receipt_handle, KILLED)
            raise
        finally:
            self._slots.release()
        for each in batch:
            if each.message.id not in failed:
                self._queues.delete(self._url, each.receipt_handle)


def record_of(received: Received, arn: str) -> dict[str, Any]:
    """Format one message of a queue as in Lambda's SQS event."""
    message = received.message
    return {
        "messageId": message.id,
        "receiptHandle": received.receipt_handle,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(received.receive_count),
            "SentTimestamp": str(round(message.sent_at * 1000)),
            "SenderId": "AIDALOCAL",
            "ApproximateFirstReceiveTimestamp": str(round(received.first_received_at * 1000)),
        },
        "messageAttributes": {
            name: {"stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String"}
            for name, value in message.attributes.items()
        },
        "md5OfBody": md5_of_body(message.body),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    }


def _size(received: Received) -> int:
    return len(received.message.body.encode()) + ENVELOPE


def _cut(received: Sequence[Received]) -> list[list[Received]]:
    """Split messages into runs that fit one invocation each."""
    batches: list[list[Received]] = [[]]
    size = 0
    for each in received:
        size += _size(each)
        if size > MAX_PAYLOAD and batches[-1]:
            batches.append([])
            size = _size(each)
        batches[-1].append(each)
    return batches


def _failures(answer: Any, batch: Sequence[Received]) -> set[str]:
    """Read batchItemFailures as Lambda does: an unknown or empty id, or a wrong shape, fails the whole batch."""
    ids = {each.message.id for each in batch}
    if not answer:
        return set()
    try:
        named: set[str] = {entry["itemIdentifier"] for entry in answer.get("batchItemFailures") or ()}
    except (AttributeError, KeyError, TypeError):
        return ids
    return ids if named - ids else named
