"""As much of DynamoDB as the membership table uses, in memory; test_table_model.py compares it with the local AWS."""

import copy
import re
from typing import Any

Row = dict[str, Any]

KEY = ("audienceShard", "externalUserId")
_INSERT = re.compile(r'INSERT INTO "(?P<table>[^"]+)" VALUE \{(?P<values>.+)\}')
_UPDATE = re.compile(r'UPDATE "(?P<table>[^"]+)" SET (?P<changes>.+) WHERE (?P<conditions>.+)')


class TableModel:
    """One table with the key (audienceShard, externalUserId). Answers as boto3's client does."""

    def __init__(self) -> None:
        self.page = 1000  # rows of one answer to a query
        self.writes = 0  # statements, refused ones too
        self.reads = 0  # rows that were asked for
        self.rows: dict[tuple[str, str], Row] = {}

    def batch_execute_statement(self, *, Statements: list[Row]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """Make up to 25 conditional writes, each with a result of its own."""
        assert 0 < len(Statements) <= 25
        responses = [self._execute(each["Statement"], each["Parameters"]) for each in Statements]
        return {"Responses": responses}

    def _execute(self, statement: str, parameters: list[Row]) -> Row:
        self.writes += 1
        if insert := _INSERT.fullmatch(statement):
            row = dict(zip(re.findall(r"'(\w+)': \?", insert["values"]), parameters, strict=True))
            if _key(row) in self.rows:
                return _error("DuplicateItem")
            self.rows[_key(row)] = copy.deepcopy(row)
            return {"TableName": insert["table"]}
        update = _UPDATE.fullmatch(statement)
        assert update, f"not known here: {statement}"
        changed, conditions = (re.findall(r'"(\w+)"=\?', update[part]) for part in ("changes", "conditions"))
        values = dict(zip([f"set {name}" for name in changed] + conditions, parameters, strict=True))
        held = self.rows.get((values[KEY[0]]["S"], values[KEY[1]]["S"]))
        if held is None or any(held.get(name) != values[name] for name in conditions):
            return _error("ConditionalCheckFailed")
        held |= {name: copy.deepcopy(values[f"set {name}"]) for name in changed}
        return {"TableName": update["table"]}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        """Read rows; those that do not exist are left out."""
        ((table, request),) = RequestItems.items()
        assert request["ConsistentRead"] is True, "the protocol depends on it"
        assert 0 < len(request["Keys"]) <= 100
        self.reads += len(request["Keys"])
        found = [self.rows.get(_key(key)) for key in request["Keys"]]
        wanted = request.get("ProjectionExpression", "").split(", ")
        return {
            "Responses": {
                table: [
                    {name: copy.deepcopy(row[name]) for name in row if wanted == [""] or name in wanted}
                    for row in found
                    if row is not None
                ]
            },
            "UnprocessedKeys": {},
        }

    def query(
        self,
        *,
        TableName: str,  # noqa: N803 - boto3's names
        KeyConditionExpression: str,  # noqa: N803
        FilterExpression: str,  # noqa: N803
        ExpressionAttributeValues: Row,  # noqa: N803
        ExclusiveStartKey: Row | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        """Read the next few rows of a partition, by key. A page holds `page` rows; DynamoDB's holds 1 MB."""
        assert TableName
        assert KeyConditionExpression == "audienceShard = :partition"
        assert FilterExpression == "entered <= :moment"
        values = ExpressionAttributeValues
        after = ExclusiveStartKey["externalUserId"]["S"] if ExclusiveStartKey else ""
        partition = sorted(key for key in self.rows if key[0] == values[":partition"]["S"] and key[1] > after)
        read = [self.rows[key] for key in partition[: self.page]]
        moment = int(values[":moment"]["N"])
        found = [copy.deepcopy(row) for row in read if int(row["entered"]["N"]) <= moment]
        answer: dict[str, Any] = {"Items": found, "Count": len(found), "ScannedCount": len(read)}
        if len(partition) > self.page:
            answer["LastEvaluatedKey"] = {name: read[-1][name] for name in KEY}
        return answer

    def get_item(self, *, TableName: str, Key: Row, ConsistentRead: bool = False) -> dict[str, Any]:  # noqa: N803
        """Read one row."""
        assert TableName
        del ConsistentRead
        row = self.rows.get(_key(Key))
        return {"Item": copy.deepcopy(row)} if row is not None else {}

    def scan(self, *, TableName: str) -> dict[str, Any]:  # noqa: N803
        """Read all rows."""
        assert TableName
        return {"Items": copy.deepcopy(list(self.rows.values()))}

    def put_item(self, *, TableName: str, Item: Row) -> dict[str, Any]:  # noqa: N803
        """Write a row, over what was there."""
        assert TableName
        self.rows[_key(Item)] = copy.deepcopy(Item)
        return {}


def _key(row: Row) -> tuple[str, str]:
    return row[KEY[0]]["S"], row[KEY[1]]["S"]


def _error(code: str) -> Row:
    return {"Error": {"Code": code, "Message": "the condition failed"}}
