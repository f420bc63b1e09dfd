"""DynamoDB: the stored mappings, one row of the audience table, as an operator reads and replaces them.

Without the cache of `AudienceTable.mappings`, and with every write under a condition: a write depends on what was read.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from audience_sync.aws.audience_table import MAPPINGS_KEY, audience_table_call
from audience_sync.aws.errors import ConditionFailed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_DOCUMENT = 380_000  # bytes; a DynamoDB item holds 400 KB
_KEY = {"audienceId": {"S": MAPPINGS_KEY}}


class MappingsStore:
    """The row that holds the mappings."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self) -> Mapping[str, Any] | None:
        """Return the stored attribute as DynamoDB has it, consistently; None where there is none.

        It may have been written by hand, so that it need not even be a text.

        Raises:
            Unavailable: the table does not answer.
        """
        with audience_table_call():
            answer = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        return answer.get("Item", {}).get("document")

    def replace(self, before: Mapping[str, Any] | None, text: str) -> bool:
        """Store a document, unless something else than `before` is stored by now; return whether it was stored.

        Args:
            before: what `read` returned.
            text: JSON of at most MAX_DOCUMENT bytes.

        Raises:
            Unavailable: the table does not answer.
        """
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(document)"}
        if before is not None:
            condition = {"ConditionExpression": "document = :before", "ExpressionAttributeValues": {":before": before}}
        try:
            with audience_table_call():
                self._client.put_item(TableName=self._table, Item=_KEY | {"document": {"S": text}}, **condition)
        except ConditionFailed:
            return False
        return True
