"""DynamoDB: how far are the books closed?"""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from audience_sync.aws.secrets import cause
from audience_sync.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PARTITION = "#accounts"  # of the membership table; no audience id looks like it


class Checkpoint:
    """One time that only ever grows, in a row of the membership table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._key: dict[str, Any] = {"audienceId": {"S": PARTITION}, "externalUserId": {"S": "closed"}}

    def read(self) -> int | None:
        """Return the time, in epoch seconds; None before the first one is set. Raises Unavailable."""
        try:
            row = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=True).get("Item", {})
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"the membership table does not answer: {cause(error)}") from None
        return int(row["until"]["N"]) if "until" in row else None

    def move(self, until: int) -> None:
        """Set the time, unless a later one is set already. Raises Unavailable."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression="SET #until = :until",
                ConditionExpression="attribute_not_exists(#until) OR #until < :until",
                ExpressionAttributeNames={"#until": "until"},
                ExpressionAttributeValues={":until": {"N": str(until)}},
            )
        except (ClientError, BotoCoreError) as error:
            if cause(error) != "ConditionalCheckFailedException":
                raise Unavailable(f"the membership table does not answer: {cause(error)}") from None
