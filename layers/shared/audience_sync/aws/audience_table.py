"""DynamoDB: the audience table, which lists the audiences and holds the mappings. Read on every call.

An audience taken off the list keeps its row, marked as unlinked: its members have rows of their own in the membership
table, and a deletion has to reach them.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from audience_sync.aws.client_errors import ConditionFailed, unavailable
from audience_sync.members.membership import Audience, Destination, FilledBy

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_KEY = 2_048  # bytes of a key; DynamoDB's limit
MAX_FOUND = 50  # listed audiences of one index key; there should be one
BY_COMPUTATION_KEY = "computationKey"  # index names
BY_EXTERNAL_AUDIENCE_ID = "externalAudienceId"
NOT_AN_AUDIENCE = "#"  # begins the keys of all other rows; Amazon's ids are digits
MAPPINGS_KEY = f"{NOT_AN_AUDIENCE}mappings"
MAPPINGS_HISTORY_KEY = f"{MAPPINGS_KEY}-history"
VERSION_KEY = f"{NOT_AN_AUDIENCE}version"

_ATTRIBUTES = {  # attribute of the table: field of Audience
    "audienceId": "audience_id",
    "name": "name",
    "country": "country",
    "computationKey": "computation_key",
    "externalAudienceId": "external_audience_id",
    "settings": "settings",
    "unlinkedAt": "unlinked_at",
    "also": "also",
    "movedTo": "moved_to",
    "filledBy": "filled_by",
}
# Fields of a destination with attributes of their own: the original ones. Later fields are in `destination`.
_OF_DESTINATION = {"advertiserId", "connectionId"}
_IS_LISTED = "attribute_exists(audienceId) AND attribute_not_exists(unlinkedAt)"


class Contents(NamedTuple):
    """The contents of the table."""

    audiences: list[Audience]  # listed
    unlinked: list[Audience]
    mappings: str | None = None  # the stored mappings document as a JSON string; None if none was saved


class AudienceTable:
    """The audiences that events may reach. For an event, unlisted audiences do not exist."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def by_id(self, audience_id: str) -> Audience | None:
        """Return the audience with Amazon's id, None if it is not listed. Raises Unavailable."""
        audience = self.stored(audience_id)
        return audience if audience and audience.unlinked_at is None else None

    def stored(self, audience_id: str) -> Audience | None:
        """Return the audience with Amazon's id, listed or unlinked; None without a row. Raises Unavailable."""
        if audience_id.startswith(NOT_AN_AUDIENCE) or not _can_be_a_key(audience_id):
            return None
        row = self._call(self._client.get_item, TableName=self._name, Key={"audienceId": {"S": audience_id}}).get(
            "Item"
        )
        return _audience(row) if row else None

    def by_computation_key(self, key: str) -> list[Audience]:
        """Return the audiences linked to Segment's computation key; there should be one at most. Raises Unavailable.

        Reads an index, in which a new audience appears a moment later.
        """
        return [each for each in self._found(BY_COMPUTATION_KEY, key) if each.unlinked_at is None]

    def all(self) -> list[Audience]:
        """Return every listed audience. Raises Unavailable."""
        return self.contents().audiences

    def with_unlinked(self) -> list[Audience]:
        """Return every audience, the listed ones first. Raises Unavailable."""
        contents = self.contents()
        return [*contents.audiences, *contents.unlinked]

    def mappings(self) -> str | None:
        """Return the stored mappings document as a JSON string, None if none was saved. Raises Unavailable."""
        key = {"audienceId": {"S": MAPPINGS_KEY}}
        row = self._call(self._client.get_item, TableName=self._name, Key=key).get("Item")
        return _document(row) if row else None

    def version(self) -> int:
        """Return the version of the list, read consistently. Raises Unavailable.

        A consistent read of the contents that begins after this has every audience listed under this version.
        """
        key = {"audienceId": {"S": VERSION_KEY}}
        answer = self._call(self._client.get_item, TableName=self._name, Key=key, ConsistentRead=True)
        return int(answer["Item"]["version"]["N"]) if "Item" in answer else 0

    def raise_version(self) -> None:
        """Mark the list as changed so that functions read it again: after listing an audience, before the answer.

        Not part of the listing transaction: two simultaneous creations would fail each other. Raises Unavailable.
        """
        self._call(
            self._client.update_item,
            TableName=self._name,
            Key={"audienceId": {"S": VERSION_KEY}},
            UpdateExpression="ADD version :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    def contents(self, *, consistent: bool = False) -> Contents:
        """Read the whole table: up to 1 MB in a request, or about 2,000 audiences. Raises Unavailable.

        Args:
            consistent: whether to see every completed write, at twice the price.
        """
        contents = Contents([], [])
        start: dict[str, Any] = {}
        while True:
            page = self._call(self._client.scan, TableName=self._name, ConsistentRead=consistent, **start)
            for row in page["Items"]:
                key = row["audienceId"]["S"]
                if key == MAPPINGS_KEY:
                    contents = contents._replace(mappings=_document(row))
                elif not key.startswith(NOT_AN_AUDIENCE):
                    audience = _audience(row)
                    (contents.audiences if audience.unlinked_at is None else contents.unlinked).append(audience)
            if "LastEvaluatedKey" not in page:
                return contents
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def by_external_audience_id(self, external_audience_id: str) -> list[Audience]:
        """Return the audiences listed under the customer's own id, at most one for each target. Raises Unavailable.

        Reads an index, in which a new audience appears a moment later.
        """
        found = self._found(BY_EXTERNAL_AUDIENCE_ID, external_audience_id)
        return [each for each in found if each.unlinked_at is None]

    def named(self, name: str) -> list[Audience]:
        """Return each audience that has a name of any kind, listed or unlinked, once. Raises Unavailable.

        Reads the indexes, in which a new audience appears a moment later.
        """
        found = [*self._found(BY_COMPUTATION_KEY, name), *self._found(BY_EXTERNAL_AUDIENCE_ID, name)]
        if own := self.stored(name):
            found.append(own)
        return [*{each.audience_id: each for each in found}.values()]

    def put(self, audience: Audience, *, created: int) -> None:
        """List an audience, replacing its row. `created` is in epoch milliseconds. Raises Unavailable."""
        self._call(self._client.put_item, TableName=self._name, Item=row_of(audience, created))
        self.raise_version()

    def add(self, audience: Audience, *, created: int, even_if_unlinked: bool = False) -> bool:
        """List an audience that has no row; return whether it was added. The caller raises the version.

        With `even_if_unlinked`, also one that was unlinked. Raises Unavailable.
        """
        condition = "attribute_not_exists(audienceId)"
        if even_if_unlinked:
            condition += " OR attribute_exists(unlinkedAt)"
        return self._conditional(self._client.put_item, Item=row_of(audience, created), ConditionExpression=condition)

    def change(self, audience_id: str, settings: Mapping[str, Any]) -> bool:
        """Replace the settings of a listed audience; return whether it is still listed. Raises Unavailable."""
        return self._conditional(
            self._client.update_item,
            Key={"audienceId": {"S": audience_id}},
            UpdateExpression="SET settings = :settings",
            ConditionExpression=_IS_LISTED,
            ExpressionAttributeValues={":settings": _attribute_value(dict(settings))},
        )

    def mark(self, audience_id: str, *, also: bool, moved_to: str | None) -> bool:
        """Replace two fields of a listed audience; return whether it is still listed. Raises Unavailable."""
        is_listed = self._conditional(
            self._client.update_item,
            Key={"audienceId": {"S": audience_id}},
            UpdateExpression="SET also = :also" + (", movedTo = :to" if moved_to else " REMOVE movedTo"),
            ConditionExpression=_IS_LISTED,
            ExpressionAttributeValues={":also": {"BOOL": also}} | ({":to": {"S": moved_to}} if moved_to else {}),
        )
        self.raise_version()
        return is_listed

    def unlink(self, audience_id: str, *, at: int, replacement: str | None = None) -> bool:
        """Take an audience off the list; return whether it was listed. `at` is in epoch milliseconds.

        At Amazon it stays, and its row keeps its names, by which somebody may know it. With `replacement`, which gets
        its events, both must be listed, and `replacement` not moved to it. Raises Unavailable.
        """
        unlink = {
            "Key": {"audienceId": {"S": audience_id}},
            "UpdateExpression": "SET unlinkedAt = :at",
            "ExpressionAttributeValues": {":at": {"N": str(at)}},
        }
        if replacement is None:
            is_unlinked = self._conditional(self._client.update_item, ConditionExpression=_IS_LISTED, **unlink)
        else:
            is_unlinked = self._unlink_beside(audience_id, unlink, replacement)
        self.raise_version()  # if two audiences share a key, the other one now gets the events
        return is_unlinked

    def _unlink_beside(self, audience_id: str, unlink: dict[str, Any], replacement: str) -> bool:
        """Unlink an audience if it and its replacement are listed, and the latter is not moved to it; return if so."""
        # An update that changes nothing: a ConditionCheck would need a permission of its own.
        unchanged = {
            "Key": {"audienceId": {"S": replacement}},
            "UpdateExpression": "REMOVE unlinkedAt",
            "ConditionExpression": f"{_IS_LISTED} AND (attribute_not_exists(movedTo) OR movedTo <> :id)",
            "ExpressionAttributeValues": {":id": {"S": audience_id}},
        }
        is_listed = {"TableName": self._name, "ConditionExpression": _IS_LISTED}
        writes: list[Any] = [{"Update": is_listed | update} for update in (unlink, unchanged)]
        try:
            with audience_table_call():
                self._client.transact_write_items(TransactItems=writes)
        except ConditionFailed:
            return False
        return True

    def remove_unlinked(self, *, before: int) -> None:
        """Remove the rows of audiences unlinked before a time, in epoch milliseconds. Raises Unavailable.

        Rows of moved audiences stay: Segment's events may name their ids for as long as it has them.
        """
        for each in self.contents().unlinked:
            self._conditional(
                self._client.delete_item,
                Key={"audienceId": {"S": each.audience_id}},
                ConditionExpression="unlinkedAt < :before AND attribute_not_exists(movedTo)",
                ExpressionAttributeValues={":before": {"N": str(before)}},
            )

    def _conditional(self, operation: Callable[..., Any], **arguments: Any) -> bool:
        return written(operation, TableName=self._name, **arguments)

    def _found(self, index: str, key: str) -> list[Audience]:
        """Query an index, which has the name of its key attribute; unlinked audiences are in it too."""
        if not _can_be_a_key(key):
            return []
        rows = self._call(
            self._client.query,
            TableName=self._name,
            IndexName=index,
            KeyConditionExpression=f"{index} = :key",
            ExpressionAttributeValues={":key": {"S": key}},
        )["Items"]
        return [_audience(row) for row in rows]

    def _call(self, operation: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
        with audience_table_call():
            answer: dict[str, Any] = operation(**arguments)
        return answer

    def created(self, audience_id: str) -> int | None:
        """Return the time an audience was first listed, in epoch milliseconds; None if it has no row.

        Raises:
            Unavailable: the table does not answer.
        """
        row = self._call(self._client.get_item, TableName=self._name, Key={"audienceId": {"S": audience_id}}).get(
            "Item", {}
        )
        return int(row["created"]["N"]) if "created" in row else None


def audience_table_call() -> AbstractContextManager[None]:
    """Return a context for calls to the audience table: their failures become Unavailable or ConditionFailed."""
    return unavailable("the audience table does not answer", retry_after=1)


def written(operation: Callable[..., Any], **arguments: Any) -> bool:
    """Make a conditional write; return whether its condition holds. Raises Unavailable."""
    try:
        with audience_table_call():
            operation(**arguments)
    except ConditionFailed:
        return False
    return True


def row_of(audience: Audience, created: int) -> dict[str, Any]:
    """Build the row of an audience. `created` is in epoch milliseconds; empty fields are left out."""
    fields = audience.destination.fields
    values = {attribute: getattr(audience, field) for attribute, field in _ATTRIBUTES.items()}
    values |= fields if fields.keys() <= _OF_DESTINATION else {"destination": fields}
    filled = {attribute: value for attribute, value in values.items() if value not in (None, "", False)}
    return {attribute: _attribute_value(value) for attribute, value in (filled | {"created": created}).items()}


def _document(row: Mapping[str, Any]) -> str:
    # A row written by hand without a string is not JSON either, and is refused as such.
    return str(row.get("document", {}).get("S", ""))


def _can_be_a_key(text: str) -> bool:
    """Return whether DynamoDB accepts a string as a key; its error would fail a whole request because of one event."""
    try:
        return 0 < len(text.encode()) <= MAX_KEY
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write
        return False


def _whole(value: Any) -> Any:
    # All our numbers are whole, and JSON has no Decimal.
    return int(value) if isinstance(value, Decimal) else value


# The two functions below import all of boto3. Lambda has loaded it for its clients; the command line imports this
# module even if it calls no AWS, as for completion.


def _attribute_value(value: Any) -> Any:
    from boto3.dynamodb.types import TypeSerializer  # noqa: PLC0415 - see above

    return TypeSerializer().serialize(value)


def _audience(row: Mapping[str, Any]) -> Audience:
    from boto3.dynamodb.types import TypeDeserializer  # noqa: PLC0415 - see above

    deserialize = TypeDeserializer().deserialize
    held = {name: deserialize(value) for name, value in row.items()}
    values = {field: _whole(held[name]) for name, field in _ATTRIBUTES.items() if name in held}
    settings = {name: _whole(value) for name, value in held.get("settings", {}).items()}
    fields = held.get("destination", {name: _whole(held.get(name)) for name in _OF_DESTINATION})
    values["filled_by"] = FilledBy(who) if (who := held.get("filledBy", "")) in FilledBy else FilledBy.UNKNOWN
    return Audience(**values | {"settings": settings, "destination": Destination.of(fields)})
