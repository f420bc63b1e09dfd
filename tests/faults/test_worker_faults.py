"""What happens to changes while workers crash and AWS fails: rows 6 to 8, 11, 25 and 27 of the fault matrix."""

import asyncio
import json
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import Api
from audience_sync.clock import Clock
from audience_sync.delivery.context import Message
from audience_sync.delivery.sending import TRACK_ATTEMPTS, TRACK_INTERVAL
from audience_sync.members.messages import pack
from local.functions import Environment, FunctionError
from local.resources import CREDENTIALS
from local.template import REGION
from tests.faults.worker_harness import ACCOUNT, ONE_API, WorkerHarness
from tests.support import builders
from tests.support.cloud import AUDIENCE
from tests.support.invocations import EMAIL, change
from tests.support.long_timeouts import LONG_TIMEOUT
from tests.support.proxy import Effect, hold, lose_answer, only, refuse
from tests.support.steps import counted_steps
from tests.support.waiting import wait_until
from tests.support.worker_stack import MemoryStack

WRITE, READ, SEND = "BatchExecuteStatement", "BatchGetItem", "SendMessageBatch"
ENTERED, LEFT = change("cust_1", at=1), change("cust_1", at=2, exits=True)
MANY = [f"cust_{number:03}" for number in range(30)]


async def start(worker_harness: WorkerHarness, **more: str) -> Environment:
    """The real worker in a process of its own."""
    function = worker_harness.cloud.template.functions()["WorkerFunction"]
    variables = {
        name: str(value) for name, value in worker_harness.cloud.template.resolve(dict(function.environment)).items()
    }
    variables |= ACCOUNT | CREDENTIALS | {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": worker_harness.proxy.url}
    variables |= {
        "AMAZON_API_URL": worker_harness.amazon.url,
        "AMAZON_LOGIN_URL": f"{worker_harness.amazon.url}/auth/o2/token",
    }
    return await Environment.start(function, variables | more, lambda _: None)


def run[T](doing: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(doing)


def run_killed(worker_harness: WorkerHarness, call: str | None, *, after: int = 0, **variables: str) -> None:
    """Kill a worker at a call to AWS, of which the first `after` pass, or at its end. Its messages come back."""
    arrived, released = threading.Event(), threading.Event()
    if call:
        worker_harness.proxy.on(call, hold(arrived, released), times=1, after=after)

    async def kill() -> list[dict[str, Any]]:
        records = worker_harness.receive()
        killed = await start(worker_harness, **variables)
        invocation = asyncio.create_task(killed.invoke({"Records": records}, LONG_TIMEOUT))
        if call:
            assert await asyncio.to_thread(arrived.wait, LONG_TIMEOUT)
            killed.kill()
            with pytest.raises(FunctionError, match="the process ended"):
                await invocation
        else:
            await invocation  # Lambda stops before the answer arrives
        await killed.close()
        released.set()
        return records

    records = run(kill())
    worker_harness.acknowledge(
        records, {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in records]}
    )


# Row 6


@pytest.mark.parametrize(
    ("worker_harness", "call", "uploads"),
    [
        *(pytest.param(api, READ, 1, id=f"{api}: before its row is read") for api in Api),
        *(pytest.param(api, WRITE, 1, id=f"{api}: before the change is recorded") for api in Api),
        pytest.param(Api.AUDIENCES, SEND, 2, id="before the job is handed over"),
        *(pytest.param(api, None, 2, id=f"{api}: before the messages are acknowledged") for api in Api),
    ],
    indirect=["worker_harness"],
)
def test_a_killed_worker_loses_nothing_and_its_changes_are_sent_at_most_once_more(
    worker_harness: WorkerHarness, call: str | None, uploads: int
) -> None:
    worker_harness.put(worker_harness.message(ENTERED))
    run_killed(worker_harness, call)
    assert worker_harness.run().returned == []
    assert worker_harness.amazon.members() == {"cust_1"}
    assert worker_harness.amazon.actions_sent("cust_1") == ["CREATE"] * uploads
    jobs = worker_harness.cloud.messages("JobQueue")
    assert bool(jobs) == (worker_harness.amazon.api is Api.AUDIENCES), "the upload that counts is followed up"


def test_a_worker_stopped_by_its_timeout_loses_nothing(worker_harness: WorkerHarness) -> None:
    worker_harness.amazon.fail_uploads({"delay": LONG_TIMEOUT}, times=1)
    worker_harness.put(worker_harness.message(ENTERED), worker_harness.message(change("cust_2")))

    async def run_out_of_time() -> list[dict[str, Any]]:
        records = worker_harness.receive()
        killed = await start(worker_harness)
        invocation = asyncio.create_task(killed.invoke({"Records": records}, LONG_TIMEOUT))
        await asyncio.to_thread(wait_until, worker_harness.amazon.request_count, bool)
        invocation.cancel()  # killed during the upload, as Lambda does at the timeout
        with pytest.raises(asyncio.CancelledError):
            await invocation
        assert not killed.is_alive
        await killed.close()
        return records

    records = run(run_out_of_time())
    worker_harness.acknowledge(
        records, {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in records]}
    )
    assert worker_harness.run().returned == []
    assert worker_harness.amazon.members() == {"cust_1", "cust_2"}


