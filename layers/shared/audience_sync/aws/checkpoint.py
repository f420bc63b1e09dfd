"""DynamoDB: the progress of a repeated task, in a row of the membership table."""

from typing import TYPE_CHECKING, Any

from audience_sync.aws.client_errors import ConditionFailed, unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Partitions of the membership table, one for each task, so that each role can be limited to its own. No audience id
# looks like them.
AUDIT, RENEWAL, DATASETS, PUBLISHED = "#audit", "#renewal", "#datasets", "#published"
FINDINGS = "findings"  # a row of the audit
_UNAVAILABLE = "the membership table does not answer"


class Checkpoint:
    """The position of one task. All calls raise Unavailable if the table does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str, partition: str, name: str = "checkpoint") -> None:
        self._client = client
        self._table = table
        self._key: dict[str, Any] = {"audienceShard": {"S": partition}, "externalUserId": {"S": name}}

    def time(self) -> int | None:
        """Return the time up to which the task is done, in epoch seconds; None before the first one is set."""
        row = self._read()
        return int(row["until"]["N"]) if "until" in row else None

    def began(self) -> int | None:
        """Return the first time that was set, in epoch seconds; None if unknown."""
        row = self._read()
        return int(row["since"]["N"]) if "since" in row else None

    def begin(self, since: int) -> None:
        """Set the first time, unless one is set already."""
        self._set("SET #until = :until, since = :until", "attribute_not_exists(#until)", since)

    def advance(self, until: int) -> None:
        """Set the time, unless a later one is set already."""
        self._set("SET #until = :until", "attribute_not_exists(#until) OR #until < :until", until)

    def _set(self, expression: str, condition: str, until: int) -> None:
        try:
            with unavailable(_UNAVAILABLE):
                self._client.update_item(
                    TableName=self._table,
                    Key=self._key,
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#until": "until"},
                    ExpressionAttributeValues={":until": {"N": str(until)}},
                )
        except ConditionFailed:
            pass

    def position(self) -> dict[str, str]:
        """Return the position at which the task stopped, by attribute; empty if it reached its end."""
        row = self._read()
        return {name: value["S"] for name, value in row.items() if name not in self._key}

    def save(self, position: dict[str, str]) -> None:
        """Record the position at which the task stops; empty if it has reached its end."""
        row = self._key | {name: {"S": value} for name, value in position.items()}
        with unavailable(_UNAVAILABLE):
            self._client.put_item(TableName=self._table, Item=row)

    def _read(self) -> dict[str, Any]:
        with unavailable(_UNAVAILABLE):
            answer = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)
        return dict(answer.get("Item", {}))
