"""DynamoDB in memory: each call takes effect at one moment, in the order in which the simulation lets them arrive."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.soak.aws_errors import errors_of, refusal
from tests.soak.calls import Call, make
from tests.soak.clock import SimulatedClock
from tests.soak.expressions import Row, copy_row, holds, ordered, project, updated
from tests.soak.partiql import Statement, read_statement

MAX_ROW = 400 * 1024  # bytes
MAX_KEYS = 100  # of one BatchGetItem
MAX_STATEMENTS = 25
STALE = 1.0  # seconds for which a read that is not consistent may return what was there before
PAGE = 40  # rows of one page; far fewer than DynamoDB's megabyte, so that there are several

_CONDITION_FAILED = "ConditionalCheckFailedException"


class Table:
    """One table. Knows nothing of failures."""

    def __init__(self, name: str, keys: tuple[str, ...], clock: SimulatedClock, random: Random) -> None:
        self.name = name
        self.keys = keys
        self.rows: dict[tuple[Any, ...], Row] = {}
        self._before: dict[tuple[Any, ...], tuple[float, Row | None]] = {}
        self._clock = clock
        self._random = random

    def key_of(self, row: Row) -> tuple[Any, ...]:
        """Return the primary key of a row, in the order in which DynamoDB sorts."""
        return tuple(ordered(row[name])[1] for name in self.keys)

    def get(self, key: Row, *, is_consistent: bool) -> Row | None:
        """Return a row; one that is a moment old where the read need not be consistent."""
        assert set(key) == set(self.keys), f"{set(key)} is not the key of {self.name}"
        name = self.key_of(key)
        changed_at, before = self._before.get(name, (0.0, None))
        if not is_consistent and self._clock.now - changed_at < STALE and self._random.random() < 0.5:
            return before
        return self.rows.get(name)

    def put(self, row: Row | None, key: tuple[Any, ...]) -> None:
        """Store a row, or remove it where it is None."""
        self._before[key] = (self._clock.now, self.rows.get(key))
        if row is None:
            self.rows.pop(key, None)
            return
        if sum(len(name) + _bytes(value) for name, value in row.items()) > MAX_ROW:
            raise refusal("ValidationException", "Write")
        self.rows[key] = row

    def ordered_rows(self) -> list[tuple[tuple[Any, ...], Row]]:
        """Return all rows in the order of their keys."""
        return sorted(self.rows.items(), key=lambda entry: entry[0])


class DynamoDb:
    """All tables of the stack."""

    def __init__(self, random: Random, fails_partly: Callable[[], bool]) -> None:
        """`fails_partly`: asked for each statement and for each key of a batch."""
        self.tables: dict[str, Table] = {}
        self.random = random
        self.fails_partly = fails_partly


class _Events:
    """As much of a client's event system as libraries register themselves with."""

    def register(self, *_: Any, **__: Any) -> None:
        """Ignore it."""


class _Meta:
    """As much of a client's description as libraries look at."""

    events = _Events()


