"""The circuit breaker before Amazon, with its state in the real membership table."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from aws_lambda_powertools.utilities.circuit_breaker import base

from audience_sync.amazon_ads.record import Target, Upload
from audience_sync.delivery.circuit_breaker import FAILURE_WINDOW, FAILURES, CircuitBreakers
from audience_sync.errors import AudienceSyncError, OutcomeUnknown, ServiceUnavailable, Throttled
from local import resources
from local.sqs.queues import SqsQueues
from tests.aws_fixtures import create_membership_table
from tests.clocks import ManualClock
from tests.servers import serve_aws

TO_DSP = Upload(Target("1"), (b"{}",))
TO_OTHER, TO_THIRD = Upload(Target("3"), (b"{}",)), Upload(Target("4"), (b"{}",))
TO_AMC = Upload(Target("2", "connection-2"), (b"{}",))
RECOVERY = 60  # seconds


@dataclass
class Amazon:
    """Raises `error` where that is set, and counts the requests."""

    error: AudienceSyncError | None = field(default_factory=lambda: ServiceUnavailable("Amazon answered 503"))
    requests: int = 0

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        assert upload.encoded
        assert timeout > 0
        self.requests += 1
        if self.error:
            raise self.error
        return "job-1"

    def send(self, circuit_breakers: CircuitBreakers, upload: Upload = TO_DSP, times: int = 1) -> str:
        result = ""
        for _ in range(times):
            try:
                result = circuit_breakers.wrap(self).send_records(upload, timeout=1.0)
            except AudienceSyncError as error:
                result = error.reason
        return result


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock(1_800_000_000)
    monkeypatch.setattr(base.CircuitBreakerHandler, "_now", lambda _: int(clock.now))  # it counts whole seconds
    return clock


@pytest.fixture
def circuit_breakers(clock: ManualClock) -> Iterator[CircuitBreakers]:
    """With a clock that only the test moves."""
    for counters in (base._LOCAL_FAILURES, base._LOCAL_SUCCESSES, base._LAST_OBSERVED_STATE):
        counters.clear()
    with serve_aws(SqsQueues(time.time)) as url:
        dynamodb = resources.client("dynamodb", url)
        create_membership_table(dynamodb, "members")
        yield CircuitBreakers(dynamodb, "members", recovery=RECOVERY, monotonic=clock)


def test_after_some_failures_in_a_row_no_request_is_made(circuit_breakers: CircuitBreakers) -> None:
    amazon = Amazon()
    assert amazon.send(circuit_breakers, times=FAILURES) == "service_unavailable"
    assert amazon.send(circuit_breakers, times=10) == "circuit_open"
    assert amazon.requests == FAILURES


def test_lost_answers_count_as_failures(circuit_breakers: CircuitBreakers) -> None:
    amazon = Amazon(OutcomeUnknown("reset"))
    amazon.send(circuit_breakers, times=FAILURES)
    assert amazon.send(circuit_breakers) == "circuit_open"


def test_throttling_does_not_count_as_a_failure(circuit_breakers: CircuitBreakers) -> None:
    amazon = Amazon(Throttled("429", retry_after=1))
    assert amazon.send(circuit_breakers, times=3 * FAILURES) == "throttled"
    assert amazon.requests == 3 * FAILURES


def test_a_success_in_between_starts_the_count_anew(circuit_breakers: CircuitBreakers) -> None:
    down, well = Amazon(), Amazon(error=None)
    for _ in range(3):
        down.send(circuit_breakers, times=FAILURES - 1)
        assert well.send(circuit_breakers) == "job-1"
    assert down.requests == 3 * (FAILURES - 1)


def test_each_connection_has_a_circuit_breaker_of_its_own(circuit_breakers: CircuitBreakers) -> None:
    Amazon().send(circuit_breakers, TO_DSP, times=FAILURES)
    assert Amazon(error=None).send(circuit_breakers, TO_AMC) == "job-1"


def test_an_audience_that_fails_alone_stops_no_other(circuit_breakers: CircuitBreakers) -> None:
    amazon = Amazon()
    amazon.send(circuit_breakers, TO_DSP, times=3 * FAILURES)
    well = Amazon(error=None)
    assert [well.send(circuit_breakers, TO_OTHER), amazon.send(circuit_breakers, TO_DSP)] * 3 == [
        "job-1",
        "circuit_open",
    ] * 3
    assert amazon.requests == FAILURES


def test_where_two_audiences_fail_the_circuit_breaker_of_their_connection_opens(
    circuit_breakers: CircuitBreakers,
) -> None:
    amazon = Amazon()
    for _ in range(3 * FAILURES):
        amazon.send(circuit_breakers, TO_DSP)
        amazon.send(circuit_breakers, TO_OTHER)
    assert amazon.requests <= FAILURES + 2, "the first failure of each audience counts for itself"
    assert Amazon(error=None).send(circuit_breakers, TO_THIRD) == "circuit_open"
    assert Amazon(error=None).send(circuit_breakers, TO_AMC) == "job-1"


def test_when_the_connections_circuit_breaker_has_closed_an_audience_counts_for_itself_again(
    circuit_breakers: CircuitBreakers, clock: ManualClock
) -> None:
    down, well = Amazon(), Amazon(error=None)
    for _ in range(FAILURES):
        down.send(circuit_breakers, TO_DSP)
        down.send(circuit_breakers, TO_OTHER)
    clock.now += RECOVERY
    assert well.send(circuit_breakers, TO_DSP) == well.send(circuit_breakers, TO_OTHER) == "job-1"
    down.send(circuit_breakers, TO_DSP, times=FAILURES)
    assert well.send(circuit_breakers, TO_OTHER) == "job-1"


def test_a_failure_long_ago_does_not_count_when_another_audience_fails(
    circuit_breakers: CircuitBreakers, clock: ManualClock
) -> None:
    down = Amazon()
    down.send(circuit_breakers, TO_DSP)
    clock.now += round(FAILURE_WINDOW)
    down.send(circuit_breakers, TO_OTHER, times=FAILURES)
    assert Amazon(error=None).send(circuit_breakers, TO_DSP) == "job-1"


def test_after_the_recovery_time_one_request_is_made_and_success_closes_the_circuit_breaker(
    circuit_breakers: CircuitBreakers, clock: ManualClock
) -> None:
    amazon = Amazon()
    amazon.send(circuit_breakers, times=FAILURES)
    clock.now += RECOVERY - 1
    assert amazon.send(circuit_breakers) == "circuit_open"
    clock.now += 1
    assert amazon.send(circuit_breakers) == "service_unavailable"
    assert amazon.send(circuit_breakers, times=3) == "circuit_open"
    assert amazon.requests == FAILURES + 1, "one request, then it waits again"
    clock.now += RECOVERY
    amazon.error = None
    assert amazon.send(circuit_breakers, times=2) == "job-1"


def test_a_state_store_that_is_down_stops_nothing() -> None:
    nowhere = CircuitBreakers(
        resources.client("dynamodb", "http://127.0.0.1:9"), "members", recovery=1, monotonic=time.monotonic
    )
    assert Amazon(error=None).send(nowhere) == "job-1"
