"""The queue model: no HTTP, and a clock that stands still until a test moves it."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from local.sqs.deadlines import Deadlines
from local.sqs.message import Received
from local.sqs.queue import IN_FLIGHT_LIMIT, QueueCounts
from local.sqs.queues import SqsQueues
from local.sqs.sqs_errors import InvalidParameterValueException, OverLimit
from tests.support.doubles.clocks import ManualClock

NOON = 1_800_000_000.0
ARN = "arn:aws:sqs:eu-west-1:123456789012:"


def redrive(target: str, **more: object) -> dict[str, str]:
    return {"RedrivePolicy": json.dumps({"deadLetterTargetArn": ARN + target, **more})}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def queues(clock: ManualClock) -> SqsQueues:
    """A queue `work` that gives up after two receives, and its dead letter queue `dead`."""
    queues = SqsQueues(clock)
    queues.create("dead", {"MessageRetentionPeriod": "1209600"})
    queues.create("work", redrive("dead", maxReceiveCount=2))
    return queues


def take(queues: SqsQueues, queue: str = "work", **options: Any) -> list[Received]:
    return asyncio.run(queues.receive(queue, **{"wait_seconds": 0, **options}))


def bodies(received: list[Received]) -> list[str]:
    return [each.message.body for each in received]


def test_the_handle_of_an_earlier_receive_deletes_nothing(queues: SqsQueues, clock: ManualClock) -> None:
    queues.send("work", "a")
    [earlier] = take(queues)
    clock.now += 30
    [later] = take(queues)
    assert (later.receive_count, later.first_received_at) == (2, NOON)
    queues.delete("work", earlier.receipt_handle)
    assert queues.counts("work").in_flight == 1
    queues.delete("work", later.receipt_handle)
    assert queues.counts("work") == QueueCounts(0, 0, 0)


def test_a_visibility_timeout_ends_twelve_hours_after_the_receive(queues: SqsQueues, clock: ManualClock) -> None:
    queues.send("work", "a")
    [received] = take(queues)
    clock.now += 10
    with pytest.raises(InvalidParameterValueException):
        queues.change_visibility("work", received.receipt_handle, 43_200)
    queues.change_visibility("work", received.receipt_handle, 43_190)


def test_a_message_received_too_often_becomes_a_dead_letter_with_its_id_and_time(
    queues: SqsQueues, clock: ManualClock
) -> None:
    sent = queues.send("work", "a")
    for _ in range(2):
        assert bodies(take(queues)) == ["a"]
        clock.now += 30
    assert queues.counts("dead").visible == 0  # it moves when its turn comes, not before
    assert take(queues) == []
    [dead] = queues.peek("dead")
    assert (dead.id, dead.sent_at) == (sent.id, NOON)


def test_a_message_that_becomes_a_dead_letter_does_not_count_in_a_receive(
    queues: SqsQueues, clock: ManualClock
) -> None:
    queues.send("work", "spent")
    for _ in range(2):
        take(queues)
        clock.now += 30
    queues.send("work", "fresh")
    assert bodies(take(queues, max_messages=1)) == ["fresh"]


def test_a_dead_letter_expires_by_its_original_send_time(clock: ManualClock) -> None:
    queues = SqsQueues(clock)
    queues.create("dead", {"MessageRetentionPeriod": "60"})
    queues.create("work", redrive("dead", maxReceiveCount=1))
    queues.send("work", "a")
    take(queues)
    clock.now += 50
    assert take(queues) == []
    assert queues.counts("dead").visible == 1
    clock.now += 10
    assert queues.counts("dead").visible == 0


def test_a_receive_beyond_the_in_flight_limit_is_refused(clock: ManualClock) -> None:
    assert IN_FLIGHT_LIMIT == 120_000, "messages of a standard queue"
    queues = SqsQueues(clock)
    queues.create("work").in_flight_limit = 3
    for body in "abcde":
        queues.send("work", body)
    assert len(take(queues)) == 3
    with pytest.raises(OverLimit):
        take(queues)
    assert take(queues, wait_seconds=0.01) == []  # a receive that waits comes back empty instead


SOON = 15.0  # seconds: many for any machine, few beside a wait of twenty


def in_a_loop(test: Callable[[SqsQueues], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of a coroutine about queues whose clock runs."""

    def run() -> None:
        queues = SqsQueues(time.time)
        queues.create("work")
        asyncio.run(asyncio.wait_for(test(queues), timeout=30))

    return run


