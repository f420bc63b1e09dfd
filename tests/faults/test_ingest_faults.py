"""What ingest answers while AWS fails: 503 unless everything is queued, and never 401 or 400 to a valid request."""

import asyncio
import base64
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from audience_sync.aws import clients
from functions.ingest import handler
from functions.ingest.handler import BUDGET
from local.functions import Environment, FunctionError
from local.resources import CREDENTIALS
from local.sample_profiles import Person, audience_event
from local.template import REGION, ROOT
from tests.support.cloud import AUDIENCE, EVENT_KEY, Cloud, Context
from tests.support.long_timeouts import LONG_CONTEXT, LONG_TIMEOUT, client
from tests.support.proxy import Effect, FaultProxy, answer_after, fail_entries, hang_up, hold, lose_answer, refuse
from tests.support.waiting import wait_until

READ, SEND, SCAN = "GetSecretValue", "SendMessageBatch", "Scan"
# Segment gives up after 4 seconds. A call that hangs is ended within 1.5 (see HANGS) and repeated once: the tests count
# that, since it does not depend on the speed of this machine. A function that waited longer would get an answer, and
# reply with 200.
REPEATED = 2  # calls
JSON = {"content-type": "application/json"}
WITH_KEY = JSON | {"authorization": f"Bearer {EVENT_KEY}"}
WRONG_KEY = JSON | {"authorization": "Bearer some-other-key-altogether"}
DOWN = [
    pytest.param(refuse("ThrottlingException", message=EVENT_KEY), id="throttled"),
    pytest.param(refuse("InternalServerError", 500), id="broken"),
    pytest.param(hang_up(), id="connection closed"),
]
HANGS = answer_after(1.5)  # longer than any read timeout


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def asks_to_retry(self) -> bool:
        return self.status == 503 and self.headers["Retry-After"] == "5"


def request(events: list[dict[str, Any]], headers: dict[str, str]) -> dict[str, Any]:
    body = base64.b64encode(json.dumps(events).encode()).decode()
    return {"routeKey": "POST /v1/events", "headers": headers, "body": body, "isBase64Encoded": True}


def post(events: list[dict[str, Any]], headers: dict[str, str] = WITH_KEY, *, context: Context | None = None) -> Answer:
    answer = handler.lambda_handler(request(events, headers), context or LONG_CONTEXT)
    return Answer(answer["statusCode"], answer["headers"], json.loads(answer["body"]))


def large_events(count: int) -> list[dict[str, Any]]:
    """Events of the largest size: the longest ids, every trait, and 500 bytes that no mapping reads."""
    at, audience = datetime.now(UTC), {"audience_id": AUDIENCE.audience_id, "key": AUDIENCE.computation_key or ""}
    events = [audience_event(Person(number), enters=True, at=at, **audience) for number in range(count)]
    for event in events:
        event["userId"] = event["userId"].ljust(128, "x")
        event["properties"]["notes"] = "x" * 500
    return events


ONE, FEW, MANY = large_events(1), large_events(3), large_events(1600)


def queued(cloud: Cloud) -> Counter[str]:
    return Counter(change["id"] for change in cloud.changes())


def all_of(events: list[dict[str, Any]]) -> set[str]:
    return {event["messageId"] for event in events}


@pytest.fixture(autouse=True)
def long_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result of a request must not depend on how busy this machine is."""
    monkeypatch.setattr(handler, "BUDGET", LONG_TIMEOUT)
    monkeypatch.setattr(handler, "client", client)


@pytest.fixture
def as_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of how soon the function gives up."""
    monkeypatch.setattr(handler, "BUDGET", BUDGET)
    monkeypatch.setattr(handler, "client", clients.client)


@pytest.fixture
def warm(cloud: Cloud, proxy: FaultProxy) -> None:
    """A function that has answered before."""
    cloud.enter("IngestFunction")
    assert post(ONE).status == 200
    assert (proxy.count(READ), proxy.count(SEND)) == (1, 1)


@pytest.mark.parametrize("headers", [WITH_KEY, WRONG_KEY, JSON], ids=["good key", "wrong key", "no key"])
@pytest.mark.parametrize("down", DOWN)
def test_a_cold_function_that_cannot_read_the_secret_answers_503_to_every_credential(
    cloud: Cloud, proxy: FaultProxy, printed: Callable[[], str], down: Effect, headers: dict[str, str]
) -> None:
    cloud.enter("IngestFunction")
    proxy.on(READ, down)
    assert post(ONE, headers).asks_to_retry
    assert (cloud.messages(), proxy.count(SCAN), proxy.count(SEND)) == ([], 0, 0)
    assert EVENT_KEY not in printed()
    proxy.clear_faults()
    assert post(ONE).status == 200


