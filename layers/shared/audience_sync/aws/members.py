"""DynamoDB: the newest change of every member, and the identifiers Amazon has been told for them.

One row a member. Its `version` only ever grows, by a conditional write, so that however many workers overlap, each of
them learns what the newest change is. Rows hold hashes, never clear text.
"""

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from audience_sync.aws.secrets import cause
from audience_sync.errors import TransientError, Unavailable
from audience_sync.membership import MAX_IDENTITIES, MembershipChange, Version

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

THREADS = 16  # conditional writes at once; more only queue up behind the interpreter's lock
MAX_KEYS = 100  # of one BatchGetItem
KEEP_MEMBER = 34_300_800  # seconds; 397 days, the longest Amazon keeps a member
KEEP_EXIT = 30 * 86_400  # seconds; longer than any retry, queue or dead letter can hold back an older entry

# Entries and exits are dated apart: whoever contradicts the one must know its date, however often the other was told.
_TOLD = {"CREATE": "entered", "DELETE": "exited"}
_ADVANCE = "SET version = :version, #change = :change, expiresAt = :expires, #told = :now"

Member = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
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
        self, changes: Sequence[MembershipChange], tried: Container[Member] = ()
    ) -> list[Standing | TransientError]:
        """Record each change unless a newer one is known, and tell how it stands. What is not superseded will be sent.

        Args:
            changes: at most one of each member.
            tried: members of whom an older upload may be under way, without anyone knowing.

        Returns:
            For each change its standing, or the error that kept us from knowing it.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda change: self._advance(change, change.member in tried), changes))

    def versions(self, members: Iterable[Member]) -> dict[Member, str]:
        """Read back the versions of members, consistently. Members without a row are left out. Raises Unavailable."""
        rows = self._read(list(members), "audienceId, externalUserId, version")
        return {_member(row): row["version"]["S"] for row in rows}

    def newest(self, members: Iterable[Member]) -> list[MembershipChange]:
        """Read the newest changes of members, consistently, each as it should be sent. Raises Unavailable."""
        return [_to_send(row) for row in self._read(list(members), None)]

    def settled_before(self, members: Iterable[Member], moment: float) -> list[MembershipChange]:
        """Return the newest changes of those members who have not changed since `moment`, in epoch seconds.

        Raises:
            Unavailable: the table does not answer.
        """
        newest = [(row, _to_send(row)) for row in self._read(list(members), None)]
        return [change for row, change in newest if int(row[_TOLD[change.record["action"]]]["N"]) <= moment]

    def forget(self, change: MembershipChange) -> None:
        """Drop the identifiers of a member who asked to be forgotten, unless they have entered again since.

        Raises:
            Unavailable: they are still there.
        """
        bare = replace(change, record=change.record | {"hashedPII": []})
        try:
            self._client.update_item(
                TableName=self._name,
                Key=_key(change),
                UpdateExpression="SET #change = :change REMOVE identities",
                ConditionExpression="version = :version",
                ExpressionAttributeNames={"#change": "change"},
                ExpressionAttributeValues={
                    ":change": {"S": _as_text(bare)},
                    ":version": {"S": version_text(change.version)},
                },
            )
        except (ClientError, BotoCoreError) as error:
            if cause(error) != "ConditionalCheckFailedException":
                raise Unavailable(f"the membership table does not answer: {cause(error)}") from None

    def _advance(self, change: MembershipChange, tried: bool) -> Standing | TransientError:
        try:
            before = self._write(change, "attribute_not_exists(version) OR version < :version")
            if before is None:
                return Standing(change, is_superseded=False)
            merged = _with_identities_of(change, before)
            if merged is not change and not change.exits:
                # Two identities of one profile, told in the same moment: the row must hold both.
                self._write(merged, "version = :version")
            return Standing(merged, is_superseded=False, repeat=self._contradicts(before, change))
        except _NotNewer as outcome:
            return self._standing(change, outcome.row, tried)
        except Unavailable as error:
            return error

    def _standing(self, change: MembershipChange, row: Mapping[str, Any], tried: bool) -> Standing | TransientError:
        """Tell how a change stands that is not newer than what the table holds."""
        held = _to_send(row)
        is_superseded = held.version != change.version
        try:
            if is_superseded and held.at == change.at and not held.exits and not change.exits:
                merged = _merged(held, change.record["hashedPII"])
                if len(merged.record["hashedPII"]) > len(held.record["hashedPII"]):
                    self._write(merged, "version = :version")
                    return Standing(merged, is_superseded=False, repeat=self._contradicts(row, merged))
            if is_superseded and not tried:
                return Standing(held, is_superseded=True)
            self._date(held)
        except _NotNewer:
            return Unavailable("the membership table changed meanwhile")
        except Unavailable as error:
            return error
        return Standing(held, is_superseded, repeat=is_superseded or self._contradicts(row, held))

    def _contradicts(self, row: Mapping[str, Any], change: MembershipChange) -> bool:
        """Tell whether the opposite of `change` was told so recently that its job may still be running."""
        told = row.get(_TOLD["CREATE" if change.exits else "DELETE"])
        return told is not None and self._now() - int(told["N"]) < self._job

    def _date(self, change: MembershipChange) -> None:
        """Note that a recorded change goes out now, however long ago it was recorded. Raises as `_write`."""
        self._update(
            change,
            "SET #told = :now",
            "version = :version",
            {"#told": _TOLD[change.record["action"]]},
            {":version": {"S": version_text(change.version)}, ":now": {"N": str(int(self._now()))}},
        )

    def _write(self, change: MembershipChange, condition: str) -> dict[str, Any] | None:
        """Write one change under a condition on `:version`. Returns the row that was there before.

        Raises:
            _NotNewer: the condition does not hold.
            Unavailable: the table did not answer.
        """
        identities = sorted(_canonical(identity) for identity in change.record["hashedPII"])
        now = int(self._now())
        values: dict[str, Any] = {
            ":version": {"S": version_text(change.version)},
            ":change": {"S": _as_text(change)},
            ":expires": {"N": str(now + (KEEP_EXIT if change.exits else KEEP_MEMBER))},
            ":now": {"N": str(now)},
        }
        add = ""
        if identities:
            values[":identities"] = {"SS": identities}
            add = " ADD identities :identities"
        names = {"#change": "change", "#told": _TOLD[change.record["action"]]}
        return self._update(change, _ADVANCE + add, condition, names, values)

    def _update(
        self, change: MembershipChange, update: str, condition: str, names: dict[str, str], values: dict[str, Any]
    ) -> dict[str, Any] | None:
        try:
            answer = self._client.update_item(
                TableName=self._name,
                Key=_key(change),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if cause(error) == "ConditionalCheckFailedException" and "Item" in error.response:
                raise _NotNewer(dict(error.response["Item"])) from None  # type: ignore[typeddict-item]
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


class _NotNewer(Exception):
    """The condition of a write does not hold; `row` is what stands there instead."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__()
        self.row = row


