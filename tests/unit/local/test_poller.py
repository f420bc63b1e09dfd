"""A queue is fed to a function as Lambda's event source mapping does it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
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

    async def invoke(self, name: str, event: dict[str, Any], trace: str = "") -> Any:  # noqa: ARG002 - of Functions
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
    """A queue, its poller and the function, while the poller runs."""

    def __init__(self, handler: Handler, queues: SqsQueues, poller: Poller, polling: asyncio.Task[None]) -> None:
        self.handler, self.queues, self.poller, self.polling = handler, queues, poller, polling

    async def ended(self, invocations: int) -> None:
        """Wait until so many invocations have ended and the poller has acted on their answers."""
        async with asyncio.timeout(30):
            while self.handler.ended < invocations or self.poller._invocations:
                await asyncio.sleep(0.005)

    @property
    def left(self) -> int:
        """Messages that are not deleted."""
        return len(self.queues.peek("work"))


def run(
    test: Callable[[Polled], Coroutine[Any, Any, None]],
    bodies: list[str],
    handler: Handler | None = None,
    *,
    batch_size: int = 10,
    window: float = 0.0,
    concurrency: int = 5,
) -> Handler:
    """Fill a queue, poll it and run the test meanwhile."""
    function = handler or Handler()
    source = QueueSource("Work", "Taker", batch_size, window, concurrency, enabled=True)

    async def all_of_it() -> None:
        queues = SqsQueues(time.time)
        queues.create("work")
        for body in bodies:
            queues.send("work", body, attributes={"kind": "test"})
        poller = Poller(queues, "work", ARN, source, function)
        polling = asyncio.create_task(poller.run())
        try:
            await test(Polled(function, queues, poller, polling))
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)

    asyncio.run(all_of_it())
    return function


def numbered(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_messages_arrive_in_the_shape_of_lambdas_event_and_are_deleted_afterwards() -> None:
    async def test(polled: Polled) -> None:
        await polled.ended(1)
        assert polled.left == 0

    ((record,),) = run(test, ["hello"]).batches
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
    async def test(polled: Polled) -> None:
        await polled.ended(3)

    handler = run(test, numbered(75), batch_size=25, window=30.0)
    assert handler.sizes == [25, 25, 25]
    assert sorted(handler.bodies, key=int) == numbered(75)


def test_without_a_window_nothing_waits_for_company() -> None:
    async def test(polled: Polled) -> None:
        await polled.ended(1)
        polled.queues.send("work", "late")
        await polled.ended(2)

    assert run(test, ["early"], batch_size=100).sizes == [1, 1]


def test_a_window_gathers_what_comes_while_it_is_open() -> None:
    async def test(polled: Polled) -> None:
        for number in range(5):
            await asyncio.sleep(0.02)
            assert polled.handler.batches == []
            polled.queues.send("work", f"late {number}")
        await polled.ended(1)

    assert run(test, ["early"], batch_size=6, window=30.0).sizes == [6]


def test_a_window_closes_after_its_time_however_little_has_come() -> None:
    async def test(polled: Polled) -> None:
        await polled.ended(1)

    began = time.monotonic()
    handler = run(test, ["alone"], batch_size=100, window=0.3)
    assert handler.sizes == [1]
    assert handler.times[0] - began > 0.25


@pytest.mark.parametrize(
    ("sizes", "fullest"),
    [
        pytest.param([240_000] * 40, 24, id="messages of 240 KB"),
        pytest.param([590_000] * 10 + [1_000_000] * 10, 10, id="several too many in one receive"),
    ],
)
def test_an_invocation_stays_below_six_megabytes(sizes: list[int], fullest: int) -> None:
    bodies = [str(number % 10) * size for number, size in enumerate(sizes)]

    async def test(polled: Polled) -> None:
        async with asyncio.timeout(30):
            while polled.left:
                await asyncio.sleep(0.01)

    handler = run(test, bodies, batch_size=50, window=1.0)
    assert sorted(handler.bodies) == sorted(bodies)
    assert all(sum(len(record["body"]) for record in batch) <= MAX_PAYLOAD for batch in handler.batches)
    assert max(handler.sizes) == fullest


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        pytest.param(SUCCESS, 0, id="an empty list: all succeeded"),
        pytest.param(None, 0, id="nothing: all succeeded"),
        pytest.param({}, 0, id="an empty answer: all succeeded"),
        pytest.param({"batchItemFailures": None}, 0, id="null: all succeeded"),
        pytest.param({"statusCode": 200}, 0, id="no list at all: all succeeded"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": ""}]}, 4, id="an empty id fails all"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": None}]}, 4, id="a null id fails all"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, 4, id="an unknown id fails all"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": ["x"]}]}, 4, id="an id that is no text fails all"),
        pytest.param({"batchItemFailures": [{"messageId": "x"}]}, 4, id="a wrong name fails all"),
        pytest.param({"batchItemFailures": ["x"]}, 4, id="bare ids fail all"),
        pytest.param({"batchItemFailures": 3}, 4, id="no list fails all"),
        pytest.param(["x"], 4, id="a bare list fails all"),
        pytest.param("done", 4, id="text fails all"),
    ],
)
def test_what_an_answer_without_known_ids_means(answer: Any, left: int) -> None:
    async def test(polled: Polled) -> None:
        await polled.ended(1)
        assert polled.left == left

    run(test, numbered(4), Handler(lambda _: answer))


def test_messages_that_are_named_as_failed_stay_and_their_neighbours_go() -> None:
    def answer(records: Records) -> Any:
        failed = [record["messageId"] for record in records if record["body"] in ("1", "3")]
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

    async def test(polled: Polled) -> None:
        await polled.ended(1)
        assert [message.body for message in polled.queues.peek("work")] == ["1", "3"]

    run(test, numbered(5), Handler(answer))


def test_a_function_that_fails_leaves_everything_and_the_next_batch_is_served() -> None:
    def answer(records: Records) -> Any:
        if records[0]["body"] == "0":
            raise FunctionError("raised ValueError")
        return SUCCESS

    async def test(polled: Polled) -> None:
        await polled.ended(1)
        assert polled.left == 3
        polled.queues.send("work", "later")
        await polled.ended(2)
        assert polled.left == 3

    run(test, numbered(3), Handler(answer))


def test_no_more_invocations_run_at_once_than_allowed() -> None:
    async def test(polled: Polled) -> None:
        await polled.ended(8)

    handler = run(test, numbered(8), Handler(seconds=0.3), batch_size=1, concurrency=3)
    assert handler.most_at_once == 3


def test_a_cancelled_poller_lets_its_invocations_end_and_takes_nothing_more() -> None:
    async def test(polled: Polled) -> None:
        while not polled.handler.batches:
            await asyncio.sleep(0.005)
        polled.polling.cancel()
        polled.queues.send("work", "too late")
        await asyncio.gather(polled.polling, return_exceptions=True)
        assert polled.handler.ended == 1
        assert [message.body for message in polled.queues.peek("work")] == ["too late"]
        assert polled.queues.counts("work").visible == 1

    run(test, ["early"], Handler(seconds=0.2))
