"""What is about to be created at Amazon, noted in the audience table before Amazon is asked.

Amazon lists no audiences and knows no idempotency key. The note is what keeps two requests from creating one audience
twice, and what a repeat finds when the first answer went astray.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from audience_sync.aws.audience_table import NOT_AN_AUDIENCE, row_of, unavailable
from audience_sync.aws.secrets import cause
from audience_sync.errors import Unavailable
from audience_sync.membership import Audience

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class CreationLock(NamedTuple):
    """One audience that somebody is creating, or has created."""

    key: str
    owner: str  # who may finish it
    started_at: int  # epoch milliseconds
    attempts: int = 1
    audience_id: str | None = None  # once Amazon has named it


def key_of(external_audience_id: str, target: str) -> str:
    """Return the row key of an intent, which no audience id can be."""
    digest = hashlib.sha256(f"{target}\n{external_audience_id}".encode()).hexdigest()
    return f"{NOT_AN_AUDIENCE}intent#{digest}"


class CreationLocks:
    """The intents in the audience table. All calls raise Unavailable where the table does not answer."""

    def __init__(self, client: "DynamoDBClient", name: str, new_owner: Callable[[], str]) -> None:
        """Hand in the collaborators; `new_owner` returns a text that it never returned before."""
        self._client = client
        self._name = name
        self._new_owner = new_owner

    def begin(self, key: str, *, now: int) -> tuple[CreationLock, bool]:
        """Take the lock unless somebody holds it; return the lock in force, and whether it is the caller's."""
        wanted = CreationLock(key, self._new_owner(), now)
        held = self._put(wanted, "attribute_not_exists(audienceId)", {})
        return (wanted, True) if held is None else (held, False)

    def take_over(self, left: CreationLock, *, now: int) -> tuple[CreationLock, bool]:
        """Begin again what somebody has left unfinished. Returns as `begin`."""
        wanted = CreationLock(left.key, self._new_owner(), now, left.attempts + 1)
        held = self._put(wanted, "#owner = :left AND attribute_not_exists(createdId)", {":left": {"S": left.owner}})
        return (wanted, True) if held is None else (held, False)

    def complete(self, intent: CreationLock, audience: Audience, *, now: int) -> None:
        """List the audience and finish the intent, both or neither.

        Raises:
            Unavailable: neither was done; with reason `creation_overtaken` where somebody else has taken over.
        """
        finish = {
            "TableName": self._name,
            "Key": {"audienceId": {"S": intent.key}},
            "UpdateExpression": "SET createdId = :id",
            "ConditionExpression": "#owner = :owner",
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {":id": {"S": audience.audience_id}, ":owner": {"S": intent.owner}},
        }
        listing = {"TableName": self._name, "Item": row_of(audience, now)}
        both: list[Any] = [{"Put": listing}, {"Update": finish}]
        try:
            self._client.transact_write_items(TransactItems=both)
        except (ClientError, BotoCoreError) as error:
            if _is_refused(error):
                raise Unavailable(
                    "somebody else has created the audience meanwhile", reason="creation_overtaken"
                ) from None
            raise unavailable(error) from None

    def release(self, intent: CreationLock) -> None:
        """Take an intent back, because nothing was created: the next request need not wait."""
        try:
            self._client.delete_item(
                TableName=self._name,
                Key={"audienceId": {"S": intent.key}},
                ConditionExpression="#owner = :owner",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={":owner": {"S": intent.owner}},
            )
        except (ClientError, BotoCoreError) as error:
            if cause(error) != "ConditionalCheckFailedException":
                raise unavailable(error) from None

    def forget(self, audience_id: str) -> None:
        """Drop what remains of the creation of an audience: the same request then creates another one.

        Reads the whole table, for an operator: the row is named after settings that may have changed since.
        """
        named = {"FilterExpression": "createdId = :id", "ExpressionAttributeValues": {":id": {"S": audience_id}}}
        try:
            pages = self._client.get_paginator("scan").paginate(TableName=self._name, **named)  # type: ignore[arg-type]
            for row in [row for page in pages for row in page["Items"]]:
                self._client.delete_item(TableName=self._name, Key={"audienceId": row["audienceId"]})
        except (ClientError, BotoCoreError) as error:
            raise unavailable(error) from None

    def _put(self, intent: CreationLock, condition: str, values: dict[str, Any]) -> CreationLock | None:
        """Write an intent under a condition. Returns the one that stands there instead, where it does not hold."""
        write: dict[str, Any] = {
            "TableName": self._name,
            "Item": {
                "audienceId": {"S": intent.key},
                "owner": {"S": intent.owner},
                "startedAt": {"N": str(intent.started_at)},
                "attempts": {"N": str(intent.attempts)},
            },
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if values:
            write |= {"ExpressionAttributeNames": {"#owner": "owner"}, "ExpressionAttributeValues": values}
        try:
            self._client.put_item(**write)
        except (ClientError, BotoCoreError) as error:
            held = error.response.get("Item") if isinstance(error, ClientError) else None
            if cause(error) == "ConditionalCheckFailedException" and held:
                return _intent(held)  # type: ignore[arg-type]
            # Without a row there is nothing to take over: whoever had it has just taken it back.
            raise unavailable(error) from None
        return None


def _intent(row: Mapping[str, Any]) -> CreationLock:
    return CreationLock(
        row["audienceId"]["S"],
        row["owner"]["S"],
        int(row["startedAt"]["N"]),
        int(row["attempts"]["N"]),
        row.get("createdId", {}).get("S"),
    )


def _is_refused(error: Exception) -> bool:
    if not isinstance(error, ClientError) or cause(error) != "TransactionCanceledException":
        return False
    reasons: Any = error.response.get("CancellationReasons", [])
    return any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons)
