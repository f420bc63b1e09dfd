"""Active members that were last sent long ago, read page by page, and the position between two runs."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.membership_scan import Cursor, MembershipScan, PageCount
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.errors import Unavailable
from audience_sync.membership import MembershipChange
from local import resources
from tests.aws_fixtures import create_membership_table
from tests.faults.proxy import FaultProxy, refuse

AUDIENCE, OTHER = "418273650912345678", "418273650912345679"
NOW = 1_800_000_000
HUGE = "x" * 20_000  # characters; fifty such rows fill a page


def change(
    member: str, *, at: int = 1, exits: bool = False, consent: str = "", audience: str = AUDIENCE
) -> MembershipChange:
    record: dict[str, Any] = {
        "externalUserId": member,
        "action": "DELETE" if exits else "CREATE",
        "hashedPII": [{"email": "a" * 64}],
        "userConsent": {"consent": {"tcf": consent}} if consent else {},
    }
    return MembershipChange(audience, "connection-1", at, f"id-{at}", record, target_types=("DSP",))


class TableFixture:
    """A membership table, read through the proxy, and a writer of rows with any date."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.name = f"members-{uuid4()}"
        self.direct = resources.client("dynamodb", proxy.upstream)
        create_membership_table(self.direct, self.name)
        self.scan = MembershipScan(resources.client("dynamodb", proxy.url), self.name)
        self.checkpoint = Checkpoint(resources.client("dynamodb", proxy.url), self.name, RENEWAL)

    def write(self, *changes: MembershipChange, now: int = NOW) -> None:
        table = MembershipTable(self.direct, self.name, lambda: now, 900.0)
        assert all(hasattr(result, "newest") for result in table.record(changes))

    def found(self, moment: int = NOW) -> list[str]:
        return [change.member[1] for change in self.scan.last_sent_before(moment, Cursor(AUDIENCE)).changes]


@pytest.fixture
def fixture(proxy: FaultProxy) -> Iterator[TableFixture]:
    made = TableFixture(proxy)
    yield made
    made.direct.delete_table(TableName=made.name)


def test_members_that_were_last_sent_by_then_are_found(fixture: TableFixture) -> None:
    for member, days in (("long ago", -2), ("just then", -1), ("since then", 0)):
        fixture.write(change(member.replace(" ", "-")), now=NOW + days * 86_400)
    assert fixture.found(NOW - 86_400) == ["just-then", "long-ago"]


def test_a_change_is_found_as_it_was_recorded(fixture: TableFixture) -> None:
    fixture.write(change("m1"))
    assert fixture.scan.last_sent_before(NOW, Cursor(AUDIENCE)).changes == [change("m1")]


def test_a_member_who_has_left_is_not_found(fixture: TableFixture) -> None:
    fixture.write(change("m1"), change("m2"), change("m3", exits=True))
    fixture.write(change("m1", at=2, exits=True))
    assert fixture.found() == ["m2"]


def test_a_member_who_was_sent_again_is_found_by_the_later_date(fixture: TableFixture) -> None:
    fixture.write(change("m1"), now=NOW - 86_400)
    fixture.write(change("m1"), now=NOW)  # the same version: only the date moves
    assert fixture.found(NOW - 86_400) == []
    assert fixture.found(NOW) == ["m1"]


def test_only_rows_of_members_of_the_audience_are_read(fixture: TableFixture) -> None:
    fixture.write(change("m1"), change("m2", audience=OTHER))
    fixture.checkpoint.save({"audience": OTHER, "after": "m2"})
    assert fixture.found() == ["m1"]


def test_pages_together_hold_every_row_once(fixture: TableFixture) -> None:
    everyone = [f"m{number:03}" for number in range(120)]
    fixture.write(*(change(member, consent=HUGE) for member in everyone))  # 2.4 MB; DynamoDB answers with one at most
    cursor: Cursor | None = Cursor(AUDIENCE)
    pages = []
    while cursor is not None:
        page = fixture.scan.last_sent_before(NOW, cursor)
        pages.append([change.member[1] for change in page.changes])
        cursor = page.next
    assert len(pages) == 3
    assert [member for page in pages for member in page] == everyone


def test_members_are_counted_by_their_newest_change_page_by_page(fixture: TableFixture) -> None:
    fixture.write(*(change(f"m{number:03}", consent=HUGE) for number in range(60)))  # 1.2 MB: two pages
    fixture.write(change("left", exits=True), change("m000", at=2, exits=True), change("m1", audience=OTHER))
    pages = list(fixture.scan.counts(AUDIENCE))
    assert len(pages) == 2
    assert tuple(map(sum, zip(*pages, strict=True))) == (59, 2)
    assert list(fixture.scan.counts("5")) == [PageCount(0, 0)]


def test_the_approximate_number_of_rows_is_that_of_dynamodb(fixture: TableFixture) -> None:
    fixture.write(change("m1"), change("m2", audience=OTHER))
    assert fixture.scan.approximate_rows() == 2


def test_reading_continues_after_any_cursor_whether_its_row_exists_or_not(fixture: TableFixture) -> None:
    fixture.write(change("m1"), change("m3"))
    assert [each.member[1] for each in fixture.scan.last_sent_before(NOW, Cursor(AUDIENCE, "m2")).changes] == ["m3"]


def test_a_position_is_read_as_it_was_saved(fixture: TableFixture) -> None:
    assert fixture.checkpoint.position() == {}
    for position in ({"audience": AUDIENCE, "after": "m2"}, {"audience": OTHER}, {}):
        fixture.checkpoint.save(position)
        assert fixture.checkpoint.position() == position


@pytest.mark.parametrize(
    ("call", "act"),
    [
        pytest.param("Query", lambda fixture: fixture.scan.last_sent_before(NOW, Cursor(AUDIENCE)), id="query"),
        pytest.param("Query", lambda fixture: list(fixture.scan.counts(AUDIENCE)), id="count"),
        pytest.param("DescribeTable", lambda fixture: fixture.scan.approximate_rows(), id="number of rows"),
        pytest.param("GetItem", lambda fixture: fixture.checkpoint.position(), id="position"),
        pytest.param("PutItem", lambda fixture: fixture.checkpoint.save({}), id="new position"),
    ],
)
def test_a_table_that_does_not_answer_is_named(
    fixture: TableFixture, proxy: FaultProxy, call: str, act: Callable[[TableFixture], object]
) -> None:
    proxy.on(call, refuse("ThrottlingException"))
    with pytest.raises(Unavailable, match="the membership table does not answer: ThrottlingException"):
        act(fixture)
