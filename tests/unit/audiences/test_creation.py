"""Audiences are created once, even if requests are repeated, overlap or get lost: with the template's own table."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count, repeat
from typing import Any

import pytest

from audience_sync.amazon_ads.advertiser_audiences.audience import AudienceReport
from audience_sync.amazon_ads.destination import dsp_advertiser
from audience_sync.audiences import creation
from audience_sync.audiences.creation import CREATE_WAIT, Audiences, Created, Limits
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.creation_locks import STALE_LOCK_AGE, CreationLocks
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
    SettingFault,
    Throttled,
    TokenUnavailable,
    TransientError,
    Unavailable,
)
from audience_sync.members.membership import Audience, FilledBy
from local import resources
from local.sqs.queues import SqsQueues
from tests.support.aws_fixtures import recreate_tables
from tests.support.proxy import FaultProxy, fault_proxy, lose_answer, refuse
from tests.support.servers import serve_aws

REQUEST: dict[str, Any] = {
    "advertiserId": "590071284455661235",
    "countryCode": "US",
    "externalAudienceId": "lapsed-premium-us",
    "audienceName": "Lapsed premium buyers",
}
LISTED = Audience(
    "418273650912345679",
    name="Lapsed premium buyers",
    country="US",
    destination=dsp_advertiser("590071284455661235"),
    external_audience_id="lapsed-premium-us",
    settings={"description": "Lapsed premium buyers", "ttl": 5},
)


@dataclass
class Amazon:
    """Creates as many audiences as requested. `fails` is raised instead; with `applies`, after the work is done."""

    fails: AudienceSyncError | None = None
    ttl: int | None = None  # that it reports, in seconds
    name: str | None = None  # that it reports
    applies: bool = False
    takes: float = 0.0  # seconds
    while_creating: Callable[[], None] = lambda: None
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
        self.while_creating()
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


class AudiencesHarness:
    """The use case with a table of its own, and a clock that `sleep` moves."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.direct = resources.client("dynamodb", proxy.upstream)
        self.name = recreate_tables(self.direct, "AudienceTable")
        self.amazon = Amazon()
        self.limits: Limits | None = Limits()  # None for the operator
        self.seconds = 1_000.0
        self.table = self.new_table()

    def new_table(self) -> AudienceTable:
        return AudienceTable(resources.client("dynamodb", self.proxy.url), self.name)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def audiences(self, *, sleep: Callable[[float], None] | None = None, max_cpm_cents: int = 0) -> Audiences:
        """Build the use case, as a new execution environment does."""
        owners = count(id(object()))
        locks = CreationLocks(resources.client("dynamodb", self.proxy.url), self.name, lambda: f"owner-{next(owners)}")
        clock = Clock(lambda: self.seconds, lambda: self.seconds, sleep or self.sleep)
        options: dict[str, Any] = {"max_cpm_cents": max_cpm_cents, "limits": self.limits}
        return Audiences(self.new_table(), locks, self.amazon, clock, **options)

    def create(self, **changed: Any) -> Created:
        return self.audiences().create(REQUEST | changed, deadline=self.seconds + 28)

    def fail[Error: AudienceSyncError](self, error: Error, *, applies: bool = False, **changed: Any) -> Error:
        """Request an audience while Amazon fails, with or without having created one. Returns the error."""
        self.amazon.fails, self.amazon.applies = error, applies
        with pytest.raises(type(error)) as caught:
            self.create(**changed)
        return caught.value

    def faults(self, **changed: Any) -> list[SettingFault]:
        """Request an audience whose settings are refused, and return what is wrong with them."""
        with pytest.raises(InvalidAudience) as caught:
            self.create(**changed)
        return [*caught.value.faults]

    def lose_row(self, audience_id: str) -> None:
        self.direct.delete_item(TableName=self.name, Key={"audienceId": {"S": audience_id}})

    def listed(self) -> list[Audience]:
        return self.new_table().all()


@pytest.fixture(scope="module")
def aws_url() -> Iterator[str]:
    with serve_aws(SqsQueues(time.time)) as url:
        yield url


@pytest.fixture
def harness(aws_url: str) -> Iterator[AudiencesHarness]:
    with fault_proxy(aws_url) as proxy:
        yield AudiencesHarness(proxy)