def version_text(version: Version) -> str:
    """Write a version so that texts compare as versions do."""
    return f"{version.at:016d}#{int(version.exits)}#{version.message_id}"


def _key(change: MembershipChange) -> dict[str, Any]:
    return {"audienceId": {"S": change.member[0]}, "externalUserId": {"S": change.member[1]}}


def _member(row: Mapping[str, Any]) -> Member:
    return row["audienceId"]["S"], row["externalUserId"]["S"]


def _as_text(change: MembershipChange) -> str:
    target = {"connectionId": change.connection_id, "targetTypes": change.target_types}
    return json.dumps(change.as_json() | target, separators=(",", ":"))


def _to_send(row: Mapping[str, Any]) -> MembershipChange:
    """Read a row's change; an exit takes along every identifier that was ever sent for the member."""
    told = json.loads(row["change"]["S"])
    change = MembershipChange(
        row["audienceId"]["S"],
        told["connectionId"],
        told["at"],
        told["id"],
        told["record"],
        told.get("forget", False),
        tuple(told.get("targetTypes", ())),
    )
    return _merged(change, _identities(row)) if change.exits else change


def _with_identities_of(change: MembershipChange, before: Mapping[str, Any]) -> MembershipChange:
    if change.exits:
        return _merged(change, _identities(before))
    held = _to_send(before)
    if held.at == change.at and not held.exits:
        return _merged(change, held.record["hashedPII"])
    return change


def _identities(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [json.loads(text) for text in row.get("identities", {}).get("SS", [])]


def _merged(change: MembershipChange, identities: Iterable[dict[str, str]]) -> MembershipChange:
    """Add identities to a change, its own first. Returns the change itself where there are none to add."""
    own = {_canonical(identity): identity for identity in change.record["hashedPII"]}
    added = {text: identity for identity in identities if (text := _canonical(identity)) not in own}
    if not added:
        return change
    kept = [*own.values(), *(added[text] for text in sorted(added))][:MAX_IDENTITIES]
    return replace(change, record=change.record | {"hashedPII": kept})


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
