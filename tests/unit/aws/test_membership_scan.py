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
from local.template import Template
from tests.faults.proxy import Front, refuse

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


class Shelf:
    """A membership table behind the front, and what is written into it on any day."""

    def __init__(self, front: Front) -> None:
        template = Template.load()
        properties = template.resources("AWS::DynamoDB::Table")["MembershipTable"]
        known = ("KeySchema", "AttributeDefinitions", "BillingMode")
        self.name = f"members-{uuid4()}"
        self.direct = resources.client("dynamodb", front.upstream)
        self.direct.create_table(TableName=self.name, **{key: template.resolve(properties[key]) for key in known})
        self.scan = MembershipScan(resources.client("dynamodb", front.url), self.name)
        self.checkpoint = Checkpoint(resources.client("dynamodb", front.url), self.name, RENEWAL)

    def write(self, *changes: MembershipChange, now: int = NOW) -> None:
        table = MembershipTable(self.direct, self.name, lambda: now, 900.0)
        assert all(hasattr(standing, "newest") for standing in table.record(changes))

    def found(self, moment: int = NOW) -> list[str]:
        return [change.member[1] for change in self.scan.last_sent_before(moment, Cursor(AUDIENCE)).changes]


@pytest.fixture
def shelf(front: Front) -> Iterator[Shelf]:
    made = Shelf(front)
    yield made
    made.direct.delete_table(TableName=made.name)


def test_those_are_found_of_whom_amazon_was_last_told_by_then(shelf: Shelf) -> None:
    for member, days in (("long ago", -2), ("just then", -1), ("since then", 0)):
        shelf.write(change(member.replace(" ", "-")), now=NOW + days * 86_400)
    assert shelf.found(NOW - 86_400) == ["just-then", "long-ago"]


def test_a_change_is_found_as_it_was_recorded(shelf: Shelf) -> None:
    shelf.write(change("m1"))
    assert shelf.scan.last_sent_before(NOW, Cursor(AUDIENCE)).changes == [change("m1")]


def test_who_has_left_is_not_found_though_they_entered_long_ago(shelf: Shelf) -> None:
    shelf.write(change("m1"), change("m2"), change("m3", exits=True))
    shelf.write(change("m1", at=2, exits=True))
    assert shelf.found() == ["m2"]


def test_who_was_told_again_is_found_by_the_later_date(shelf: Shelf) -> None:
    shelf.write(change("m1"), now=NOW - 86_400)
    shelf.write(change("m1"), now=NOW)  # the same version: only the date moves
    assert shelf.found(NOW - 86_400) == []
    assert shelf.found(NOW) == ["m1"]


def test_one_audience_is_read_and_rows_that_are_no_members_never_are(shelf: Shelf) -> None:
    shelf.write(change("m1"), change("m2", audience=OTHER))
    shelf.checkpoint.save({"audience": OTHER, "after": "m2"})
    assert shelf.found() == ["m1"]


def test_more_than_a_page_of_rows_is_read_to_its_end_and_no_row_twice(shelf: Shelf) -> None:
    everyone = [f"m{number:03}" for number in range(120)]
    shelf.write(*(change(member, consent=HUGE) for member in everyone))  # 2.4 MB; DynamoDB answers with one at most
    place: Cursor | None = Cursor(AUDIENCE)
    pages = []
    while place is not None:
        page = shelf.scan.last_sent_before(NOW, place)
        pages.append([change.member[1] for change in page.changes])
        place = page.next
    assert len(pages) == 3
    assert [member for page in pages for member in page] == everyone


def test_members_are_counted_by_their_newest_change_page_by_page(shelf: Shelf) -> None:
    shelf.write(*(change(f"m{number:03}", consent=HUGE) for number in range(60)))  # 1.2 MB: two pages
    shelf.write(change("left", exits=True), change("m000", at=2, exits=True), change("m1", audience=OTHER))
    pages = list(shelf.scan.counts(AUDIENCE))
    assert len(pages) == 2
    assert tuple(map(sum, zip(*pages, strict=True))) == (59, 2)
    assert list(shelf.scan.counts("5")) == [PageCount(0, 0)]


def test_the_approximate_number_of_rows_is_that_of_dynamodb(shelf: Shelf) -> None:
    shelf.write(change("m1"), change("m2", audience=OTHER))
    assert shelf.scan.approximate_rows() == 2


def test_reading_goes_on_behind_any_place_whether_its_row_is_there_or_not(shelf: Shelf) -> None:
    shelf.write(change("m1"), change("m3"))
    assert [each.member[1] for each in shelf.scan.last_sent_before(NOW, Cursor(AUDIENCE, "m2")).changes] == ["m3"]


def test_a_position_is_read_as_it_was_saved(shelf: Shelf) -> None:
    assert shelf.checkpoint.position() == {}
    for position in ({"audience": AUDIENCE, "after": "m2"}, {"audience": OTHER}, {}):
        shelf.checkpoint.save(position)
        assert shelf.checkpoint.position() == position


@pytest.mark.parametrize(
    ("call", "act"),
    [
        pytest.param("Query", lambda shelf: shelf.scan.last_sent_before(NOW, Cursor(AUDIENCE)), id="query"),
        pytest.param("Query", lambda shelf: list(shelf.scan.counts(AUDIENCE)), id="count"),
        pytest.param("DescribeTable", lambda shelf: shelf.scan.approximate_rows(), id="number of rows"),
        pytest.param("GetItem", lambda shelf: shelf.checkpoint.position(), id="position"),
        pytest.param("PutItem", lambda shelf: shelf.checkpoint.save({}), id="new position"),
    ],
)
def test_a_table_that_does_not_answer_is_named(
    shelf: Shelf, front: Front, call: str, act: Callable[[Shelf], object]
) -> None:
    front.on(call, refuse("ThrottlingException"))
    with pytest.raises(Unavailable, match="the membership table does not answer: ThrottlingException"):
        act(shelf)