def test_a_new_audience_is_created_at_amazon_and_listed_for_events(harness: AudiencesHarness) -> None:
    created = harness.create(computationKey="lapsed_premium_buyers", ttl=0)
    (body,) = harness.amazon.made.values()
    assert created.as_json() == {"externalId": "9007199254740993"}
    assert body["metadata"] == {"externalAudienceId": "lapsed-premium-us", "ttl": 0}
    settings, key = {"description": "Lapsed premium buyers", "ttl": 0}, "lapsed_premium_buyers"
    expected = replace(LISTED, audience_id="9007199254740993", computation_key=key, settings=settings)
    assert harness.listed() == [replace(expected, filled_by=FilledBy.STACK)]


def test_the_answer_contains_a_lengthened_name_and_a_derived_id(harness: AudiencesHarness) -> None:
    answer = harness.create(audienceName="VIP", externalAudienceId=None).as_json()
    assert answer["name"] == "Segment audience VIP"
    assert answer["externalAudienceId"].startswith("segment-vip-")


def test_an_existing_audience_is_returned_with_the_settings_that_differ(harness: AudiencesHarness) -> None:
    harness.create(audienceName="VIP", ttl=604_800)
    second = harness.create(ttl=5, computationKey="buyers")
    assert second.listed.settings == {"description": "VIP", "ttl": 604_800}
    answer = second.as_json()
    assert answer["name"] == "Segment audience VIP", "not the one that was asked for"
    assert [each["field"] for each in answer["differs"]] == ["audienceName", "ttl", "computationKey"]
    assert harness.listed() == [second.listed]
    assert len(harness.amazon.made) == 1, "the same external id and target are the same audience"


def test_a_repeated_request_gets_the_same_answer(harness: AudiencesHarness) -> None:
    extras: dict[str, Any] = {"ttl": "604800", "description": "", "computationKey": "buyers"}
    assert harness.create(**extras).as_json() == harness.create(**extras).as_json()


def test_a_setting_that_was_changed_since_differs_only_for_a_request_that_names_it(harness: AudiencesHarness) -> None:
    first = harness.create(ttl=604_800)
    harness.audiences().update(first.audience_id, {"ttl": 5, "description": "changed"})
    assert harness.create().mismatches == ()
    assert [each.field for each in harness.create(ttl=604_800).mismatches] == ["ttl"]


def test_another_target_or_another_external_id_is_another_audience(harness: AudiencesHarness) -> None:
    ids = {
        harness.create().audience_id,
        harness.create(advertiserId=None, connectionId="590071284455661235").audience_id,
        harness.create(externalAudienceId="lapsed-premium-de").audience_id,
    }
    assert len(ids) == len(harness.amazon.made) == len(harness.listed()) == 3


def test_an_audience_listed_by_hand_is_not_created_again(harness: AudiencesHarness) -> None:
    harness.table.put(LISTED, created=0)
    assert harness.create().audience_id == LISTED.audience_id
    assert harness.amazon.made == {}


def test_relisting_an_audience_takes_its_settings_from_amazon(harness: AudiencesHarness) -> None:
    first = harness.create(ttl=5).audience_id
    harness.lose_row(first)
    harness.amazon.name, harness.amazon.ttl = "The first name", 5
    second = harness.create(ttl=604_800)
    assert (second.audience_id, len(harness.amazon.made)) == (first, 1)
    assert (second.listed.name, second.listed.settings["ttl"]) == ("The first name", 5)
    assert [each.field for each in second.mismatches] == ["audienceName", "ttl"]
    assert harness.listed() == [second.listed]


def test_an_audience_is_relisted_even_if_amazon_does_not_answer(harness: AudiencesHarness) -> None:
    first = harness.create().audience_id
    harness.lose_row(first)
    harness.amazon.fails = OutcomeUnknown("timeout")
    assert harness.create().as_json() == {"externalId": first}
    assert [audience.audience_id for audience in harness.listed()] == [first]


@pytest.mark.parametrize("is_locked", [True, False], ids=["its lock remains", "Amazon answers with its id"])
def test_an_unlinked_audience_is_not_listed_again(harness: AudiencesHarness, *, is_locked: bool) -> None:
    """A holder of the key would undo the operator's unlinking, and send new events to the members of old."""
    first = harness.create(computationKey="buyers").audience_id
    assert harness.table.unlink(first, at=5)
    if not is_locked:
        CreationLocks(harness.direct, harness.name, lambda: "unused").remove(first)
        harness.amazon.ids = repeat(int(first))
    for _ in range(2):
        (fault,) = harness.faults(computationKey="another")
        assert (fault.field, "audiences link" in fault.remedy) == ("externalAudienceId", True)
    (unlinked,) = harness.table.with_unlinked()
    assert (unlinked.unlinked_at, unlinked.computation_key) == (5, "buyers")


