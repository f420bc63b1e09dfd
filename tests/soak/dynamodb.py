"""DynamoDB behind the simulation's network: calls may fail, batches may fail partly, and reads may be stale."""

from collections.abc import Callable, Iterable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

from tests.soak.aws_errors import errors_of
from tests.soak.calls import Call, make
from tests.soak.clock import SimulatedClock
from tests.support.doubles import dynamodb
from tests.support.doubles.expressions import Row

STALE = 1.0  # seconds for which a read that is not consistent may return what was there before


class Table(dynamodb.Table):
    def __init__(self, name: str, keys: tuple[str, ...], clock: SimulatedClock, random: Random) -> None:
        super().__init__(name, keys)
        self._before: dict[tuple[Any, ...], tuple[float, Row | None]] = {}
        self._clock = clock
        self._random = random

    def copy(self, name: str) -> "Table":
        """Return a table with the same rows, which never change in place."""
        table = Table(name, self.keys, self._clock, self._random)
        table.rows = self.rows.copy()
        return table

    def expire(self) -> None:
        """Delete the rows whose time to live has passed."""
        for key, row in [*self.rows.items()]:
            if "expiresAt" in row and int(row["expiresAt"]["N"]) <= self._clock.now:
                self.put(None, key)

    def get(self, key: Row, *, is_consistent: bool) -> Row | None:
        """Return a row; one that is a moment old where the read need not be consistent."""
        changed_at, before = self._before.get(self.key_of(key), (0.0, None))
        if not is_consistent and self._clock.now - changed_at < STALE and self._random.random() < 0.5:
            return before
        return super().get(key, is_consistent=is_consistent)

    def put(self, row: Row | None, key: tuple[Any, ...]) -> None:
        """Store a row, or remove it where it is None."""
        self._before[key] = (self._clock.now, self.rows.get(key))
        super().put(row, key)


class DynamoDbClient(dynamodb.DynamoDb):
    """The client of one invocation."""

    meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None))  # libraries register themselves
    page = 40  # far fewer than DynamoDB's megabyte, so that there are several

    def __init__(
        self, tables: Iterable[Table], random: Random, fails_partly: Callable[[], bool], timeout: float, attempts: int
    ) -> None:
        """`fails_partly`: asked for each statement and for each key of a batch."""
        super().__init__(*tables)
        self._random = random
        self._fails_partly = fails_partly
        self._timeout = timeout
        self._attempts = attempts

    def get_paginator(self, operation: str) -> Any:
        """Return boto3's paginator, of scans."""
        assert operation == "scan"
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, **options: Any) -> Iterator[Any]:
        page = {"LastEvaluatedKey": options.pop("ExclusiveStartKey", None)}
        while "LastEvaluatedKey" in page:
            page = self.scan(**options, ExclusiveStartKey=page["LastEvaluatedKey"])
            yield page

    def faults(self, operation: str, parts: int) -> dict[int, str]:
        """Return which parts of a batch are throttled."""
        del operation
        return {part: "ThrottlingError" for part in range(parts) if self._fails_partly()}

    def shuffle(self, rows: list[Row]) -> None:
        """Return the rows of a batch in any order."""
        self._random.shuffle(rows)

    def call(self, operation: str, table: dynamodb.Table, named: Row, act: Callable[[], Any]) -> Any:
        """Make a call from within an invocation."""
        partition = named.get(table.keys[0], {}).get("S", "")
        target = partition if partition.startswith("#") else table.name
        error = errors_of(operation, "ProvisionedThroughputExceededException")
        return make(Call("dynamodb", operation, target, act, error, self._timeout, self._attempts))
