"""Recursive loops in the local stack: stopped as Lambda stops them, unless the template allows them."""

import asyncio
import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from local.functions import Functions
from local.poller import Poller
from local.serving import serve
from local.sqs.queues import SqsQueues
from local.sqs.server import handler
from local.template import Function, QueueSource, Template, read_document
from local.trace import MAX_INVOCATIONS, next_invocation

FORWARDS = """
import os

import boto3

sqs = boto3.client("sqs", region_name="us-east-1")


def lambda_handler(event, context):
    for record in event["Records"]:
        print("invoked by", record["body"])
        if int(record["body"]) < 20:
            sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody=str(int(record["body"]) + 1))
"""
LOOPING = ("WorkerFunction", "JobsFunction")


def source_of(function: str, document: dict[str, Any]) -> QueueSource:
    (source,) = (each for each in Template(document).queue_sources() if each.function == function)
    return replace(source, batch_size=1, window=0.0, concurrency=1)


def without_permission(function: str) -> dict[str, Any]:
    document = copy.deepcopy(read_document())
    del document["Resources"][function]["Properties"]["RecursiveLoop"]
    return document


def run(folder: Path, source: QueueSource) -> tuple[list[str], int, int]:
    """Start a chain of 20 messages. Returns the function's lines, the messages left and the invocations refused."""
    (folder / "handler.py").write_text(FORWARDS)

    async def all_of_it() -> tuple[list[str], int, int]:
        queues, lines, app = SqsQueues(time.time), list[str](), web.Application()
        queues.create("work", {"VisibilityTimeout": "43200"})
        app.router.add_post("/{path:.*}", handler(queues))
        async with serve(app) as url:
            keys = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_ENDPOINT_URL": url}
            variables = keys | {"QUEUE": f"{url}/123456789012/work"}
            code = Function(source.function, folder, "handler.lambda_handler", 60.0, {})
            functions = Functions({code.name: code}, {code.name: variables}, lambda _, line: lines.append(line))
            poller = Poller(queues, "work", "arn:aws:sqs:us-east-1:123456789012:work", source, functions)
            queues.send("work", "1")
            polling = asyncio.create_task(poller.run())
            try:
                async with asyncio.timeout(60):
                    while queues.counts("work").total and not poller.refused:
                        await asyncio.sleep(0.01)
            finally:
                polling.cancel()
                await asyncio.gather(polling, return_exceptions=True)
                await functions.close()
            own = [line for line in lines if not line.startswith('{"type": "platform.')]
            return own, queues.counts("work").in_flight, poller.refused

    return asyncio.run(all_of_it())


@pytest.mark.parametrize("function", LOOPING)
def test_a_loop_without_permission_ends_after_sixteen_invocations(tmp_path: Path, function: str) -> None:
    lines, left, refused = run(tmp_path, source_of(function, without_permission(function)))
    assert lines == [f"invoked by {number}" for number in range(1, MAX_INVOCATIONS + 1)]
    assert (left, refused) == (1, 1), "the message stays, and the redrive policy decides"


def test_the_template_allows_the_workers_loop(tmp_path: Path) -> None:
    lines, left, refused = run(tmp_path, source_of("WorkerFunction", read_document()))
    assert lines == [f"invoked by {number}" for number in range(1, 21)]
    assert (left, refused) == (0, 0)


def test_a_chain_counts_the_invocations_of_each_function() -> None:
    trace = ""
    for _ in range(3):
        trace, _ = next_invocation([trace], "Worker")
    trace, jobs = next_invocation([trace], "Jobs")
    _, worker = next_invocation([trace], "Worker")
    assert (jobs, worker) == (1, 4)


def test_the_longest_chain_of_a_batch_counts() -> None:
    long, _ = next_invocation([next_invocation([""], "Worker")[0]], "Worker")
    short, _ = next_invocation([""], "Worker")
    assert next_invocation([short, long, ""], "Worker")[1] == 3


@pytest.mark.parametrize(
    "trace",
    [
        "",
        "Root=1-64d38018-6a56d23a731e0cbe6ed85687;Parent=1e4dbd311c45e826;Sampled=0",
        "Root=1-64d38018-6a56d23a731e0cbe6ed85687;Parent=1e4dbd311c45e826;Sampled=0;Lineage=037bed70:5",
    ],
)
def test_a_trace_without_this_function_counts_from_one(trace: str) -> None:
    assert next_invocation([trace], "Worker")[1] == 1
