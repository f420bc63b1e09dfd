"""State of the circuit breakers in the membership table. Trouble with the table never stops delivery.

Powertools continues if the state cannot be read or saved, but not if it cannot elect the worker that tries again, and
it asks again at every upload. Here any error counts as closed, saved or elected, and the table is then left alone for a
while: waiting for one that does not answer would use up the invocation.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence
from aws_lambda_powertools.utilities.circuit_breaker.persistence.record import CircuitStateRecord
from aws_lambda_powertools.utilities.circuit_breaker.states import CircuitState
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError

from audience_sync.aws.client_errors import error_code, unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PARTITION = "#circuit"  # of the membership table; no audience id looks like it
STORE_PAUSE = 30.0  # seconds for which the table is not asked again after an error

logger = logging.getLogger(__name__)


class CircuitStates(CircuitBreakerDynamoDBPersistence):
    """The states of all circuits, one row each."""

    def __init__(self, client: "DynamoDBClient", table: str, now: Callable[[], float]) -> None:
        """Set up the store.

        Args:
            client: of DynamoDB; it should give up early.
            table: the membership table.
            now: epoch seconds.
        """
        super().__init__(
            table_name=table,
            key_attr="audienceShard",
            static_pk_value=PARTITION,
            sort_key_attr="externalUserId",
            expiry_attr="expiresAt",
            boto3_client=client,
        )
        self._now = now
        self._paused_until = 0.0
        self._own_probes: set[str] = set()  # names by which workers of this environment were elected

    def wait(self, name: str, recovery: float) -> tuple[CircuitState, float]:
        """Return the state of a circuit and the seconds for which nothing may be sent through it, 0 if closed."""
        record = self.get_state(name)
        until = 0.0
        if record.state == CircuitState.OPEN and record.opened_at is not None:
            until = record.opened_at + recovery
        elif record.state == CircuitState.HALF_OPEN and record.half_open_owner not in self._own_probes:
            until = record.probe_lease_expiry or until
        return record.state, max(0.0, until - self._now())

    def not_closed(self) -> list[CircuitStateRecord]:
        """Return the circuits that are open or half open, for the operator. Raises Unavailable."""
        with unavailable("the membership table does not answer"):
            found = self.client.query(
                TableName=self.table_name,
                KeyConditionExpression="audienceShard = :partition",
                ExpressionAttributeValues={":partition": {"S": PARTITION}},
                ConsistentRead=True,
            )
        records = [self._item_to_record(item) for item in found["Items"]]
        return [record for record in records if record.state != CircuitState.CLOSED]

    def _get_record(self, name: str) -> CircuitStateRecord | None:
        """Read one state; None, which means closed, if it cannot be read."""
        if self._is_paused():
            return None
        with self._going_on():
            try:
                return super()._get_record(name)
            except ConnectionClosedError:  # while the function slept; the client itself makes one attempt only
                return super()._get_record(name)
        return None

    def _put_record(
        self, record: CircuitStateRecord, condition: str | None = None, expected_opened_at: int | None = None
    ) -> None:
        """Write one state. Raises CircuitBreakerExistingLockError if another worker has been elected."""
        if record.half_open_owner:
            self._own_probes.add(record.half_open_owner)
        if not self._is_paused():
            with self._going_on():
                super()._put_record(record, condition, expected_opened_at)

    def _update_record(self, record: CircuitStateRecord) -> None:
        if not self._is_paused():
            with self._going_on():
                super()._update_record(record)

    def _is_paused(self) -> bool:
        return self._now() < self._paused_until

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Log an error of the table instead of raising it, and leave the table alone for a while."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            self._paused_until = self._now() + STORE_PAUSE
            logger.warning("circuit breaker state unavailable, delivery goes on: %s", error_code(error))