@pytest.mark.parametrize("is_unlinked", [False, True])
def test_the_computation_key_that_another_audience_has_or_had_is_refused(
    harness: AudiencesHarness, *, is_unlinked: bool
) -> None:
    """Segment sends events with the key of an unlinked audience all the same: they would reach a stranger's."""
    first = harness.create(computationKey="buyers")
    assert not is_unlinked or harness.table.unlink(first.audience_id, at=5)
    other: dict[str, Any] = {"externalAudienceId": "other", "computationKey": "buyers"}
    assert [fault.field for fault in harness.faults(**other)] == ["computationKey"]
    assert len(harness.amazon.made) == 1
    harness.limits = None
    assert not is_unlinked or harness.create(**other).listed.computation_key == "buyers"


def test_a_key_that_is_an_external_id_is_refused(harness: AudiencesHarness) -> None:
    """Otherwise an import that names an audience by its external id would reach a stranger's."""
    harness.create()
    stranger = {"advertiserId": "999", "externalAudienceId": "zz3", "computationKey": REQUEST["externalAudienceId"]}
    for changed in (stranger, stranger | {"externalAudienceId": REQUEST["externalAudienceId"]}):
        with pytest.raises(InvalidAudience, match="computationKey"):
            harness.create(**changed)
    own = {"externalAudienceId": "buyers", "computationKey": "buyers"}
    assert harness.create(**own).attempts == 1, "its own"
    harness.limits = None
    assert [fault.field for fault in harness.faults(**stranger)] == ["computationKey"], "also from the operator"


@pytest.mark.parametrize("key", ["summer_sale;touch pwned", "$(touch pwned)", "-y", "two words"])
def test_with_the_audience_key_a_computation_key_has_segments_alphabet(harness: AudiencesHarness, key: str) -> None:
    with pytest.raises(InvalidAudience, match="computationKey"):
        harness.create(computationKey=key)
    harness.limits = None
    assert harness.create(computationKey=key).listed.computation_key == key, "the operator's own"


def test_a_day_has_a_limit_of_audiences_that_the_audience_key_creates(
    harness: AudiencesHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "MAX_CREATED_A_DAY", 2)
    assert [harness.create(externalAudienceId=each).attempts for each in ("a", "b")] == [1, 1]
    with pytest.raises(InvalidRequest, match="at most 2 audiences a day"):
        harness.create()
    assert (len(harness.amazon.made), harness.create(externalAudienceId="a").attempts) == (2, 0), "it is found"
    harness.seconds += 86_400
    assert [harness.create(externalAudienceId=each).attempts for each in ("c", "d")] == [1, 1]
    harness.limits = None
    assert harness.create().attempts == 1


def test_a_creation_that_amazon_refuses_does_not_count_and_one_of_unknown_outcome_does(
    harness: AudiencesHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "MAX_CREATED_A_DAY", 2)
    for _ in range(5):
        harness.fail(RequestRejected("no such connection", status=400))
    harness.fail(OutcomeUnknown("lost"), externalAudienceId="a")
    assert harness.create(externalAudienceId="b").attempts == 1
    with pytest.raises(InvalidRequest, match="at most 2 audiences a day"):
        harness.create(externalAudienceId="c")


def test_a_computation_key_shared_by_two_audiences_is_refused(harness: AudiencesHarness) -> None:
    for audience_id in ("11", "22"):
        harness.table.put(Audience(audience_id, computation_key="buyers"), created=0)
    assert harness.faults(computationKey="buyers")
    assert harness.amazon.made == {}


def test_a_creation_lock_is_not_listed_as_an_audience(harness: AudiencesHarness) -> None:
    harness.fail(OutcomeUnknown("lost"))
    rows = [row["audienceId"]["S"] for row in harness.direct.scan(TableName=harness.name)["Items"]]
    (key,) = [each for each in rows if each.startswith("#creation#")]
    assert harness.listed() == []
    assert harness.table.by_id(key) is None
    assert harness.table.by_external_audience_id("lapsed-premium-us") == []


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
def test_after_a_refused_creation_the_next_request_does_not_wait(
    harness: AudiencesHarness, error: AudienceSyncError
) -> None:
    harness.fail(error)
    before = harness.seconds
    assert harness.create().attempts == 1
    assert harness.seconds == before
    assert len(harness.amazon.made) == 1


