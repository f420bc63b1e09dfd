"""Rows read page by page: active members that were last sent long ago, and all; and the position between two runs."""

from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any
from uuid import uuid4

import pytest

from audience_sync.amazon_ads.destination import amc_connection
from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT, Sharding
from audience_sync.aws.membership_scan import READ_UNIT, SEGMENTS, Cursor, MembershipScan, Page, PageCount, TableSize
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.errors import MisplacedRow, Unavailable
from audience_sync.members.membership import EVERY_AUDIENCE, MembershipChange
from local import resources
from tests.support import builders
from tests.support.aws_fixtures import create_membership_table
from tests.support.doubles.clocks import ManualClock
from tests.support.member_changes import record_as_sent
from tests.support.proxy import FaultProxy, refuse

AUDIENCE, OTHER = "418273650912345678", "418273650912345679"
NOW = 1_800_000_000
HUGE = "x" * 20_000  # characters; fifty such rows fill a page
SHARDING = Sharding(4)
SHARDS = range(4)


def change(member: str, *, consent: str = "", **options: Any) -> MembershipChange:
    signals = {"consent": {"tcf": consent}} if consent else {}
    given = {"destination": amc_connection("connection-1", dsp=True), "consent": signals} | options
    return builders.change(member, "a" * 64, **given)


def shard_of(member: str) -> int:
    return SHARDING.partitions(AUDIENCE).index(SHARDING.key_of((AUDIENCE, member))["audienceShard"]["S"])


def members_of(shard: int, number: int) -> list[str]:
    """The first members, by id, that are in one shard."""
    return list(islice((name for at in count() if shard_of(name := f"m{at:04}") == shard), number))


