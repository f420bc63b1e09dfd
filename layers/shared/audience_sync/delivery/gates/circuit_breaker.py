"""Circuit breaker in front of Amazon: Powertools', with its state in the membership table.

Lambda's poller does not slow down on failures, and every worker would discover an outage by itself. While a circuit
breaker is open, messages stay in the queue without a request, and one worker at a time tests whether Amazon answers
again.

Each audience has a circuit breaker, and so has each connection. The connection's opens if several audiences fail and
none succeeds. Any other failing audience is stopped by its own, which stops no other audience.

Deletions of identities use another endpoint, so their failures open no circuit breaker. The backoff of their messages
and the retry budget limit them.
"""

from collections.abc import Callable, Sequence
from itertools import dropwhile
from typing import TYPE_CHECKING, NamedTuple

from aws_lambda_powertools.utilities.circuit_breaker import CircuitBreakerConfig, circuit_breaker
from aws_lambda_powertools.utilities.circuit_breaker.exceptions import CircuitBreakerOpenError
from aws_lambda_powertools.utilities.circuit_breaker.states import CircuitState

from audience_sync.amazon_ads.destination import failure_domain
from audience_sync.amazon_ads.upload import Submission, Target, Upload
from audience_sync.delivery.gates.circuit_state import CircuitStates
from audience_sync.delivery.uploads import Uploader
from audience_sync.errors import CircuitHalfOpen, CircuitOpen, OutcomeUnknown, ServiceUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FAILURES = 5  # uploads in a row that fail on Amazon's side before a circuit breaker opens
FAILURE_WINDOW = 300.0  # seconds for which a failure of one audience counts when the next one fails


class UploadFailure(NamedTuple):
    """One upload that failed on Amazon's side."""

    audience_id: str
    at: float  # when it was begun, epoch seconds


def is_connection_at_fault(failures: Sequence[UploadFailure], audience_id: str, needed: int) -> bool:
    """Return whether one more failure would be the connection's fault, not the audience's own.

    Args:
        failures: of the connection since its last success, in order.
        audience_id: the audience that would fail.
        needed: failures required, this one included. Failures before the second audience failed do not count.
    """
    if all(failure.audience_id == audience_id for failure in failures):
        return False
    shared = list(dropwhile(lambda failure: failure.audience_id == failures[0].audience_id, failures))
    return len(shared) + 1 >= needed


class CircuitBreakers:
    """The circuit breakers of one stack, shared by all its workers."""

    def __init__(self, client: "DynamoDBClient", table: str, recovery: float, now: Callable[[], float]) -> None:
        """Set up the circuit breakers.

        Args:
            client: of DynamoDB; it should give up early, since every upload waits for it.
            table: the membership table.
            recovery: seconds for which a circuit breaker stays open, at least one.
            now: epoch seconds.
        """
        self._now = now
        self._failures: dict[str, list[UploadFailure]] = {}  # by circuit breaker of a connection, since a success
        self._recovery = round(recovery)
        self._states = CircuitStates(client, table, now)

    def wrap(self, uploader: Uploader) -> Uploader:
        """Return an uploader that sends nothing while its circuit breaker is open. Sends if the state is unreadable."""
        return CircuitBreakerUploader(uploader, self)

    def check(self, target: Target) -> bool:
        """Return whether the next upload tests if Amazon answers again. Not if no state can be read. Writes nothing.

        Raises:
            CircuitHalfOpen: another worker is testing whether Amazon answers again.
            CircuitOpen: the circuit breaker of the audience or its connection is open for `retry_after` more seconds.
        """
        is_test = False
        for circuit in (_audience(target), _connection(target)):
            state, wait = self._states.wait(circuit, self._recovery)
            if wait and state == CircuitState.HALF_OPEN:
                raise self._half_open(wait)
            if wait:
                raise CircuitOpen(
                    "Amazon has failed several times in a row; waiting before the next try", retry_after=max(1.0, wait)
                )
            is_test |= state != CircuitState.CLOSED
        return is_test

    def send(self, uploader: Uploader, upload: Upload, timeout: float) -> Submission:
        """Submit one upload through the circuit breaker of its audience or connection."""
        target = upload.target
        self.check(target)
        connection = _connection(target)
        failures = self._recent_failures(connection)
        # One more failure opens the connection's circuit breaker: earlier ones are counted here, for all audiences.
        # If it was open before and nothing has succeeded since, a second failing audience is enough.
        is_closed = self._states.get_state(connection).state == CircuitState.CLOSED
        is_shared = is_connection_at_fault(failures, target.audience_id, FAILURES if is_closed else 1)
        guarded = circuit_breaker(
            name=connection if is_shared else _audience(target),
            persistence_store=self._states,
            config=self._config(1 if is_shared else FAILURES),
        )
        began = self._now()
        try:
            submitted: Submission = guarded(uploader.send_records)(upload, timeout=timeout)
        except CircuitBreakerOpenError:
            raise self._half_open(self._recovery) from None
        except (ServiceUnavailable, OutcomeUnknown):
            failures.append(UploadFailure(target.audience_id, began))
            if is_shared:
                failures.clear()  # it is open; the count starts again
            raise
        failures.clear()
        if self._states.get_state(connection).state != CircuitState.CLOSED:
            self._states.save_closed(connection)
        return submitted

    def _recent_failures(self, connection: str) -> list[UploadFailure]:
        """Return the failures on a connection since its last success and since its recovery time passed.

        Earlier failures have opened the circuit breaker. Counted again, they would let an audience that still fails
        block the audiences that have recovered.
        """
        state = self._states.get_state(connection)
        free_since = 0 if state.opened_at is None else state.opened_at + self._recovery
        window = self._now() - FAILURE_WINDOW
        recent = [each for each in self._failures.get(connection, []) if each.at > window and each.at >= free_since]
        self._failures[connection] = recent
        return recent

    def _config(self, failures: int) -> CircuitBreakerConfig:
        return CircuitBreakerConfig(
            failure_threshold=failures,
            recovery_timeout=self._recovery,
            success_threshold=1,
            # A 429 is not a failure: Amazon is up, answers, and says when to try again.
            handled_exceptions=(ServiceUnavailable, OutcomeUnknown),
        )

    def _half_open(self, wait: float) -> CircuitHalfOpen:
        # The outcome is known sooner: an upload ends within half the recovery time.
        return CircuitHalfOpen(
            "another worker is testing whether Amazon is back",
            retry_after=max(1.0, min(wait, self._recovery / 2)),
        )


class CircuitBreakerUploader:
    """An uploader behind the circuit breaker of its audience or connection."""

    def __init__(self, uploader: Uploader, circuit_breakers: CircuitBreakers) -> None:
        self._uploader = uploader
        self._circuit_breakers = circuit_breakers

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        """Submit one upload. Raises CircuitOpen and the uploader's errors."""
        return self._circuit_breakers.send(self._uploader, upload, timeout)


def _audience(target: Target) -> str:
    return f"audience:{target.audience_id}"


def _connection(target: Target) -> str:
    return f"connection:{failure_domain(target.destination)}"