async def waiting(queues: SqsQueues, **options: Any) -> asyncio.Task[list[Received]]:
    task = asyncio.create_task(queues.receive("work", **{"wait_seconds": 20, **options}))
    await asyncio.sleep(0.01)
    assert not task.done()
    return task


@in_a_loop
async def test_one_message_ends_only_one_of_several_long_polls(queues: SqsQueues) -> None:
    tasks = [await waiting(queues) for _ in range(3)]
    queues.send("work", "a")
    served, waiting_on = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.05)  # for one that would come back empty
    assert [bodies(task.result()) for task in served] == [["a"]]
    assert [task.done() for task in waiting_on] == [False, False]


@in_a_loop
async def test_a_long_poll_receives_a_message_when_it_reappears(queues: SqsQueues) -> None:
    queues.send("work", "a")
    [received] = await queues.receive("work", 1, 0)
    queues.change_visibility("work", received.receipt_handle, 1)
    start = time.monotonic()
    assert bodies(await queues.receive("work", 1, 20)) == ["a"]
    assert 0.9 < time.monotonic() - start < SOON


@in_a_loop
async def test_an_empty_long_poll_lasts_for_the_queues_wait_time(queues: SqsQueues) -> None:
    queues.create("polled", {"ReceiveMessageWaitTimeSeconds": "1"})
    start = time.monotonic()
    assert await queues.receive("polled") == []
    assert 0.9 < time.monotonic() - start < SOON


def test_dropped_and_moved_deadlines_do_not_accumulate() -> None:
    deadlines = Deadlines()
    deadlines.put("kept", 5)
    for number in range(1_000):
        deadlines.put(str(number), 1e9)
        deadlines.drop(str(number))
        deadlines.put("moved", number)
    assert len(deadlines._heap) < 100
    assert (deadlines.first(), deadlines.pop_due(999)) == (5, ["kept", "moved"])


class QueueAgainstATable(RuleBasedStateMachine):
    """Each message is in exactly one place, and reappears exactly when a plain table of times says so."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(NOON)
        self.queues = SqsQueues(self.clock)
        self.queues.create("work", {"MessageRetentionPeriod": "60", "VisibilityTimeout": "10"})
        self.visible_from: dict[str, float] = {}  # by message id
        self.received: set[str] = set()
        self.sent: dict[str, float] = {}
        self.handles: dict[str, str] = {}

    def alive(self) -> list[str]:
        return [each for each, at in self.sent.items() if at + 60 > self.clock.now]

    def is_visible(self, message_id: str) -> bool:
        return self.visible_from[message_id] <= self.clock.now

    @rule(delay=st.integers(0, 15))
    def send(self, delay: int) -> None:
        message = self.queues.send("work", "a", delay=delay)
        self.sent[message.id] = self.clock.now
        self.visible_from[message.id] = self.clock.now + delay

    @rule(limit=st.integers(1, 10), visibility=st.integers(0, 15))
    def receive(self, limit: int, visibility: int) -> None:
        expected = {each for each in self.alive() if self.is_visible(each)}
        received = take(self.queues, max_messages=limit, visibility=visibility)
        ids = {each.message.id for each in received}
        assert len(received) == len(ids) == min(limit, len(expected))
        assert ids <= expected
        for each in received:
            self.handles[each.message.id] = each.receipt_handle
            self.visible_from[each.message.id] = self.clock.now + visibility
            self.received.add(each.message.id)

    @precondition(lambda self: self.handles)
    @rule(choice=st.randoms(use_true_random=False))
    def delete(self, choice: Any) -> None:
        message_id = choice.choice(list(self.handles))  # not by id: ids are random, and an example must be repeatable
        self.queues.delete("work", self.handles.pop(message_id))
        self.sent.pop(message_id, None)

    @rule(seconds=st.integers(0, 20))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @invariant()
    def the_counts_agree(self) -> None:
        alive = self.alive()
        hidden = [each for each in alive if not self.is_visible(each)]
        in_flight = sum(each in self.received for each in hidden)
        assert self.queues.counts("work") == QueueCounts(len(alive) - len(hidden), in_flight, len(hidden) - in_flight)


TestQueueAgainstATable = QueueAgainstATable.TestCase
