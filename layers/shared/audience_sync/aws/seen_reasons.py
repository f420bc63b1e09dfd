"""DynamoDB: every rejection reason seen so far, in one row of the membership table."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from audience_sync.aws.checkpoint import AUDIT
from audience_sync.aws.errors import unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_UNAVAILABLE = "the membership table does not answer"


class SeenReasons:
    """The reported reasons. All calls raise Unavailable if the table does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        # In the audit's partition, to which its role is limited.
        self._key: dict[str, Any] = {"audienceShard": {"S": AUDIT}, "externalUserId": {"S": "rejection-reasons"}}

    def all(self) -> frozenset[str]:
        """Return the reason codes."""
        with unavailable(_UNAVAILABLE):
            answer = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)
        return frozenset(answer.get("Item", {}).get("reasons", {}).get("SS", ()))

    def add(self, reasons: Collection[str]) -> None:
        """Add reason codes; at least one."""
        with unavailable(_UNAVAILABLE):
            self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression="ADD reasons :reasons",
                ExpressionAttributeValues={":reasons": {"SS": sorted(reasons)}},
            )