# Rows 7 and 8


def test_a_concurrent_enter_and_exit_leave_the_member_out(worker_harness: WorkerHarness) -> None:
    quick = {"JOB_SECONDS": "1", "DATA_MANAGER_SECONDS": "1", "LATE_SECONDS": "1"}  # until an upload has taken effect
    worker_harness.enter(**quick)
    worker_harness.put(worker_harness.message(ENTERED), worker_harness.message(LEFT))
    records = worker_harness.receive()

    async def both() -> None:
        workers = await asyncio.gather(start(worker_harness, **quick), start(worker_harness, **quick))
        invocations = [({"Records": [record]}, worker) for record, worker in zip(records, workers, strict=True)]
        answers = await asyncio.gather(*(worker.invoke(event, LONG_TIMEOUT) for event, worker in invocations))
        assert answers == [{"batchItemFailures": []}] * 2
        await asyncio.gather(*(worker.close() for worker in workers))

    run(both())
    worker_harness.acknowledge(records, {"batchItemFailures": []})
    wait_until(worker_harness.run, lambda _: worker_harness.cloud.messages() == [])  # the removal may be due again
    assert worker_harness.amazon.members() == set()
    assert worker_harness.amazon.actions_sent("cust_1")[-1] == "DELETE"
    assert worker_harness.amazon.request_count() <= 3


# Row 11


@pytest.mark.parametrize("call", [READ, WRITE])
@pytest.mark.parametrize("down", [refuse("InternalServerError", 500), lose_answer()], ids=["broken", "answer lost"])
def test_nothing_is_acknowledged_without_the_membership_table(
    worker_harness: WorkerHarness, call: str, down: Effect
) -> None:
    worker_harness.proxy.on(call, down)
    entered = worker_harness.message(ENTERED)
    run = worker_harness.run(entered)
    assert run.returned == [entered]
    assert worker_harness.amazon.request_count() == 0
    worker_harness.proxy.clear_faults()
    assert worker_harness.run().returned == []
    assert worker_harness.amazon.members() == {"cust_1"}


# The job queue is part of row 11: without it an upload is not done. Uploads to datasets have no job


@ONE_API
@pytest.mark.parametrize("down", [refuse("ThrottlingException"), lose_answer()], ids=["throttled", "answer lost"])
@pytest.mark.parametrize("queue", ["JobQueue", "all queues"])
def test_an_untracked_job_is_tracked_before_its_upload_is_repeated(
    worker_harness: WorkerHarness, queue: str, down: Effect, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("functions.worker.handler.CLOCK", Clock(sleep=pauses.append))
    is_alone = queue == "JobQueue"
    name = worker_harness.cloud.name_of(queue) if is_alone else ""
    worker_harness.proxy.on(SEND, only(down, QueueUrl=name) if is_alone else down)
    entered = worker_harness.message(ENTERED)
    assert worker_harness.run(entered).returned == ([] if is_alone else [entered])
    assert pauses.count(TRACK_INTERVAL) == TRACK_ATTEMPTS - 1
    worker_harness.proxy.clear_faults()
    left = [message.body for message in worker_harness.cloud.queues.peek(worker_harness.url)]
    again = left if is_alone else []  # delayed; the message itself is visible again
    assert all(json.loads(each)["untracked"] for each in again)
    assert worker_harness.run(*again).returned == []
    assert worker_harness.amazon.members() == {"cust_1"}
    jobs = {message["jobId"] for message in worker_harness.cloud.messages("JobQueue")}
    uploads = worker_harness.amazon.request_count()
    assert uploads == 2
    assert len(jobs) >= (2 if is_alone else 1)


# Rows 25 and 27


def test_ten_thousand_changes_of_one_member_become_one_record() -> None:
    count = 10_000
    changes = [builders.change("m", "a", at=at, exits=bool(at % 2)) for at in range(count)]
    messages = [Message(str(n), "h", text, 1, 0) for n, text in enumerate(pack(changes))]
    stack = MemoryStack()
    with counted_steps() as steps:
        report = stack.deliver_messages(*messages)
    assert [[record["action"] for record in upload] for upload in stack.amazon.uploads] == [["DELETE"]]
    assert (report.delivered, report.superseded) == (1, count - 1)
    assert steps.lines < 1_000 * count, "some 200 for each change; one pass for each would be fifty times as many"


@ONE_API
def test_a_message_queued_by_the_first_release_is_read(worker_harness: WorkerHarness) -> None:
    plain = {"v": 1, "audienceId": AUDIENCE.audience_id, "connectionId": None}
    record = {"externalUserId": "cust_1", "action": "CREATE", "hashedPII": [{"email": EMAIL}]}
    assert worker_harness.run(json.dumps(plain | {"changes": [{"at": 1, "id": "x", "record": record}]})).returned == []
    assert worker_harness.amazon.members() == {"cust_1"}
