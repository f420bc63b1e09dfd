"""The audience table: who events may reach, read through a short cache."""

import traceback
from typing import Any

import pytest

from audience_sync.aws.audience_table import MAPPINGS_KEY, MAX_AGE, NEGATIVE_TTL, AudienceTable
from audience_sync.errors import InvalidMapping, Unavailable
from audience_sync.intake import compiled
from audience_sync.membership import Audience
from local import resources
from local.template import Template
from tests.faults.proxy import Effect, Front, hang_up, refuse
from tests.unit.aws.conftest import Clock

GET, QUERY, SCAN = "GetItem", "Query", "Scan"
BUYERS = Audience(
    audience_id="418273650912345678",
    name="Buyers",
    country="US",
    advertiser_id="590071284455661234",
    connection_id="connection-1",
    computation_key="buyers",
    external_audience_id="buyers-us",
    settings={"ttl": "30", "countries": ["US", "CA"]},
)


class Listed:
    """The template's own audience table, a reader behind the front, and a writer that no fault concerns."""

    def __init__(self, front: Front, clock: Clock) -> None:
        template = Template.load()
        self.direct = resources.client("dynamodb", front.upstream)
        for name in self.direct.list_tables()["TableNames"]:
            self.direct.delete_table(TableName=name)
        resources._tables(template, self.direct)
        self.name = template.resolve({"Ref": "AudienceTable"})
        self.table = AudienceTable(resources.client("dynamodb", front.url), self.name, clock)
        self.others = AudienceTable(self.direct, self.name, clock)

    def put(self, *audiences: Audience) -> None:
        for audience in audiences:
            self.others.put(audience, created=1_700_000_000_000)

    def put_row(self, **attributes: Any) -> None:
        self.direct.put_item(TableName=self.name, Item={name: {"S": value} for name, value in attributes.items()})


@pytest.fixture
def listed(front: Front, clock: Clock) -> Listed:
    return Listed(front, clock)


def test_an_audience_is_found_by_id_and_by_key_with_everything_it_was_listed_with(listed: Listed) -> None:
    listed.put(BUYERS, Audience("22", computation_key="others"))
    assert listed.table.by_id(BUYERS.audience_id) == BUYERS
    assert listed.table.by_computation_key("buyers") == [BUYERS]
    assert listed.table.by_computation_key("others") == [Audience("22", computation_key="others")]


def test_what_is_not_listed_does_not_exist(listed: Listed) -> None:
    assert (listed.table.by_id("1"), listed.table.by_computation_key("nobodys")) == (None, [])


def test_two_audiences_under_one_key_are_both_told_until_one_is_unlinked(listed: Listed, clock: Clock) -> None:
    both = [Audience("11", computation_key="twice"), Audience("22", computation_key="twice")]
    listed.put(*both)
    assert sorted(each.audience_id for each in listed.table.by_computation_key("twice")) == ["11", "22"]
    listed.put(Audience("22"))
    clock.now += NEGATIVE_TTL
    assert listed.table.by_computation_key("twice") == both[:1]


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param("k" * 2049, id="over 2,048 bytes"),
        pytest.param("ü" * 1025, id="over 2,048 bytes in UTF-8"),
        pytest.param("half a character \ud800", id="not Unicode"),
    ],
)
def test_a_key_that_no_audience_can_have_is_nobodys_and_no_failure(listed: Listed, front: Front, key: str) -> None:
    assert listed.table.by_computation_key(key) == []
    assert listed.table.by_id(key) is None
    assert (front.count(QUERY), front.count(GET)) == (0, 0)


def test_the_mappings_are_no_audience(listed: Listed) -> None:
    listed.put(BUYERS)
    listed.put_row(audienceId=MAPPINGS_KEY, document='{"mappings": []}')
    assert listed.table.mappings() == '{"mappings": []}'
    assert listed.table.by_id(MAPPINGS_KEY) is None
    assert listed.table.all() == [BUYERS]


def test_mappings_without_a_document_are_unreadable_and_not_segments_own(listed: Listed) -> None:
    listed.put_row(audienceId=MAPPINGS_KEY)
    document = listed.table.mappings()
    with pytest.raises(InvalidMapping, match="apply them again with audience-sync"):
        compiled(document)


