"""DynamoDB: every rejection reason seen so far, in one row of the membership table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from audience_sync.aws.checkpoint import AUDIT
from audience_sync.aws.client_errors import unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_UNAVAILABLE = "the membership table does not answer"


class SeenReasons:
    """The reported reasons, each with the epoch second at which it last took many events; 0 if it has not.

    Only the audit writes them. All calls raise Unavailable if the table does not answer.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        # In the audit's partition, to which its role is limited.
        self._key: dict[str, Any] = {"audienceShard": {"S": AUDIT}, "externalUserId": {"S": "rejection-reasons"}}

    def all(self) -> dict[str, int]:
        """Return the reasons, by code."""
        with unavailable(_UNAVAILABLE):
            answer = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)
        row = answer.get("Item", {})
        times = {reason: int(at["N"]) for reason, at in row.get("reported", {}).get("M", {}).items()}
        return dict.fromkeys(row.get("reasons", {}).get("SS", ()), 0) | times

    def save(self, reasons: Mapping[str, int]) -> None:
        """Store all reasons, by code; at least one."""
        times = {reason: {"N": str(at)} for reason, at in reasons.items() if at}
        with unavailable(_UNAVAILABLE):
            self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression="SET reasons = :reasons, reported = :times",
                ExpressionAttributeValues={":reasons": {"SS": sorted(reasons)}, ":times": {"M": times}},
            )
