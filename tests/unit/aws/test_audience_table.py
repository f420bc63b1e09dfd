"""The audience table: the audiences that events may reach, and the mappings."""

import traceback
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.aws.audience_table import MAPPINGS_KEY, AudienceTable, row_of
from audience_sync.errors import InvalidMapping, Unavailable
from audience_sync.ingest.intake import compiled
from audience_sync.members.membership import Audience, Destination, FilledBy
from local import resources
from tests.support.aws_fixtures import recreate_tables
from tests.support.proxy import Effect, FaultProxy, hang_up, refuse

GET, QUERY, SCAN = "GetItem", "Query", "Scan"
BUYERS = Audience(
    audience_id="418273650912345678",
    name="Buyers",
    country="US",
    destination=Destination.of({"advertiserId": "590071284455661234", "connectionId": "connection-1"}),
    computation_key="buyers",
    external_audience_id="buyers-us",
    settings={"ttl": "30", "countries": ["US", "CA"]},
    filled_by=FilledBy.OTHERS,
)


class TableFixture:
    """The template's audience table, read through the proxy, and a writer that no fault affects."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.direct = resources.client("dynamodb", proxy.upstream)
        self.name = recreate_tables(self.direct, "AudienceTable")
        self.table = AudienceTable(resources.client("dynamodb", proxy.url), self.name)
        self.writer = AudienceTable(self.direct, self.name)

    def put(self, *audiences: Audience) -> None:
        for audience in audiences:
            self.writer.put(audience, created=1_700_000_000_000)

    def put_row(self, **attributes: Any) -> None:
        self.direct.put_item(TableName=self.name, Item={name: {"S": value} for name, value in attributes.items()})


@pytest.fixture
def fixture(proxy: FaultProxy) -> TableFixture:
    return TableFixture(proxy)


def test_an_audience_is_found_by_id_and_by_key_with_all_its_fields(fixture: TableFixture) -> None:
    fixture.put(BUYERS, Audience("22", computation_key="others"))
    assert fixture.table.by_id(BUYERS.audience_id) == BUYERS
    assert fixture.table.by_computation_key("buyers") == [BUYERS]
    assert fixture.table.by_computation_key("others") == [Audience("22", computation_key="others")]


def test_two_audiences_under_one_key_are_both_returned_until_one_is_unlinked(fixture: TableFixture) -> None:
    both = [Audience("11", computation_key="twice"), Audience("22", computation_key="twice")]
    fixture.put(*both)
    assert sorted(each.audience_id for each in fixture.table.by_computation_key("twice")) == ["11", "22"]
    fixture.put(Audience("22"))
    assert fixture.table.by_computation_key("twice") == both[:1]


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param("k" * 2049, id="over 2,048 bytes"),
        pytest.param("ü" * 1025, id="over 2,048 bytes in UTF-8"),
        pytest.param("half a character \ud800", id="not Unicode"),
    ],
)
def test_an_impossible_key_finds_nothing_without_a_query(fixture: TableFixture, proxy: FaultProxy, key: str) -> None:
    assert fixture.table.by_computation_key(key) == []
    assert fixture.table.by_id(key) is None
    assert (proxy.count(QUERY), proxy.count(GET)) == (0, 0)


def test_the_mappings_are_not_listed_as_an_audience(fixture: TableFixture) -> None:
    fixture.put(BUYERS)
    assert fixture.table.mappings() is None
    fixture.put_row(audienceId=MAPPINGS_KEY, document='{"mappings": []}')
    assert fixture.table.mappings() == '{"mappings": []}'
    assert fixture.table.by_id(MAPPINGS_KEY) is None
    assert fixture.table.all() == [BUYERS]


def test_stored_mappings_without_a_document_are_refused(fixture: TableFixture) -> None:
    fixture.put_row(audienceId=MAPPINGS_KEY)
    document = fixture.table.mappings()
    with pytest.raises(InvalidMapping, match="apply them again with audience-sync"):
        compiled(document)


def test_a_row_with_unknown_attributes_is_still_an_audience(fixture: TableFixture) -> None:
    fixture.put_row(audienceId="11", name="Buyers", anything="new", filledBy="a word to come")
    assert fixture.table.by_id("11") == Audience("11", name="Buyers", filled_by=FilledBy.UNKNOWN)


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        pytest.param({"advertiserId": "5"}, {"advertiserId": {"S": "5"}}, id="an advertiser"),
        pytest.param({"connectionId": "c"}, {"connectionId": {"S": "c"}}, id="a connection"),
        pytest.param({"datasetId": "d"}, {"destination": {"M": {"datasetId": {"S": "d"}}}}, id="of a kind to come"),
        pytest.param({}, {}, id="none"),
    ],
)
def test_the_stored_attributes_of_a_destination_do_not_change(
    fixture: TableFixture, fields: dict[str, Any], attributes: dict[str, Any]
) -> None:
    audience = Audience("11", destination=Destination.of(fields))
    row = row_of(audience, created=0)
    assert {name: row[name] for name in ("advertiserId", "connectionId", "destination") if name in row} == attributes
    fixture.put(audience)
    assert fixture.table.by_id("11") == audience


def test_an_id_equal_to_another_audiences_key_is_not_confused_with_it(fixture: TableFixture) -> None:
    fixture.put(Audience("11", computation_key="22"), Audience("22", computation_key="33"))
    assert fixture.table.by_id("22") == Audience("22", computation_key="33")
    assert fixture.table.by_computation_key("22") == [Audience("11", computation_key="22")]


def test_all_audiences_are_read_page_by_page(fixture: TableFixture, proxy: FaultProxy) -> None:
    large = {"notes": "x" * 300_000}  # a page of a scan holds one megabyte
    fixture.put(*(Audience(str(number), settings=large) for number in range(10, 17)))
    assert sorted(audience.audience_id for audience in fixture.table.all()) == [str(n) for n in range(10, 17)]
    assert proxy.count(SCAN) > 1


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(refuse("ProvisionedThroughputExceededException", message="11"), id="throttled"),
        pytest.param(refuse("InternalServerError", 500, "11"), id="broken"),
        pytest.param(hang_up(), id="connection closed"),
    ],
)
def test_a_table_failure_raises_an_error_without_ids(fixture: TableFixture, proxy: FaultProxy, outage: Effect) -> None:
    fixture.put(Audience("11", computation_key="buyers"))
    for operation in (GET, QUERY, SCAN, "PutItem"):
        proxy.on(operation, outage)
    calls = (
        lambda: fixture.table.by_id("11"),
        lambda: fixture.table.by_computation_key("buyers"),
        fixture.table.mappings,
        fixture.table.all,
        lambda: fixture.table.put(Audience("12"), created=0),
        lambda: fixture.table.created("11"),
    )
    for call in calls:
        with pytest.raises(Unavailable, match="audience table does not answer") as raised:
            call()
        assert "11" not in str(raised.value)
        assert "11\n" not in "".join(traceback.format_exception(raised.value))
    proxy.clear_faults()
    assert fixture.table.by_id("11") == Audience("11", computation_key="buyers")


def test_a_row_keeps_the_time_at_which_its_audience_was_listed(fixture: TableFixture) -> None:
    fixture.put(Audience("11"))
    fixture.put_row(audienceId="12")
    assert [fixture.table.created(audience_id) for audience_id in ("11", "12", "13")] == [1_700_000_000_000, None, None]


def test_an_unlinked_audience_keeps_its_row_without_being_listed(fixture: TableFixture) -> None:
    fixture.put(BUYERS, Audience("11"))
    assert fixture.table.unlink(BUYERS.audience_id, at=5)
    unlinked = replace(BUYERS, unlinked_at=5)
    assert (fixture.table.by_id(BUYERS.audience_id), fixture.table.all()) == (None, [Audience("11")])
    assert fixture.table.by_computation_key("buyers") == fixture.table.by_external_audience_id("buyers-us") == []
    assert fixture.table.stored(BUYERS.audience_id) == unlinked
    assert fixture.table.with_unlinked() == [Audience("11"), unlinked]
    assert fixture.table.created(BUYERS.audience_id) == 1_700_000_000_000


def test_only_a_listed_audience_can_be_unlinked_or_changed(fixture: TableFixture) -> None:
    fixture.put(BUYERS)
    assert not fixture.table.unlink("11", at=5)
    assert fixture.table.unlink(BUYERS.audience_id, at=5)
    assert not fixture.table.unlink(BUYERS.audience_id, at=6), "it keeps the time at which it was unlinked first"
    assert not fixture.table.change(BUYERS.audience_id, {"ttl": 7})
    (unlinked,) = fixture.table.contents().unlinked
    assert (unlinked.unlinked_at, unlinked.settings) == (5, BUYERS.settings)


def test_only_a_listed_audience_can_be_marked_as_shared_or_moved(fixture: TableFixture) -> None:
    fixture.put(BUYERS)
    assert fixture.table.mark(BUYERS.audience_id, also=True, moved_to="22")
    assert fixture.table.by_id(BUYERS.audience_id) == replace(BUYERS, also=True, moved_to="22")
    assert fixture.table.mark(BUYERS.audience_id, also=False, moved_to=None)
    assert fixture.table.by_id(BUYERS.audience_id) == BUYERS
    assert not fixture.table.mark("11", also=True, moved_to=None)


def test_an_audience_cannot_leave_its_events_to_one_that_was_moved_into_it(fixture: TableFixture) -> None:
    fixture.put(BUYERS, Audience("22", moved_to=BUYERS.audience_id))
    assert not fixture.table.unlink(BUYERS.audience_id, at=5, replacement="22")
    fixture.table.mark("22", also=False, moved_to="33")
    assert fixture.table.unlink(BUYERS.audience_id, at=5, replacement="22")


def test_an_unlinked_audience_is_listed_again_only_on_purpose(fixture: TableFixture) -> None:
    for list_again in (
        lambda: fixture.table.put(BUYERS, created=7),
        lambda: fixture.table.add(BUYERS, created=7, even_if_unlinked=True) or pytest.fail("it was not listed"),
    ):
        fixture.put(BUYERS)
        fixture.table.unlink(BUYERS.audience_id, at=5)
        assert not fixture.table.add(BUYERS, created=7)
        list_again()
        assert fixture.table.with_unlinked() == [BUYERS]
        assert fixture.table.by_computation_key("buyers") == [BUYERS]
    assert not fixture.table.add(BUYERS, created=8, even_if_unlinked=True)


def test_only_rows_of_audiences_unlinked_long_ago_are_deleted(fixture: TableFixture) -> None:
    fixture.put(*(Audience(audience_id) for audience_id in ("10", "11", "12", "13")))
    fixture.table.mark("10", also=True, moved_to="13")  # events may name its id for ever
    for audience_id in ("10", "11"):
        fixture.table.unlink(audience_id, at=5)
    fixture.table.unlink("12", at=6)
    fixture.table.remove_unlinked(before=6)
    assert sorted(each.audience_id for each in fixture.table.with_unlinked()) == ["10", "12", "13"]
