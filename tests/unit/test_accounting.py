"""Which changes have got lost, and which may only be waiting?"""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.accounting import HOUR, STEP, Closing, Counts, Gap, close, longest_waits

NOON = 1_800_000_000 // HOUR * HOUR
DAY = 24 * HOUR


def closed(
    accepted: dict[int, float],
    ended: dict[int, float] | None = None,
    waits: dict[int, float] | None = None,
    *,
    now: float,
    since: int = NOON,
) -> Closing:
    return close(Counts(accepted, ended or {}, waits or {}), since, now)


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
        pytest.param({NOON + HOUR: inf}, 2 * HOUR + 3 * HOUR, id="a crash leaves the hour dark"),
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
    assert closed({NOON: 1}, waits=waits, now=NOON + known_after - 1) == Closing(NOON, ())
    assert closed({NOON: 1}, waits=waits, now=NOON + known_after).gaps == (Gap(NOON, 1),)


def test_what_is_old_enough_is_closed_while_something_younger_waits() -> None:
    hourly = {NOON + hour * HOUR: 600.0 for hour in range(10)}  # somebody is always throttled for ten minutes
    assert closed({}, waits=hourly, now=NOON + 10 * HOUR).until == NOON + 8 * HOUR - 600


def test_books_that_are_closed_further_than_now_stay_as_they_are() -> None:
    assert closed({}, now=NOON - 60) == Closing(NOON, ())


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
        pytest.param({"oldest": {NOON: 20}, "put_off": {NOON: 900}}, {NOON: 900}, id="the worker knows an older one"),
        pytest.param({"crashes": {NOON: 1}, "oldest": {NOON: 20}}, {NOON: inf}, id="a crash"),
        pytest.param({"crashes": {NOON: 0}}, {NOON: 0}, id="no crash"),
        pytest.param({"visible": {NOON: 3}}, {NOON: inf}, id="messages, and nobody takes them: delivery is paused"),
        pytest.param({"visible": {NOON: 3}, "invocations": {NOON: 9}}, {NOON: 0}, id="messages, and somebody does"),
        pytest.param({"visible": {NOON: 0}}, {NOON: 0}, id="an empty queue"),
    ],
)
def test_an_hour_is_known_by_what_the_queue_and_the_worker_tell(
    known: dict[str, dict[int, float]], wait: dict[int, float]
) -> None:
    nothing: dict[str, dict[int, float]] = {
        name: {} for name in ("oldest", "put_off", "crashes", "visible", "invocations")
    }
    assert longest_waits(**(nothing | known)) == wait
