"""Circuit breaker before Amazon: Powertools', with its state in the membership table.

Lambda's poller does not slow down on failures, and every worker would find out about an outage by itself. While the
circuit is open, messages go back without a request, and one worker at a time tries whether Amazon answers again. There
is a circuit for each connection. An audience that fails while no other does has one of its own, so that it stops no
other.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.circuit_breaker import CircuitBreakerConfig, circuit_breaker
from aws_lambda_powertools.utilities.circuit_breaker.exceptions import CircuitBreakerOpenError
from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence

from audience_sync.amazon_ads.record import Target, Upload
from audience_sync.delivery.uploads import Uploader
from audience_sync.errors import CircuitOpen, OutcomeUnknown, ServiceUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FAILURES = 5  # uploads in a row that fail at Amazon's side before the circuit opens
FAILURE_WINDOW = 300.0  # seconds for which a failure of one audience counts when the next one fails
PARTITION = "#circuit"  # of the membership table; no audience id looks like it


class CircuitBreakers:
    """The circuit breakers of one stack, shared by all its workers."""

    def __init__(self, client: "DynamoDBClient", table: str, recovery: float, monotonic: Callable[[], float]) -> None:
        """Take the collaborators.

        Args:
            client: of DynamoDB.
            table: the membership table.
            recovery: seconds for which an open circuit stays open, one at least.
            monotonic: seconds.
        """
        self._monotonic = monotonic
        self._failed: dict[str, dict[str, float]] = {}  # by connection: audiences, and when they failed last
        self._recovery = max(1, round(recovery))
        # A 429 is not a failure: Amazon is up, answers, and says itself when to come back.
        self._config = CircuitBreakerConfig(
            failure_threshold=FAILURES,
            recovery_timeout=self._recovery,
            success_threshold=1,
            handled_exceptions=(ServiceUnavailable, OutcomeUnknown),
        )
        self._store = CircuitBreakerDynamoDBPersistence(
            table_name=table,
            key_attr="audienceId",
            static_pk_value=PARTITION,
            sort_key_attr="externalUserId",
            expiry_attr="expiresAt",
            boto3_client=client,
        )

    def wrap(self, uploader: Uploader) -> Uploader:
        """Return an uploader that sends nothing while its circuit is open. A state store that is down stops nothing."""
        return CircuitBreakerUploader(uploader, self)

    def send(self, uploader: Uploader, upload: Upload, timeout: float) -> str:
        """Submit one upload through its circuit breaker."""
        name, failed = self._circuit(upload.target)
        guarded = circuit_breaker(name=name, persistence_store=self._store, config=self._config)
        try:
            job_id: str = guarded(uploader.send_records)(upload, timeout=timeout)
        except CircuitBreakerOpenError:
            failed[upload.target.audience_id] = self._monotonic()
            raise CircuitOpen(
                "Amazon has failed several times in a row; waiting before the next try", retry_after=self._recovery
            ) from None
        except (ServiceUnavailable, OutcomeUnknown):
            failed[upload.target.audience_id] = self._monotonic()
            raise
        failed.pop(upload.target.audience_id, None)
        return job_id

    def _circuit(self, target: Target) -> tuple[str, dict[str, float]]:
        """Return the name of an upload's circuit, and the audiences that failed lately on its connection.

        Where another audience failed as well, the connection is at fault, otherwise the audience.
        """
        connection = target.connection_id or "dsp"
        since = self._monotonic() - FAILURE_WINDOW
        failed = {audience: at for audience, at in self._failed.get(connection, {}).items() if at > since}
        self._failed[connection] = failed
        is_alone = not failed.keys() - {target.audience_id}
        return f"audience:{target.audience_id}" if is_alone else f"connection:{connection}", failed


class CircuitBreakerUploader:
    """An uploader behind the circuit breaker of its audience or connection."""

    def __init__(self, uploader: Uploader, circuit_breakers: CircuitBreakers) -> None:
        self._uploader = uploader
        self._circuit_breakers = circuit_breakers

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        """Submit one upload. Raises CircuitOpen, and what the uploader raises."""
        return self._circuit_breakers.send(self._uploader, upload, timeout)
