"""Which changes are lost, and which may still be waiting."""

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


def audited(
    accepted: dict[int, float],
    completed: dict[int, float] | None = None,
    waits: dict[int, float] | None = None,
    *,
    now: float,
    since: int = NOON,
) -> AuditResult:
    return reconcile(Counts(accepted, completed or {}, waits or {}), since, now)


def test_an_uncompleted_change_is_a_gap_at_the_time_it_was_accepted() -> None:
    result = audited({NOON: 5, NOON + STEP: 3}, {NOON: 5, NOON + STEP: 1}, now=NOON + 3 * HOUR)
    assert result.gaps == (Gap(NOON + STEP, 2),)


def test_a_change_counted_twice_does_not_hide_a_gap_at_another_time() -> None:
    result = audited({NOON: 100_000, NOON + STEP: 3}, {NOON: 100_287, NOON + STEP: 2}, now=NOON + 3 * HOUR)
    assert (result.gaps, result.counted_twice) == ((Gap(NOON + STEP, 1),), 287)


def from_noon(by_hour: dict[int, float]) -> dict[int, float]:
    """Values by the hours since noon that they are of."""
    return {NOON + hour * HOUR: value for hour, value in by_hour.items()}


def outage(hours: int) -> dict[int, float]:
    """The longest waits of changes that have all waited since noon."""
    return {hour: hour * HOUR + 1 for hour in range(hours)}


USUAL = 75 * 60  # seconds: an hour, and 15 minutes until CloudWatch shows the metric


@pytest.mark.parametrize(
    ("waits", "known_after"),
    [
        pytest.param({}, 5 * 60 + USUAL, id="nothing waits"),
        pytest.param({0: 20}, HOUR + USUAL, id="the usual seconds in the queue: the hour must be over"),
        pytest.param({0: 20, 1: 600}, HOUR + USUAL, id="what waits an hour later is younger"),
        pytest.param({0: 20, 1: 4000}, 2 * HOUR + 3 * HOUR, id="it waited for over an hour"),
        pytest.param({1: inf}, 2 * HOUR + 3 * HOUR, id="delivery was paused: the wait in that hour is unknown"),
        pytest.param({-1: 1e9}, 5 * 60 + USUAL, id="what waited in an earlier hour does not count"),
        pytest.param(
            outage(12), 12 * HOUR + 3 * HOUR, id="twelve hours of outage: an older metric may appear two hours late"
        ),
        pytest.param(outage(30), 30 * HOUR + 51 * HOUR, id="thirty hours of outage: it may appear two days late"),
    ],
)
def test_a_window_stays_open_while_one_of_its_changes_may_wait(waits: dict[int, float], known_after: int) -> None:
    hourly = from_noon(waits)
    assert audited({NOON: 1}, waits=hourly, now=NOON + known_after - 1) == AuditResult(NOON, ())
    assert audited({NOON: 1}, waits=hourly, now=NOON + known_after).gaps == (Gap(NOON, 1),)


def test_an_old_window_is_closed_while_younger_changes_wait() -> None:
    waits = in_every_hour(600, 10)  # some change always waits for ten minutes
    assert audited({}, waits=waits, now=NOON + 10 * HOUR).until == NOON + 8 * HOUR - 600


def test_a_checkpoint_in_the_future_changes_nothing() -> None:
    assert audited({}, now=NOON - 60) == AuditResult(NOON, ())


@given(
    accepted=st.dictionaries(st.integers(0, 40).map(lambda step: NOON + step * STEP), st.integers(0, 9)),
    lost=st.dictionaries(st.integers(0, 40).map(lambda step: NOON + step * STEP), st.integers(0, 9)),
    moments=st.lists(st.integers(0, 12 * HOUR), max_size=5),
)
def test_each_lost_change_is_reported_once_however_often_the_audit_runs(
    accepted: dict[int, float], lost: dict[int, float], moments: list[int]
) -> None:
    completed = {step: max(0, count - lost.get(step, 0)) for step, count in accepted.items()}
    since, missing = NOON, 0
    for moment in [*sorted(moments), DAY]:
        result = audited(accepted, completed, now=NOON + moment, since=since)
        assert result.until >= since
        since, missing = result.until, missing + result.missing
    assert missing == sum(accepted.values()) - sum(completed.values())


