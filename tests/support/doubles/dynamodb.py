"""DynamoDB in memory: each call takes effect at one moment. test_dynamodb_double.py compares it with the local AWS."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from local.dynamodb_statements import Statement, read_statement
from tests.support.doubles.expressions import Row, copy_row, holds, project, updated

MEMBERSHIP_KEY = ("audienceShard", "externalUserId")
MAX_ROW = 400 * 1024  # bytes
MAX_KEYS = 100  # of one BatchGetItem
MAX_STATEMENTS = 25


def refusal(code: str, operation: str, **more: Any) -> ClientError:
    """Return the error of a call that AWS has refused."""
    answer: Any = {"Error": {"Code": code, "Message": code}, **more}
    return ClientError(answer, operation)


class Table:
    """One table."""

    def __init__(self, name: str, keys: tuple[str, ...]) -> None:
        self.name = name
        self.keys = keys
        self.rows: dict[tuple[Any, ...], Row] = {}

    def key_of(self, row: Row) -> tuple[Any, ...]:
        """Return the primary key of a row."""
        return tuple(next(iter(row[name].values())) for name in self.keys)

    def get(self, key: Row, *, is_consistent: bool) -> Row | None:
        """Return a row."""
        assert set(key) == set(self.keys), f"{set(key)} is not the key of {self.name}"
        del is_consistent
        return self.rows.get(self.key_of(key))

    def put(self, row: Row | None, key: tuple[Any, ...]) -> None:
        """Store a row, or remove it if it is None."""
        if row is None:
            self.rows.pop(key, None)
            return
        if sum(len(name) + _bytes(value) for name, value in row.items()) > MAX_ROW:
            raise refusal("ValidationException", "Write")
        self.rows[key] = row


class DynamoDb:
    """boto3's client, as far as the functions and their libraries use it."""

    page = 1000  # rows of one answer to a query or scan; DynamoDB's holds 1 MB

    def __init__(self, *tables: Table) -> None:
        self.tables = {table.name: table for table in tables}
        self.writes = 0  # statements, those also whose condition does not hold
        self.reads = 0  # rows that were asked for in batches
        self.refused: list[dict[int, str]] = []  # for each of the next batches of statements: error codes by position
        self.unread: list[dict[int, str]] = []  # for each of the next batches of keys: the same
        self.down = False

    # For a network, or a fault, in between

    def call(self, operation: str, table: Table, named: Row, act: Callable[[], Any]) -> Any:
        """Make one call. `named` has the key, if the call is about one row."""
        del table, named
        if self.down:
            raise refusal("InternalServerError", operation)
        return act()

    def faults(self, operation: str, parts: int) -> dict[int, str]:
        """Return the error codes of parts of a batch, by position."""
        del parts
        planned = self.refused if operation == "BatchExecuteStatement" else self.unread
        return planned.pop(0) if planned else {}

    def shuffle(self, rows: list[Row]) -> None:
        """Order the rows of a batch as DynamoDB may: in any way."""

    def table(self, name: str) -> Table:
        """Return a table."""
        return self.tables[name]

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
        table = self.table(TableName)

        def act() -> Any:
            row = table.get(Key, is_consistent=ConsistentRead)
            return {} if row is None else {"Item": project(ProjectionExpression, row, ExpressionAttributeNames)}

        return self.call("GetItem", table, Key, act)

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
        table = self.table(table_name)

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
                raise refusal("ConditionalCheckFailedException", operation, **more)
            written = after(before)
            table.put(written, key)
            match options.get("ReturnValues", "NONE"):
                case "ALL_OLD" if before is not None:
                    return {"Attributes": copy_row(before)}
                case "ALL_NEW" if written is not None:
                    return {"Attributes": copy_row(written)}
            return {}

        return self.call(operation, table, named, act)

    # Many rows

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> Any:  # noqa: N803
        """Read rows by key; some may be left for another call."""
        ((name, asked),) = RequestItems.items()
        table = self.table(name)
        keys: list[Row] = asked["Keys"]
        assert 0 < len(keys) <= MAX_KEYS
        assert len({table.key_of(key) for key in keys}) == len(keys)

        def act() -> Any:
            faults = self.faults("BatchGetItem", len(keys))
            left = [key for position, key in enumerate(keys) if position in faults]
            taken = [key for position, key in enumerate(keys) if position not in faults]
            self.reads += len(taken)
            found = [
                project(asked.get("ProjectionExpression"), row, asked.get("ExpressionAttributeNames"))
                for key in taken
                if (row := table.get(key, is_consistent=asked.get("ConsistentRead", False))) is not None
            ]
            self.shuffle(found)
            return {
                "Responses": {name: found},
                "UnprocessedKeys": {name: asked | {"Keys": left}} if left else {},
            }

        return self.call("BatchGetItem", table, keys[0], act)

    def query(self, *, TableName: str, KeyConditionExpression: str, **options: Any) -> Any:  # noqa: N803
        """Read the rows of one partition, in order, page by page."""
        return self._read("Query", TableName, KeyConditionExpression, options)

    def scan(self, *, TableName: str, **options: Any) -> Any:  # noqa: N803
        """Read all rows, page by page."""
        return self._read("Scan", TableName, None, options)

    def _read(self, operation: str, table_name: str, condition: str | None, options: dict[str, Any]) -> Any:
        table = self.table(table_name)
        names, values = options.get("ExpressionAttributeNames"), options.get("ExpressionAttributeValues")

        def act() -> Any:
            start = table.key_of(options["ExclusiveStartKey"]) if options.get("ExclusiveStartKey") else None
            matching = [
                row
                for key, row in sorted(table.rows.items(), key=lambda entry: entry[0])
                if (start is None or key > start) and holds(condition, row, names, values)
            ]
            page = matching[: min(self.page, options.get("Limit", self.page))]
            found = [
                project(options.get("ProjectionExpression"), row, names)
                for row in page
                if holds(options.get("FilterExpression"), row, names, values)
            ]
            answer: dict[str, Any] = {"Count": len(found), "ScannedCount": len(page)}
            if options.get("Select") != "COUNT":
                answer["Items"] = found
            if options.get("ReturnConsumedCapacity") == "TOTAL":
                answer["ConsumedCapacity"] = {"CapacityUnits": 0.5 * len(page)}
            if len(page) < len(matching):
                answer["LastEvaluatedKey"] = {name: page[-1][name] for name in table.keys}
            return answer

        return self.call(operation, table, {}, act)

    def describe_table(self, *, TableName: str) -> Any:  # noqa: N803
        """Count the rows, and name the key."""
        table = self.table(TableName)
        key = [
            {"AttributeName": name, "KeyType": kind} for name, kind in zip(table.keys, ("HASH", "RANGE"), strict=False)
        ]
        described = {"TableStatus": "ACTIVE", "KeySchema": key}
        return self.call("DescribeTable", table, {}, lambda: {"Table": {"ItemCount": len(table.rows)} | described})

    def batch_execute_statement(self, *, Statements: list[dict[str, Any]], **_: Any) -> Any:  # noqa: N803
        """Run up to 25 statements, each with a result of its own."""
        assert 0 < len(Statements) <= MAX_STATEMENTS
        read = [read_statement(each["Statement"], each.get("Parameters", ())) for each in Statements]
        table = self.table(read[0].table)
        keys = [table.key_of(each.attributes | each.where) for each in read]
        assert len(set(keys)) == len(keys), "two statements about one row"

        def act() -> Any:
            faults = self.faults("BatchExecuteStatement", len(read))
            return {
                "Responses": [
                    _statement_error(faults[position])
                    if position in faults
                    else self._execute(table, statement, asked.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD")
                    for position, (statement, asked) in enumerate(zip(read, Statements, strict=True))
                ]
            }

        return self.call("BatchExecuteStatement", table, read[0].attributes | read[0].where, act)

    def _execute(self, table: Table, statement: Statement, wants_row: bool) -> dict[str, Any]:
        self.writes += 1
        key = table.key_of(statement.attributes | statement.where)
        before = table.rows.get(key)
        if not statement.where:
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


class MembershipRows(DynamoDb):
    """The membership table, under any name."""

    def __init__(self) -> None:
        self._members = Table("members", MEMBERSHIP_KEY)
        super().__init__(self._members)

    @property
    def rows(self) -> dict[tuple[Any, ...], Row]:
        """All rows, by key."""
        return self._members.rows

    def table(self, name: str) -> Table:
        """Return the table."""
        assert name
        return self._members

    def damage(self, audience_id: str, member: str) -> dict[tuple[Any, ...], Row]:
        """Let a row have other content than the product writes. Returns it as it was."""
        wanted = (audience_id, member)
        intact = {(shard, of): row for (shard, of), row in self.rows.items() if (shard.partition("#")[0], of) == wanted}
        self.rows.update((key, row | {"member": {"B": b"{}"}}) for key, row in intact.items())
        assert intact
        return intact

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> Any:  # noqa: N803
        """Read rows by key."""
        (asked,) = RequestItems.values()
        assert asked["ConsistentRead"] is True, "the protocol depends on it"
        return super().batch_get_item(RequestItems=RequestItems)


def _bytes(value: Any) -> int:
    ((_, content),) = value.items()
    if isinstance(content, (str, bytes)):
        return len(content)
    if isinstance(content, bool) or not content:
        return 1
    return sum(len(each) if isinstance(each, (str, bytes)) else 3 for each in content)


def _statement_error(code: str, row: Row | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"Code": code, "Message": code}
    return {"Error": error | ({"Item": copy_row(row)} if row is not None else {})}
