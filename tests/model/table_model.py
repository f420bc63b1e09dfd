"""As much of DynamoDB as the membership table uses, in memory and exactly: test_rows.py holds it against moto."""

import copy
import re
from typing import Any

from botocore.exceptions import ClientError

Row = dict[str, Any]

_CLAUSE = re.compile(r"\b(SET|ADD|REMOVE)\b")
_COMPARISON = re.compile(r"(#?\w+) (<=|<|>|=) (:\w+)")


class TableModel:
    """One table with the key (audienceId, externalUserId). Answers as boto3's client does, refusals included."""

    def __init__(self) -> None:
        self.page = 1000  # rows of one answer to a query
        self.kept: dict[tuple[str, str], Row] = {}

    def update_item(
        self,
        *,
        TableName: str,  # noqa: N803 - boto3's names
        Key: Row,  # noqa: N803
        UpdateExpression: str,  # noqa: N803
        ConditionExpression: str,  # noqa: N803
        ExpressionAttributeValues: Row,  # noqa: N803
        ExpressionAttributeNames: dict[str, str] | None = None,  # noqa: N803
        ReturnValues: str = "NONE",  # noqa: N803
        ReturnValuesOnConditionCheckFailure: str = "NONE",  # noqa: N803
    ) -> dict[str, Any]:
        """Change a row where the condition holds, or raise ConditionalCheckFailedException."""
        assert TableName
        names, values = ExpressionAttributeNames or {}, ExpressionAttributeValues
        key = Key["audienceId"]["S"], Key["externalUserId"]["S"]
        before = self.kept.get(key)
        if not _holds(ConditionExpression, before or {}, names, values):
            answer: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": "the condition failed"}}
            if before is not None and ReturnValuesOnConditionCheckFailure == "ALL_OLD":
                answer["Item"] = copy.deepcopy(before)
            raise ClientError(answer, "UpdateItem")
        self.kept[key] = _updated(UpdateExpression, Key, before, names, values)
        return {"Attributes": copy.deepcopy(before)} if before is not None and ReturnValues == "ALL_OLD" else {}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        """Read rows; those that do not exist are left out."""
        ((table, asked),) = RequestItems.items()
        assert asked["ConsistentRead"] is True, "the protocol rests on it"
        found = [self.kept.get((key["audienceId"]["S"], key["externalUserId"]["S"])) for key in asked["Keys"]]
        wanted = asked.get("ProjectionExpression", "").split(", ")
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
        ProjectionExpression: str,  # noqa: N803
        ExpressionAttributeNames: dict[str, str],  # noqa: N803
        ExpressionAttributeValues: Row,  # noqa: N803
        ExclusiveStartKey: Row | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        """Read the next few rows of a partition, by key. A page holds `page` rows here, a megabyte there."""
        assert TableName
        assert KeyConditionExpression == "audienceId = :audience"
        names, values = ExpressionAttributeNames, ExpressionAttributeValues
        after = ExclusiveStartKey["externalUserId"]["S"] if ExclusiveStartKey else ""
        partition = sorted(key for key in self.kept if key[0] == values[":audience"]["S"] and key[1] > after)
        read = [self.kept[key] for key in partition[: self.page]]
        wanted = [names.get(name, name) for name in ProjectionExpression.split(", ")]
        found = [
            {name: copy.deepcopy(row[name]) for name in wanted if name in row}
            for row in read
            if _is_true(FilterExpression, row, names, values)
        ]
        answer: dict[str, Any] = {"Items": found, "Count": len(found), "ScannedCount": len(read)}
        if len(partition) > self.page:
            answer["LastEvaluatedKey"] = {name: read[-1][name] for name in ("audienceId", "externalUserId")}
        return answer

    def get_item(self, *, TableName: str, Key: Row, ConsistentRead: bool = False) -> dict[str, Any]:  # noqa: N803
        """Read one row."""
        assert TableName
        del ConsistentRead
        row = self.kept.get((Key["audienceId"]["S"], Key["externalUserId"]["S"]))
        return {"Item": copy.deepcopy(row)} if row is not None else {}

    def put_item(self, *, TableName: str, Item: Row) -> dict[str, Any]:  # noqa: N803
        """Write a row, over what was there."""
        assert TableName
        self.kept[Item["audienceId"]["S"], Item["externalUserId"]["S"]] = copy.deepcopy(Item)
        return {}


def _holds(condition: str, row: Row, names: dict[str, str], values: Row) -> bool:
    return any(_is_true(term.strip(), row, names, values) for term in condition.split(" OR "))


def _is_true(term: str, row: Row, names: dict[str, str], values: Row) -> bool:
    if absent := re.fullmatch(r"attribute_not_exists\((#?\w+)\)", term):
        return names.get(absent[1], absent[1]) not in row
    compared = _COMPARISON.fullmatch(term)
    assert compared, f"not known here: {term}"
    held = row.get(names.get(compared[1], compared[1]))
    if held is None:
        return False
    left, right = _ordered(held), _ordered(values[compared[3]])
    return bool({"<": left < right, "<=": left <= right, ">": left > right, "=": left == right}[compared[2]])


def _ordered(value: Row) -> Any:
    """What DynamoDB compares: numbers, or the bytes of a text."""
    return int(value["N"]) if "N" in value else value["S"].encode()


def _updated(expression: str, key: Row, before: Row | None, names: dict[str, str], values: Row) -> Row:
    row = copy.deepcopy(before) if before is not None else copy.deepcopy(key)
    parts = [part.strip() for part in _CLAUSE.split(expression) if part.strip()]
    for clause, actions in zip(parts[::2], parts[1::2], strict=True):
        for action in re.split(r", (?![^(]*\))", actions):
            words = re.split(r" = | ", action, maxsplit=1)
            name = names.get(words[0], words[0])
            if clause == "REMOVE":
                row.pop(name, None)
            elif clause == "ADD":
                held = row.get(name, {"SS": []})["SS"]
                row[name] = {"SS": sorted({*held, *values[words[1]]["SS"]})}
            else:
                row[name] = _operand(words[1], before or {}, names, values)
    return row


def _operand(text: str, before: Row, names: dict[str, str], values: Row) -> Any:
    if fallback := re.fullmatch(r"if_not_exists\((#?\w+), (:\w+)\)", text):
        name = names.get(fallback[1], fallback[1])
        return copy.deepcopy(before[name]) if name in before else values[fallback[2]]
    return values[text]
