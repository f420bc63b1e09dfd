"""Locks on the creation of audiences, in the audience table: acquired before Amazon is called.

Amazon cannot list audiences and has no idempotency key. The lock keeps two requests from creating one audience twice,
and a repeated request finds it if the first answer was lost.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from audience_sync.aws.audience_table import NOT_AN_AUDIENCE, audience_table_call, row_of, written
from audience_sync.aws.client_errors import ConditionFailed
from audience_sync.clock import Clock
from audience_sync.errors import CreationOvertaken, CreationUnderWay, Unavailable
from audience_sync.members.membership import Audience

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CREATIONS_KEY = f"{NOT_AN_AUDIENCE}creations"
STALE_LOCK_AGE = 120_000  # milliseconds; four times as long as a creation can take


class CreationLock(NamedTuple):
    """The creation of one audience, running or completed."""

    key: str
    owner: str  # the only one that may complete it
    started_at: int  # epoch milliseconds
    attempts: int = 1
    audience_id: str | None = None  # once Amazon has answered


def key_of(external_audience_id: str, target: str) -> str:
    """Return the row key of a lock, which cannot be an audience id."""
    digest = hashlib.sha256(f"{target}\n{external_audience_id}".encode()).hexdigest()
    return f"{NOT_AN_AUDIENCE}creation#{digest}"


class CreationLocks:
    """The locks in the audience table. All calls raise Unavailable if the table does not answer."""

    def __init__(self, client: "DynamoDBClient", name: str, new_owner: Callable[[], str]) -> None:
        """Set up the locks; `new_owner` returns a new unique string."""
        self._client = client
        self._name = name
        self._new_owner = new_owner

    @contextmanager
    def held(self, key: str, clock: Clock) -> Iterator[None]:
        """Hold a lock for a while. Raises CreationUnderWay if another request holds it."""
        now = clock.now_ms()
        lock, is_ours = self.acquire(key, now=now)
        left = STALE_LOCK_AGE - (now - lock.started_at)
        if not is_ours and left <= 0:  # the function was stopped
            lock, is_ours = self.take_over(lock, now=now)
        if not is_ours:
            raise CreationUnderWay("the audience is being created", retry_after=max(left, 0) / 1000)
        try:
            yield
        finally:
            with suppress(Unavailable):  # then the lock is held until it counts as stale
                self.release(lock)

    def acquire(self, key: str, *, now: int) -> tuple[CreationLock, bool]:
        """Acquire the lock unless it is held; return the lock in force and whether it is the caller's."""
        wanted = CreationLock(key, self._new_owner(), now)
        held = self._put(wanted, "attribute_not_exists(audienceId)", {})
        return (wanted, True) if held is None else (held, False)

    def take_over(self, stale: CreationLock, *, now: int) -> tuple[CreationLock, bool]:
        """Take over a lock whose owner never completed it. Returns the same as `acquire`."""
        wanted = CreationLock(stale.key, self._new_owner(), now, stale.attempts + 1)
        held = self._put(wanted, "#owner = :stale AND attribute_not_exists(createdId)", {":stale": {"S": stale.owner}})
        return (wanted, True) if held is None else (held, False)

    def complete(self, lock: CreationLock, audience: Audience, *, now: int) -> None:
        """List the audience and complete the lock, both or neither.

        Raises:
            CreationOvertaken: neither was done; another request has taken over.
            Unavailable: neither was done.
        """
        complete = {
            "TableName": self._name,
            "Key": {"audienceId": {"S": lock.key}},
            "UpdateExpression": "SET createdId = :id",
            "ConditionExpression": "#owner = :owner",
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {":id": {"S": audience.audience_id}, ":owner": {"S": lock.owner}},
        }
        listing = {"TableName": self._name, "Item": row_of(audience, now)}
        both: list[Any] = [{"Put": listing}, {"Update": complete}]
        try:
            with audience_table_call():
                self._client.transact_write_items(TransactItems=both)
        except ConditionFailed:
            raise CreationOvertaken("another request has created the audience") from None

    def release(self, lock: CreationLock) -> None:
        """Release the lock of a failed creation, so that the next request need not wait."""
        written(
            self._client.delete_item,
            TableName=self._name,
            Key={"audienceId": {"S": lock.key}},
            ConditionExpression="#owner = :owner",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": lock.owner}},
        )

    def count_creation(self, *, day: int, at_most: int) -> bool:
        """Count an audience that is about to be created; return False if `day`, since the epoch, has `at_most`."""
        key = {"audienceId": {"S": CREATIONS_KEY}}
        return written(
            self._client.put_item,
            TableName=self._name,
            Item=key | {"epochDay": {"N": str(day)}, "creations": {"N": "1"}},
            ConditionExpression="attribute_not_exists(audienceId) OR epochDay < :day",
            ExpressionAttributeValues={":day": {"N": str(day)}},
        ) or written(
            self._client.update_item,
            TableName=self._name,
            Key=key,
            UpdateExpression="ADD creations :one",
            ConditionExpression="creations < :most",
            ExpressionAttributeValues={":one": {"N": "1"}, ":most": {"N": str(at_most)}},
        )

    def take_back_count(self, *, day: int) -> None:
        """Count an audience of a day, since the epoch, no longer."""
        written(
            self._client.update_item,
            TableName=self._name,
            Key={"audienceId": {"S": CREATIONS_KEY}},
            UpdateExpression="ADD creations :less",
            ConditionExpression="epochDay = :day AND creations > :none",
            ExpressionAttributeValues={":less": {"N": "-1"}, ":day": {"N": str(day)}, ":none": {"N": "0"}},
        )

    def remove(self, audience_id: str) -> None:
        """Remove the lock of an audience's creation: the same request then creates another audience.

        Reads the whole table: the key is made of settings that may have changed since.
        """
        named = {"FilterExpression": "createdId = :id", "ExpressionAttributeValues": {":id": {"S": audience_id}}}
        with audience_table_call():
            pages = self._client.get_paginator("scan").paginate(TableName=self._name, **named)  # type: ignore[arg-type]
            for row in [row for page in pages for row in page["Items"]]:
                self._client.delete_item(TableName=self._name, Key={"audienceId": row["audienceId"]})

    def _put(self, lock: CreationLock, condition: str, values: dict[str, Any]) -> CreationLock | None:
        """Write a lock under a condition. Returns the lock in the way if the condition does not hold."""
        write: dict[str, Any] = {
            "TableName": self._name,
            "Item": {
                "audienceId": {"S": lock.key},
                "owner": {"S": lock.owner},
                "startedAt": {"N": str(lock.started_at)},
                "attempts": {"N": str(lock.attempts)},
            },
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if values:
            write |= {"ExpressionAttributeNames": {"#owner": "owner"}, "ExpressionAttributeValues": values}
        try:
            with audience_table_call():
                self._client.put_item(**write)
        except ConditionFailed as failed:
            if failed.row:
                return _lock(failed.row)
            # Without a row there is nothing to take over: its owner has just released it.
            raise Unavailable("the creation lock has just been released", retry_after=1) from None
        return None


def _lock(row: Mapping[str, Any]) -> CreationLock:
    return CreationLock(
        row["audienceId"]["S"],
        row["owner"]["S"],
        int(row["startedAt"]["N"]),
        int(row["attempts"]["N"]),
        row.get("createdId", {}).get("S"),
    )
