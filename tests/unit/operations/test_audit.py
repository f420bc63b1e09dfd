"""Which changes have got lost, and which may only be waiting?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.operations.audit import (
    CLOUDWATCH_LAG,
    HOUR,
    MAX_CRASH_LOOP,
    STEP,
    AuditResult,
    Counts,
    Gap,
    longest_waits,
    reconcile,
)

NOON = 1_800_000_000 // HOUR * HOUR
DAY = 24 * HOUR


def closed(
    accepted: dict[int, float],
    ended: dict[int, float] | None = None,
    waits: dict[int, float] | None = None,
    *,
    now: float,
    since: int = NOON,
) -> AuditResult:
    return reconcile(Counts(accepted, ended or {}, waits or {}), since, now)


def test_what_has_ended_is_accounted_for_whenever_it_ended() -> None:
    closing = closed({NOON: 5, NOON + STEP: 3}, {NOON: 5, NOON + STEP: 3}, now=NOON + 3 * HOUR)
    assert (closing.gaps, closing.missing) == ((), 0)


def test_what_has_not_ended_is_a_gap_and_tells_when_it_was_accepted() -> None:
    closing = closed({NOON: 5, NOON + STEP: 3}, {NOON: 5, NOON + STEP: 1}, now=NOON + 3 * HOUR)
    assert closing.gaps == (Gap(NOON + STEP, 2),)


def test_a_change_that_counted_twice_hides_none_that_was_accepted_at_another_time() -> None:
    closing = closed({NOON: 5, NOON + STEP: 3}, {NOON: 6, NOON + STEP: 2}, now=NOON + 3 * HOUR)
    assert closing.gaps == (Gap(NOON + STEP, 1),)


@pytest.mark.parametrize(
    ("waits", "known_after"),
    [
        pytest.param({}, 5 * 60 + 75 * 60, id="nothing waits: an hour, and a quarter for the metric to show"),
        pytest.param({NOON: 20}, HOUR + 75 * 60, id="the usual seconds in the queue: the hour must be over"),
        pytest.param({NOON: 20, NOON + HOUR: 600}, HOUR + 75 * 60, id="what waits an hour later is younger"),
        pytest.param({NOON: 20, NOON + HOUR: 4000}, 2 * HOUR + 3 * HOUR, id="it waited for over an hour"),
        pytest.param({NOON + HOUR: inf}, 2 * HOUR + 3 * HOUR, id="a pause leaves the hour dark"),
        pytest.param({NOON - HOUR: 1e9}, 5 * 60 + 75 * 60, id="what waited before is none of it"),
        pytest.param(
            {NOON + hour * HOUR: hour * HOUR + 1 for hour in range(12)},
            12 * HOUR + 3 * HOUR,
            id="twelve hours of outage: a late metric may take two hours to show",
        ),
        pytest.param(
            {NOON + hour * HOUR: hour * HOUR + 1 for hour in range(30)},
            30 * HOUR + 51 * HOUR,
            id="thirty hours of outage: it may take two days",
        ),
    ],
)
def test_the_books_stay_open_for_as_long_as_something_may_wait(waits: dict[int, float], known_after: int) -> None:
    assert closed({NOON: 1}, waits=waits, now=NOON + known_after - 1) == AuditResult(NOON, ())
    assert closed({NOON: 1}, waits=waits, now=NOON + known_after).gaps == (Gap(NOON, 1),)


def test_what_is_old_enough_is_closed_while_something_younger_waits() -> None:
    hourly = {NOON + hour * HOUR: 600.0 for hour in range(10)}  # somebody is always throttled for ten minutes
    assert closed({}, waits=hourly, now=NOON + 10 * HOUR).until == NOON + 8 * HOUR - 600


def test_books_that_are_closed_further_than_now_stay_as_they_are() -> None:
    assert closed({}, now=NOON - 60) == AuditResult(NOON, ())


@given(
    accepted=st.dictionaries(st.integers(0, 40).map(lambda step: NOON + step * STEP), st.integers(0, 9)),
    lost=st.dictionaries(st.integers(0, 40).map(lambda step: NOON + step * STEP), st.integers(0, 9)),
    moments=st.lists(st.integers(0, 12 * HOUR), max_size=5),
)
def test_each_lost_change_is_told_once_however_often_the_books_are_closed(
    accepted: dict[int, float], lost: dict[int, float], moments: list[int]
) -> None:
    ended = {step: max(0, count - lost.get(step, 0)) for step, count in accepted.items()}
    since, told = NOON, 0
    for moment in [*sorted(moments), DAY]:
        closing = closed(accepted, ended, now=NOON + moment, since=since)
        assert closing.until >= since
        since, told = closing.until, told + closing.missing
    assert told == sum(accepted.values()) - sum(ended.values())


@pytest.mark.parametrize(
    ("known", "wait"),
    [
        pytest.param({}, {}, id="nothing was counted"),
        pytest.param({"oldest": {NOON: 20}}, {NOON: 20}, id="SQS knows the oldest message"),
        pytest.param({"oldest": {NOON: 20}, "deferred": {NOON: 900}}, {NOON: 900}, id="the worker knows an older one"),
        pytest.param({"crashes": {NOON: 1}, "oldest": {NOON: 20}}, {NOON: MAX_CRASH_LOOP}, id="a crash"),
        pytest.param({"crashes": {NOON: 0}}, {NOON: 0}, id="no crash"),
        pytest.param(
            {"deferred": {NOON - 2 * HOUR: DAY}, "crashes": {NOON: 1}},
            {NOON - 2 * HOUR: DAY, NOON: DAY + 2 * HOUR},
            id="a crash two hours after somebody was put off for a day: it may be the one",
        ),
        pytest.param(
            {"deferred": {NOON: DAY}, "crashes": {NOON: 1}},
            {NOON: DAY},
            id="a crash, and the worker knows an older one",
        ),
        pytest.param(
            {"deferred": {NOON - MAX_CRASH_LOOP - HOUR: DAY}, "crashes": {NOON: 1}},
            {NOON - MAX_CRASH_LOOP - HOUR: DAY, NOON: MAX_CRASH_LOOP},
            id="a crash long after: SQS has given that one up",
        ),
        pytest.param(
            {"visible": {NOON - HOUR: 3}, "crashes": {NOON: 1}},
            {NOON - HOUR: inf, NOON: inf},
            id="a crash after a pause",
        ),
        pytest.param({"visible": {NOON: 3}}, {NOON: inf}, id="messages, and nobody takes them: delivery is paused"),
        pytest.param({"visible": {NOON: 3}, "invocations": {NOON: 9}}, {NOON: 0}, id="messages, and somebody does"),
        pytest.param({"visible": {NOON: 0}}, {NOON: 0}, id="an empty queue"),
    ],
)
def test_an_hour_is_known_by_what_the_queue_and_the_worker_tell(
    known: dict[str, dict[int, float]], wait: dict[int, float]
) -> None:
    nothing: dict[str, dict[int, float]] = {
        name: {} for name in ("oldest", "deferred", "crashes", "visible", "invocations")
    }
    assert longest_waits(**(nothing | known)) == wait


def in_every_hour(value: float, hours: int) -> dict[int, float]:
    return {NOON + hour * HOUR: value for hour in range(hours)}


def test_a_crash_in_every_hour_keeps_the_books_a_few_hours_open_and_no_longer() -> None:
    nothing: dict[int, float] = {}
    for hours in (24, 48, 240):
        waits = longest_waits(
            oldest=in_every_hour(20, hours),
            deferred=nothing,
            crashes=in_every_hour(1, hours),
            visible=nothing,
            invocations=in_every_hour(360, hours),
        )
        now = NOON + hours * HOUR
        assert now - closed({}, waits=waits, now=now).until <= 12 * HOUR


RECEIVES = (
    20  # of one message, until SQS gives it up; test_template.py holds the product with the pause to MAX_CRASH_LOOP
)
RENEWED = 12  # receives after which a message that is put off becomes a new one


@dataclass
class Life:
    """One change from its acceptance on, and what the functions and SQS tell of it on the way."""

    accepted: float  # epoch seconds
    visibility: float  # seconds
    told: dict[str, dict[int, list[tuple[float, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    receives: int = 0
    now: float = 0.0

    def tell(self, metric: str, value: float) -> None:
        self.told[metric][int(self.now // HOUR * HOUR)].append((self.now, value))

    def lead(self, fates: Sequence[float | None]) -> None:
        """Live through receives: None is a crash, a number the seconds for which the message is put off."""
        self.now = self.accepted
        for fate in fates:
            self.receives += 1
            self.tell("invocations", 1)
            if fate is None:
                self.tell("crashes", 1)
                self.now += self.visibility
            else:
                self.tell("deferred", self.now - self.accepted)
                self.receives = 0 if self.receives >= RENEWED else self.receives
                self.now += fate
            if self.receives == RECEIVES:
                return

    def known(self, metric: str, now: float) -> Mapping[int, float]:
        """What CloudWatch shows of a metric: what was told a quarter of an hour ago."""
        add = max if metric == "deferred" else sum
        seen = {
            hour: [value for moment, value in values if moment <= now - HOUR / 4]
            for hour, values in self.told[metric].items()
        }
        return {hour: add(values) for hour, values in seen.items() if values}


@given(
    begins=st.integers(0, 2 * HOUR),
    # At most so long that MAX_CRASH_LOOP holds: see test_template.py.
    visibility=st.integers(600, (MAX_CRASH_LOOP - HOUR) // RECEIVES),
    fates=st.lists(
        st.one_of(
            st.lists(st.none(), min_size=1, max_size=RECEIVES),
            st.lists(st.integers(0, 900), min_size=1, max_size=60),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_the_books_never_close_on_a_change_that_waits_however_the_worker_crashes(
    begins: int, visibility: int, fates: list[list[float | None]]
) -> None:
    life = Life(NOON + begins, visibility)
    life.lead([fate for few in fates for fate in few])
    step = int(life.accepted // STEP * STEP)
    ends = life.now
    shown = ends + next(
        lag for age, lag in CLOUDWATCH_LAG if ends - step < age
    )  # an end is dated by when it was accepted
    moment = life.accepted
    while moment < shown:
        known = {name: life.known(name, moment) for name in ("deferred", "crashes", "invocations")}
        waits = longest_waits(oldest={}, visible={}, **known)
        assert closed({step: 1}, waits=waits, now=moment).gaps == ()
        moment += HOUR / 2
    waits = longest_waits(oldest={}, visible={}, **{name: life.known(name, inf) for name in known})
    assert closed({step: 1}, waits=waits, now=shown + 10 * DAY).missing == 1, "and they do close"