@pytest.mark.usefixtures("as_deployed")
def test_a_secret_store_that_hangs_delays_the_answer_only_for_the_timeout(cloud: Cloud, proxy: FaultProxy) -> None:
    cloud.enter("IngestFunction")
    proxy.on(READ, HANGS)
    answer = post(ONE)
    assert answer.asks_to_retry
    assert proxy.count(READ) <= REPEATED


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("down", DOWN)
def test_a_rotated_key_gets_503_and_not_401_while_secrets_manager_is_down(
    cloud: Cloud, proxy: FaultProxy, down: Effect
) -> None:
    cloud.put_secret("IngestSecret", {"eventKey": "a-new-event-key-0001", "previousEventKey": EVENT_KEY})
    proxy.on(READ, down)
    rotated = JSON | {"x-api-key": "a-new-event-key-0001"}
    assert [post(FEW, rotated).asks_to_retry for _ in range(3)] == [True] * 3
    proxy.clear_faults()
    handler.dependencies().intake._secret._failed_at = float("-inf")
    assert post(FEW, rotated).status == 200


@pytest.mark.usefixtures("as_deployed")
@pytest.mark.parametrize("down", [*DOWN, pytest.param(HANGS, id="hangs")])
def test_without_the_audience_table_no_event_is_answered_with_200(
    cloud: Cloud, proxy: FaultProxy, down: Effect
) -> None:
    cloud.enter("IngestFunction")
    proxy.on(SCAN, down)
    answer = post(ONE)
    assert answer.asks_to_retry
    assert proxy.count(SCAN) <= REPEATED
    assert cloud.messages() == []


@pytest.mark.usefixtures("as_deployed", "warm")
@pytest.mark.parametrize(
    "down", [*DOWN, pytest.param(lose_answer(), id="answer lost"), pytest.param(HANGS, id="answer too late")]
)
def test_a_request_gets_503_unless_its_changes_are_stored(cloud: Cloud, proxy: FaultProxy, down: Effect) -> None:
    before = proxy.count(SEND)
    proxy.on(SEND, down)
    answer = post(FEW)
    assert answer.asks_to_retry
    assert proxy.count(SEND) - before <= REPEATED
    proxy.clear_faults()
    wait_until(lambda: post(FEW).status, lambda status: status == 200)  # as Segment does; this machine may be slow
    assert queued(cloud).keys() == all_of(FEW) | all_of(ONE)  # some of them twice, which is harmless


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize(
    ("down", "after"),
    [(fail_entries(0), 0), (refuse("InternalError", 500), 1)],
    ids=["some entries are never taken", "the second batch fails"],
)
def test_a_partly_queued_request_is_answered_with_503(
    cloud: Cloud, proxy: FaultProxy, down: Effect, after: int
) -> None:
    proxy.on(SEND, down, after=after)
    assert post(MANY).asks_to_retry
    proxy.clear_faults()
    assert post(MANY).status == 200
    assert queued(cloud).keys() == all_of(MANY)


def test_no_call_is_made_with_300_ms_left(proxy: FaultProxy, cloud: Cloud) -> None:
    cloud.enter("IngestFunction")
    answer = post(ONE, context=Context(milliseconds=300))
    assert answer.asks_to_retry
    assert proxy.calls == []


@pytest.mark.parametrize("sends", [0, 1], ids=["before the first send", "between two sends"])
def test_a_request_repeated_after_a_kill_queues_every_change(cloud: Cloud, proxy: FaultProxy, sends: int) -> None:
    arrived, released = threading.Event(), threading.Event()
    proxy.on(SEND, hold(arrived, released), times=1, after=sends)

    async def run() -> Any:
        declared = cloud.template.functions()["IngestFunction"]
        function = replace(declared, code=ROOT, handler="tests.faults.ingest_with_long_timeouts.lambda_handler")
        variables = {name: str(value) for name, value in cloud.template.resolve(dict(declared.environment)).items()}
        variables |= CREDENTIALS | {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": proxy.url}
        event = request(MANY, WITH_KEY)

        killed = await Environment.start(function, variables, print)
        invocation = asyncio.create_task(killed.invoke(event, LONG_TIMEOUT))
        assert await asyncio.to_thread(arrived.wait, LONG_TIMEOUT)
        killed.kill()
        with pytest.raises(FunctionError, match="the process ended"):
            await invocation
        await killed.close()
        released.set()

        successor = await Environment.start(function, variables, print)
        answer = await successor.invoke(event, LONG_TIMEOUT)
        await successor.close()
        return answer

    answer = asyncio.run(run())
    assert (answer["statusCode"], json.loads(answer["body"])["accepted"]) == (200, len(MANY))
    assert queued(cloud).keys() == all_of(MANY)
    assert set(queued(cloud).values()) == ({1} if sends == 0 else {1, 2})
