"""DynamoDB: the newest change of every member, and the identifiers Amazon has been told for them.

The `version` of a member's row only ever grows, by a conditional write, so that however many workers overlap, each of
them learns what the newest change is. Rows hold hashes, never clear text; their form stands in rows.py.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from audience_sync.aws.membership_rows import (
    LAST_SENT,
    Member,
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
from audience_sync.aws.secrets import cause
from audience_sync.errors import TransientError, Unavailable
from audience_sync.membership import MembershipChange

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

THREADS = 16  # conditional writes at once; more only queue up behind the interpreter's lock
MAX_KEYS = 100  # of one BatchGetItem


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What the table says of a change: the newest change of its member, as it should be sent."""

    newest: MembershipChange
    is_superseded: bool  # the change asked about is not the newest
    repeat: bool = False  # something else may still be on its way to Amazon: the newest has to follow it


class MembershipTable:
    """The rows of all members."""

    def __init__(self, client: "DynamoDBClient", name: str, now: Callable[[], float], job: float) -> None:
        """Hand in the collaborators.

        Args:
            client: must allow THREADS connections.
            name: of the table.
            now: epoch seconds.
            job: seconds after which an upload prepared now has surely taken effect: what is left of the invocation,
                the settle time and Amazon's own job included.
        """
        self._client = client
        self._name = name
        self._now = now
        self._job = job

    def advance(
        self,
        changes: Sequence[MembershipChange],
        attempted_before: Container[Member] = (),
        has_time: Callable[[], bool] = lambda: True,
    ) -> list[WriteResult | TransientError]:
        """Record each change unless a newer one is known, and tell how it stands. What is not superseded will be sent.

        Args:
            changes: at most one of each member.
            attempted_before: members of whom an older upload may be under way, without anyone knowing.
            has_time: asked before each change.

        Returns:
            For each change its standing, or the error that kept us from knowing it. Once the table does not answer, it
            is not asked for the others: each of them may cost as long.
        """
        trouble: list[Unavailable] = []

        def advance(change: MembershipChange) -> WriteResult | TransientError:
            if not has_time():
                return TransientError("no time left to record the change", retry_after=0.0, reason="out_of_time")
            if trouble:
                return trouble[0]
            standing = self._advance(change, change.member in attempted_before)
            if isinstance(standing, Unavailable):
                trouble.append(standing)
            return standing

        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(advance, changes))

    def versions(self, members: Iterable[Member]) -> dict[Member, str]:
        """Read back the versions of members, consistently. Members without a row are left out. Raises Unavailable."""
        rows = self._read(list(members), "audienceId, externalUserId, version")
        return {member_of(row): row["version"]["S"] for row in rows}

    def newest(self, members: Iterable[Member]) -> list[MembershipChange]:
        """Read the newest changes of members, consistently, each as it should be sent. Raises Unavailable."""
        return [change_from_row(row) for row in self._read(list(members), None)]

    def settled_before(self, members: Iterable[Member], moment: float) -> list[MembershipChange]:
        """Return the newest changes of those members who have not changed since `moment`, in epoch seconds.

        Raises:
            Unavailable: the table does not answer.
        """
        newest = [(row, change_from_row(row)) for row in self._read(list(members), None)]
        return [change for row, change in newest if int(row[LAST_SENT[change.record["action"]]]["N"]) <= moment]

    def forget(self, change: MembershipChange) -> None:
        """Drop the identifiers of a member who asked to be forgotten, unless they have entered again since.

        Raises:
            Unavailable: they are still there.
        """
        update = erase_update(change)
        try:
            self._client.update_item(
                TableName=self._name,
                Key=key_of(change),
                UpdateExpression=update.expression,
                ConditionExpression="version = :version",
                ExpressionAttributeNames=update.names,
                ExpressionAttributeValues=update.values,
            )
        except (ClientError, BotoCoreError) as error:
            if cause(error) != "ConditionalCheckFailedException":
                raise Unavailable(f"the membership table does not answer: {cause(error)}") from None

    def _advance(self, change: MembershipChange, attempted_before: bool) -> WriteResult | TransientError:
        try:
            before = self._write(change, "attribute_not_exists(version) OR version < :version")
            if before is None:
                return WriteResult(change, is_superseded=False)
            if change.exits and not change.forget and change_from_row(before).forget:
                # Forgotten before: what this exit says of the person shall not stay either.
                change = replace(change, forget=True)
                self._write(change, "version = :version")
            whole = with_identities_of(change, before)
            if whole is not change and not change.exits:
                # Two identities of one profile, told in the same moment: the row must hold both.
                self._write(whole, "version = :version")
            return WriteResult(whole, is_superseded=False, repeat=self._contradicts(before, change))
        except _NotNewer as outcome:
            return self._result_for_stale(change, outcome.row, attempted_before)
        except Unavailable as error:
            return error

    def _result_for_stale(
        self, change: MembershipChange, row: Mapping[str, Any], attempted_before: bool
    ) -> WriteResult | TransientError:
        """Tell how a change stands that is not newer than what the table holds."""
        held = change_from_row(row)
        is_superseded = held.version != change.version
        # Where a later exit has overtaken a deletion notice, the person is still owed being forgotten.
        erasure_pending = change.forget and held.exits and bool(held.record["hashedPII"])
        if erasure_pending:
            held = replace(held, forget=True)
        try:
            if is_superseded and held.at == change.at and not held.exits and not change.exits:
                whole = merged(held, change.record["hashedPII"])
                if len(whole.record["hashedPII"]) > len(held.record["hashedPII"]):
                    self._write(whole, "version = :version")
                    return WriteResult(whole, is_superseded=False, repeat=self._contradicts(row, whole))
            if is_superseded and not attempted_before and not erasure_pending:
                return WriteResult(held, is_superseded=True)
            self._date(held)
        except _NotNewer:
            return TransientError("the member has moved on meanwhile", reason="moved_on")
        except Unavailable as error:
            return error
        return WriteResult(held, is_superseded, repeat=is_superseded or self._contradicts(row, held))

    def _contradicts(self, row: Mapping[str, Any], change: MembershipChange) -> bool:
        """Tell whether the opposite of `change` was told so recently that its job may still be running."""
        told = row.get(LAST_SENT["CREATE" if change.exits else "DELETE"])
        return told is not None and self._now() - int(told["N"]) < self._job

    def _date(self, change: MembershipChange) -> None:
        """Note that a recorded change goes out now, however long ago it was recorded. Raises as `_write`."""
        self._update(change, touch_update(change, int(self._now())), "version = :version")

    def _write(self, change: MembershipChange, condition: str) -> dict[str, Any] | None:
        """Write one change under a condition on `:version`. Returns the row that was there before.

        Raises:
            _NotNewer: the condition does not hold.
            Unavailable: the table did not answer.
        """
        try:
            return self._update(change, record_update(change, int(self._now())), condition)
        except _Refused:
            return self._update(change, record_update(change, int(self._now()), is_full=True), condition)

    def _update(self, change: MembershipChange, update: Update, condition: str) -> dict[str, Any] | None:
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
            if cause(error) == "ConditionalCheckFailedException" and "Item" in error.response:
                raise _NotNewer(dict(error.response["Item"])) from None  # type: ignore[typeddict-item]
            if cause(error) == "ValidationException":
                raise _Refused(f"the membership table refuses the row: {cause(error)}") from None
            raise Unavailable(f"the membership table does not answer: {cause(error)}") from None
        except BotoCoreError as error:
            raise Unavailable(f"the membership table does not answer: {cause(error)}") from None
        return dict(answer["Attributes"]) if answer.get("Attributes") else None

    def _read(self, members: Sequence[Member], projection: str | None) -> Iterator[dict[str, Any]]:
        for start in range(0, len(members), MAX_KEYS):
            keys = [
                {"audienceId": {"S": audience_id}, "externalUserId": {"S": external_user_id}}
                for audience_id, external_user_id in members[start : start + MAX_KEYS]
            ]
            request: dict[str, Any] = {self._name: {"Keys": keys, "ConsistentRead": True}}
            if projection:
                request[self._name]["ProjectionExpression"] = projection
            while request:
                try:
                    answer = self._client.batch_get_item(RequestItems=request)
                except (ClientError, BotoCoreError) as error:
                    raise Unavailable(f"the membership table does not answer: {cause(error)}") from None
                yield from answer["Responses"].get(self._name, [])
                if answer.get("UnprocessedKeys") and not answer["Responses"].get(self._name):
                    raise Unavailable("the membership table is throttled")
                request = dict(answer.get("UnprocessedKeys", {}))

    def read(self, member: Member) -> MemberRow | None:
        """Read what is stored about one member, consistently. None where nothing is. Raises Unavailable."""
        audience_id, external_user_id = member
        try:
            answer = self._client.get_item(
                TableName=self._name,
                Key={"audienceId": {"S": audience_id}, "externalUserId": {"S": external_user_id}},
                ConsistentRead=True,
            )
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"the membership table does not answer: {cause(error)}") from None
        return read_row(answer["Item"]) if "Item" in answer else None


class _Refused(Unavailable):
    """The table does not take the row: with all the identities of a shared member id it would be over 400 KB."""


class _NotNewer(Exception):
    """The condition of a write does not hold; `row` is what stands there instead."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        self.row = row
