"""What becomes of changes while workers crash and AWS fails: rows 8 to 14 and 31 to 33 of the fault matrix."""

import asyncio
import json
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from audience_sync.aws.clients import client
from audience_sync.aws.membership_table import THREADS
from audience_sync.delivery.batch import Delivery, Message
from audience_sync.delivery.members import DeliveryContext
from audience_sync.delivery.uploads import Limits
from audience_sync.messages import pack
from local.functions import Environment, FunctionError
from local.resources import CREDENTIALS
from local.template import REGION
from tests.faults.measurements import measured
from tests.faults.proxy import Effect, answer_after, hang_up, hold, lose_answer, refuse
from tests.faults.unhurried import LONG
from tests.faults.worker_harness import WorkerHarness, upload_fails
from tests.functions.conftest import AUDIENCE
from tests.functions.test_worker import EMAIL, body, change
from tests.model.simulation import change_of
from tests.unit.delivery.test_batch import Amazon, Letters
from tests.waiting import until

WRITE, READ, SEND = "UpdateItem", "BatchGetItem", "SendMessageBatch"
ENTERED, LEFT = body(change("cust_1", at=1)), body(change("cust_1", at=2, exits=True))
MANY = [f"cust_{number:03}" for number in range(30)]


async def start(worker_harness: WorkerHarness) -> Environment:
    """The real worker in a process of its own."""
    function = worker_harness.cloud.template.functions()["WorkerFunction"]
    variables = {
        name: str(value) for name, value in worker_harness.cloud.template.resolve(dict(function.environment)).items()
    }
    variables |= CREDENTIALS | {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": worker_harness.front.url}
    variables |= {
        "AMAZON_API_URL": worker_harness.amazon.url,
        "AMAZON_LOGIN_URL": f"{worker_harness.amazon.url}/auth/o2/token",
    }
    return await Environment.start(function, variables, lambda _: None)


def run[T](doing: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(doing)


# TableModel 8 and 9


@pytest.mark.parametrize(
    ("call", "uploads"),
    [
        pytest.param(WRITE, 1, id="before it is recorded"),
        pytest.param(READ, 2, id="after the upload"),
        pytest.param(None, 2, id="before it acknowledges"),
    ],
)
def test_a_killed_worker_loses_nothing_and_sends_once_more_at_most(
    worker_harness: WorkerHarness, call: str | None, uploads: int
) -> None:
    arrived, released = threading.Event(), threading.Event()
    if call:
        worker_harness.front.on(call, hold(arrived, released), times=1)
    worker_harness.put(ENTERED)

    async def die() -> list[dict[str, Any]]:
        records = worker_harness.receive()
        victim = await start(worker_harness)
        answering = asyncio.create_task(victim.invoke({"Records": records}, LONG))
        if call:
            assert await asyncio.to_thread(arrived.wait, LONG)
            victim.kill()
            with pytest.raises(FunctionError, match="the process ended"):
                await answering
        else:
            await answering  # Lambda dies with the answer on its way
        await victim.close()
        released.set()
        return records

    records = run(die())
    worker_harness.acknowledge(
        records, {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in records]}
    )
    began = time.monotonic()
    assert worker_harness.run().back == []
    assert worker_harness.amazon.members() == {"cust_1"}
    assert worker_harness.amazon.told("cust_1") == ["CREATE"] * uploads
    seconds = round(time.monotonic() - began, 1)
    measured(8, f"SIGKILL at {call or 'the answer'}", uploads=uploads, duplicates=uploads - 1, seconds=seconds)


def test_a_worker_that_runs_into_its_timeout_loses_nothing(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"delay": LONG}, times=1))
    worker_harness.put(ENTERED, body(change("cust_2")))

    async def run_out_of_time() -> list[dict[str, Any]]:
        records = worker_harness.receive()
        victim = await start(worker_harness)
        answering = asyncio.create_task(victim.invoke({"Records": records}, LONG))
        await asyncio.to_thread(until, worker_harness.amazon.asked, bool)
        answering.cancel()  # killed in mid upload, as Lambda does at the limit
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert not victim.is_alive
        await victim.close()
        return records

    records = run(run_out_of_time())
    worker_harness.acknowledge(
        records, {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in records]}
    )
    assert worker_harness.run().back == []
    assert worker_harness.amazon.members() == {"cust_1", "cust_2"}
    measured(
        9, "killed in mid upload", uploads=worker_harness.amazon.asked(), duplicates=worker_harness.amazon.asked() - 1
    )


