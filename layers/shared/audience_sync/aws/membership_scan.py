"""DynamoDB: the members who entered an audience long ago, by page, and where the last reading stopped.

There is no index by date, which would double the cost of every write: an audience's rows are read in the order of their
keys, and all but the wanted ones stay in DynamoDB. The bookmark is a row of the membership table, since a table of its
own would be one more thing to own for one row.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from audience_sync.aws.membership_rows import LAST_SENT, change_from_row, is_exit
from audience_sync.aws.secrets import cause
from audience_sync.errors import Unavailable
from audience_sync.membership import MembershipChange

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PARTITION = "#renewal"  # of the bookmark; no audience id looks like it
_BOOKMARK = {"audienceId": {"S": PARTITION}, "externalUserId": {"S": "bookmark"}}


class Cursor(NamedTuple):
    """A place between two rows."""

    audience_id: str
    after: str | None = None  # external user id of the row before it; None at the beginning of the audience


@dataclass(frozen=True, slots=True)
class Page:
    """What one reading of up to 1 MB of rows has found."""

    changes: list[MembershipChange]  # each the newest of its member, and an entry
    rows: int  # read, wanted or not
    next: Cursor | None  # where the audience goes on


class PageCount(NamedTuple):
    """The members that one page of rows holds."""

    inside: int  # their newest change is an entry
    outside: int  # their newest change is an exit


class MembershipScan:
    """The rows of the membership table whose members are in."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def last_sent_before(self, moment: int, place: Cursor) -> Page:
        """Read on from a place: who is in, and was last told to Amazon at `moment` (epoch seconds) or earlier.

        Does not ask for consistency, which costs twice: whoever acts on a change learns from its row whether it still
        is the newest.

        Raises:
            Unavailable: the table does not answer.
        """
        further: dict[str, Any] = {}
        if place.after is not None:
            further["ExclusiveStartKey"] = {
                "audienceId": {"S": place.audience_id},
                "externalUserId": {"S": place.after},
            }
        answer = self._call(
            self._client.query,
            KeyConditionExpression="audienceId = :audience",
            FilterExpression="#last_sent <= :moment",
            ProjectionExpression="audienceId, externalUserId, #change",
            ExpressionAttributeNames={"#last_sent": LAST_SENT["CREATE"], "#change": "change"},
            ExpressionAttributeValues={":audience": {"S": place.audience_id}, ":moment": {"N": str(moment)}},
            **further,
        )
        newest = [change_from_row(row) for row in answer["Items"]]
        last = answer.get("LastEvaluatedKey")
        return Page(
            [change for change in newest if not change.exits],  # who has left since keeps the date of having entered
            answer["ScannedCount"],
            Cursor(place.audience_id, last["externalUserId"]["S"]) if last else None,
        )

    def bookmark(self) -> Cursor | None:
        """Return where the last reading stopped, None where it came to the end. Raises Unavailable."""
        row = self._call(self._client.get_item, Key=_BOOKMARK).get("Item", {})
        after = row.get("after", {}).get("S")
        return Cursor(row["audience"]["S"], after) if "audience" in row else None

    def save_cursor(self, place: Cursor | None) -> None:
        """Note where a reading stops; None where it has come to the end. Raises Unavailable."""
        row: dict[str, Any] = dict(_BOOKMARK)
        if place is not None:
            row["audience"] = {"S": place.audience_id}
            row |= {"after": {"S": place.after}} if place.after is not None else {}
        self._call(self._client.put_item, Item=row)

    def _call(self, operation: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = operation(TableName=self._table, **arguments)
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"the membership table does not answer: {cause(error)}") from None
        return answer

    def counts(self, audience_id: str) -> Iterator[PageCount]:
        """Count the members of one audience, page by page of up to 1 MB. Not consistent, at half the price.

        Raises:
            Unavailable: the table does not answer.
        """
        start: dict[str, Any] = {}
        while True:
            page = self._call(
                self._client.query,
                KeyConditionExpression="audienceId = :audience",
                ProjectionExpression="version",
                ExpressionAttributeValues={":audience": {"S": audience_id}},
                **start,
            )
            outside = sum(is_exit(row["version"]["S"]) for row in page["Items"])
            yield PageCount(len(page["Items"]) - outside, outside)
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def approximate_rows(self) -> int:
        """Return about how many rows the table has; DynamoDB counts them every six hours. Raises Unavailable."""
        return int(self._call(self._client.describe_table)["Table"]["ItemCount"])