class DynamoDbClient:
    """boto3's client, as far as the functions and their libraries use it."""

    meta = _Meta()

    def __init__(self, store: DynamoDb, timeout: float, attempts: int) -> None:
        self._store = store
        self._timeout = timeout
        self._attempts = attempts

    # One row

    def get_item(
        self,
        *,
        TableName: str,  # noqa: N803 - boto3's names
        Key: Row,  # noqa: N803
        ConsistentRead: bool = False,  # noqa: N803
        ProjectionExpression: str | None = None,  # noqa: N803
        ExpressionAttributeNames: dict[str, str] | None = None,  # noqa: N803
    ) -> Any:
        """Read one row."""
        table = self._store.tables[TableName]

        def act() -> Any:
            row = table.get(Key, is_consistent=ConsistentRead)
            return {} if row is None else {"Item": project(ProjectionExpression, row, ExpressionAttributeNames)}

        return self._call("GetItem", table, Key, act)

    def put_item(self, *, TableName: str, Item: Row, **options: Any) -> Any:  # noqa: N803
        """Write one row."""
        return self._write("PutItem", TableName, Item, options, lambda _before: copy_row(Item))

    def update_item(self, *, TableName: str, Key: Row, UpdateExpression: str, **options: Any) -> Any:  # noqa: N803
        """Change one row."""
        names, values = options.get("ExpressionAttributeNames"), options.get("ExpressionAttributeValues")
        return self._write(
            "UpdateItem", TableName, Key, options, lambda before: updated(UpdateExpression, before, Key, names, values)
        )

    def delete_item(self, *, TableName: str, Key: Row, **options: Any) -> Any:  # noqa: N803
        """Remove one row."""
        return self._write("DeleteItem", TableName, Key, options, lambda _before: None)

    def _write(
        self,
        operation: str,
        table_name: str,
        named: Row,
        options: dict[str, Any],
        after: Callable[[Row | None], Row | None],
    ) -> Any:
        table = self._store.tables[table_name]

        def act() -> Any:
            key = table.key_of(named)
            before = table.rows.get(key)
            if not holds(
                options.get("ConditionExpression"),
                before,
                options.get("ExpressionAttributeNames"),
                options.get("ExpressionAttributeValues"),
            ):
                wants_row = options.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
                more = {"Item": copy_row(before)} if before is not None and wants_row else {}
                raise refusal(_CONDITION_FAILED, operation, **more)
            written = after(before)
            table.put(written, key)
            match options.get("ReturnValues", "NONE"):
                case "ALL_OLD" if before is not None:
                    return {"Attributes": copy_row(before)}
                case "ALL_NEW" if written is not None:
                    return {"Attributes": copy_row(written)}
            return {}

        return self._call(operation, table, named, act)

    # Many rows

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> Any:  # noqa: N803
        """Read rows by key; some may be left for another call."""
        ((name, asked),) = RequestItems.items()
        table = self._store.tables[name]
        keys: list[Row] = asked["Keys"]
        assert 0 < len(keys) <= MAX_KEYS
        assert len({table.key_of(key) for key in keys}) == len(keys)

        def act() -> Any:
            left = [key for key in keys if self._store.fails_partly()]
            found = [
                project(asked.get("ProjectionExpression"), row, asked.get("ExpressionAttributeNames"))
                for key in keys
                if key not in left
                and (row := table.get(key, is_consistent=asked.get("ConsistentRead", False))) is not None
            ]
            self._store.random.shuffle(found)
            return {
                "Responses": {name: found},
                "UnprocessedKeys": {name: asked | {"Keys": left}} if left else {},
            }

        return self._call("BatchGetItem", table, keys[0], act)

    def query(self, *, TableName: str, KeyConditionExpression: str, **options: Any) -> Any:  # noqa: N803
        """Read the rows of one partition, in order, page by page."""
        return self._read("Query", TableName, KeyConditionExpression, options)

    def scan(self, *, TableName: str, **options: Any) -> Any:  # noqa: N803
        """Read all rows, page by page."""
        return self._read("Scan", TableName, None, options)

    def _read(self, operation: str, table_name: str, condition: str | None, options: dict[str, Any]) -> Any:
        table = self._store.tables[table_name]
        names, values = options.get("ExpressionAttributeNames"), options.get("ExpressionAttributeValues")

        def act() -> Any:
            start = table.key_of(options["ExclusiveStartKey"]) if options.get("ExclusiveStartKey") else None
            matching = [
                row
                for key, row in table.ordered_rows()
                if (start is None or key > start) and holds(condition, row, names, values)
            ]
            page = matching[: min(PAGE, options.get("Limit", PAGE))]
            found = [
                project(options.get("ProjectionExpression"), row, names)
                for row in page
                if holds(options.get("FilterExpression"), row, names, values)
            ]
            answer: dict[str, Any] = {"Count": len(found), "ScannedCount": len(page)}
            if options.get("Select") != "COUNT":
                answer["Items"] = found
            if len(page) < len(matching):
                answer["LastEvaluatedKey"] = {name: page[-1][name] for name in table.keys}
            return answer

        return self._call(operation, table, {}, act)

    def describe_table(self, *, TableName: str) -> Any:  # noqa: N803
        """Count the rows."""
        table = self._store.tables[TableName]
        return self._call("DescribeTable", table, {}, lambda: {"Table": {"ItemCount": len(table.rows)}})

    def batch_execute_statement(self, *, Statements: list[dict[str, Any]], **_: Any) -> Any:  # noqa: N803
        """Run up to 25 statements, each with a result of its own."""
        assert 0 < len(Statements) <= MAX_STATEMENTS
        read = [read_statement(each["Statement"], each.get("Parameters", ())) for each in Statements]
        table = self._store.tables[read[0].table]
        keys = [table.key_of(each.attributes | each.where) for each in read]
        assert len(set(keys)) == len(keys), "two statements about one row"

        def act() -> Any:
            wants_row = [each.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" for each in Statements]
            return {
                "Responses": [
                    self._execute(table, statement, wants_row=wants)
                    for statement, wants in zip(read, wants_row, strict=True)
                ]
            }

        return self._call("BatchExecuteStatement", table, read[0].attributes | read[0].where, act)

    def _execute(self, table: Table, statement: Statement, *, wants_row: bool) -> dict[str, Any]:
        if self._store.fails_partly():
            return _statement_error("ThrottlingError")
        key = table.key_of(statement.attributes | statement.where)
        before = table.rows.get(key)
        if statement.is_insert:
            if before is not None:
                return _statement_error("DuplicateItem", before if wants_row else None)
            after = copy_row(statement.attributes)
        else:
            assert set(table.keys) < set(statement.where), "an UPDATE names the whole key and the revision"
            if before is None or any(before.get(name) != value for name, value in statement.where.items()):
                return _statement_error("ConditionalCheckFailed", before if wants_row else None)
            after = copy_row(before | statement.attributes)
        table.put(after, key)
        return {"TableName": table.name}

    def _call(self, operation: str, table: Table, named: Row, act: Callable[[], Any]) -> Any:
        partition = named.get(table.keys[0], {}).get("S", "")
        target = partition if partition.startswith("#") else table.name
        error = errors_of(operation, "ProvisionedThroughputExceededException")
        return make(Call("dynamodb", operation, target, act, error, self._timeout, self._attempts))


def texts_of(row: Row) -> Iterator[str | bytes]:
    """Yield every text and every byte string that a row holds, at any depth."""
    pending: list[Any] = list(row.values())
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, (list, tuple, set)):
            pending += value
        elif isinstance(value, (str, bytes)):
            yield value


def _bytes(value: Any) -> int:
    ((_, content),) = value.items()
    if isinstance(content, (str, bytes)):
        return len(content)
    return sum(len(each) if isinstance(each, (str, bytes)) else 3 for each in content) if content else 1


def _statement_error(code: str, row: Row | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"Code": code, "Message": code}
    return {"Error": error | ({"Item": copy_row(row)} if row is not None else {})}