def test_after_a_lost_answer_a_repeated_request_waits_for_the_lock(harness: AudiencesHarness) -> None:
    lost = harness.fail(OutcomeUnknown("lost"), applies=True)
    before = harness.seconds
    with pytest.raises(TransientError) as caught:
        harness.create()
    waited = harness.seconds - before
    assert CREATE_WAIT - 1 < waited <= CREATE_WAIT
    assert caught.value.reason == "creation_under_way"
    assert lost.retry_after == STALE_LOCK_AGE / 1000
    assert caught.value.retry_after == pytest.approx(STALE_LOCK_AGE / 1000 - waited)
    assert len(harness.amazon.made) == 1


def test_a_creation_lock_is_stale_after_two_minutes(harness: AudiencesHarness) -> None:
    harness.fail(OutcomeUnknown("lost"), applies=True)
    harness.seconds += STALE_LOCK_AGE / 1000
    second = harness.create()
    assert (second.attempts, len(harness.amazon.made)) == (2, 2)
    assert harness.create().audience_id == second.audience_id
    assert [audience.audience_id for audience in harness.listed()] == [second.audience_id]
    assert len(harness.amazon.made) == 2


@pytest.mark.parametrize("is_stale", [False, True], ids=["no lock", "a stale lock"])
def test_concurrent_requests_create_one_audience_and_all_get_its_id(
    harness: AudiencesHarness, *, is_stale: bool
) -> None:
    if is_stale:
        harness.fail(OutcomeUnknown("lost"))
        harness.seconds += STALE_LOCK_AGE / 1000
    harness.amazon.takes = 0.3
    start = threading.Barrier(6)

    def create(_: int) -> str:
        audiences = harness.audiences(sleep=lambda _: time.sleep(0.05))
        start.wait()
        return audiences.create(REQUEST, deadline=harness.seconds + 28).audience_id

    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(create, range(6)))
    assert ids == set(harness.amazon.made) == {audience.audience_id for audience in harness.listed()}
    assert len(ids) == 1


def test_a_creation_that_outlives_its_lock_lists_no_second_audience(harness: AudiencesHarness) -> None:
    def overtake() -> None:
        harness.amazon.while_creating = lambda: None
        harness.seconds += STALE_LOCK_AGE / 1000
        harness.create()

    harness.amazon.while_creating = overtake
    with pytest.raises(Unavailable) as caught:
        harness.create()
    assert caught.value.reason == "creation_overtaken"
    (listed,) = harness.listed()
    assert harness.create().audience_id == listed.audience_id


def test_a_created_audience_that_was_not_listed_is_an_error(harness: AudiencesHarness) -> None:
    harness.proxy.on("TransactWriteItems", refuse("InternalServerError", 500))
    with pytest.raises(Unavailable):
        harness.create()
    assert harness.listed() == []


def test_an_audience_whose_listing_was_not_confirmed_is_found_again(harness: AudiencesHarness) -> None:
    harness.proxy.on("TransactWriteItems", lose_answer(), times=1)
    with pytest.raises(Unavailable):
        harness.create()
    assert harness.create().audience_id == harness.listed()[0].audience_id
    assert len(harness.amazon.made) == 1


def test_without_time_amazon_is_not_called(harness: AudiencesHarness) -> None:
    with pytest.raises(TransientError) as caught:
        harness.audiences().create(REQUEST, deadline=harness.seconds + 2)
    assert (caught.value.reason, harness.amazon.made) == ("out_of_time", {})
    assert harness.create().attempts == 1


