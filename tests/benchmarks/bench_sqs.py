"""What the local AWS endpoint does per second for one boto3 client: `python -m tests.benchmarks.bench_sqs`.

Prints one line of JSON per figure. The server runs in a process of its own, as it does for all clients but the poller.
boto3 itself spends most of a millisecond of processor time on each call.
"""

import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from threading import Event
from typing import TYPE_CHECKING, Any

import boto3

from local.sqs.queues import SqsQueues
from tests.servers import serve_aws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

REGION = "eu-west-1"
BODY = "x" * 1_000
BACKLOGS = (100, 10_000, 100_000)  # messages
CALLS = 1_000  # per figure
THREADS = 8
KEYS = 250


def _serve(ready: Connection) -> None:
    with serve_aws(SqsQueues(time.time)) as url:
        stop = Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        ready.send(url)
        stop.wait()


@contextmanager
def _server() -> Iterator[dict[str, Any]]:
    """Run the server; gives the arguments of a boto3 client for it."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_serve, args=(sender,))
    process.start()
    try:
        yield {
            "endpoint_url": receiver.recv(),
            "region_name": REGION,
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }
    finally:
        process.terminate()
        process.join()


def _per_second(call: Callable[[], object], times: int = CALLS) -> int:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return round(times / (time.perf_counter() - start))


def _fill(sqs: "SQSClient", queue: str, messages: int) -> int:
    """Send `messages` in batches of ten; returns messages per second."""
    entries: Any = [{"Id": str(n), "MessageBody": BODY} for n in range(10)]
    return 10 * _per_second(lambda: sqs.send_message_batch(QueueUrl=queue, Entries=entries), messages // 10)


def _receive_and_delete(sqs: "SQSClient", queue: str) -> None:
    received = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=received[0]["ReceiptHandle"])


def queue_figures(sqs: "SQSClient") -> Iterator[dict[str, Any]]:
    """Sends, and receives each with its delete, on top of a backlog: a message is sent for each one taken."""
    for backlog in BACKLOGS:
        queue = sqs.create_queue(QueueName=f"backlog-{backlog}")["QueueUrl"]
        batched = _fill(sqs, queue, backlog)
        sends = _per_second(lambda url=queue: sqs.send_message(QueueUrl=url, MessageBody=BODY))  # type: ignore[misc]
        deletes = _per_second(lambda url=queue: _receive_and_delete(sqs, url))  # type: ignore[misc]
        yield {"backlog": backlog, "sends/s": sends, "receive+delete/s": deletes, "batched messages/s": batched}


def table_figures(dynamodb: "DynamoDBClient") -> dict[str, Any]:
    """Eight threads want every key first; exactly one of them may get it."""
    dynamodb.create_table(
        TableName="race",
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def wins(_thread: int) -> list[int]:
        return [key for key in range(KEYS) if _put_if_absent(dynamodb, key)]

    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        winners = [key for won in threads.map(wins, range(THREADS)) for key in won]
    rate = round(THREADS * KEYS / (time.perf_counter() - start))
    return {"threads": THREADS, "puts/s": rate, "keys": KEYS, "winners": len(winners), "distinct": len(set(winners))}


def _put_if_absent(dynamodb: "DynamoDBClient", key: int) -> bool:
    try:
        dynamodb.put_item(
            TableName="race",
            Item={"key": {"S": str(key)}},
            ConditionExpression="attribute_not_exists(#k)",
            ExpressionAttributeNames={"#k": "key"},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True


def main() -> None:
    with _server() as client:
        for figures in queue_figures(boto3.client("sqs", **client)):
            sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.write(json.dumps(table_figures(boto3.client("dynamodb", **client))) + "\n")


if __name__ == "__main__":
    main()
