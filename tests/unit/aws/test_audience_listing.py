"""The copy of the audience table that functions use, and what it costs to know of a new audience at once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from audience_sync.aws.audience_listing import MAX_AGE, AudienceListing
from audience_sync.aws.audience_table import MAPPINGS_KEY, AudienceTable
from audience_sync.errors import Unavailable
from audience_sync.members.membership import Audience
from local import resources
from tests.support.aws_fixtures import recreate_tables
from tests.support.doubles.clocks import ManualClock
from tests.support.proxy import FaultProxy, hang_up

GET, SCAN = "GetItem", "Scan"
BUYERS = Audience("418273650912345678", name="Buyers", country="US", computation_key="buyers")


class LaggingClient:
    """DynamoDB whose reads give what there was when this was made, unless they are consistent."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._old = client.scan(TableName=table)

    def scan(self, **request: Any) -> Any:
        return self._client.scan(**request) if request.get("ConsistentRead") else self._old

    def get_item(self, **request: Any) -> Any:
        if request.get("ConsistentRead"):
            return self._client.get_item(**request)
        return next(
            ({"Item": row} for row in self._old["Items"] if row["audienceId"] == request["Key"]["audienceId"]), {}
        )


class ListingFixture:
    """The template's audience table behind the proxy, and a writer that no fault affects."""

    def __init__(self, proxy: FaultProxy, clock: ManualClock) -> None:
        self.direct = resources.client("dynamodb", proxy.upstream)
        self.name = recreate_tables(self.direct, "AudienceTable")
        self.listing = AudienceListing(AudienceTable(resources.client("dynamodb", proxy.url), self.name), clock)
        self.writer = AudienceTable(self.direct, self.name)

    def lag(self) -> None:
        self.reader = cast("Any", LaggingClient(self.direct, self.name))
        self.listing = AudienceListing(AudienceTable(self.reader, self.name), lambda: 0.0)

    def listing_during_the_scan(self, audience: Audience) -> Callable[..., Any]:
        """Return a scan that ends when the audience is listed, and has not seen it."""
        scan = self.reader.scan

        def scan_then_list(**request: Any) -> Any:
            page = scan(**request)
            self.put(audience)
            return page

        return scan_then_list

    def put(self, *audiences: Audience) -> None:
        for audience in audiences:
            self.writer.put(audience, created=0)

    def save_mappings(self, document: str) -> None:
        self.direct.put_item(TableName=self.name, Item={"audienceId": {"S": MAPPINGS_KEY}, "document": {"S": document}})


def reads(proxy: FaultProxy) -> tuple[int, int]:
    """Return the reads of the version, and of the whole table."""
    return proxy.count(GET), proxy.count(SCAN)


@pytest.fixture
def fixture(proxy: FaultProxy, clock: ManualClock) -> ListingFixture:
    return ListingFixture(proxy, clock)


def test_audiences_and_mappings_are_read_with_one_scan(fixture: ListingFixture, proxy: FaultProxy) -> None:
    fixture.put(BUYERS)
    fixture.save_mappings("{}")
    listing = fixture.listing
    for _ in range(3):  # requests
        request = listing.for_request()
        found = (request.by_id(BUYERS.audience_id), request.by_computation_key("buyers"), listing.with_unlinked())
        assert found == ([BUYERS], [BUYERS], [BUYERS])
        assert listing.mappings() == "{}"
    assert reads(proxy) == (0, 1)


def test_unknown_audiences_cost_one_small_read_per_request(
    fixture: ListingFixture, proxy: FaultProxy, clock: ManualClock
) -> None:
    fixture.put(BUYERS)
    fixture.listing.with_unlinked()
    for requests in range(1, 4):
        request = fixture.listing.for_request()
        for number in range(2_000):
            assert request.by_id(str(number)) == ()
            assert request.by_computation_key(f"unlinked {number}") == ()
        assert reads(proxy) == (requests, 2), "the second time consistently, and at the version that was read first"
        clock.now += MAX_AGE / 4


def test_a_listed_audience_is_used_for_a_minute(fixture: ListingFixture, proxy: FaultProxy, clock: ManualClock) -> None:
    fixture.put(BUYERS)
    fixture.listing.for_request()
    fixture.put(Audience(BUYERS.audience_id, name="Renamed"))
    clock.now += MAX_AGE - 1
    assert fixture.listing.for_request().by_id(BUYERS.audience_id) == [BUYERS]
    assert reads(proxy) == (0, 1)
    clock.now += 1
    assert fixture.listing.for_request().by_id(BUYERS.audience_id) == [Audience(BUYERS.audience_id, name="Renamed")]


LISTINGS = [
    pytest.param(lambda table: table.put(BUYERS, created=0), id="linked"),
    pytest.param(lambda table: (table.add(BUYERS, created=0), table.raise_version()), id="created"),
    pytest.param(
        lambda table: (table.put(replace(BUYERS, unlinked_at=1), created=0), table.put(BUYERS, created=0)),
        id="listed again",
    ),
]