def test_no_mappings_is_none_until_some_are_saved(listed: Listed, clock: Clock) -> None:
    assert listed.table.mappings() is None
    listed.put_row(audienceId=MAPPINGS_KEY, document="{}")
    clock.now += NEGATIVE_TTL
    assert listed.table.mappings() == "{}"


def test_a_row_with_attributes_of_a_later_version_is_still_an_audience(listed: Listed) -> None:
    listed.put_row(audienceId="11", name="Buyers", anything="new")
    assert listed.table.by_id("11") == Audience("11", name="Buyers")


def test_a_found_audience_is_used_for_a_minute(listed: Listed, front: Front, clock: Clock) -> None:
    listed.put(BUYERS)
    listed.table.by_id(BUYERS.audience_id)
    listed.put(Audience(BUYERS.audience_id, name="Renamed"))
    clock.now += MAX_AGE - 1
    assert listed.table.by_id(BUYERS.audience_id) == BUYERS
    assert front.count(GET) == 1
    clock.now += 1
    assert listed.table.by_id(BUYERS.audience_id) == Audience(BUYERS.audience_id, name="Renamed")


def test_an_absent_audience_is_asked_for_again_after_ten_seconds(listed: Listed, front: Front, clock: Clock) -> None:
    assert listed.table.by_computation_key("buyers") == []
    listed.put(BUYERS)
    clock.now += NEGATIVE_TTL - 1
    assert listed.table.by_computation_key("buyers") == []
    assert front.count(QUERY) == 1
    clock.now += 1
    assert listed.table.by_computation_key("buyers") == [BUYERS]


def test_an_id_and_a_key_of_the_same_text_are_not_confused(listed: Listed) -> None:
    listed.put(Audience("11", computation_key="22"), Audience("22", computation_key="33"))
    assert listed.table.by_id("22") == Audience("22", computation_key="33")
    assert listed.table.by_computation_key("22") == [Audience("11", computation_key="22")]


def test_who_lists_an_audience_sees_it_at_once(listed: Listed) -> None:
    assert (listed.table.by_id("11"), listed.table.all()) == (None, [])
    listed.table.put(Audience("11"), created=0)
    assert (listed.table.by_id("11"), listed.table.all()) == (Audience("11"), [Audience("11")])


def test_all_audiences_are_read_page_by_page(listed: Listed, front: Front) -> None:
    fat = {"notes": "x" * 300_000}  # a page of a scan holds one megabyte
    listed.put(*(Audience(str(number), settings=fat) for number in range(10, 17)))
    assert sorted(audience.audience_id for audience in listed.table.all()) == [str(n) for n in range(10, 17)]
    assert front.count(SCAN) > 1


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(refuse("ProvisionedThroughputExceededException", message="11"), id="throttled"),
        pytest.param(refuse("InternalServerError", 500, "11"), id="broken"),
        pytest.param(hang_up(), id="connection closed"),
    ],
)
def test_a_table_that_is_down_is_told_and_not_remembered(listed: Listed, front: Front, outage: Effect) -> None:
    listed.put(Audience("11", computation_key="buyers"))
    for operation in (GET, QUERY, SCAN, "PutItem"):
        front.on(operation, outage)
    calls = (
        lambda: listed.table.by_id("11"),
        lambda: listed.table.by_computation_key("buyers"),
        listed.table.mappings,
        listed.table.all,
        lambda: listed.table.put(Audience("12"), created=0),
        lambda: listed.table.created("11"),
    )
    for call in calls:
        with pytest.raises(Unavailable, match="audience table does not answer") as raised:
            call()
        assert "11" not in str(raised.value)
        assert "11\n" not in "".join(traceback.format_exception(raised.value))
    front.mend()
    assert listed.table.by_id("11") == Audience("11", computation_key="buyers")


def test_a_cached_audience_outlives_a_short_outage(listed: Listed, front: Front) -> None:
    listed.put(BUYERS)
    listed.table.by_id(BUYERS.audience_id)
    front.on(GET, hang_up())
    assert listed.table.by_id(BUYERS.audience_id) == BUYERS


def test_the_time_at_which_an_audience_was_listed_is_kept_in_its_row(listed: Listed) -> None:
    listed.put(Audience("11"))
    listed.put_row(audienceId="12")
    assert [listed.table.created(audience_id) for audience_id in ("11", "12", "13")] == [1_700_000_000_000, None, None]
