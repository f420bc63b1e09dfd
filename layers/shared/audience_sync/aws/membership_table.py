"""DynamoDB: the newest change of every member, and the identifiers that were sent for them.

The `version` of a member's row only ever grows, by a conditional write, so that however many workers overlap, each of
them learns which change is the newest. Rows hold hashes, never clear text; membership_rows.py owns their format.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from audience_sync.aws.errors import ConditionFailed, error_code, unavailable
from audience_sync.aws.membership_rows import (
    LAST_SENT,
    MemberRow,
    Update,
    change_from_row,
    erase_update,
    key_of,
    member_of,
    merged,
    read_row,
    record_update,
    touch_update,
    with_identities_of,
)
from audience_sync.errors import MovedOn, OutOfTime, TransientError, Unavailable
from audience_sync.membership import Member, MembershipChange

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

THREADS = 16  # conditional writes at once; more only queue up behind the interpreter's lock
MAX_KEYS = 100  # of one BatchGetItem
_UNAVAILABLE = "the membership table does not answer"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of recording a change: the newest change of its member, as it should be sent."""

    newest: MembershipChange
    is_superseded: bool  # the change to record is not the newest
    repeat: bool = False  # an older upload may still be on its way to Amazon: the newest has to be sent after it


class MembershipTable:
    """The rows of all members."""

    def __init__(
        self, client: "DynamoDBClient", name: str, now: Callable[[], float], effective_after: float = 0.0
    ) -> None:
        """Take the collaborators.

        Args:
            client: must allow THREADS connections.
            name: of the table.
            now: epoch seconds.
            effective_after: seconds after which an upload prepared now has surely taken effect: the rest of the
                invocation, the settle time and Amazon's own job included. Only `record` needs it.
        """
        self._client = client
        self._name = name
        self._now = now
        self._effective_after = effective_after

    def record(
        self,
        changes: Sequence[MembershipChange],
        attempted_before: Container[Member] = (),
        has_time: Callable[[], bool] = lambda: True,
    ) -> list[WriteResult | TransientError]:
        """Record each change unless a newer one is known. What is not superseded is to be sent.

        Args:
            changes: at most one of each member.
            attempted_before: members for whom an older upload may be on its way.
            has_time: asked before each change.

        Returns:
            For each change its result, or the error that prevented it. Once the table does not answer, it is not asked
            for the others: each of them may take as long.
        """
        trouble: list[Unavailable] = []

        def record(change: MembershipChange) -> WriteResult | TransientError:
            if not has_time():
                return OutOfTime("no time left to record the change")
            if trouble:
                return trouble[0]
            result = self._record(change, change.member in attempted_before)
            if isinstance(result, Unavailable):
                trouble.append(result)
            return result

        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(record, changes))

    def versions(self, members: Iterable[Member]) -> dict[Member, str]:
        """Read back the versions of members, consistently. Members without a row are left out. Raises Unavailable."""
        rows = self._read(list(members), "audienceId, externalUserId, version")
        return {member_of(row): row["version"]["S"] for row in rows}

    def newest(self, members: Iterable[Member]) -> list[MembershipChange]:
        """Read the newest changes of members, consistently, each as it should be sent. Raises Unavailable."""
        return [change_from_row(row) for row in self._read(list(members), None)]

    def unchanged_since(self, members: Iterable[Member], moment: float) -> list[MembershipChange]:
        """Return the newest changes of those members that have not changed since `moment`, in epoch seconds.

        Raises:
            Unavailable: the table does not answer.
        """
        newest = [(row, change_from_row(row)) for row in self._read(list(members), None)]
        return [change for row, change in newest if int(row[LAST_SENT[change.record["action"]]]["N"]) <= moment]

    def read(self, member: Member) -> MemberRow | None:
        """Read what is stored about one member, consistently. None where nothing is. Raises Unavailable."""
        audience_id, external_user_id = member
        key: Any = {"audienceId": {"S": audience_id}, "externalUserId": {"S": external_user_id}}
        with unavailable(_UNAVAILABLE):
            answer = self._client.get_item(TableName=self._name, Key=key, ConsistentRead=True)
        return read_row(answer["Item"]) if "Item" in answer else None

    def erase(self, change: MembershipChange) -> None:
        """Drop the identifiers of a member whose deletion was requested, unless a newer change is known by now.

        Raises:
            Unavailable: they are still there.
        """
        update = erase_update(change)
        try:
            with unavailable(_UNAVAILABLE):
                self._client.update_item(
                    TableName=self._name,
                    Key=key_of(change),
                    UpdateExpression=update.expression,
                    ConditionExpression="version = :version",
                    ExpressionAttributeNames=update.names,
                    ExpressionAttributeValues=update.values,
                )
        except ConditionFailed:
            pass

    def _record(self, change: MembershipChange, attempted_before: bool) -> WriteResult | TransientError:
        try:
            before = self._write(change, "attribute_not_exists(version) OR version < :version")
            if before is None:
                return WriteResult(change, is_superseded=False)
            if change.exits and not change.erase and change_from_row(before).erase:
                # The deletion was requested before: the identifiers of this exit must be erased, too.
                change = replace(change, erase=True)
                self._write(change, "version = :version")
            whole = with_identities_of(change, before)
            if whole is not change and not change.exits:
                # Two identities of one profile, sent for the same moment: the row must hold both.
                self._write(whole, "version = :version")
            return WriteResult(whole, is_superseded=False, repeat=self._contradicts(before, change))
        except ConditionFailed as failed:
            if failed.row is None:
                return Unavailable("the row of a member has just expired")
            return self._result_for_stale(change, failed.row, attempted_before)
        except Unavailable as error:
            return error

    def _result_for_stale(
        self, change: MembershipChange, row: Mapping[str, Any], attempted_before: bool
    ) -> WriteResult | TransientError:
        """Return the result for a change that is not newer than the row."""
        held = change_from_row(row)
        is_superseded = held.version != change.version
        # Where a later exit has overtaken a deletion notice, the identifiers must still be erased.
        erasure_pending = change.erase and held.exits and bool(held.record["hashedPII"])
        if erasure_pending:
            held = replace(held, erase=True)
        try:
            if is_superseded and held.at == change.at and not held.exits and not change.exits:
                whole = merged(held, change.record["hashedPII"])
                if len(whole.record["hashedPII"]) > len(held.record["hashedPII"]):
                    self._write(whole, "version = :version")
                    return WriteResult(whole, is_superseded=False, repeat=self._contradicts(row, whole))
            if is_superseded and not attempted_before and not erasure_pending:
                return WriteResult(held, is_superseded=True)
            self._touch(held)
        except ConditionFailed:
            return MovedOn("the member has moved on meanwhile")
        except Unavailable as error:
            return error
        return WriteResult(held, is_superseded, repeat=is_superseded or self._contradicts(row, held))

    def _contradicts(self, row: Mapping[str, Any], change: MembershipChange) -> bool:
        """Return whether the opposite of `change` was sent so recently that its job may still be running."""
        opposite = row.get(LAST_SENT["CREATE" if change.exits else "DELETE"])
        return opposite is not None and self._now() - int(opposite["N"]) < self._effective_after

    def _touch(self, change: MembershipChange) -> None:
        """Record that a known change is sent now, however long ago it was recorded. Raises as `_write`."""
        self._update(change, touch_update(change, int(self._now())), "version = :version")

    def _write(self, change: MembershipChange, condition: str) -> dict[str, Any] | None:
        """Write one change under a condition on `:version`. Returns the row that was there before.

        Raises:
            ConditionFailed: the condition does not hold; carries the row.
            Unavailable: the table did not answer.
        """
        try:
            return self._update(change, record_update(change, int(self._now())), condition)
        except _RowTooLarge:
            return self._update(change, record_update(change, int(self._now()), is_full=True), condition)

    def _update(self, change: MembershipChange, update: Update, condition: str) -> dict[str, Any] | None:
        with unavailable(_UNAVAILABLE):
            try:
                answer = self._client.update_item(
                    TableName=self._name,
                    Key=key_of(change),
                    UpdateExpression=update.expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=update.names,
                    ExpressionAttributeValues=update.values,
                    ReturnValues="ALL_OLD",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if error_code(error) == "ValidationException":
                    raise _RowTooLarge("the membership table refuses the row: ValidationException") from None
                raise
        return dict(answer["Attributes"]) if answer.get("Attributes") else None

    def _read(self, members: Sequence[Member], projection: str | None) -> Iterator[dict[str, Any]]:
        for some in batched(members, MAX_KEYS):
            keys = [
                {"audienceId": {"S": audience_id}, "externalUserId": {"S": external_user_id}}
                for audience_id, external_user_id in some
            ]
            request: dict[str, Any] = {self._name: {"Keys": keys, "ConsistentRead": True}}
            if projection:
                request[self._name]["ProjectionExpression"] = projection
            while request:
                with unavailable(_UNAVAILABLE):
                    answer = self._client.batch_get_item(RequestItems=request)
                yield from answer["Responses"].get(self._name, [])
                if answer.get("UnprocessedKeys") and not answer["Responses"].get(self._name):
                    raise Unavailable("the membership table is throttled")
                request = dict(answer.get("UnprocessedKeys", {}))


class _RowTooLarge(Unavailable):
    """The table does not take the row: with all the identities of a shared member id it would be over 400 KB."""
