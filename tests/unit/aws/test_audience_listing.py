"""The copy of the audience table that functions use: read at most once in ten seconds, whatever is asked."""

import pytest

from audience_sync.aws.audience_listing import MAX_AGE, MIN_AGE, AudienceListing
from audience_sync.aws.audience_table import MAPPINGS_KEY, AudienceTable
from audience_sync.errors import Unavailable
from audience_sync.membership import Audience
from local import resources
from tests.aws_fixtures import recreate_tables
from tests.doubles.clocks import ManualClock
from tests.faults.proxy import FaultProxy, hang_up

SCAN = "Scan"
BUYERS = Audience("418273650912345678", name="Buyers", country="US", computation_key="buyers")


class ListingFixture:
    """The template's audience table behind the proxy, and a writer that no fault affects."""

    def __init__(self, proxy: FaultProxy, clock: ManualClock) -> None:
        self.direct = resources.client("dynamodb", proxy.upstream)
        self.name = recreate_tables(self.direct, "AudienceTable")
        self.listing = AudienceListing(AudienceTable(resources.client("dynamodb", proxy.url), self.name), clock)
        self.writer = AudienceTable(self.direct, self.name)

    def put(self, *audiences: Audience) -> None:
        for audience in audiences:
            self.writer.put(audience, created=0)

    def save_mappings(self, document: str) -> None:
        self.direct.put_item(TableName=self.name, Item={"audienceId": {"S": MAPPINGS_KEY}, "document": {"S": document}})


@pytest.fixture
def fixture(proxy: FaultProxy, clock: ManualClock) -> ListingFixture:
    return ListingFixture(proxy, clock)


def test_audiences_and_mappings_are_read_in_one_go(fixture: ListingFixture, proxy: FaultProxy) -> None:
    fixture.put(BUYERS)
    fixture.save_mappings("{}")
    listing = fixture.listing
    found = (listing.by_id(BUYERS.audience_id), listing.by_computation_key("buyers"), listing.with_unlinked())
    assert found == (BUYERS, [BUYERS], [BUYERS])
    assert listing.mappings() == "{}"
    assert proxy.count(SCAN) == 1


def test_four_thousand_unknown_audiences_cost_one_look_at_the_table(fixture: ListingFixture, proxy: FaultProxy) -> None:
    fixture.put(BUYERS)
    for number in range(2_000):
        assert fixture.listing.by_id(str(number)) is None
        assert fixture.listing.by_computation_key(f"unlinked {number}") == ()
    assert proxy.count(SCAN) == 1


def test_a_listed_audience_is_used_for_a_minute(fixture: ListingFixture, proxy: FaultProxy, clock: ManualClock) -> None:
    fixture.put(BUYERS)
    fixture.listing.by_id(BUYERS.audience_id)
    fixture.put(Audience(BUYERS.audience_id, name="Renamed"))
    clock.now += MAX_AGE - 1
    assert fixture.listing.by_id(BUYERS.audience_id) == BUYERS
    assert proxy.count(SCAN) == 1
    clock.now += 1
    assert fixture.listing.by_id(BUYERS.audience_id) == Audience(BUYERS.audience_id, name="Renamed")


def test_an_audience_that_is_not_listed_is_looked_up_again_after_ten_seconds(
    fixture: ListingFixture, proxy: FaultProxy, clock: ManualClock
) -> None:
    assert fixture.listing.by_computation_key("buyers") == ()
    fixture.put(BUYERS)
    clock.now += MIN_AGE - 1
    assert (fixture.listing.by_computation_key("buyers"), fixture.listing.by_id(BUYERS.audience_id)) == ((), None)
    assert proxy.count(SCAN) == 1
    clock.now += 1
    assert fixture.listing.by_computation_key("buyers") == [BUYERS]
    assert fixture.listing.by_id(BUYERS.audience_id) == BUYERS
    assert proxy.count(SCAN) == 2


def test_two_audiences_under_one_key_are_looked_up_again_after_ten_seconds_until_one_is_unlinked(
    fixture: ListingFixture, clock: ManualClock
) -> None:
    fixture.put(Audience("11", computation_key="twice"), Audience("22", computation_key="twice"))
    assert sorted(each.audience_id for each in fixture.listing.by_computation_key("twice")) == ["11", "22"]
    fixture.put(Audience("22"))
    clock.now += MIN_AGE
    assert fixture.listing.by_computation_key("twice") == [Audience("11", computation_key="twice")]


def test_an_unlinked_audience_is_found_by_deletions_and_by_no_event(fixture: ListingFixture) -> None:
    fixture.put(BUYERS, Audience("11"))
    fixture.writer.unlink(BUYERS.audience_id, at=5)
    assert (fixture.listing.by_id(BUYERS.audience_id), fixture.listing.by_computation_key("buyers")) == (None, ())
    unlinked = Audience(BUYERS.audience_id, name="Buyers", country="US", unlinked_at=5)
    assert fixture.listing.with_unlinked() == [Audience("11"), unlinked]


def test_mappings_that_were_just_saved_are_used_within_a_minute(fixture: ListingFixture, clock: ManualClock) -> None:
    assert fixture.listing.mappings() is None
    fixture.save_mappings("[]")
    clock.now += MAX_AGE
    assert fixture.listing.mappings() == "[]"


def test_a_copy_outlives_a_short_outage_and_no_longer_one(
    fixture: ListingFixture, proxy: FaultProxy, clock: ManualClock
) -> None:
    fixture.put(BUYERS)
    fixture.listing.with_unlinked()
    proxy.on(SCAN, hang_up())
    clock.now += MAX_AGE - 1
    assert fixture.listing.by_id(BUYERS.audience_id) == BUYERS
    with pytest.raises(Unavailable, match="audience table does not answer"):
        fixture.listing.by_id("11")  # it may have been listed since
    clock.now += 1
    with pytest.raises(Unavailable, match="audience table does not answer"):
        fixture.listing.with_unlinked()
    proxy.clear_faults()
    assert fixture.listing.with_unlinked() == [BUYERS]
