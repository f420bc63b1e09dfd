"""DynamoDB: the rows of an audience or of a whole table, page by page.

Renewal reads active members last sent long ago, `status` reads counts, a comparison with a file reads the members of
one audience; a restore and a search for a person read every row.

There is no index by date or by hash, which would double the cost of every write: an audience's rows are read in key
order, one shard after the other, and DynamoDB returns only the matching ones. In a search no filter decides, since
nothing documents how it compares parts of a binary value.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from audience_sync.aws.client_errors import unavailable
from audience_sync.aws.membership_rows import Sharding, StoredMember, member_of, state_from_row, stored_member
from audience_sync.clock import Clock
from audience_sync.errors import RowUnreadable
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import EVERY_AUDIENCE, Member, MembershipChange, Version

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SEGMENTS = 4  # of the table, read at the same time
READ_UNIT = 8_192  # bytes; not consistent, at half the price
_NOT_MEMBERS = ("#", f"{EVERY_AUDIENCE}#")  # begin the partitions of the stack's own rows and of deletion notices
_UNAVAILABLE = "the membership table does not answer"


class Cursor(NamedTuple):
    """A position between two rows."""

    audience_id: str
    shard: int = 0
    after: str | None = None  # external user id of the row before it; None at the beginning of the shard


class TableSize(NamedTuple):
    """The approximate size of a table; DynamoDB counts every six hours."""

    rows: int
    size: int  # bytes
    units: float = 0  # read units a second that reading it may use: half of a provisioned table's; 0: no limit


class PageCount(NamedTuple):
    """The members of one page of rows."""

    inside: int  # their newest change is an enter
    outside: int  # their newest change is an exit
    newest_enter: int | None = None  # epoch milliseconds of the newest enter among the members inside


@dataclass(frozen=True, slots=True)
class Page:
    """The result of reading up to 1 MB of rows."""

    changes: list[MembershipChange]  # each an enter and the newest change of its member
    rows: int  # read, matching or not
    next: Cursor | None  # position of the next page; None at the end
    unread: Mapping[Member, RowUnreadable] = field(default_factory=dict, repr=False)  # matching rows that are damaged


@dataclass(frozen=True, slots=True)
class StoredPage[T]:
    """Up to 1 MB of rows."""

    stored: list[T]
    unread: Mapping[Member, RowUnreadable] = field(repr=False)

    def whole(self) -> list[T]:
        """Return the rows. Raises RowUnreadable if one is damaged."""
        for error in self.unread.values():
            raise error
        return self.stored


@dataclass(frozen=True, slots=True)
class NoticePage(StoredPage[StoredMember]):
    """Up to 1 MB of the rows of people named in a deletion notice."""

    position: str  # after the page


def _readable[T](rows: Iterable[Any], read: Callable[[Any], T]) -> tuple[list[T], dict[Member, RowUnreadable]]:
    """Read rows. Returns those that can be read, and the error of each damaged one."""
    found: list[T] = []
    unread: dict[Member, RowUnreadable] = {}
    for row in rows:
        try:
            found.append(read(row))
        except RowUnreadable as error:
            unread[member_of(row)] = error
    return found, unread


class MembershipScan:
    """Reads rows of a membership table."""

    def __init__(self, client: "DynamoDBClient", table: str, sharding: Sharding) -> None:
        self._client = client
        self._table = table
        self._sharding = sharding

    def last_sent_before(self, moment: int, cursor: Cursor) -> Page:
        """Return the next page of active members last sent at `moment` (epoch seconds) or earlier.

        Reads are not consistent, which would cost twice as much: the worker checks in the row whether a change is still
        the newest.

        Raises:
            Unavailable: the table does not answer.
        """
        partition = self._sharding.partitions(cursor.audience_id)[cursor.shard]
        start: dict[str, Any] = {}
        if cursor.after is not None:
            key = {"audienceShard": {"S": partition}, "externalUserId": {"S": cursor.after}}
            start["ExclusiveStartKey"] = key
        with unavailable(_UNAVAILABLE):
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="audienceShard = :partition",
                FilterExpression="entered <= :moment",
                ExpressionAttributeValues={":partition": {"S": partition}, ":moment": {"N": str(moment)}},
                **start,
            )
        states, unread = _readable(answer["Items"], state_from_row)
        # A member who has left since keeps the date of the enter.
        active = [state.change() for state in states if not state.newest.exits]
        last = answer.get("LastEvaluatedKey")
        return Page(active, answer["ScannedCount"], self._next(cursor, last), unread)

    def counts(self, audience_id: str) -> Iterator[PageCount]:
        """Count the members of one audience, page by page of up to 1 MB. Not consistent, at half the price.

        Raises:
            Unavailable: the table does not answer.
        """
        for rows in self._pages_of(audience_id, ProjectionExpression="version"):
            versions = [Version.from_text(row["version"]["S"]) for row in rows]
            entered = [each.at for each in versions if not each.exits]
            yield PageCount(len(entered), len(rows) - len(entered), max(entered, default=None))

    def states(self, audience_id: str) -> Iterator[list[MemberState]]:
        """Return the members of one audience, page by page of up to 1 MB. Not consistent, at half the price.

        Raises:
            Unavailable: the table does not answer, or a row is unreadable.
        """
        for page in self.state_pages(audience_id):
            yield page.whole()

    def state_pages(self, audience_id: str) -> Iterator[StoredPage[MemberState]]:
        """Return them with the damaged rows. Raises Unavailable."""
        for rows in self._pages_of(audience_id):
            yield StoredPage(*_readable(rows, state_from_row))

    def deletion_notices(self) -> Iterator[list[StoredMember]]:
        """Return the rows of people named in a deletion notice, page by page of up to 1 MB.

        Raises:
            Unavailable: the table does not answer, or a row cannot be read.
            MisplacedRow: the rows were written with another number of shards.
        """
        for page in self.deletion_notices_after(""):
            yield page.whole()

    def deletion_notices_after(self, position: str) -> Iterator[NoticePage]:
        """Return them from a position on; empty is the beginning. Rows that cannot be read are counted."""
        partitions = self._sharding.partitions(EVERY_AUDIENCE)
        partition, _, after = position.partition("/")
        first = partitions.index(partition) if partition in partitions else 0
        for number, name in enumerate(partitions[first:], first + 1):
            following = partitions[number] if number < len(partitions) else ""
            for rows, last in self._pages_of_partition(name, after if name == partition else ""):
                self._check(rows)
                yield NoticePage(*_readable(rows, stored_member), f"{name}/{last}" if last else f"{following}/")

    def members(self, clock: Clock) -> Iterator[StoredPage[StoredMember]]:
        """Return the rows of every member of every audience, page by page of up to 1 MB, in no order.

        Skips deletion notices and the stack's own rows, such as checkpoints. Uses half of a provisioned table's units.

        Raises:
            Unavailable: the table does not answer.
            MisplacedRow: the rows were written with another number of shards.
        """
        size = self.size()
        limit = {}
        if size.units:  # the first pages together take no more than a second's units
            limit["Limit"] = max(1, int(size.units / SEGMENTS * READ_UNIT * size.rows / max(size.size, 1)))
        began, used = clock.monotonic(), 0.0
        with ThreadPoolExecutor(SEGMENTS) as pool:
            running = {pool.submit(self._segment, segment, **limit) for segment in range(SEGMENTS)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for segment, page in (each.result() for each in done):
                    used += page["ConsumedCapacity"]["CapacityUnits"]
                    if size.units:
                        clock.sleep(max(0.0, used / size.units - (clock.monotonic() - began)))
                    if last := page.get("LastEvaluatedKey"):
                        running.add(pool.submit(self._segment, segment, ExclusiveStartKey=last, **limit))
                    rows = [row for row in page["Items"] if not row["audienceShard"]["S"].startswith(_NOT_MEMBERS)]
                    self._check(rows)
                    yield StoredPage(*_readable(rows, stored_member))

    def _segment(self, segment: int, **options: Any) -> tuple[int, Any]:
        with unavailable(_UNAVAILABLE):
            return segment, self._client.scan(
                TableName=self._table,
                Segment=segment,
                TotalSegments=SEGMENTS,
                ProjectionExpression="audienceShard, externalUserId, version, revision, entered, expiresAt, #member",
                ExpressionAttributeNames={"#member": "member"},  # a reserved word
                ReturnConsumedCapacity="TOTAL",
                **options,
            )

    def _check(self, rows: Sequence[Any]) -> None:
        for row in rows:
            self._sharding.check(row)

    def _pages_of(self, audience_id: str, **options: Any) -> Iterator[list[dict[str, Any]]]:
        for partition in self._sharding.partitions(audience_id):
            for rows, _ in self._pages_of_partition(partition, **options):
                yield rows

    def _pages_of_partition(
        self, partition: str, after: str = "", **options: Any
    ) -> Iterator[tuple[list[dict[str, Any]], str]]:
        """Yield pages, each with the external user id of its last row; empty at the end of the partition."""
        while True:
            key: Any = {"audienceShard": {"S": partition}, "externalUserId": {"S": after}}
            if after:
                options["ExclusiveStartKey"] = key
            with unavailable(_UNAVAILABLE):
                page: Any = self._client.query(
                    TableName=self._table,
                    KeyConditionExpression="audienceShard = :partition",
                    ExpressionAttributeValues={":partition": {"S": partition}},
                    **options,
                )
            after = page["LastEvaluatedKey"]["externalUserId"]["S"] if "LastEvaluatedKey" in page else ""
            yield page["Items"], after
            if not after:
                break

    def size(self) -> TableSize:
        """Return the approximate size of the table. Raises Unavailable."""
        with unavailable(_UNAVAILABLE):
            table = self._client.describe_table(TableName=self._table)["Table"]
        on_demand = table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
        units = 0 if on_demand else table.get("ProvisionedThroughput", {}).get("ReadCapacityUnits", 0)
        return TableSize(table["ItemCount"], table.get("TableSizeBytes", 0), units / 2)

    def _next(self, cursor: Cursor, last: Any) -> Cursor | None:
        if last:
            return cursor._replace(after=last["externalUserId"]["S"])
        if cursor.shard + 1 < self._sharding.shards:
            return Cursor(cursor.audience_id, cursor.shard + 1)
        return None
