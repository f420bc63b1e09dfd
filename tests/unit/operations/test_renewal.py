"""Who is told to Amazon once more, when, and where a run that cannot finish is taken up again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.amazon_ads.audience_settings import MAX_TTL, MIN_RENEWED_TTL
from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.errors import Unavailable
from audience_sync.membership import Audience, MembershipChange
from audience_sync.messages import ChangeMessage
from audience_sync.operations.renewal import (
    LONGEST_MARGIN,
    MAX_WAITING,
    POLL_INTERVAL,
    RESERVE,
    Renewal,
    RenewalReport,
    is_renewed,
    renewal_age,
)
from tests.model.table_model import TableModel

DAY = 86_400  # seconds
NOW = 1_800_000_000.0
LATER = 10_000.0  # a deadline that does not matter


def renewed(audience_id: str = "1", **settings: Any) -> Audience:
    return Audience(audience_id, advertiser_id="5", settings={"renew": True} | settings)


def change(member: str, *, audience_id: str = "1", exits: bool = False, at: int = 1) -> MembershipChange:
    action = "DELETE" if exits else "CREATE"
    record = {"externalUserId": member, "action": action, "hashedPII": [{"email": "a"}], "userConsent": {}}
    return MembershipChange(audience_id, None, at, f"id-{at}", record)


@dataclass
class Queue:
    """Keeps what it is sent. Says that so many messages wait, one number a look, and the last one for ever."""

    depths: list[int] = field(default_factory=lambda: [0])
    bodies: list[str] = field(default_factory=list)
    fails_after: int = 1_000  # sends

    def send(self, bodies: Sequence[str], *, deadline: float) -> None:
        assert deadline > 0
        if self.fails_after == 0:
            raise Unavailable("down")
        self.fails_after -= 1
        self.bodies += bodies

    def waiting(self) -> int:
        return self.depths.pop(0) if len(self.depths) > 1 else self.depths[0]

    def messages(self) -> list[ChangeMessage]:
        return [ChangeMessage.from_body(body) for body in self.bodies]

    def members(self) -> list[str]:
        return [change.member[1] for message in self.messages() for change in message.changes]


class Site:
    """A membership table, a queue, and a clock that sleeping moves."""

    def __init__(self) -> None:
        self.rows = TableModel()
        self.queue = Queue()
        self.now = NOW
        self.seconds = 0.0
        self.per_look = 0.0  # seconds that pass whenever somebody looks at the clock

    def write(self, *changes: MembershipChange, days: float = 0) -> None:
        """Record changes as told to Amazon so many days ago."""
        client: Any = self.rows
        MembershipTable(client, "members", lambda: self.now - days * DAY, 900.0).record(changes)

    def run(self, *audiences: Audience, deadline: float = LATER) -> RenewalReport:
        client: Any = self.rows
        clock = Clock(lambda: self.now, self._monotonic, self._sleep)
        checkpoint = Checkpoint(client, "members", RENEWAL)
        return Renewal(MembershipScan(client, "members"), checkpoint, self.queue, clock).run(
            audiences, deadline=deadline
        )

    def _monotonic(self) -> float:
        self.seconds += self.per_look
        return self.seconds

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def site() -> Site:
    return Site()


# Who is due


@pytest.mark.parametrize(
    ("ttl", "days"),
    [
        pytest.param(None, 383, id="without a ttl: two weeks before 397 days"),
        pytest.param(MAX_TTL, 383, id="397 days: two weeks before"),
        pytest.param(90 * DAY, 76, id="90 days: two weeks before"),
        pytest.param(28 * DAY, 14, id="28 days: two weeks are half of it"),
        pytest.param(7 * DAY, 3.5, id="a week: half of it before"),
        pytest.param(MIN_RENEWED_TTL, 1.5, id="three days, the least: half of it before"),
    ],
)
def test_a_member_is_due_two_weeks_or_half_the_time_to_live_before_its_end(
    site: Site, ttl: int | None, days: float
) -> None:
    audience = renewed() if ttl is None else renewed(ttl=ttl)
    for member, age in (("younger", days - 0.001), ("just", days), ("older", days + 0.001), ("gone", 500)):
        site.write(change(member), days=age)
    site.run(audience)
    assert sorted(site.queue.members()) == ["gone", "just", "older"]


@given(st.integers(MIN_RENEWED_TTL, MAX_TTL))
def test_one_daily_run_may_fail_and_nobody_is_told_before_half_the_time(ttl: int) -> None:
    age = renewal_age(renewed(ttl=ttl))
    assert ttl / 2 <= age <= ttl - DAY
    assert ttl - age <= LONGEST_MARGIN


@pytest.mark.parametrize(
    ("settings", "is_so"),
    [
        pytest.param({}, False, id="off unless somebody says so"),
        pytest.param({"renew": False}, False, id="off"),
        pytest.param({"renew": "true"}, False, id="a text was never stored by us"),
        pytest.param({"renew": True}, True, id="on"),
    ],
)
def test_an_audience_is_renewed_that_says_so(site: Site, settings: dict[str, Any], is_so: bool) -> None:
    site.write(change("m1"), days=390)
    audience = Audience("1", settings=settings)
    assert is_renewed(audience) is is_so
    site.run(audience)
    assert site.queue.members() == (["m1"] if is_so else [])


def test_who_has_left_is_left_alone(site: Site) -> None:
    site.write(change("left"), change("stayed"), days=390)
    site.write(change("left", exits=True, at=2), days=385)
    site.run(renewed())
    assert site.queue.members() == ["stayed"]


def test_who_has_been_told_since_is_not_due(site: Site) -> None:
    site.write(change("m1"), days=390)
    site.write(change("m1"), days=1)
    site.run(renewed())
    assert site.queue.members() == []


# What is sent


def test_the_newest_change_is_sent_as_it_stands_as_a_repetition(site: Site) -> None:
    site.write(change("m1", at=7), days=390)
    report = site.run(renewed())
    (message,) = site.queue.messages()
    assert message.changes == [change("m1", at=7)]
    assert message.history.is_replay is True
    assert report == RenewalReport(audiences=1, rows=1, renewed=1)


def test_it_goes_to_where_the_audience_goes_by_now(site: Site) -> None:
    site.write(change("m1"), days=390)
    site.run(Audience("1", connection_id="c-1", settings={"renew": True, "dsp": True}))
    (message,) = site.queue.messages()
    assert (message.connection_id, message.target_types) == ("c-1", ("DSP",))


def test_every_page_of_every_renewed_audience_is_read(site: Site) -> None:
    site.rows.page = 2
    everyone = [f"m{number}" for number in range(5)]
    for audience_id in ("1", "2", "3"):
        site.write(*(change(member, audience_id=audience_id) for member in everyone), days=390)
    report = site.run(renewed("2"), Audience("3"), renewed("1"))
    assert [message.audience_id for message in site.queue.messages()] == ["1"] * 3 + ["2"] * 3
    assert site.queue.members() == everyone * 2
    assert report == RenewalReport(audiences=2, rows=10, renewed=10)


# What stops it


def test_nothing_is_sent_on_top_of_a_queue_that_is_far_behind(site: Site) -> None:
    site.write(change("m1"), days=390)
    site.queue.depths = [MAX_WAITING + 1]
    assert site.run(renewed()) == RenewalReport(reason="queue_behind")
    assert (site.queue.bodies, site.seconds) == ([], 0)


def test_a_queue_that_fills_up_is_given_time(site: Site) -> None:
    site.write(change("m1"), days=390)
    site.queue.depths = [0, MAX_WAITING + 1, MAX_WAITING + 1, MAX_WAITING]
    assert site.run(renewed()).renewed == 1
    assert site.seconds == 2 * POLL_INTERVAL


def test_a_queue_that_stays_full_ends_the_run_before_its_time(site: Site) -> None:
    site.write(change("m1"), days=390)
    site.queue.depths = [0, MAX_WAITING + 1]
    assert site.run(renewed(), deadline=RESERVE + 60) == RenewalReport(rows=1, reason="queue_behind")
    assert site.seconds < 60


def test_without_the_ordering_guard_nobody_knows_who_is_in(site: Site) -> None:
    site.write(change("m1"), days=390)
    client: Any = site.rows
    clock = Clock(lambda: NOW, lambda: 0.0, lambda _: None)
    assert Renewal(None, Checkpoint(client, "members", RENEWAL), site.queue, clock).run(
        [renewed()], deadline=LATER
    ) == RenewalReport(reason="unguarded")
    assert site.queue.bodies == []


def test_without_an_audience_to_renew_nothing_is_asked(site: Site) -> None:
    site.queue.depths = [MAX_WAITING + 1]
    assert site.run(Audience("1")) == RenewalReport()


# Where it goes on


def run_by_run(site: Site, *audiences: Audience, runs: int) -> list[list[str]]:
    """Members queued by runs that have time for two pages each."""
    queued = []
    for _ in range(runs):
        site.seconds, site.queue = 0.0, Queue()
        site.run(*audiences, deadline=RESERVE + 3)
        queued.append(site.queue.members())
    return queued


def test_a_run_without_time_says_so_and_the_next_ones_go_on_until_all_are_through(site: Site) -> None:
    site.rows.page = 1
    site.per_look = 1.0
    for audience_id in ("1", "2"):
        members = [f"{audience_id}{letter}" for letter in "abc"]
        site.write(*(change(member, audience_id=audience_id) for member in members), days=390)
    queued = run_by_run(site, renewed("1"), renewed("2"), runs=4)
    assert queued == [["1a", "1b"], ["1c", "2a"], ["2b", "2c"], ["1a", "1b"]]


def test_an_audience_that_is_gone_meanwhile_does_not_hold_the_others_up(site: Site) -> None:
    site.rows.page = 1
    site.per_look = 1.0
    for audience_id in ("1", "2"):
        site.write(*(change(f"{audience_id}{letter}", audience_id=audience_id) for letter in "abc"), days=390)
    run_by_run(site, renewed("1"), renewed("2"), runs=2)
    assert run_by_run(site, renewed("1"), runs=1) == [["1a", "1b"]]


def test_a_run_that_ends_in_time_leaves_no_bookmark(site: Site) -> None:
    before = site.rows.kept.copy()
    assert site.run(renewed()).reason is None
    assert site.rows.kept == before


@pytest.mark.parametrize(
    "break_",
    [
        pytest.param(lambda site: setattr(site.queue, "fails_after", 1), id="the queue"),
        pytest.param(lambda site: setattr(site.rows, "query", _down), id="the table"),
    ],
)
def test_trouble_is_not_swallowed_and_what_was_queued_stays(site: Site, break_: Callable[[Site], None]) -> None:
    site.rows.page = 1
    site.write(change("m1"), change("m2"), days=390)
    break_(site)
    with pytest.raises(Unavailable):
        site.run(renewed())
    assert site.queue.members() in ([], ["m1"])


def _down(**_: object) -> dict[str, Any]:
    raise Unavailable("throttled")


def test_no_message_is_larger_than_the_queue_takes(site: Site) -> None:
    everyone = [f"m{number:04}" for number in range(1_000)]
    identity = dict.fromkeys("email phone firstname lastname address city postal".split(), "a" * 64)
    for member in everyone:
        full = change(member)
        full.record["hashedPII"] = [identity]
        site.write(full, days=390)
    site.run(renewed())
    assert site.queue.members() == everyone
    assert all(len(body) <= 240_000 and json.loads(body)["replay"] for body in site.queue.bodies)
    assert len(site.queue.bodies) > 1
