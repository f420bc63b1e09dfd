"""DynamoDB: the stored mappings and their history, two rows of the audience table, for operators.

Unlike `AudienceTable.mappings`, nothing is cached, and every write has a condition: it depends on the rows as read.

The history is one row of bounded size, because ingest reads the whole table every minute: a row for each version would
cost up to a hundred times as much.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from audience_sync.aws.audience_table import MAPPINGS_HISTORY_KEY, MAPPINGS_KEY, audience_table_call

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_DOCUMENT = 380_000  # bytes; a DynamoDB item holds 400 KB
_KEY = {"audienceId": {"S": MAPPINGS_KEY}}
_HISTORY_KEY = {"audienceId": {"S": MAPPINGS_HISTORY_KEY}}


class MappingsRows(NamedTuple):
    """The stored attributes in DynamoDB's format, None if there are none.

    They may have been written by hand, so the document need not even be a string.
    """

    document: Mapping[str, Any] | None
    history: Mapping[str, Any] | None


class MappingsStore:
    """The rows that hold the mappings and their history."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self) -> MappingsRows:
        """Return the stored rows, read consistently.

        Raises:
            Unavailable: the table does not answer.
        """
        with audience_table_call():
            answers = [
                self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
                for key in (_KEY, _HISTORY_KEY)
            ]
        document, history = (answer.get("Item", {}) for answer in answers)
        return MappingsRows(document.get("document"), history.get("versions"))

    def replace(self, before: MappingsRows, text: str | None, history: bytes) -> bool:
        """Store a document and its history, both or neither, unless the stored rows differ from `before`.

        Args:
            before: the result of `read`.
            text: JSON of at most MAX_DOCUMENT bytes; None removes the document, so that the built-in mapping applies.
            history: in any format, a few kilobytes.

        Returns:
            Whether both were stored.

        Raises:
            Unavailable: the table does not answer.
        """
        request = {"TableName": self._table, **_unchanged("document", before.document)}
        document: Any = (
            {"Delete": request | {"Key": _KEY}}
            if text is None
            else {"Put": request | {"Item": _KEY | {"document": {"S": text}}}}
        )
        request = {"TableName": self._table, **_unchanged("versions", before.history)}
        versions: Any = {"Put": request | {"Item": _HISTORY_KEY | {"versions": {"B": history}}}}
        with audience_table_call():
            try:
                self._client.transact_write_items(TransactItems=[document, versions])
            except ClientError as error:
                if _is_overtaken(error):
                    return False
                raise
        return True


def _unchanged(name: str, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the condition that an attribute is unchanged."""
    if before is None:
        return {"ConditionExpression": f"attribute_not_exists({name})"}
    return {"ConditionExpression": f"{name} = :before", "ExpressionAttributeValues": {":before": before}}


def _is_overtaken(error: ClientError) -> bool:
    reasons: Any = error.response.get("CancellationReasons", [])
    return any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons)