@pytest.mark.parametrize(
    ("error", "is_found"),
    [
        pytest.param(None, True, id="Amazon knows it"),
        pytest.param(NotFound("gone", status=404), False, id="Amazon knows it no longer"),
        pytest.param(OutcomeUnknown("timeout"), True, id="Amazon does not answer"),
        pytest.param(TokenUnavailable("none"), True, id="no token"),
        pytest.param(AccessDenied("no", status=403), True, id="Amazon denies access"),
    ],
)
def test_a_listed_audience_is_found_unless_amazon_answers_404(
    harness: AudiencesHarness, error: AudienceSyncError | None, *, is_found: bool
) -> None:
    harness.table.put(LISTED, created=0)
    harness.amazon.fails = error
    found = harness.audiences().find({"externalId": LISTED.audience_id, "countryCode": "US"})
    assert found == (LISTED if is_found else None)


@pytest.mark.parametrize("external_id", ["418273650912345678", "#mappings", "x", 5.5, ["1"], "1" * 3000, "\ud800"])
def test_an_audience_that_is_not_listed_is_not_found(harness: AudiencesHarness, external_id: Any) -> None:
    assert harness.audiences().find({"externalId": external_id}) is None


@pytest.mark.parametrize(
    ("moved_to", "is_found"),
    [("22", True), ("33", True), ("44", False), ("55", False), ("11", False)],
    ids=["moved", "moved twice", "in a circle", "to nowhere", "to itself"],
)
def test_an_unlinked_audience_is_found_if_its_events_reach_another_one(
    harness: AudiencesHarness, moved_to: str, *, is_found: bool
) -> None:
    gone = Audience("11", unlinked_at=5, moved_to=moved_to)
    others = [Audience("22"), replace(gone, audience_id="33", moved_to="22"), replace(gone, audience_id="44")]
    for each in (gone, *others, replace(others[2], moved_to="11")):
        harness.table.put(each, created=0)
    assert harness.audiences().find({"externalId": "11"}) == (gone if is_found else None)


@pytest.mark.parametrize("extras", [{}, {"externalId": ""}, {"externalId": None}])
def test_a_get_request_without_an_id_is_refused(harness: AudiencesHarness, extras: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="externalId is missing"):
        harness.audiences().find(extras)


def test_an_update_changes_the_audience_at_amazon_and_in_the_table(harness: AudiencesHarness) -> None:
    harness.table.put(LISTED, created=0)
    changes = {"ttl": "0", "cpmCents": 100, "currency": "USD"}
    updated = harness.audiences(max_cpm_cents=100).update(LISTED.audience_id, changes)
    metadata = {"ttl": 0, "audienceFees": [{"cpmCents": 100, "currency": "USD"}]}
    assert harness.amazon.updates == [(LISTED.audience_id, {"metadata": metadata})]
    assert updated.settings == LISTED.settings | {"ttl": 0, "cpmCents": 100, "currency": "USD"}
    assert harness.new_table().by_id(LISTED.audience_id) == updated


WITHOUT_TTL = replace(LISTED, settings={"description": "Lapsed premium buyers"})  # created elsewhere, linked here


def test_renewal_uses_amazons_ttl_if_none_is_stored(harness: AudiencesHarness) -> None:
    harness.table.put(WITHOUT_TTL, created=0)
    harness.amazon.ttl = 7_776_000
    updated = harness.audiences().update(WITHOUT_TTL.audience_id, {"renew": True})
    assert updated.settings == WITHOUT_TTL.settings | {"renew": True, "ttl": 7_776_000}
    assert harness.amazon.updates == []


def test_renewal_is_refused_if_amazons_ttl_is_too_short(harness: AudiencesHarness) -> None:
    harness.table.put(WITHOUT_TTL, created=0)
    harness.amazon.ttl = 86_400
    with pytest.raises(InvalidAudience) as caught:
        harness.audiences().update(WITHOUT_TTL.audience_id, {"renew": True})
    assert [fault.field for fault in caught.value.faults] == ["ttl"]
    assert harness.listed() == [WITHOUT_TTL]


def test_an_update_rejected_by_amazon_changes_nothing_in_the_table(harness: AudiencesHarness) -> None:
    harness.table.put(LISTED, created=0)
    harness.amazon.fails = RequestRejected("no", status=400)
    with pytest.raises(RequestRejected):
        harness.audiences().update(LISTED.audience_id, {"ttl": 7})
    assert harness.listed() == [LISTED]


def test_only_a_listed_audience_can_be_changed(harness: AudiencesHarness) -> None:
    with pytest.raises(InvalidRequest) as caught:
        harness.audiences().update(LISTED.audience_id, {"ttl": 7})
    assert (caught.value.reason, harness.amazon.updates) == ("audience_unknown", [])
