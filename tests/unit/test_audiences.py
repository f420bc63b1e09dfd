"""Audiences are created once, whatever is repeated, overlaps or gets lost: against the template's own table."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest

from audience_sync.amazon_ads.audience import AudienceReport
from audience_sync.audiences import CREATE_WAIT, STALE_LOCK_AGE, Audiences, Created
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.creation_locks import CreationLocks
from audience_sync.clock import Clock
from audience_sync.errors import (
    AccessDenied,
    AudienceSyncError,
    InvalidAudience,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    ServiceUnavailable,
    Throttled,
    TokenUnavailable,
    TransientError,
    Unavailable,
)
from audience_sync.membership import Audience
from local import resources
from local.sqs.queues import SqsQueues
from local.template import Template
from tests.faults.proxy import Front, in_front_of, lose_answer, refuse
from tests.servers import serve_aws

LAST_SENT: dict[str, Any] = {
    "advertiserId": "590071284455661235",
    "countryCode": "US",
    "externalAudienceId": "lapsed-premium-us",
    "audienceName": "Lapsed premium buyers",
}
LISTED = Audience(
    "418273650912345679",
    name="Lapsed premium buyers",
    country="US",
    advertiser_id="590071284455661235",
    external_audience_id="lapsed-premium-us",
    settings={"description": "Lapsed premium buyers", "ttl": 5},
)


@dataclass
class Amazon:
    """Makes audiences, as many as it is asked for. `fails` happens instead; with `applies`, after the work is done."""

    fails: AudienceSyncError | None = None
    ttl: int | None = None  # that it reports, in seconds
    name: str | None = None  # that it reports
    applies: bool = False
    takes: float = 0.0  # seconds
    meanwhile: Callable[[], None] = lambda: None
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    updates: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: count(9007199254740993))

    def create_audience(self, body: dict[str, Any], *, timeout: float) -> str:
        assert timeout > 0
        time.sleep(self.takes)
        fails, self.fails = self.fails, None
        if fails and not self.applies:
            raise fails
        audience_id = str(next(self.ids))
        self.made[audience_id] = body
        self.meanwhile()
        if fails:
            raise fails
        return audience_id

    def read_audience(self, audience_id: str, *, timeout: float) -> AudienceReport:
        assert timeout > 0
        if self.fails:
            raise self.fails
        return AudienceReport(audience_id, name=self.name, ttl=self.ttl)

    def update_audience(self, audience_id: str, body: dict[str, Any], *, timeout: float) -> None:
        assert timeout > 0
        if self.fails:
            raise self.fails
        self.updates.append((audience_id, body))


class Desk:
    """The use case over a table of its own, with a clock that sleeping moves."""

    def __init__(self, front: Front) -> None:
        self.front = front
        template = Template.load()
        self.direct = resources.client("dynamodb", front.upstream)
        for name in self.direct.list_tables()["TableNames"]:
            self.direct.delete_table(TableName=name)
        resources._tables(template, self.direct)
        self.name: str = template.resolve({"Ref": "AudienceTable"})
        self.amazon = Amazon()
        self.seconds = 1_000.0
        self.table = self.new_table()

    def new_table(self) -> AudienceTable:
        return AudienceTable(resources.client("dynamodb", self.front.url), self.name, lambda: self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def audiences(self, *, sleep: Callable[[float], None] | None = None, max_cpm_cents: int = 0) -> Audiences:
        """What a new execution environment would build."""
        owners = count(id(object()))
        intents = CreationLocks(
            resources.client("dynamodb", self.front.url), self.name, lambda: f"owner-{next(owners)}"
        )
        clock = Clock(lambda: self.seconds, lambda: self.seconds, sleep or self.sleep)
        return Audiences(self.new_table(), intents, self.amazon, clock, max_cpm_cents=max_cpm_cents)

    def create(self, **changed: Any) -> Created:
        return self.audiences().create(LAST_SENT | changed, deadline=self.seconds + 28)

    def listed(self) -> list[Audience]:
        return self.new_table().all()


@pytest.fixture(scope="module")
def aws_url() -> Iterator[str]:
    with serve_aws(SqsQueues(time.time)) as url:
        yield url


@pytest.fixture
def desk(aws_url: str) -> Iterator[Desk]:
    with in_front_of(aws_url) as front:
        yield Desk(front)


def test_a_new_audience_is_made_at_amazon_and_listed_for_events(desk: Desk) -> None:
    created = desk.create(computationKey="lapsed_premium_buyers", ttl=0)
    (body,) = desk.amazon.made.values()
    assert created.as_json() == {"externalId": "9007199254740993"}
    assert body["metadata"] == {"externalAudienceId": "lapsed-premium-us", "ttl": 0}
    assert desk.listed() == [
        Audience(
            "9007199254740993",
            name="Lapsed premium buyers",
            country="US",
            advertiser_id="590071284455661235",
            computation_key="lapsed_premium_buyers",
            external_audience_id="lapsed-premium-us",
            settings={"description": "Lapsed premium buyers", "ttl": 0},
        )
    ]


def test_a_name_that_was_lengthened_and_an_id_that_was_derived_are_told(desk: Desk) -> None:
    answer = desk.create(audienceName="VIP", externalAudienceId=None).as_json()
    assert answer["name"] == "Segment audience VIP"
    assert answer["externalAudienceId"].startswith("segment-vip-")


def test_the_same_external_id_and_target_are_the_same_audience(desk: Desk) -> None:
    first = desk.create()
    assert desk.create(description="another", ttl=5).audience_id == first.audience_id
    assert len(desk.amazon.made) == 1


def test_an_audience_that_was_there_is_told_as_it_is_listed_with_what_differs(desk: Desk) -> None:
    desk.create(audienceName="VIP", ttl=604_800)
    again = desk.create(ttl=5, computationKey="buyers")
    assert again.listed.settings == {"description": "VIP", "ttl": 604_800}
    answer = again.as_json()
    assert answer["name"] == "Segment audience VIP", "not the one that was asked for"
    assert [each["field"] for each in answer["differs"]] == ["audienceName", "ttl", "computationKey"]
    assert desk.listed() == [again.listed]


def test_a_repetition_that_asks_for_nothing_else_is_answered_like_the_first(desk: Desk) -> None:
    told: dict[str, Any] = {"ttl": "604800", "description": "", "computationKey": "buyers"}
    assert desk.create(**told).as_json() == desk.create(**told).as_json()


def test_what_was_changed_since_is_no_difference_to_who_does_not_ask_for_it(desk: Desk) -> None:
    first = desk.create(ttl=604_800)
    desk.audiences().update(first.audience_id, {"ttl": 5, "description": "changed"})
    assert desk.create().mismatches == ()
    assert [each.field for each in desk.create(ttl=604_800).mismatches] == ["ttl"]


def test_another_target_or_another_external_id_is_another_audience(desk: Desk) -> None:
    ids = {
        desk.create().audience_id,
        desk.create(advertiserId=None, connectionId="590071284455661235").audience_id,
        desk.create(externalAudienceId="lapsed-premium-de").audience_id,
    }
    assert len(ids) == len(desk.amazon.made) == len(desk.listed()) == 3


def test_an_audience_that_was_listed_by_hand_is_found_and_not_created(desk: Desk) -> None:
    desk.table.put(LISTED, created=0)
    assert desk.create().audience_id == LISTED.audience_id
    assert desk.amazon.made == {}


def test_an_audience_whose_row_was_removed_is_listed_again_and_not_created(desk: Desk) -> None:
    first = desk.create().audience_id
    desk.direct.delete_item(TableName=desk.name, Key={"audienceId": {"S": first}})
    assert desk.create().audience_id == first
    assert [audience.audience_id for audience in desk.listed()] == [first]
    assert len(desk.amazon.made) == 1


def test_an_audience_that_is_listed_again_is_listed_as_amazon_has_it(desk: Desk) -> None:
    first = desk.create(ttl=5).audience_id
    desk.direct.delete_item(TableName=desk.name, Key={"audienceId": {"S": first}})
    desk.amazon.name, desk.amazon.ttl = "The first name", 5
    again = desk.create(ttl=604_800)
    assert (again.listed.name, again.listed.settings["ttl"]) == ("The first name", 5)
    assert [each.field for each in again.mismatches] == ["audienceName", "ttl"]
    assert desk.listed() == [again.listed]


def test_an_audience_is_listed_again_although_amazon_does_not_answer(desk: Desk) -> None:
    first = desk.create().audience_id
    desk.direct.delete_item(TableName=desk.name, Key={"audienceId": {"S": first}})
    desk.amazon.fails = OutcomeUnknown("timeout")
    assert desk.create().as_json() == {"externalId": first}
    assert [audience.audience_id for audience in desk.listed()] == [first]


def test_two_audiences_cannot_share_a_computation_key(desk: Desk) -> None:
    desk.create(computationKey="buyers")
    with pytest.raises(InvalidAudience) as caught:
        desk.create(externalAudienceId="other", computationKey="buyers")
    assert [fault.field for fault in caught.value.faults] == ["computationKey"]
    assert len(desk.amazon.made) == 1


def test_a_key_that_two_audiences_share_already_gets_no_third(desk: Desk) -> None:
    for audience_id in ("11", "22"):
        desk.table.put(Audience(audience_id, computation_key="buyers"), created=0)
    with pytest.raises(InvalidAudience):
        desk.create(computationKey="buyers")
    assert desk.amazon.made == {}


def test_a_creation_lock_is_no_audience(desk: Desk) -> None:
    desk.amazon.fails = OutcomeUnknown("lost")
    with pytest.raises(OutcomeUnknown):
        desk.create()
    (row,) = desk.direct.scan(TableName=desk.name)["Items"]
    key = row["audienceId"]["S"]
    assert key.startswith("#creation#")
    assert desk.listed() == []
    assert desk.table.by_id(key) is None
    assert desk.table.by_external_audience_id("lapsed-premium-us") == []


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Throttled("slow down", retry_after=2), id="throttled"),
        pytest.param(ServiceUnavailable("503"), id="not reached"),
        pytest.param(TokenUnavailable("no token"), id="no token"),
        pytest.param(RequestRejected("bad", status=400), id="refused"),
        pytest.param(AccessDenied("not yours", status=403), id="denied"),
    ],
)
def test_where_nothing_was_created_the_next_request_need_not_wait(desk: Desk, error: AudienceSyncError) -> None:
    desk.amazon.fails = error
    with pytest.raises(type(error)):
        desk.create()
    before = desk.seconds
    assert desk.create().attempts == 1
    assert desk.seconds == before
    assert len(desk.amazon.made) == 1


def test_after_a_lost_answer_a_repeat_waits_and_then_asks_to_come_back(desk: Desk) -> None:
    desk.amazon.fails, desk.amazon.applies = OutcomeUnknown("lost"), True
    with pytest.raises(OutcomeUnknown) as lost:
        desk.create()
    before = desk.seconds
    with pytest.raises(TransientError) as caught:
        desk.create()
    waited = desk.seconds - before
    assert CREATE_WAIT - 1 < waited <= CREATE_WAIT
    assert caught.value.reason == "creation_under_way"
    assert lost.value.retry_after == STALE_LOCK_AGE / 1000
    assert caught.value.retry_after == pytest.approx(STALE_LOCK_AGE / 1000 - waited)
    assert len(desk.amazon.made) == 1


def test_after_two_minutes_it_is_created_again_and_only_that_one_is_ever_listed(desk: Desk) -> None:
    desk.amazon.fails, desk.amazon.applies = OutcomeUnknown("lost"), True
    with pytest.raises(OutcomeUnknown):
        desk.create()
    desk.seconds += STALE_LOCK_AGE / 1000
    again = desk.create()
    assert (again.attempts, len(desk.amazon.made)) == (2, 2)
    assert desk.create().audience_id == again.audience_id
    assert [audience.audience_id for audience in desk.listed()] == [again.audience_id]
    assert len(desk.amazon.made) == 2


def test_many_at_once_create_one_audience_and_all_get_its_id(desk: Desk) -> None:
    desk.amazon.takes = 0.3
    start = threading.Barrier(6)

    def create(_: int) -> str:
        audiences = desk.audiences(sleep=lambda _: time.sleep(0.05))
        start.wait()
        return audiences.create(LAST_SENT, deadline=desk.seconds + 28).audience_id

    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(create, range(6)))
    assert ids == set(desk.amazon.made) == {audience.audience_id for audience in desk.listed()}
    assert len(ids) == 1


def test_two_who_find_an_intent_left_behind_create_one_audience(desk: Desk) -> None:
    desk.amazon.fails = OutcomeUnknown("lost")
    with pytest.raises(OutcomeUnknown):
        desk.create()
    desk.seconds += STALE_LOCK_AGE / 1000
    desk.amazon.takes = 0.3

    def create(_: int) -> str:
        audiences = desk.audiences(sleep=lambda _: time.sleep(0.05))
        return audiences.create(LAST_SENT, deadline=desk.seconds + 28).audience_id

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(create, range(2)))) == 1
    assert len(desk.amazon.made) == 1


def test_who_comes_back_too_late_does_not_list_a_second_audience(desk: Desk) -> None:
    def overtake() -> None:
        desk.amazon.meanwhile = lambda: None
        desk.seconds += STALE_LOCK_AGE / 1000
        desk.create()

    desk.amazon.meanwhile = overtake
    with pytest.raises(Unavailable) as caught:
        desk.create()
    assert caught.value.reason == "creation_overtaken"
    (listed,) = desk.listed()
    assert desk.create().audience_id == listed.audience_id


def test_an_audience_that_could_not_be_listed_is_not_answered(desk: Desk) -> None:
    desk.front.on("TransactWriteItems", refuse("InternalServerError", 500))
    with pytest.raises(Unavailable):
        desk.create()
    assert desk.listed() == []


def test_a_listing_whose_confirmation_was_lost_is_found_by_the_repeat(desk: Desk) -> None:
    desk.front.on("TransactWriteItems", lose_answer(), times=1)
    with pytest.raises(Unavailable):
        desk.create()
    assert desk.create().audience_id == desk.listed()[0].audience_id
    assert len(desk.amazon.made) == 1


def test_without_time_amazon_is_not_asked(desk: Desk) -> None:
    with pytest.raises(TransientError) as caught:
        desk.audiences().create(LAST_SENT, deadline=desk.seconds + 2)
    assert (caught.value.reason, desk.amazon.made) == ("out_of_time", {})
    assert desk.create().attempts == 1


@pytest.mark.parametrize(
    ("error", "is_found"),
    [
        pytest.param(None, True, id="Amazon knows it"),
        pytest.param(NotFound("gone", status=404), False, id="Amazon knows it no longer"),
        pytest.param(OutcomeUnknown("timeout"), True, id="Amazon does not answer"),
        pytest.param(TokenUnavailable("none"), True, id="no token"),
        pytest.param(AccessDenied("no", status=403), True, id="Amazon does not let us look"),
    ],
)
def test_a_listed_audience_is_found_unless_amazon_denies_it(
    desk: Desk, error: AudienceSyncError | None, *, is_found: bool
) -> None:
    desk.table.put(LISTED, created=0)
    desk.amazon.fails = error
    found = desk.audiences().find({"externalId": LISTED.audience_id, "countryCode": "US"})
    assert found == (LISTED if is_found else None)


@pytest.mark.parametrize("external_id", ["418273650912345678", "#mappings", "x", 5.5, ["1"], "1" * 3000, "\ud800"])
def test_what_is_not_listed_is_not_found_whatever_amazon_says(desk: Desk, external_id: Any) -> None:
    assert desk.audiences().find({"externalId": external_id}) is None


@pytest.mark.parametrize("told", [{}, {"externalId": ""}, {"externalId": None}])
def test_without_an_id_there_is_nothing_to_find(desk: Desk, told: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="externalId is missing"):
        desk.audiences().find(told)


def test_an_update_reaches_amazon_and_the_list(desk: Desk) -> None:
    desk.table.put(LISTED, created=0)
    changes = {"ttl": "0", "cpmCents": 100, "currency": "USD"}
    updated = desk.audiences(max_cpm_cents=100).update(LISTED.audience_id, changes)
    metadata = {"ttl": 0, "audienceFees": [{"cpmCents": 100, "currency": "USD"}]}
    assert desk.amazon.updates == [(LISTED.audience_id, {"metadata": metadata})]
    assert updated.settings == LISTED.settings | {"ttl": 0, "cpmCents": 100, "currency": "USD"}
    assert desk.new_table().by_id(LISTED.audience_id) == updated


UNTIMED = replace(LISTED, settings={"description": "Lapsed premium buyers"})  # made elsewhere, linked here


def test_renewal_counts_by_the_ttl_that_amazon_reports_where_none_is_known(desk: Desk) -> None:
    desk.table.put(UNTIMED, created=0)
    desk.amazon.ttl = 7_776_000
    updated = desk.audiences().update(UNTIMED.audience_id, {"renew": True})
    assert updated.settings == UNTIMED.settings | {"renew": True, "ttl": 7_776_000}
    assert desk.amazon.updates == []


def test_renewal_is_refused_where_amazon_reports_too_short_a_ttl(desk: Desk) -> None:
    desk.table.put(UNTIMED, created=0)
    desk.amazon.ttl = 86_400
    with pytest.raises(InvalidAudience) as caught:
        desk.audiences().update(UNTIMED.audience_id, {"renew": True})
    assert [fault.field for fault in caught.value.faults] == ["ttl"]
    assert desk.listed() == [UNTIMED]


def test_an_update_that_amazon_refuses_changes_nothing_here(desk: Desk) -> None:
    desk.table.put(LISTED, created=0)
    desk.amazon.fails = RequestRejected("no", status=400)
    with pytest.raises(RequestRejected):
        desk.audiences().update(LISTED.audience_id, {"ttl": 7})
    assert desk.listed() == [LISTED]


def test_only_a_listed_audience_can_be_changed(desk: Desk) -> None:
    with pytest.raises(InvalidRequest) as caught:
        desk.audiences().update(LISTED.audience_id, {"ttl": 7})
    assert (caught.value.reason, desk.amazon.updates) == ("audience_unknown", [])