# TableModel 10 and 11


def test_one_message_at_two_workers_at_once_makes_duplicates_only(worker_harness: WorkerHarness) -> None:
    worker_harness.put(ENTERED)
    records = worker_harness.receive()

    async def both() -> list[Any]:
        workers = await asyncio.gather(start(worker_harness), start(worker_harness))
        answers = await asyncio.gather(*(worker.invoke({"Records": records}, LONG) for worker in workers))
        await asyncio.gather(*(worker.close() for worker in workers))
        return answers

    assert run(both()) == [{"batchItemFailures": []}] * 2
    assert worker_harness.amazon.told("cust_1") == ["CREATE", "CREATE"]
    measured(10, "one message at two workers", uploads=2, duplicates=1)


def test_an_entry_and_an_exit_at_two_workers_at_once_leave_the_person_out(worker_harness: WorkerHarness) -> None:
    worker_harness.put(ENTERED, LEFT)
    records = worker_harness.receive()

    async def both() -> None:
        workers = await asyncio.gather(start(worker_harness), start(worker_harness))
        turns = [({"Records": [record]}, worker) for record, worker in zip(records, workers, strict=True)]
        answers = await asyncio.gather(*(worker.invoke(event, LONG) for event, worker in turns))
        assert answers == [{"batchItemFailures": []}] * 2
        await asyncio.gather(*(worker.close() for worker in workers))

    run(both())
    assert worker_harness.amazon.members() == set()
    assert worker_harness.amazon.told("cust_1")[-1] == "DELETE"
    measured(10, "entry and exit at two workers", uploads=worker_harness.amazon.asked(), members_left=0)


def test_an_old_entry_after_the_exit_is_not_sent(worker_harness: WorkerHarness) -> None:
    for message in (LEFT, ENTERED):
        assert worker_harness.run(message).back == []
    assert (worker_harness.amazon.told("cust_1"), worker_harness.amazon.members()) == (["DELETE"], set())
    measured(11, "exit first, entry later", uploads=worker_harness.amazon.asked(), members_left=0)


# TableModel 12 and 13


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        pytest.param("not JSON", "message_not_json", id="not JSON"),
        pytest.param(json.dumps({"v": 2, "changes": []}), "message_version_unknown", id="a later version"),
        pytest.param(json.dumps({"v": 1, "audienceId": "x", "changes": []}), "invalid_message", id="no audience"),
        pytest.param("[" * 20_000, "message_not_json", id="nested too deeply"),
    ],
)
def test_a_message_that_nobody_can_read_is_parked_alone(
    worker_harness: WorkerHarness, poison: str, reason: str
) -> None:
    assert worker_harness.run(poison, ENTERED).back == []
    assert worker_harness.letters() == {poison: reason}
    assert worker_harness.amazon.members() == {"cust_1"}
    measured(12, reason, parked=1, neighbours_delivered=1)


@pytest.mark.parametrize(
    "down",
    [
        pytest.param(refuse("ThrottlingException"), id="throttled"),
        pytest.param(refuse("InternalError", 500), id="broken"),
        pytest.param(hang_up(), id="connection closed"),
    ],
)
def test_what_cannot_be_parked_stays_in_the_queue(worker_harness: WorkerHarness, down: Effect) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 400}, contains="cust_1"))
    worker_harness.front.on(SEND, down)
    assert sorted(worker_harness.run("poison", ENTERED).back) == sorted(["poison", ENTERED])
    assert worker_harness.letters() == {}
    worker_harness.front.mend()
    assert worker_harness.run().back == []
    assert worker_harness.letters() == {"poison": "message_not_json", "cust_1": "request_rejected"}
    measured(13, "dead letters down for one run", lost=0, parked=2)


# Row 14


@pytest.mark.parametrize("call", [WRITE, READ])
@pytest.mark.parametrize(
    "down",
    [
        pytest.param(refuse("ProvisionedThroughputExceededException"), id="throttled"),
        pytest.param(refuse("InternalServerError", 500), id="broken"),
        pytest.param(hang_up(), id="connection closed"),
        pytest.param(lose_answer(), id="answer lost"),
    ],
)
def test_without_the_table_nothing_is_acknowledged(
    worker_harness: WorkerHarness, call: str, down: Effect, request: Any
) -> None:
    worker_harness.front.on(call, down)
    run = worker_harness.run(ENTERED)
    assert run.back == [ENTERED]
    uploads = worker_harness.amazon.asked()
    assert uploads == (0 if call == WRITE else 1)
    worker_harness.front.mend()
    assert worker_harness.run().back == []
    assert worker_harness.amazon.members() == {"cust_1"}
    measured(14, request.node.callspec.id, uploads=worker_harness.amazon.asked(), seconds=round(run.seconds, 1))


