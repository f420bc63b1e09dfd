"""The circuit breaker before Amazon, with its state in the real membership table."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.circuit_breaker import base
from aws_lambda_powertools.utilities.circuit_breaker.states import CircuitState
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.amazon_ads.upload import Target, Upload
from audience_sync.delivery.gates.circuit_breaker import FAILURES, CircuitBreakers
from audience_sync.delivery.gates.circuit_state import STORE_PAUSE, CircuitStates
from audience_sync.delivery.gates.gate import UploadGate
from audience_sync.delivery.gates.retry_budget import MAX_SAVED, RetryBudget
from audience_sync.errors import (
    AudienceSyncError,
    CircuitHalfOpen,
    CircuitOpen,
    OutcomeUnknown,
    RetryBudgetUsedUp,
    ServiceUnavailable,
    Throttled,
)
from local import resources
from local.template import REGION
from tests.support.builders import upload_of
from tests.support.doubles.amazon import Uploader
from tests.support.doubles.clocks import ManualClock

TO_DSP = upload_of(Target("1"), b"{}")
TO_OTHER, TO_THIRD = upload_of(Target("3"), b"{}"), upload_of(Target("4"), b"{}")
TO_AMC = upload_of(Target("2", amc_connection("connection-2")), b"{}")
RECOVERY = 60  # seconds


@dataclass
class Amazon(Uploader):
    """Is down at first."""

    error: Exception | None = field(default_factory=lambda: ServiceUnavailable("Amazon answered 503"))

    def send(self, wrapper: CircuitBreakers | RetryBudget, upload: Upload = TO_DSP, times: int = 1) -> str:
        result = ""
        for _ in range(times):
            try:
                result = wrapper.wrap(self).send_records(upload, timeout=1.0).job_id
            except AudienceSyncError as error:
                result = error.reason
        return result


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock(1_800_000_000)
    monkeypatch.setattr(base.CircuitBreakerHandler, "_now", lambda _: int(clock.now))  # it counts whole seconds
    return clock


@pytest.fixture(autouse=True)
def _no_counts() -> None:
    for counters in (base._LOCAL_FAILURES, base._LOCAL_SUCCESSES, base._LAST_OBSERVED_STATE):
        counters.clear()


@pytest.fixture
def circuit_breakers(dynamodb: Any, clock: ManualClock) -> CircuitBreakers:
    """With a clock that only the test moves."""
    return CircuitBreakers(dynamodb, "members", recovery=RECOVERY, now=clock)


@pytest.mark.parametrize(
    ("error", "reason"), [(OutcomeUnknown("reset"), "circuit_open"), (Throttled("429", retry_after=1), "throttled")]
)
def test_lost_answers_count_as_failures_but_throttling_does_not(
    circuit_breakers: CircuitBreakers, error: AudienceSyncError, reason: str
) -> None:
    assert Amazon(error).send(circuit_breakers, times=3 * FAILURES) == reason


def test_each_connection_has_a_circuit_breaker_of_its_own(circuit_breakers: CircuitBreakers) -> None:
    for upload in (TO_DSP, TO_OTHER) * FAILURES:
        Amazon().send(circuit_breakers, upload)
    assert Amazon(error=None).send(circuit_breakers, TO_THIRD) == "circuit_open"
    assert Amazon(error=None).send(circuit_breakers, TO_AMC) == "job-1"


def test_after_the_recovery_time_one_request_is_made_and_success_closes_the_circuit_breaker(
    circuit_breakers: CircuitBreakers, clock: ManualClock, dynamodb: Any
) -> None:
    amazon, other_worker = Amazon(), CircuitBreakers(dynamodb, "members", recovery=RECOVERY, now=clock)
    amazon.send(circuit_breakers, times=FAILURES)
    clock.now += RECOVERY - 1
    assert amazon.send(circuit_breakers) == amazon.send(other_worker) == "circuit_open"
    clock.now += 1
    assert amazon.send(circuit_breakers) == "service_unavailable"
    assert amazon.send(circuit_breakers, times=3) == amazon.send(other_worker) == "circuit_open"
    assert amazon.requests == FAILURES + 1, "one request, then it waits again"
    clock.now += RECOVERY
    amazon.error = None
    assert amazon.send(circuit_breakers, times=2) == "job-1"


def test_delivery_continues_while_the_state_store_is_down() -> None:
    nowhere = CircuitBreakers(resources.client("dynamodb", "http://127.0.0.1:9"), "members", recovery=1, now=time.time)
    nowhere.check(TO_DSP.target)
    assert Amazon(error=None).send(nowhere) == "job-1"


def refuse(client: Any, operation: str, code: str = "ProvisionedThroughputExceededException") -> None:
    """Have DynamoDB refuse an operation from now on."""
    answer = {"Error": {"Code": code, "Message": "throughput of the table exceeded"}}

    def refused(**_: Any) -> tuple[Any, dict[str, Any]]:
        return type("Response", (), {"status_code": 400})(), answer

    client.meta.events.register(f"before-call.dynamodb.{operation}", refused)


def test_delivery_continues_if_no_worker_can_claim_the_half_open_probe(
    circuit_breakers: CircuitBreakers, clock: ManualClock, dynamodb: Any, caplog: pytest.LogCaptureFixture
) -> None:
    Amazon().send(circuit_breakers, times=FAILURES)
    clock.now += RECOVERY
    refuse(dynamodb, "PutItem")
    refuse(dynamodb, "UpdateItem")
    assert [Amazon(error=None).send(circuit_breakers) for _ in range(3)] == ["job-1"] * 3
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "circuit breaker state unavailable, delivery goes on: ProvisionedThroughputExceededException"
    ]


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_hanging_state_store_costs_an_invocation_one_timeout(caplog: pytest.LogCaptureFixture) -> None:
    with silent_server() as url:
        client = boto3.client(
            "dynamodb",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(read_timeout=0.5, retries={"total_max_attempts": 1}),
        )
        now = 0.0
        circuit_breakers = CircuitBreakers(client, "members", recovery=RECOVERY, now=lambda: now)
        asked = []
        client.meta.events.register("before-send.dynamodb", lambda **_: asked.append(now))
        for number in range(50):
            assert Amazon(error=None).send(circuit_breakers, upload_of(Target(str(number)), b"{}")) == "job-1"
        assert asked == [0.0]
        now = STORE_PAUSE
        assert Amazon(error=None).send(circuit_breakers, upload_of(Target("50"), b"{}")) == "job-1"
        assert asked == [0.0, STORE_PAUSE]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "circuit breaker state unavailable, delivery goes on: ReadTimeoutError"
    ] * 2


def test_a_connection_closed_while_the_function_was_frozen_is_reopened(
    circuit_breakers: CircuitBreakers, dynamodb: Any, caplog: pytest.LogCaptureFixture
) -> None:
    Amazon().send(circuit_breakers, times=FAILURES)
    closed = [ConnectionClosedError(endpoint_url="https://dynamodb")]

    def close(**_: Any) -> None:
        if closed:
            raise closed.pop()

    dynamodb.meta.events.register("before-send.dynamodb", close)
    other_worker = CircuitBreakers(dynamodb, "members", recovery=RECOVERY, now=lambda: 1_800_000_000)
    assert Amazon().send(other_worker) == "circuit_open"
    assert not closed
    assert not caplog.records


def calls_to(dynamodb: Any) -> list[str]:
    """Note the calls to DynamoDB from now on."""
    calls: list[str] = []
    dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    return calls


def test_the_state_of_a_closed_circuit_is_read_once(circuit_breakers: CircuitBreakers, dynamodb: Any) -> None:
    calls = calls_to(dynamodb)
    for _ in range(3):
        circuit_breakers.check(TO_AMC.target)
    assert calls == ["GetItem"] * 2, "the audience's and the connection's"


@pytest.mark.parametrize(
    ("passed", "wait"),
    [
        pytest.param(0, RECOVERY, id="just opened"),
        pytest.param(20, RECOVERY - 20, id="some time ago"),
        pytest.param(RECOVERY - 0.5, 1, id="nearly over: a second at least"),
        pytest.param(RECOVERY, None, id="over: one may try"),
    ],
)
@pytest.mark.parametrize("failing", [[TO_DSP], [TO_DSP, TO_OTHER]], ids=["the audience", "the connection"])
def test_an_open_circuit_asks_to_wait_for_the_rest_of_its_recovery_time(
    circuit_breakers: CircuitBreakers,
    clock: ManualClock,
    dynamodb: Any,
    failing: list[Upload],
    passed: float,
    wait: float | None,
) -> None:
    for upload in failing * FAILURES:
        Amazon().send(circuit_breakers, upload)
    calls = calls_to(dynamodb)
    clock.now += passed
    if wait is None:
        assert circuit_breakers.check(TO_DSP.target), "the next upload is a test"
    else:
        with pytest.raises(CircuitOpen) as refused:
            circuit_breakers.check(TO_DSP.target)
        assert refused.value.retry_after == wait
    assert not circuit_breakers.check(TO_AMC.target)
    assert set(calls) <= {"GetItem"}, "nothing is written"


def test_while_one_worker_probes_a_half_open_circuit_the_others_wait(
    circuit_breakers: CircuitBreakers, clock: ManualClock, dynamodb: Any
) -> None:
    clock.now = int(time.time()) - RECOVERY  # Powertools dates the end of the try by the real clock
    other_worker = CircuitBreakers(dynamodb, "members", recovery=RECOVERY, now=clock)
    Amazon().send(circuit_breakers, times=FAILURES)
    with pytest.raises(CircuitOpen):
        other_worker.check(TO_DSP.target)
    clock.now += RECOVERY
    Amazon(Throttled("429")).send(circuit_breakers)  # neither success nor failure: it goes on trying
    assert circuit_breakers.check(TO_DSP.target)
    with pytest.raises(CircuitHalfOpen) as refused:  # it read the state before the other tried
        other_worker.wrap(Amazon(error=None)).send_records(TO_DSP, timeout=1.0)
    assert refused.value.retry_after == RECOVERY / 2
    for recovery, wait in (RECOVERY, RECOVERY / 2), (1, 1):
        with pytest.raises(CircuitHalfOpen) as refused:
            CircuitBreakers(dynamodb, "members", recovery=recovery, now=clock).check(TO_DSP.target)
        assert refused.value.retry_after == wait
    clock.now += RECOVERY - 10
    other_worker = CircuitBreakers(dynamodb, "members", recovery=RECOVERY, now=clock)
    with pytest.raises(CircuitHalfOpen):
        other_worker.check(TO_DSP.target)
    clock.now += 20
    other_worker.check(TO_DSP.target)


def test_an_open_circuit_or_an_exhausted_retry_budget_shuts_the_gate(circuit_breakers: CircuitBreakers) -> None:
    budget = RetryBudget(lambda: 0.0)
    gate = UploadGate(circuit_breakers, budget)
    gate.check(TO_DSP.target)
    for _ in range(int(MAX_SAVED)):
        Amazon(OutcomeUnknown("reset")).send(budget, TO_OTHER)
    with pytest.raises(RetryBudgetUsedUp):
        gate.check(TO_OTHER.target)
    gate.check(TO_DSP.target)
    Amazon().send(circuit_breakers, TO_DSP, times=FAILURES)
    with pytest.raises(CircuitOpen):
        gate.check(TO_DSP.target)


def after(circuit_breakers: CircuitBreakers, clock: ManualClock, steps: str) -> dict[str, float]:
    """Return which of three audiences are blocked after some steps, and for how long.

    A step is a number of seconds, or an upload of one audience that fails (a-) or succeeds (a+).
    """
    for step in steps.split():
        if step.isdigit():
            clock.now += int(step)
        else:
            Amazon(ServiceUnavailable("503") if step.endswith("-") else None).send(
                circuit_breakers, Upload(Target(step[0]), TO_DSP.frame, (b"{}",))
            )
    blocked = {}
    for audience in "abc":
        try:
            circuit_breakers.check(Target(audience))
        except CircuitOpen as error:
            blocked[audience] = error.retry_after or 0
    return blocked


OUTAGE = "a- b- a- b- a- b- "  # enough to open the connection's circuit


@pytest.mark.parametrize(
    ("steps", "blocked"),
    [
        pytest.param("a- a- a- a- a-", "a", id="one fails"),
        pytest.param("a- a- a- a- a+ a- a- a- a-", "", id="one fails, with a success in between"),
        pytest.param("a- a- a- a- b-", "", id="one fails, another begins to"),
        pytest.param("a- a- b- b- b-", "", id="two fail: too few since the second began"),
        pytest.param(OUTAGE, "abc", id="two fail: the connection"),
        pytest.param("a- b- c- a- b- c-", "abc", id="all fail: the connection"),
        pytest.param("a- b- c+ " * 5, "ab", id="two fail, a third succeeds: each by itself"),
        pytest.param("a- b- b+ " * 5, "a", id="one of them succeeds now and then: the other by itself"),
        pytest.param("a- b- a- b- c+ a- b-", "", id="a success in between resets the count"),
        pytest.param("a- a- a- a- 300 b- b- b- b-", "", id="failures of long ago do not count"),
        pytest.param("a- 300 b- b- b- b- b-", "b", id="one failed long ago, another fails now: by itself"),
        pytest.param(OUTAGE + "60", "", id="the recovery time has passed"),
        pytest.param(OUTAGE + "60 a-", "", id="one still fails: the other may try"),
        pytest.param(OUTAGE + "60 a- a- a- a-", "a", id="one still fails: it is blocked by itself"),
        pytest.param(OUTAGE + "60 a- b-", "abc", id="both still fail: the connection, at once"),
        pytest.param(OUTAGE + "60 a- b+ a- a-", "a", id="one recovers, the other does not"),
        pytest.param(
            OUTAGE + "60 a- b- 60 b+ a-", "a", id="one recovers later: the other has failed five times in a row"
        ),
        pytest.param(OUTAGE + "60 c+ a- b-", "", id="after a success two failures are few again"),
        pytest.param(OUTAGE + "60 a+ b+ a- a- a- a- a-", "a", id="both recover, then one fails: by itself"),
        pytest.param(OUTAGE + "60 a+ b+ " + OUTAGE, "abc", id="the next outage"),
    ],
)
def test_a_connections_circuit_opens_if_two_audiences_fail_and_none_succeeds(
    circuit_breakers: CircuitBreakers, clock: ManualClock, steps: str, blocked: str
) -> None:
    assert "".join(after(circuit_breakers, clock, steps)) == blocked


def test_an_audience_that_recovers_waits_for_one_recovery_time_at_most(
    circuit_breakers: CircuitBreakers, clock: ManualClock
) -> None:
    after(circuit_breakers, clock, OUTAGE)  # from here on b would succeed
    since = clock.now
    while "b" in after(circuit_breakers, clock, "a-"):
        clock.now += 1
    assert clock.now - since <= RECOVERY
    for _ in range(10 * RECOVERY):
        assert "b" not in after(circuit_breakers, clock, "a- b+ 1")


def test_failures_of_another_worker_before_the_recovery_do_not_count(
    circuit_breakers: CircuitBreakers, clock: ManualClock, dynamodb: Any
) -> None:
    other_worker = CircuitBreakers(dynamodb, "members", recovery=RECOVERY, now=clock)
    after(other_worker, clock, "a- b- b-")
    after(circuit_breakers, clock, OUTAGE)
    clock.now += RECOVERY
    base._LOCAL_FAILURES.clear()  # shared here, but not between workers
    other_worker._states._cache.clear()  # five seconds have passed, by the real clock
    assert after(other_worker, clock, "a-") == {}


def test_the_operator_sees_which_circuit_breakers_are_open_and_since_when(
    circuit_breakers: CircuitBreakers, dynamodb: Any, clock: ManualClock
) -> None:
    states, queries = CircuitStates(dynamodb, "members", clock), list[dict[str, Any]]()
    dynamodb.meta.events.register("provide-client-params.dynamodb.Query", lambda params, **_: queries.append(params))
    assert states.not_closed() == []
    Amazon().send(circuit_breakers, TO_DSP, times=FAILURES)
    (row,) = dynamodb.scan(TableName="members")["Items"]
    assert "expiresAt" in row, "the table's time to live"
    (record,) = states.not_closed()
    assert (record.name, record.state, record.opened_at) == ("audience:1", CircuitState.OPEN, clock.now)
    clock.now += RECOVERY
    Amazon(error=None).send(circuit_breakers, TO_DSP)
    assert states.not_closed() == []
    assert all(each["ConsistentRead"] for each in queries), "as it is now"