@pytest.mark.parametrize("list_it", LISTINGS)
@pytest.mark.parametrize("had_unknown", [False, True], ids=["first unknown audience", "after an unknown audience"])
def test_a_new_audience_is_found_by_the_next_request(
    fixture: ListingFixture, list_it: Callable[[AudienceTable], object], *, had_unknown: bool
) -> None:
    """Although every read that is not consistent gives what there was before, as DynamoDB may for a while."""
    fixture.lag()
    before = fixture.listing.for_request()
    if had_unknown:
        assert before.by_id(BUYERS.audience_id) == ()
    list_it(fixture.writer)
    by_id, by_key = fixture.listing.for_request(), fixture.listing.for_request()
    assert (by_id.by_id(BUYERS.audience_id), by_key.by_computation_key("buyers")) == ([BUYERS], [BUYERS])


def test_an_audience_listed_during_a_scan_is_found_by_the_next_request(
    fixture: ListingFixture,
) -> None:
    fixture.lag()
    request = fixture.listing.for_request()
    scan, fixture.reader.scan = fixture.reader.scan, fixture.listing_during_the_scan(BUYERS)
    assert request.by_id(BUYERS.audience_id) == ()
    fixture.reader.scan = scan
    assert fixture.listing.for_request().by_id(BUYERS.audience_id) == [BUYERS]


def row(audience_id: str, key: str | None = "shared", **fields: Any) -> Audience:
    return Audience(audience_id, computation_key=key, **fields)


def moved(audience_id: str, to: str) -> Audience:
    return Audience(audience_id, unlinked_at=5, also=True, moved_to=to)


BOTH = ["11", "22"]


@pytest.mark.parametrize(
    ("rows", "reached"),
    [
        pytest.param([row("11"), row("22", also=True)], {"11": BOTH, "22": BOTH, "shared": BOTH}, id="on purpose"),
        pytest.param([row("11", also=True), row("22", also=True)], {"11": BOTH, "shared": BOTH}, id="no main one"),
        pytest.param([row("11", also=True)], {"11": ["11"], "shared": ["11"]}, id="alone"),
        pytest.param([row("11"), row("22", "another", also=True)], {"11": ["11"], "22": ["22"]}, id="other keys"),
        pytest.param([row("11", None), row("22", None, also=True)], {"11": ["11"], "22": ["22"]}, id="without a key"),
        pytest.param([row("11", moved_to="22"), row("22", "another")], {"11": ["11"]}, id="moved, and still listed"),
        pytest.param([row("11"), row("22", also=True), moved("33", "22")], {"33": BOTH}, id="moved to a shared key"),
        pytest.param([row("11"), moved("33", "44"), moved("44", "11")], {"33": ["11"], "44": ["11"]}, id="moved twice"),
        pytest.param([row("11"), moved("33", "44"), moved("44", "33")], {"33": [], "44": []}, id="moved in a circle"),
        pytest.param([row("11"), moved("33", "44"), row("44", None, unlinked_at=5)], {"33": []}, id="moved to nowhere"),
    ],
)
def test_an_event_reaches_all_audiences_that_share_a_key_on_purpose(
    fixture: ListingFixture, proxy: FaultProxy, rows: list[Audience], reached: dict[str, list[str]]
) -> None:
    fixture.put(*rows)
    request = fixture.listing.for_request()
    for name, ids in reached.items():
        found = request.by_computation_key(name) if name == "shared" else request.by_id(name)
        assert sorted(each.audience_id for each in found) == ids
    if all(reached.values()):
        assert reads(proxy) == (0, 1), "no read for each request"


def test_an_id_decides_between_audiences_that_share_a_key_by_mistake(fixture: ListingFixture) -> None:
    fixture.put(row("11"), row("22"), row("33", also=True))
    request = fixture.listing.for_request()
    assert sorted(each.audience_id for each in request.by_computation_key("shared")) == ["11", "22", "33"]
    for name in ("11", "22", "33"):
        assert [each.audience_id for each in request.by_id(name)] == [name]


def test_an_unlinked_audience_is_found_by_deletions_but_not_by_events(fixture: ListingFixture) -> None:
    fixture.put(BUYERS, Audience("11"))
    fixture.writer.unlink(BUYERS.audience_id, at=5)
    request = fixture.listing.for_request()
    assert (request.by_id(BUYERS.audience_id), request.by_computation_key("buyers")) == ((), ())
    unlinked = replace(BUYERS, unlinked_at=5)
    assert fixture.listing.with_unlinked() == [Audience("11"), unlinked]


def test_saved_mappings_are_used_within_a_minute(fixture: ListingFixture, clock: ManualClock) -> None:
    assert fixture.listing.mappings() is None
    fixture.save_mappings("[]")
    clock.now += MAX_AGE
    assert fixture.listing.mappings() == "[]"


def test_a_cached_listing_survives_an_outage_of_a_minute(
    fixture: ListingFixture, proxy: FaultProxy, clock: ManualClock
) -> None:
    fixture.put(BUYERS)
    fixture.listing.with_unlinked()
    for operation in (SCAN, GET):
        proxy.on(operation, hang_up())
    clock.now += MAX_AGE - 1
    request = fixture.listing.for_request()
    assert request.by_id(BUYERS.audience_id) == [BUYERS]
    for _ in range(2):
        with pytest.raises(Unavailable, match="audience table does not answer"):
            request.by_id("11")  # it may have been listed since
    clock.now += 1
    with pytest.raises(Unavailable, match="audience table does not answer"):
        fixture.listing.with_unlinked()
    proxy.clear_faults()
    assert fixture.listing.with_unlinked() == [BUYERS]