def test_a_table_that_hangs_costs_a_wait_and_not_one_for_each_member(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(service: str, **options: Any) -> Any:
        return client(service, **options | ({"read_timeout": 0.5, "attempts": 1} if service == "dynamodb" else {}))

    monkeypatch.setattr("functions.worker.handler.client", impatient)
    worker_harness.front.on(WRITE, answer_after(5))
    many = body(*(change(f"cust_{number}") for number in range(500)))
    run = worker_harness.run(many)
    assert (run.back, worker_harness.amazon.asked(), worker_harness.letters()) == ([many], 0, {})
    calls = worker_harness.front.count(WRITE)
    assert calls <= 2 * THREADS, "those that were under way already"
    measured(14, "UpdateItem hangs, 500 members", uploads=0, calls_at_most=2 * THREADS)


# TableModel 31 to 33


def test_a_hundred_thousand_changes_of_one_member_are_one_record() -> None:
    count = 100_000
    changes = [change_of("m", at, exits=bool(at % 2), message_id=f"id-{at}", emails=["a"]) for at in range(count)]
    messages = [Message(str(n), "h", text, 1, 0) for n, text in enumerate(pack(changes))]
    amazon = Amazon()
    books = DeliveryContext(Letters(), Letters(), None, Limits(), now=lambda: 0)
    began = time.thread_time()
    report = Delivery(amazon, books, monotonic=lambda: 0.0, jitter=lambda: 1.0).deliver(messages, deadline=60.0)
    seconds = time.thread_time() - began
    assert [[record["action"] for record in upload["records"]] for upload in amazon.taken] == [["DELETE"]]
    assert (report.delivered, report.superseded) == (1, count - 1)
    assert seconds < 60, "of work; it takes 1, and one pass for each change takes many minutes"
    measured(31, "100,000 changes of one member", records=1, seconds=round(seconds, 1), messages=len(messages))


def test_ids_that_differ_in_case_are_two_members_and_one_id_in_two_audiences_too(worker_harness: WorkerHarness) -> None:
    assert (
        worker_harness.run(body(change("ann"), change("ANN", exits=True)), body(change("ann"), audience="77")).back
        == []
    )
    assert worker_harness.amazon.members() == {"ann"}
    assert worker_harness.amazon.asked() == 2
    measured(31, "ann, ANN, and ann elsewhere", members=3, merged=0)


def test_a_flood_for_one_audience_leaves_the_other_its_turn(worker_harness: WorkerHarness) -> None:
    flood = [body(*(change(f"{name}-{part}") for name in MANY), audience="77") for part in range(9)]
    assert worker_harness.run(*flood, ENTERED).back == []
    assert worker_harness.amazon.members() == {"cust_1"}
    measured(32, "270 changes for one audience, 1 for another", requests=worker_harness.amazon.asked(), waiting=0)


def test_a_redrive_into_live_traffic_changes_nothing_newer(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail(upload_fails({"status": 400}, contains="cust_1"))
    assert worker_harness.run(ENTERED).back == []
    (letter,) = worker_harness.cloud.queues.peek(worker_harness.cloud.name_of("DeadLetterQueue"))
    worker_harness.amazon.mend()
    assert worker_harness.run(LEFT).back == []
    for _ in range(3):
        assert worker_harness.run(letter.body).back == []
    assert worker_harness.amazon.told("cust_1") == ["DELETE"]
    assert worker_harness.amazon.members() == set()
    measured(
        33, "an old dead letter redriven 3 times after the exit", uploads=worker_harness.amazon.asked(), members_left=0
    )


def test_a_queued_message_of_the_first_release_is_read(worker_harness: WorkerHarness) -> None:
    plain = {"v": 1, "audienceId": AUDIENCE.audience_id, "connectionId": None}
    record = {"externalUserId": "cust_1", "action": "CREATE", "hashedPII": [{"email": EMAIL}]}
    assert worker_harness.run(json.dumps(plain | {"changes": [{"at": 1, "id": "x", "record": record}]})).back == []
    assert worker_harness.amazon.members() == {"cust_1"}
    measured(33, "a message with the first release's fields", delivered=1)
