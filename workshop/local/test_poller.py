"""A queue is fed to a function as Lambda's event source mapping does it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.functions import FunctionError, Functions
from local.poller import MAX_PAYLOAD, Poller
from local.sqs.queues import SqsQueues
from local.template import QueueSource

ARN = "arn:aws:sqs:us-east-1:123456789012:work"
SUCCESS: dict[str, Any] = {"batchItemFailures": []}
Records = list[dict[str, Any]]


class Handler(Functions):
    """A function in this process: keeps what it was given, answers what the test wants."""

    def __init__(self, answer: Callable[[Records], Any] = lambda _: SUCCESS, seconds: float = 0.0) -> None:
        super().__init__({}, {}, lambda _function, _line: None)
        self._answer = answer
        self._seconds = seconds
        self.batches: list[Records] = []
        self.times: list[float] = []
        self.at_once = self.most_at_once = self.ended = 0

    async def invoke(self, name: str, event: dict[str, Any]) -> Any:
        assert name == "Taker"
        self.batches.append(event["Records"])
        self.times.append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self._seconds)
        self.at_once -= 1
        self.ended += 1
        return self._answer(event["Records"])

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]

    @property
    def bodies(self) -> list[str]:
        return [record["body"] for batch in self.batches for record in batch]


class Polled:
    """A queue, its poller and the function. The poller runs while a test waits for something."""

    def __init__(self, runner: asyncio.Runner, handler: Handler, source: QueueSource) -> None:
        self.run = runner.run
        self.handler = handler
        self.queues = SqsQueues(time.time)
        self.queues.create("work")
        self.poller = Poller(self.queues, "work", ARN, source, handler)
        self.polling = runner.get_loop().create_task(self.poller.run())

    def until(self, holds: Callable[[], bool]) -> None:
        async def wait() -> None:
            async with asyncio.timeout(30):
                while not holds():
                    await asyncio.sleep(0.005)

        self.run(wait())

    def ended(self, invocations: int) -> None:
        """Wait until so many invocations have ended and the poller has acted on their answers."""
        self.until(lambda: self.handler.ended >= invocations and not self.poller._invocations)

    @property
    def left(self) -> list[str]:
        """The bodies of the messages that are not deleted."""
        return [message.body for message in self.queues.peek("work")]


@contextmanager
def polled(
    bodies: list[str],
    handler: Handler | None = None,
    *,
    batch_size: int = 10,
    window: float = 0.0,
    concurrency: int = 5,
) -> Iterator[Polled]:
    """Fill a queue and poll it."""
    source = QueueSource("Work", "Taker", batch_size, window, concurrency, enabled=True)
    with asyncio.Runner() as runner:
        polled = Polled(runner, handler or Handler(), source)
        for body in bodies:
            polled.queues.send("work", body, attributes={"kind": "test"})
        yield polled


def numbered(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_a_disabled_source_delivers_nothing_until_it_is_enabled() -> None:
    with polled([]) as queue:
        queue.poller.enable(False)
        queue.until(lambda: queue.poller.state == "Disabled")
        queue.queues.send("work", "waits")
        queue.run(asyncio.sleep(0.05))
        assert (queue.handler.bodies, queue.left) == ([], ["waits"])
        queue.poller.enable(True)
        queue.ended(1)
        assert (queue.handler.bodies, queue.poller.state) == (["waits"], "Enabled")


def test_messages_arrive_in_the_shape_of_lambdas_event_and_are_deleted_afterwards() -> None:
    with polled(["hello"]) as queue:
        queue.ended(1)
        assert queue.left == []
    ((record,),) = queue.handler.batches
    assert record["body"] == "hello"
    assert record["md5OfBody"] == "5d41402abc4b2a76b9719d911017c592"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert abs(int(record["attributes"]["SentTimestamp"]) / 1000 - time.time()) < 600
    assert record["messageAttributes"]["kind"] == {
        "stringValue": "test",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }
    assert (record["eventSource"], record["eventSourceARN"], record["awsRegion"]) == ("aws:sqs", ARN, "us-east-1")


def test_a_batch_holds_no_more_than_its_size() -> None:
    with polled(numbered(75), batch_size=25, window=30.0) as queue:
        queue.ended(3)
    assert queue.handler.sizes == [25, 25, 25]
    assert sorted(queue.handler.bodies, key=int) == numbered(75)


def test_without_a_batch_window_messages_are_delivered_at_once() -> None:
    with polled(["early"], batch_size=100) as queue:
        queue.ended(1)
        queue.queues.send("work", "late")
        queue.ended(2)
    assert queue.handler.sizes == [1, 1]


def test_a_batch_window_collects_the_messages_that_arrive_in_it() -> None:
    with polled(["early"], batch_size=6, window=30.0) as queue:
        for number in range(5):
            queue.run(asyncio.sleep(0.02))
            assert queue.handler.batches == []
            queue.queues.send("work", f"late {number}")
        queue.ended(1)
    assert queue.handler.sizes == [6]


def test_a_batch_window_ends_with_an_incomplete_batch() -> None:
    began = time.monotonic()
    with polled(["alone"], batch_size=100, window=0.3) as queue:
        queue.ended(1)
    assert queue.handler.sizes == [1]
    assert queue.handler.times[0] - began > 0.25


@pytest.mark.parametrize(
    ("sizes", "fullest"),
    [
        pytest.param([240_000] * 40, 24, id="messages of 240 KB"),
        pytest.param([590_000] * 10 + [1_000_000] * 10, 10, id="several too many in one receive"),
    ],
)
def test_the_payload_of_an_invocation_stays_below_six_megabytes(sizes: list[int], fullest: int) -> None:
    bodies = [str(number % 10) * size for number, size in enumerate(sizes)]
    with polled(bodies, batch_size=50, window=1.0) as queue:
        queue.until(lambda: not queue.left)
    handler = queue.handler
    assert sorted(handler.bodies) == sorted(bodies)
    assert all(sum(len(record["body"]) for record in batch) <= MAX_PAYLOAD for batch in handler.batches)
    assert max(handler.sizes) == fullest


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        pytest.param(SUCCESS, 0, id="an empty list: all succeeded"),
        pytest.param(None, 0, id="nothing: all succeeded"),
        pytest.param({"batchItemFailures": None}, 0, id="null: all succeeded"),
        pytest.param({"statusCode": 200}, 0, id="no list at all: all succeeded"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": ""}]}, 4, id="an empty id fails all"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, 4, id="an unknown id fails all"),
        pytest.param({"batchItemFailures": [{"messageId": "x"}]}, 4, id="a wrong name fails all"),
        pytest.param({"batchItemFailures": ["x"]}, 4, id="bare ids fail all"),
        pytest.param({"batchItemFailures": 3}, 4, id="no list fails all"),
        pytest.param("done", 4, id="text fails all"),
    ],
)
def test_a_malformed_or_unknown_item_identifier_fails_the_whole_batch(answer: Any, left: int) -> None:
    with polled(numbered(4), Handler(lambda _: answer)) as queue:
        queue.ended(1)
        assert len(queue.left) == left


def test_only_messages_reported_as_failed_stay_in_the_queue() -> None:
    def answer(records: Records) -> Any:
        failed = [record["messageId"] for record in records if record["body"] in ("1", "3")]
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

    with polled(numbered(5), Handler(answer)) as queue:
        queue.ended(1)
        assert queue.left == ["1", "3"]


def test_a_failed_invocation_keeps_its_whole_batch() -> None:
    def answer(records: Records) -> Any:
        if records[0]["body"] == "0":
            raise FunctionError("raised ValueError")
        return SUCCESS

    with polled(numbered(3), Handler(answer)) as queue:
        queue.ended(1)
        assert len(queue.left) == 3
        queue.queues.send("work", "later")
        queue.ended(2)
        assert len(queue.left) == 3


def test_invocations_stay_within_the_maximum_concurrency() -> None:
    with polled(numbered(8), Handler(seconds=0.3), batch_size=1, concurrency=3) as queue:
        queue.ended(8)
    assert queue.handler.most_at_once == 3


def test_a_cancelled_poller_finishes_its_invocations_and_receives_no_more() -> None:
    with polled(["early"], Handler(seconds=0.2)) as queue:
        queue.until(lambda: bool(queue.handler.batches))
        queue.polling.cancel()
        queue.queues.send("work", "too late")
        queue.until(queue.polling.done)
        assert queue.handler.ended == 1
        assert queue.left == ["too late"]
        assert queue.queues.counts("work").visible == 1
