"""Which members are sent again, when, and where a run continues that could not finish."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.advertiser_audiences.audience_settings import MAX_TTL, MIN_RENEWED_TTL
from audience_sync.amazon_ads.destination import amc_connection, dsp_advertiser
from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.errors import Unavailable
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.members.messages import ChangeMessage
from audience_sync.operations.renewal import (
    LATE,
    MAX_WAITING,
    POLL_INTERVAL,
    RESERVE,
    Renewal,
    RenewalReport,
    is_renewed,
    renewal_age,
)
from audience_sync.reasons import Reason
from tests.support import builders
from tests.support.doubles.dynamodb import MembershipRows
from tests.support.doubles.queues import FakeQueue
from tests.support.member_changes import names, record_as_sent

HOUR, DAY = 3600, 86_400  # seconds
NOW = 1_800_000_000.0
LATER = 10_000.0  # a deadline that does not matter


def renewed(audience_id: str = "1", **settings: Any) -> Audience:
    return Audience(audience_id, destination=dsp_advertiser("5"), settings={"renew": True} | settings)


def change(member: str, *, audience_id: str = "1", **options: Any) -> MembershipChange:
    return builders.change(member, "a", audience_id=audience_id, **options)


@dataclass
class Queue(FakeQueue):
    """Reports `depths` as the number of waiting messages, in turn, and then the last one."""

    depths: list[int] = field(default_factory=lambda: [0])

    def waiting(self) -> int:
        return self.depths.pop(0) if len(self.depths) > 1 else self.depths[0]

    def sent(self) -> list[ChangeMessage]:
        return [ChangeMessage.from_body(body) for body in self.bodies]

    def members(self) -> list[str]:
        return [change.member[1] for message in self.sent() for change in message.changes]


class RenewalHarness:
    """A membership table, a queue, and a clock that `sleep` moves."""

    def __init__(self, shards: int = 1) -> None:
        self.sharding = Sharding(shards)
        self.table = MembershipRows()
        self.queue = Queue()
        self.now = NOW
        self.seconds = 0.0
        self.per_reading = 0.0  # seconds that pass with each reading of the clock

    def write(self, *changes: MembershipChange, days: float = 0) -> None:
        """Record changes as sent to Amazon so many days ago."""
        client: Any = self.table
        table = MembershipTable(client, "members", self.sharding, Clock())
        record_as_sent(table, *changes, now=int(self.now - days * DAY))

    def run(self, *audiences: Audience, deadline: float = LATER) -> RenewalReport:
        client: Any = self.table
        clock = Clock(lambda: self.now, self._monotonic, self._sleep)
        checkpoint = Checkpoint(client, "members", RENEWAL)
        return Renewal(MembershipScan(client, "members", self.sharding), checkpoint, self.queue, clock).run(
            audiences, deadline=deadline
        )

    def _monotonic(self) -> float:
        self.seconds += self.per_reading
        return self.seconds

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def harness() -> RenewalHarness:
    return RenewalHarness()


@pytest.mark.parametrize(
    ("ttl", "days"),
    [
        pytest.param(None, 381.75, id="without a ttl: fifteen days and six hours before 397 days"),
        pytest.param(MAX_TTL, 381.75, id="397 days: fifteen days and six hours before"),
        pytest.param(90 * DAY, 74.75, id="90 days: fifteen days and six hours before"),
        pytest.param(28 * DAY, 12.75, id="28 days: that is half of it, a day and six hours"),
        pytest.param(7 * DAY, 2.25, id="a week: half of it, a day and six hours before"),
        pytest.param(MIN_RENEWED_TTL, 0.25, id="three days, the least: half of it, a day and six hours before"),
    ],
)
def test_a_member_is_renewed_15_days_before_its_ttl_ends_or_at_half_of_it(
    harness: RenewalHarness, ttl: int | None, days: float
) -> None:
    audience = renewed() if ttl is None else renewed(ttl=ttl)
    for member, age in (("younger", days - 0.001), ("just", days), ("older", days + 0.001), ("gone", 500)):
        harness.write(change(member), days=age)
    harness.run(audience)
    assert sorted(harness.queue.members()) == ["gone", "just", "older"]


@given(st.integers(MIN_RENEWED_TTL, MAX_TTL))
def test_up_to_14_failed_daily_runs_lose_no_member(ttl: int) -> None:
    failed = min(14, ttl // (2 * DAY))
    assert 0 < renewal_age(renewed(ttl=ttl)) <= ttl - (failed + 1) * DAY - LATE


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, False, id="off by default"),
        pytest.param({"renew": False}, False, id="off"),
        pytest.param({"renew": "true"}, False, id="a text, which we never store"),
        pytest.param({"renew": True}, True, id="on"),
    ],
)
def test_an_audience_is_renewed_only_if_its_setting_is_true(
    harness: RenewalHarness, settings: dict[str, Any], expected: bool
) -> None:
    harness.write(change("m1"), days=390)
    audience = Audience("1", settings=settings)
    assert is_renewed(audience) is expected
    harness.run(audience)
    assert harness.queue.members() == (["m1"] if expected else [])


def test_the_newest_change_is_sent_unchanged_as_a_replay(harness: RenewalHarness) -> None:
    harness.write(change("m1", at=7), days=390)
    report = harness.run(renewed())
    (message,) = harness.queue.sent()
    assert message.changes == [change("m1", at=7)]
    assert message.history.was_counted is True
    assert report == RenewalReport(audiences=1, rows=1, renewed=1)


def test_a_renewal_goes_to_the_audiences_current_targets(harness: RenewalHarness) -> None:
    harness.write(change("m1"), days=390)
    harness.run(Audience("1", destination=amc_connection("c-1"), settings={"renew": True, "dsp": True}))
    (message,) = harness.queue.sent()
    assert message.destination == amc_connection("c-1", dsp=True)


def test_every_page_of_every_renewed_audience_is_read(harness: RenewalHarness) -> None:
    harness.table.page = 2
    everyone = [f"m{number}" for number in range(5)]
    for audience_id in ("1", "2", "3"):
        harness.write(*(change(member, audience_id=audience_id) for member in everyone), days=390)
    report = harness.run(renewed("2"), Audience("3"), renewed("1"))
    assert [message.audience_id for message in harness.queue.sent()] == ["1"] * 3 + ["2"] * 3
    assert harness.queue.members() == everyone * 2
    assert report == RenewalReport(audiences=2, rows=10, renewed=10)


def test_only_active_identities_are_renewed(harness: RenewalHarness) -> None:
    harness.write(builders.change("m1", "old", audience_id="1", at=1), days=395)
    harness.write(change("m1", at=2, exits=True), days=394)
    harness.write(builders.change("m1", "new", audience_id="1", at=3), days=390)
    harness.run(renewed())
    (message,) = harness.queue.sent()
    assert [names(each) for each in message.changes] == [["new"]]


FULL, RENEWED = MAX_WAITING + 1, RenewalReport(audiences=1, rows=1, renewed=1)
STOPPED = RenewalReport(rows=1, reason=Reason.QUEUE_BEHIND)


@pytest.mark.parametrize(
    ("depths", "report", "polls"),
    [
        pytest.param([FULL], RenewalReport(reason=Reason.QUEUE_BEHIND), 0, id="too many messages: nothing is read"),
        pytest.param([MAX_WAITING], RENEWED, 0, id="as many as may wait: it runs at once"),
        pytest.param([0, FULL, FULL, MAX_WAITING], RENEWED, 2, id="too many for a while: it waits"),
        pytest.param([0, FULL], STOPPED, 11, id="for the minute that it has: it ends"),
    ],
)
def test_a_run_waits_for_room_in_the_queue_as_long_as_it_has_time(
    harness: RenewalHarness, depths: list[int], report: RenewalReport, polls: int
) -> None:
    harness.write(change("m1"), days=390)
    harness.queue.depths = depths
    assert harness.run(renewed(), deadline=RESERVE + 60) == report
    assert harness.seconds == polls * POLL_INTERVAL < 60
    assert harness.queue.members() == ["m1"] * report.renewed


def test_the_queue_is_not_read_if_no_audience_is_renewed(harness: RenewalHarness) -> None:
    harness.queue.depths = [MAX_WAITING + 1]
    assert harness.run(Audience("1")) == RenewalReport()


def run_by_run(harness: RenewalHarness, *audiences: Audience, runs: int) -> list[list[str]]:
    """Members queued by runs that have time for two pages each."""
    queued = []
    for _ in range(runs):
        harness.seconds, harness.queue = 0.0, Queue()
        harness.run(*audiences, deadline=RESERVE + 3)
        queued.append(harness.queue.members())
    return queued


def test_runs_out_of_time_are_continued_across_audiences(
    harness: RenewalHarness,
) -> None:
    harness.table.page = 1
    harness.per_reading = 1.0
    for audience_id in ("1", "2"):
        members = [f"{audience_id}{suffix}" for suffix in "abc"]
        harness.write(*(change(member, audience_id=audience_id) for member in members), days=390)
    queued = run_by_run(harness, renewed("1"), renewed("2"), runs=4)
    assert queued == [["1a", "1b"], ["1c", "2a"], ["2b", "2c"], ["1a", "1b"]]


@pytest.mark.parametrize("page", [1, 2, 100])
def test_runs_out_of_time_are_continued_within_shards(page: int) -> None:
    harness = RenewalHarness(shards=4)
    harness.table.page, harness.per_reading = page, 1.0
    everyone = [f"m{number}" for number in range(12)]
    harness.write(*map(change, everyone), days=390)
    queued: list[str] = []
    for _ in range(20):
        (some,) = run_by_run(harness, renewed(), runs=1)
        queued += some
        if "audience" not in Checkpoint(harness.table, "members", RENEWAL).position():  # type: ignore[arg-type]
            break
    assert sorted(queued) == sorted(everyone), "each once"


def test_a_cursor_without_a_shard_restarts_the_audience(harness: RenewalHarness) -> None:
    client: Any = harness.table
    harness.write(change("m1"), change("m2"), days=390)
    Checkpoint(client, "members", RENEWAL).save({"audience": "1", "after": "m1"})
    harness.run(renewed())
    assert harness.queue.members() in (["m2"], ["m1", "m2"])


def test_an_audience_removed_between_runs_does_not_stop_the_others(harness: RenewalHarness) -> None:
    harness.table.page = 1
    harness.per_reading = 1.0
    for audience_id in ("1", "2"):
        harness.write(*(change(f"{audience_id}{suffix}", audience_id=audience_id) for suffix in "abc"), days=390)
    run_by_run(harness, renewed("1"), renewed("2"), runs=2)
    assert run_by_run(harness, renewed("1"), runs=1) == [["1a", "1b"]]


def test_the_time_of_the_last_completed_pass_is_kept_for_the_audit(harness: RenewalHarness) -> None:
    checkpoint = Checkpoint(harness.table, "members", RENEWAL)  # type: ignore[arg-type]
    harness.run(Audience("1"))
    assert checkpoint.position() == {"completed": str(int(NOW))}, "nobody is to be renewed"
    harness.now += DAY
    harness.queue.depths = [MAX_WAITING + 1]
    harness.run(renewed())
    harness.queue.depths, harness.per_reading = [0], 1.0
    harness.run(renewed(), deadline=RESERVE)
    assert checkpoint.position() == {"completed": str(int(NOW)), "audience": "1", "shard": "0"}, "two incomplete runs"
    harness.per_reading = 0.0
    harness.run(renewed())
    assert checkpoint.position() == {"completed": str(int(NOW + DAY))}


@pytest.mark.parametrize(
    "break_",
    [
        pytest.param(lambda harness: setattr(harness.queue, "room", 1), id="the queue"),
        pytest.param(lambda harness: setattr(harness.table, "query", _down), id="the table"),
    ],
)
def test_an_error_is_raised_and_queued_members_stay_queued(
    harness: RenewalHarness, break_: Callable[[RenewalHarness], None]
) -> None:
    harness.table.page = 1
    harness.write(change("m1"), change("m2"), days=390)
    break_(harness)
    with pytest.raises(Unavailable):
        harness.run(renewed())
    assert harness.queue.members() in ([], ["m1"])


def _down(**_: object) -> dict[str, Any]:
    raise Unavailable("throttled")


def test_a_damaged_row_does_not_hold_back_the_renewal_of_others(harness: RenewalHarness) -> None:
    harness.write(*(change(f"m{number}") for number in range(24)), days=390)
    harness.table.damage("1", "m7")
    report = harness.run(renewed())
    assert (report.renewed, report.reason, report.unread) == (23, None, {("1#00", "m7")})