class TableFixture:
    """A membership table, read through the proxy, and a writer of rows with any date."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.name = f"members-{uuid4()}"
        self.direct = resources.client("dynamodb", proxy.upstream)
        create_membership_table(self.direct, self.name)
        self.scan = MembershipScan(resources.client("dynamodb", proxy.url), self.name, SHARDING)
        self.checkpoint = Checkpoint(resources.client("dynamodb", proxy.url), self.name, RENEWAL)

    def write(self, *changes: MembershipChange, now: int = NOW) -> None:
        """Record changes as sent at some time, as the worker does."""
        record_as_sent(MembershipTable(self.direct, self.name, SHARDING, Clock()), *changes, now=now)

    def pages(self, moment: int = NOW, cursor: Cursor | None = None) -> list[Page]:
        """Every page from a position to the end of the audience."""
        position: Cursor | None = cursor or Cursor(AUDIENCE)
        read = []
        while position is not None:
            read.append(self.scan.last_sent_before(moment, position))
            position = read[-1].next
        return read

    def found(self, moment: int = NOW, cursor: Cursor | None = None) -> list[str]:
        return [change.member[1] for page in self.pages(moment, cursor) for change in page.changes]


@pytest.fixture
def fixture(proxy: FaultProxy) -> Iterator[TableFixture]:
    made = TableFixture(proxy)
    yield made
    made.direct.delete_table(TableName=made.name)


def test_members_last_sent_before_a_time_are_found(fixture: TableFixture) -> None:
    for member, days in (("long-ago", -2), ("just-then", -1), ("since-then", 0)):
        fixture.write(change(member), now=NOW + days * 86_400)
    assert sorted(fixture.found(NOW - 86_400)) == ["just-then", "long-ago"]


def test_a_member_who_left_is_not_found(fixture: TableFixture) -> None:
    fixture.write(change("m1"), change("m2"), change("m3", exits=True))
    fixture.write(change("m1", at=2, exits=True))
    assert fixture.found() == ["m2"]


def test_a_member_sent_again_is_found_by_the_later_time(fixture: TableFixture) -> None:
    fixture.write(change("m1"), now=NOW - 86_400)
    fixture.write(change("m1"), now=NOW)  # the same version: only the date moves
    assert fixture.found(NOW - 86_400) == []
    assert fixture.found(NOW) == ["m1"]


def test_only_rows_of_the_audience_are_read(fixture: TableFixture) -> None:
    fixture.write(change("m1"), change("m2", audience_id=OTHER))
    fixture.checkpoint.save({"audience": OTHER, "after": "m2"})
    assert fixture.found() == ["m1"]


def test_an_audience_is_read_shard_by_shard(fixture: TableFixture, proxy: FaultProxy) -> None:
    everyone = [member for shard in SHARDS for member in members_of(shard, 2)]
    fixture.write(*map(change, everyone))
    assert fixture.found() == everyone, "in the order of shards, and of ids within each"
    assert [page.next for page in fixture.pages()] == [*(Cursor(AUDIENCE, shard) for shard in SHARDS[1:]), None]
    partitions = [request["ExpressionAttributeValues"][":partition"]["S"] for request in proxy.parameters("Query")]
    assert partitions == SHARDING.partitions(AUDIENCE) * 2


def test_an_audience_without_members_has_a_page_for_each_shard(fixture: TableFixture) -> None:
    assert [(page.changes, page.rows) for page in fixture.pages()] == [([], 0)] * len(SHARDS)


def test_rows_filtered_out_count_as_read(fixture: TableFixture) -> None:
    fixture.write(change("m1"), change("m2"), change("m3", exits=True))
    assert sum(page.rows for page in fixture.pages(NOW - 1)) == 3
    assert fixture.found(NOW - 1) == []


def test_every_row_is_on_exactly_one_page(fixture: TableFixture) -> None:
    everyone = members_of(1, 120)
    fixture.write(*(change(member, consent=HUGE) for member in everyone))  # 2.4 MB; DynamoDB answers with one at most
    pages = fixture.pages()
    assert len(pages) == 3 + len(SHARDS) - 1
    assert [change.member[1] for page in pages for change in page.changes] == everyone
    assert [page.next.shard for page in pages if page.next] == [1, 1, 1, 2, 3]


def test_members_are_counted_as_inside_or_outside_by_their_newest_change(fixture: TableFixture) -> None:
    inside = members_of(2, 60)
    fixture.write(*(change(member, consent=HUGE) for member in inside))  # 1.2 MB: two pages
    fixture.write(change("left", exits=True), change(inside[0], at=2, exits=True), change("m1", audience_id=OTHER))
    pages = list(fixture.scan.counts(AUDIENCE))
    assert len(pages) == 2 + len(SHARDS) - 1
    assert (sum(page.inside for page in pages), sum(page.outside for page in pages)) == (59, 2)
    assert set(fixture.scan.counts("5")) == {PageCount(0, 0)}


def test_a_count_includes_the_newest_enter_of_members_inside(fixture: TableFixture) -> None:
    fixture.write(change("early", at=5), change("late", at=7), change("left", at=9, exits=True))
    entered = [page.newest_enter for page in fixture.scan.counts(AUDIENCE) if page.newest_enter is not None]
    assert max(entered) == 7
    fixture.write(change("early", at=10, exits=True), change("late", at=10, exits=True))
    assert {page.newest_enter for page in fixture.scan.counts(AUDIENCE)} == {None}


def test_the_approximate_number_of_rows_is_dynamodbs_item_count(fixture: TableFixture) -> None:
    fixture.write(change("m1"), change("m2", audience_id=OTHER))
    assert fixture.scan.size().rows == 2


def test_reading_continues_after_a_cursor_whose_row_is_gone(fixture: TableFixture) -> None:
    first, second, third = members_of(1, 3)
    fixture.write(change(first), change(third))
    assert fixture.found(cursor=Cursor(AUDIENCE, 1, first)) == [third]
    assert fixture.found(cursor=Cursor(AUDIENCE, 1, second)) == [third]
    assert fixture.found(cursor=Cursor(AUDIENCE, 1)) == [first, third]
    assert fixture.found(cursor=Cursor(AUDIENCE, 2)) == []


def test_a_saved_position_is_read_back(fixture: TableFixture) -> None:
    assert fixture.checkpoint.position() == {}
    for position in ({"audience": AUDIENCE, "shard": "3", "after": "m2"}, {"audience": OTHER}, {}):
        fixture.checkpoint.save(position)
        assert fixture.checkpoint.position() == position


@pytest.mark.parametrize(
    ("call", "act"),
    [
        pytest.param("Query", lambda fixture: fixture.scan.last_sent_before(NOW, Cursor(AUDIENCE)), id="query"),
        pytest.param("Query", lambda fixture: list(fixture.scan.counts(AUDIENCE)), id="count"),
        pytest.param("Scan", lambda fixture: list(fixture.scan.members(Clock())), id="scan"),
        pytest.param("Query", lambda fixture: list(fixture.scan.deletion_notices()), id="deletion notices"),
        pytest.param("DescribeTable", lambda fixture: fixture.scan.size().rows, id="number of rows"),
        pytest.param("GetItem", lambda fixture: fixture.checkpoint.position(), id="position"),
        pytest.param("PutItem", lambda fixture: fixture.checkpoint.save({}), id="new position"),
    ],
)
def test_the_error_of_a_table_failure_names_the_table(
    fixture: TableFixture, proxy: FaultProxy, call: str, act: Callable[[TableFixture], object]
) -> None:
    proxy.on(call, refuse("ThrottlingException"))
    with pytest.raises(Unavailable, match="the membership table does not answer: ThrottlingException"):
        act(fixture)


def test_a_scan_of_members_skips_notices_and_checkpoints(fixture: TableFixture) -> None:
    fixture.write(change("m1"), change("m2", exits=True), change("m1", audience_id=OTHER))
    fixture.write(change("m3", audience_id=EVERY_AUDIENCE, exits=True))
    fixture.checkpoint.save({"audience": OTHER, "after": "m2"})
    members = [each for page in fixture.scan.members(Clock()) for each in page.stored]
    assert sorted(each.state.member for each in members) == [(AUDIENCE, "m1"), (AUDIENCE, "m2"), (OTHER, "m1")]
    assert {each.expires_at for each in members} == {NOW + KEEP_ACTIVE, NOW + KEEP_EXIT}
    notices = [each for page in fixture.scan.deletion_notices() for each in page]
    assert [each.state.member for each in notices] == [(EVERY_AUDIENCE, "m3")]


def test_a_scan_of_the_whole_table_reads_four_segments_without_a_filter(
    fixture: TableFixture, proxy: FaultProxy
) -> None:
    everyone = members_of(0, 30) + members_of(3, 30)
    fixture.write(*(change(member, consent=HUGE) for member in everyone))  # 1.2 MB
    damaged = {**SHARDING.key_of((AUDIENCE, "m")), "member": {"B": b"damaged"}}
    fixture.direct.put_item(TableName=fixture.name, Item=damaged)
    pages = list(fixture.scan.members(Clock()))
    assert sorted(each.state.member[1] for page in pages for each in page.stored) == sorted(everyone)
    assert [member for page in pages for member in page.unread] == [(AUDIENCE, "m")]
    scans = proxy.parameters("Scan")
    assert (len(scans), {each["Segment"] for each in scans}) == (len(pages), set(range(SEGMENTS)))
    assert [each for each in scans if "FilterExpression" in each or "ProjectionExpression" not in each] == []


def test_a_scan_of_a_provisioned_table_takes_at_most_half_its_units(
    fixture: TableFixture, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture.write(*(change(f"m{number}") for number in range(40)))
    units = {"ReadCapacityUnits": 8, "WriteCapacityUnits": 8}
    fixture.direct.update_table(TableName=fixture.name, BillingMode="PROVISIONED", ProvisionedThroughput=units)
    assert fixture.scan.size()[::2] == (40, 4)
    monkeypatch.setattr(fixture.scan, "size", lambda: TableSize(40, 40 * READ_UNIT, 4))  # moto states no size
    began = clock.now
    pages = list(fixture.scan.members(Clock(clock, clock, clock.sleep)))
    assert len(pages) >= sum(len(page.stored) for page in pages) == 40, "a unit a row, so a row a page"
    assert clock.now - began == len(pages) / 4, "moto says that each page takes a unit"


def test_a_table_written_with_another_number_of_shards_is_refused(fixture: TableFixture) -> None:
    fixture.write(*(change(f"m{number}") for number in range(20)))
    scan = MembershipScan(fixture.direct, fixture.name, Sharding(3))
    with pytest.raises(MisplacedRow, match="3 shards"):
        list(scan.members(Clock()))
