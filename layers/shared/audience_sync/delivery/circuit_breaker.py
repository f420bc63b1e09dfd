"""A circuit breaker before Amazon: Powertools', with its state in the membership table.

Lambda's poller does not slow down on failures, and every worker would find out about an outage by itself. With the
circuit open, messages go back without a request; one worker at a time tries whether Amazon answers again. There is one
for each connection. An audience that fails while no other does has one of its own, so that its trouble stays its own.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.circuit_breaker import CircuitBreakerConfig, circuit_breaker
from aws_lambda_powertools.utilities.circuit_breaker.exceptions import CircuitBreakerOpenError
from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence

from audience_sync.amazon_ads.record import Target, Upload
from audience_sync.delivery.uploads import Uploader
from audience_sync.errors import OutcomeUnknown, ServiceUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FAILURES = 5  # uploads in a row that fail at Amazon's side before nobody asks any more
REMEMBERED = 300.0  # seconds for which a failure of one audience is held against the next one that fails
PARTITION = "#circuit"  # of the membership table; no audience id looks like it


class CircuitBreakers:
    """The circuits of one stack, known to all its workers."""

    def __init__(self, client: "DynamoDBClient", table: str, recovery: float, monotonic: Callable[[], float]) -> None:
        """Hand in the collaborators.

        Args:
            client: of DynamoDB.
            table: the membership table.
            recovery: seconds for which an open circuit stays open, one at least.
            monotonic: seconds.
        """
        self._monotonic = monotonic
        self._failed: dict[str, dict[str, float]] = {}  # by connection: audiences, and when they failed last
        self._recovery = max(1, round(recovery))
        # A 429 is not a failure: Amazon is well, answers, and says itself when to come back.
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
        """Return an uploader that does not ask while the circuit is open. A state store that is down stops nothing."""
        return CircuitBreakerUploader(uploader, self)

    def send(self, uploader: Uploader, upload: Upload, timeout: float) -> str:
        """Submit one upload through its circuit."""
        name, failed = self._circuit(upload.target)
        protected = circuit_breaker(name=name, persistence_store=self._store, config=self._config)
        try:
            job_id: str = protected(uploader.send_records)(upload, timeout=timeout)
        except CircuitBreakerOpenError:
            failed[upload.target.audience_id] = self._monotonic()
            raise ServiceUnavailable(
                "Amazon has failed several times in a row; waiting before the next try",
                retry_after=self._recovery,
                reason="circuit_open",
            ) from None
        except (ServiceUnavailable, OutcomeUnknown):
            failed[upload.target.audience_id] = self._monotonic()
            raise
        failed.pop(upload.target.audience_id, None)
        return job_id

    def _circuit(self, target: Target) -> tuple[str, dict[str, float]]:
        """Return the circuit that judges an upload, and the audiences that failed lately on its connection.

        Whose failures they are can be told by the others: where another audience fails, too, it is the connection.
        """
        connection = target.connection_id or "dsp"
        since = self._monotonic() - REMEMBERED
        failed = {audience: at for audience, at in self._failed.get(connection, {}).items() if at > since}
        self._failed[connection] = failed
        is_alone = not failed.keys() - {target.audience_id}
        return f"audience:{target.audience_id}" if is_alone else f"connection:{connection}", failed


class CircuitBreakerUploader:
    """An uploader behind the circuit breaker of its audience or connection."""

    def __init__(self, uploader: Uploader, circuits: CircuitBreakers) -> None:
        self._uploader = uploader
        self._circuits = circuits

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        """Submit one upload; with an open circuit raise ServiceUnavailable, reason `circuit_open`, without asking."""
        return self._circuits.send(self._uploader, upload, timeout)
