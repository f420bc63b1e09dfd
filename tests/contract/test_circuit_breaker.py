"""The circuit before Amazon, with its state in the real membership table."""

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
from local.template import Template
from tests.servers import serve_aws

TO_DSP = Upload(Target("1"), (b"{}",))
TO_OTHER, TO_THIRD = Upload(Target("3"), (b"{}",)), Upload(Target("4"), (b"{}",))
TO_AMC = Upload(Target("2", "connection-2"), (b"{}",))
RECOVERY = 60  # seconds


@dataclass
class Amazon:
    """Fails as it is told, and counts how often it is asked."""

    error: AudienceSyncError | None = field(default_factory=lambda: ServiceUnavailable("Amazon answered 503"))
    asked: int = 0

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        assert upload.encoded
        assert timeout > 0
        self.asked += 1
        if self.error:
            raise self.error
        return "job-1"

    def ask(self, circuits: CircuitBreakers, upload: Upload = TO_DSP, times: int = 1) -> str:
        told = ""
        for _ in range(times):
            try:
                told = circuits.wrap(self).send_records(upload, timeout=1.0)
            except AudienceSyncError as error:
                told = error.reason
        return told


@dataclass
class Clock:
    """The breaker's, which reckons in whole seconds."""

    now: int = 1_800_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(base.CircuitBreakerHandler, "_now", lambda _: clock.now)
    return clock


@pytest.fixture
def circuits(clock: Clock) -> Iterator[CircuitBreakers]:
    """On a clock that stands still until the test moves it."""
    for counters in (base._LOCAL_FAILURES, base._LOCAL_SUCCESSES, base._LAST_OBSERVED_STATE):
        counters.clear()
    with serve_aws(SqsQueues(time.time)) as url:
        template, dynamodb = Template.load(), resources.client("dynamodb", url)
        properties = template.resources("AWS::DynamoDB::Table")["MembershipTable"]
        known = ("KeySchema", "AttributeDefinitions", "BillingMode")
        dynamodb.create_table(TableName="members", **{key: template.resolve(properties[key]) for key in known})
        yield CircuitBreakers(dynamodb, "members", recovery=RECOVERY, monotonic=lambda: clock.now)


def test_after_some_failures_in_a_row_nobody_asks_any_more(circuits: CircuitBreakers) -> None:
    amazon = Amazon()
    assert amazon.ask(circuits, times=FAILURES) == "service_unavailable"
    assert amazon.ask(circuits, times=10) == "circuit_open"
    assert amazon.asked == FAILURES


def test_lost_answers_count_as_failures(circuits: CircuitBreakers) -> None:
    amazon = Amazon(OutcomeUnknown("reset"))
    amazon.ask(circuits, times=FAILURES)
    assert amazon.ask(circuits) == "circuit_open"


def test_being_throttled_does_not(circuits: CircuitBreakers) -> None:
    amazon = Amazon(Throttled("429", retry_after=1))
    assert amazon.ask(circuits, times=3 * FAILURES) == "throttled"
    assert amazon.asked == 3 * FAILURES


def test_one_success_in_between_starts_the_count_anew(circuits: CircuitBreakers) -> None:
    down, well = Amazon(), Amazon(error=None)
    for _ in range(3):
        down.ask(circuits, times=FAILURES - 1)
        assert well.ask(circuits) == "job-1"
    assert down.asked == 3 * (FAILURES - 1)


def test_one_connections_circuit_is_not_anothers(circuits: CircuitBreakers) -> None:
    Amazon().ask(circuits, TO_DSP, times=FAILURES)
    assert Amazon(error=None).ask(circuits, TO_AMC) == "job-1"


def test_an_audience_that_fails_alone_stops_no_other(circuits: CircuitBreakers) -> None:
    amazon = Amazon()
    amazon.ask(circuits, TO_DSP, times=3 * FAILURES)
    well = Amazon(error=None)
    assert [well.ask(circuits, TO_OTHER), amazon.ask(circuits, TO_DSP)] * 3 == ["job-1", "circuit_open"] * 3
    assert amazon.asked == FAILURES


def test_where_two_audiences_fail_it_is_the_connection(circuits: CircuitBreakers) -> None:
    amazon = Amazon()
    for _ in range(3 * FAILURES):
        amazon.ask(circuits, TO_DSP)
        amazon.ask(circuits, TO_OTHER)
    assert amazon.asked <= FAILURES + 2, "the first failure of each was its own"
    assert Amazon(error=None).ask(circuits, TO_THIRD) == "circuit_open"
    assert Amazon(error=None).ask(circuits, TO_AMC) == "job-1"


def test_after_the_connections_circuit_an_audience_is_asked_by_itself_again(
    circuits: CircuitBreakers, clock: Clock
) -> None:
    down, well = Amazon(), Amazon(error=None)
    for _ in range(FAILURES):
        down.ask(circuits, TO_DSP)
        down.ask(circuits, TO_OTHER)
    clock.now += RECOVERY
    assert well.ask(circuits, TO_DSP) == well.ask(circuits, TO_OTHER) == "job-1"
    down.ask(circuits, TO_DSP, times=FAILURES)
    assert well.ask(circuits, TO_OTHER) == "job-1"


def test_a_failure_long_ago_is_not_held_against_another_audience(circuits: CircuitBreakers, clock: Clock) -> None:
    down = Amazon()
    down.ask(circuits, TO_DSP)
    clock.now += round(FAILURE_WINDOW)
    down.ask(circuits, TO_OTHER, times=FAILURES)
    assert Amazon(error=None).ask(circuits, TO_DSP) == "job-1"


def test_after_a_while_one_try_is_made_and_success_closes_the_circuit(circuits: CircuitBreakers, clock: Clock) -> None:
    amazon = Amazon()
    amazon.ask(circuits, times=FAILURES)
    clock.now += RECOVERY - 1
    assert amazon.ask(circuits) == "circuit_open"
    clock.now += 1
    assert amazon.ask(circuits) == "service_unavailable"
    assert amazon.ask(circuits, times=3) == "circuit_open"
    assert amazon.asked == FAILURES + 1, "one try, then waiting again"
    clock.now += RECOVERY
    amazon.error = None
    assert amazon.ask(circuits, times=2) == "job-1"


def test_a_state_store_that_is_down_stops_nothing() -> None:
    nowhere = CircuitBreakers(
        resources.client("dynamodb", "http://127.0.0.1:9"), "members", recovery=1, monotonic=time.monotonic
    )
    assert Amazon(error=None).ask(nowhere) == "job-1"
