"""SQS: batches of messages, sent until the queue has confirmed every one of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any

from audience_sync.aws.client_errors import unavailable
from audience_sync.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

MAX_ENTRIES = 10  # messages in one SendMessageBatch
MAX_BATCH_BYTES = 1_000_000  # of all bodies in it; SQS accepts 1 MiB, attributes included
MAX_ATTEMPTS = 3  # for entries that the queue reports as failed
MAX_DELAY = 900  # seconds; the longest delay SQS accepts
MAX_VISIBILITY = 43_200  # seconds; twelve hours, the limit of SQS
_WAITING: tuple["QueueAttributeNameType", ...] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
)


class Queue:
    """One standard queue."""

    def __init__(self, client: "SQSClient", url: str, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._url = url
        self._monotonic = monotonic

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        """Send all `bodies`, visible after `delay` seconds (900 at most); return once the queue has confirmed each.

        Failed entries are sent again until `deadline` (monotonic seconds). If this raises, some bodies may be in the
        queue: the caller sends all of them again, which is harmless.

        Raises:
            Unavailable: not every body is confirmed.
        """
        for batch in _batches(bodies):
            self._send_batch([*batch], deadline, delay, attributes or {})

    def send_each(self, bodies: Sequence[str], *, deadline: float) -> dict[str, Unavailable]:
        """Send all `bodies`, even if some fail. Returns those that the queue has not confirmed, each with its error."""
        failed: dict[str, Unavailable] = {}
        for waiting in map(list, _batches(bodies)):
            try:
                self._send_batch(waiting, deadline, 0, {})
            except Unavailable as error:
                failed |= dict.fromkeys(waiting, error)
        return failed

    def _send_batch(self, waiting: list[str], deadline: float, delay: float, attributes: dict[str, str]) -> None:
        """Send bodies, and remove those that are confirmed."""
        values = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        common: dict[str, Any] = {"MessageAttributes": values} if values else {}
        if delay:
            common["DelaySeconds"] = min(math.ceil(delay), MAX_DELAY)
        for _ in range(MAX_ATTEMPTS):
            if self._monotonic() >= deadline:
                break
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(index), "MessageBody": body, **common}  # type: ignore[typeddict-item]
                for index, body in enumerate(waiting)
            ]
            with unavailable("SQS did not accept the messages", retry_after=1):
                answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            confirmed = {int(each["Id"]) for each in answer.get("Successful", [])}
            waiting[:] = [body for index, body in enumerate(waiting) if index not in confirmed]
            if not waiting:
                return
        raise Unavailable("SQS did not accept every message in time", retry_after=1)

    def waiting(self) -> int:
        """Return the approximate number of messages that are visible or in flight. SQS is up to a minute behind.

        Delayed ones hold back no others, and there may be many of them for days: repetitions that are not due yet.

        Raises:
            Unavailable: the queue does not answer.
        """
        with unavailable("the queue does not answer", retry_after=1):
            counted = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=list(_WAITING))
        return sum(int(counted["Attributes"][name]) for name in _WAITING)

    def postpone(self, receipts: Sequence[tuple[str, float]], *, until: float) -> None:
        """Hide messages in flight for longer; each receipt handle comes with a delay in seconds.

        Best effort: other messages come back at the queue's own visibility timeout. A failed request is repeated after
        the others; after a failure, none is made from `until` (monotonic seconds) on.
        """
        left = list(batched(receipts, MAX_ENTRIES))
        for _ in range(MAX_ATTEMPTS):
            failed: list[tuple[tuple[str, float], ...]] = []
            for batch in left:
                try:
                    self._postpone_batch(batch)
                except Unavailable:
                    if self._monotonic() >= until:
                        return
                    failed.append(batch)
            left = failed

    def _postpone_batch(self, batch: Sequence[tuple[str, float]]) -> None:
        entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
            {
                "Id": str(index),
                "ReceiptHandle": handle,
                "VisibilityTimeout": round(min(max(0.0, delay), MAX_VISIBILITY)),
            }
            for index, (handle, delay) in enumerate(batch)
        ]
        with unavailable("the queue does not answer"):
            self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)


def _batches(bodies: Sequence[str]) -> Iterator[Sequence[str]]:
    start, size = 0, 0
    for position, body in enumerate(bodies):
        length = len(body.encode())
        if position > start and (position - start == MAX_ENTRIES or size + length > MAX_BATCH_BYTES):
            yield bodies[start:position]
            start, size = position, 0
        size += length
    if start < len(bodies):
        yield bodies[start:]
