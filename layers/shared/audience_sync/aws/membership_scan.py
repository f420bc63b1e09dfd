"""DynamoDB: the active members of an audience that were last sent long ago, page by page.

There is no index by date, which would double the cost of every write: an audience's rows are read in the order of their
keys, and DynamoDB returns only the wanted ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from audience_sync.aws.errors import unavailable
from audience_sync.aws.membership_rows import LAST_SENT, change_from_row, is_exit
from audience_sync.membership import MembershipChange

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_UNAVAILABLE = "the membership table does not answer"


class Cursor(NamedTuple):
    """A position between two rows."""

    audience_id: str
    after: str | None = None  # external user id of the row before it; None at the beginning of the audience


class PageCount(NamedTuple):
    """The members of one page of rows."""

    inside: int  # their newest change is an enter
    outside: int  # their newest change is an exit


@dataclass(frozen=True, slots=True)
class Page:
    """The result of reading up to 1 MB of rows."""

    changes: list[MembershipChange]  # each the newest of its member, and an enter
    rows: int  # read, wanted or not
    next: Cursor | None  # where the audience goes on; None at its end


class MembershipScan:
    """Reads an audience's rows of the membership table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def last_sent_before(self, moment: int, cursor: Cursor) -> Page:
        """Return the next page of active members that were last sent at `moment` (epoch seconds) or earlier.

        Reads are not consistent, which would cost twice: the worker finds out from the row whether a change still is
        the newest.

        Raises:
            Unavailable: the table does not answer.
        """
        start: dict[str, Any] = {}
        if cursor.after is not None:
            start["ExclusiveStartKey"] = {
                "audienceId": {"S": cursor.audience_id},
                "externalUserId": {"S": cursor.after},
            }
        with unavailable(_UNAVAILABLE):
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="audienceId = :audience",
                FilterExpression="#last_sent <= :moment",
                ProjectionExpression="audienceId, externalUserId, #change",
                ExpressionAttributeNames={"#last_sent": LAST_SENT["CREATE"], "#change": "change"},
                ExpressionAttributeValues={":audience": {"S": cursor.audience_id}, ":moment": {"N": str(moment)}},
                **start,
            )
        newest = [change_from_row(row) for row in answer["Items"]]
        # A member who has left since keeps the date of the enter.
        active = [change for change in newest if not change.exits]
        last = answer.get("LastEvaluatedKey")
        next_ = Cursor(cursor.audience_id, last["externalUserId"]["S"]) if last else None
        return Page(active, answer["ScannedCount"], next_)

    def counts(self, audience_id: str) -> Iterator[PageCount]:
        """Count the members of one audience, page by page of up to 1 MB. Not consistent, at half the price.

        Raises:
            Unavailable: the table does not answer.
        """
        start: dict[str, Any] = {}
        while True:
            with unavailable(_UNAVAILABLE):
                page = self._client.query(
                    TableName=self._table,
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
        with unavailable(_UNAVAILABLE):
            return int(self._client.describe_table(TableName=self._table)["Table"]["ItemCount"])