@pytest.mark.parametrize(
    ("known", "wait"),
    [
        pytest.param({}, {}, id="nothing was counted"),
        pytest.param({"oldest": {0: 20}}, {0: 20}, id="SQS reports the oldest message"),
        pytest.param({"oldest": {0: 20}, "deferred": {0: 900}}, {0: 900}, id="the worker reports an older one"),
        pytest.param({"crashes": {0: 1}, "oldest": {0: 20}}, {0: 8 * HOUR}, id="a crash: for up to eight hours"),
        pytest.param({"crashes": {0: 0}}, {0: 0}, id="no crash"),
        pytest.param(
            {"deferred": {-2: DAY}, "crashes": {0: 1}},
            {-2: DAY, 0: DAY + 2 * HOUR},
            id="a crash two hours after a change was deferred for a day: it may be that change",
        ),
        pytest.param({"deferred": {0: DAY}, "crashes": {0: 1}}, {0: DAY}, id="a crash, and an older one is reported"),
        pytest.param(
            {"deferred": {-9: DAY}, "crashes": {0: 1}},
            {-9: DAY, 0: MAX_CRASH_LOOP},
            id="a crash over eight hours after: SQS has given that message up",
        ),
        pytest.param({"visible": {-1: 3}, "crashes": {0: 1}}, {-1: inf, 0: inf}, id="a crash after a pause"),
        pytest.param({"visible": {0: 3}}, {0: inf}, id="visible messages and no invocations: delivery is paused"),
        pytest.param({"visible": {0: 3}, "invocations": {0: 9}}, {0: 0}, id="visible messages and invocations"),
        pytest.param({"visible": {0: 0}}, {0: 0}, id="an empty queue"),
    ],
)
def test_the_longest_wait_of_an_hour_is_derived_from_queue_and_worker_metrics(
    known: dict[str, dict[int, float]], wait: dict[int, float]
) -> None:
    assert waits_of(**{name: from_noon(values) for name, values in known.items()}) == from_noon(wait)


def waits_of(**known: Mapping[int, float]) -> dict[int, float]:
    names = ("oldest", "deferred", "waiting", "crashes", "visible", "invocations")
    nothing: dict[str, Mapping[int, float]] = {name: {} for name in names}
    return longest_waits(**(nothing | known))


def in_every_hour(value: float, hours: int) -> dict[int, float]:
    return from_noon(dict.fromkeys(range(hours), value))


def test_hourly_crashes_delay_the_audit_by_at_most_12_hours() -> None:
    for hours in (24, 48, 240):
        oldest, crashes, invocations = (in_every_hour(value, hours) for value in (20, 1, 360))
        waits = waits_of(oldest=oldest, crashes=crashes, invocations=invocations)
        now = NOON + hours * HOUR
        assert now - audited({}, waits=waits, now=now).until <= 12 * HOUR


RECEIVES = 20  # of one message, until SQS gives it up; test_template.py checks that all of them fit into MAX_CRASH_LOOP
REQUEUED = 12  # receives after which a deferred message is sent as a new one


@dataclass
class SimulatedChange:
    """One change from its acceptance on, and the metrics that functions and SQS publish about it."""

    accepted: float  # epoch seconds
    visibility: float  # seconds
    published: dict[str, dict[int, list[tuple[float, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    receives: int = 0
    now: float = 0.0

    def publish(self, metric: str, value: float) -> None:
        self.published[metric][int(self.now // HOUR * HOUR)].append((self.now, value))

    def receive(self, outcomes: Sequence[float | None]) -> None:
        """Receive the message repeatedly: None is a crash, a number the seconds for which it is deferred."""
        self.now = self.accepted
        for outcome in outcomes:
            self.receives += 1
            self.publish("invocations", 1)
            if outcome is None:
                self.publish("crashes", 1)
                self.now += self.visibility
            else:
                self.publish("deferred", self.now - self.accepted)
                self.receives = 0 if self.receives >= REQUEUED else self.receives
                self.now += outcome
            if self.receives == RECEIVES:
                return

    def shown(self, metric: str, now: float) -> Mapping[int, float]:
        """What CloudWatch shows of a metric: what was published at least 15 minutes ago."""
        add = max if metric == "deferred" else sum
        shown = {
            hour: [value for moment, value in values if moment <= now - HOUR / 4]
            for hour, values in self.published[metric].items()
        }
        return {hour: add(values) for hour, values in shown.items() if values}


@given(
    begins=st.integers(0, 2 * HOUR),
    # At most so long that all receives fit into MAX_CRASH_LOOP: see test_template.py.
    visibility=st.integers(600, (MAX_CRASH_LOOP - HOUR) // RECEIVES),
    outcomes=st.lists(
        st.one_of(
            st.lists(st.none(), min_size=1, max_size=RECEIVES),
            st.lists(st.integers(0, 900), min_size=1, max_size=60),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_a_waiting_change_is_never_a_gap_even_if_the_worker_crashes(
    begins: int, visibility: int, outcomes: list[list[float | None]]
) -> None:
    change = SimulatedChange(NOON + begins, visibility)
    change.receive([outcome for some in outcomes for outcome in some])
    step = int(change.accepted // STEP * STEP)
    completed_at = change.now
    final_at = completed_at + next(
        lag for age, lag in CLOUDWATCH_LAG if completed_at - step < age
    )  # completed changes are dated by when they were accepted
    moment = change.accepted
    while moment < final_at:
        known = {name: change.shown(name, moment) for name in ("deferred", "crashes", "invocations")}
        waits = waits_of(**known)
        assert audited({step: 1}, waits=waits, now=moment).gaps == ()
        moment += HOUR / 2
    waits = waits_of(**{name: change.shown(name, inf) for name in known})
    assert audited({step: 1}, waits=waits, now=final_at + 10 * DAY).missing == 1, "and the audit does report it later"
