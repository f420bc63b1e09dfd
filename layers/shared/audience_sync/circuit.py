"""A circuit breaker before Amazon: Powertools', with its state in the membership table.

Lambda's poller does not slow down on failures, and every worker would find out about an outage by itself. With the
circuit open, messages go back without a request; one worker at a time tries whether Amazon answers again.
"""

from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.circuit_breaker import CircuitBreakerConfig, circuit_breaker
from aws_lambda_powertools.utilities.circuit_breaker.exceptions import CircuitBreakerOpenError
from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence

from audience_sync.amazon_ads.record import Upload
from audience_sync.errors import OutcomeUnknown, ServiceUnavailable
from audience_sync.outbox import Uploader

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FAILURES = 5  # uploads in a row that fail at Amazon's side before nobody asks any more
PARTITION = "#circuit"  # of the membership table; no audience id looks like it


class Circuits:
    """The circuits of one stack, one for each connection, known to all its workers."""

    def __init__(self, client: "DynamoDBClient", table: str, recovery: float) -> None:
        """Hand in the membership table, and for how many seconds an open circuit stays open (one at least)."""
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

    def protecting(self, uploader: Uploader) -> Uploader:
        """Return an uploader that does not ask while the circuit is open. A state store that is down stops nothing."""
        return _Protected(uploader, self._store, self._config, self._recovery)


class _Protected:
    def __init__(
        self,
        uploader: Uploader,
        store: CircuitBreakerDynamoDBPersistence,
        config: CircuitBreakerConfig,
        recovery: int,
    ) -> None:
        self._uploader = uploader
        self._store = store
        self._config = config
        self._recovery = recovery

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        """Submit one upload; with an open circuit raise ServiceUnavailable, reason `circuit_open`, without asking."""
        name = f"connection:{upload.target.connection_id or 'dsp'}"
        send = circuit_breaker(name=name, persistence_store=self._store, config=self._config)(
            self._uploader.send_records
        )
        try:
            job_id: str = send(upload, timeout=timeout)
        except CircuitBreakerOpenError:
            raise ServiceUnavailable(
                "Amazon has failed several times in a row; waiting before the next try",
                retry_after=self._recovery,
                reason="circuit_open",
            ) from None
        return job_id
