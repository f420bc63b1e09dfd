"""A simulated year: what the seasons of an audience set off, and what its faults do."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from audience_sync.amazon_ads.destination import amc_connection, dsp_advertiser
from audience_sync.members.membership import Audience
from audience_sync.operations.audience_trends import HISTORY, History, State, Trend, trend_of
from audience_sync.operations.findings import AuditFinding, Findings, of_audiences

YEAR, FAULT = 365, 200  # days
FIRST = 20_000 // 7 * 7  # a day that begins a week
type Values = dict[int, float]
type Shape = Callable[[int], float]  # a share of the usual size, by day of the year


def days(shape: Shape, *, size: float = 40_000, noise: float = 0.05, every: int = 1) -> Values:
    """Return a value every so many days, from the weeks before a year until its end."""
    chance = random.Random(7)
    dates = range(-HISTORY, YEAR, every)
    return {FIRST + day: size * shape(day) * max(0.0, chance.gauss(1, noise)) for day in dates}


def window(length: int, rate: Shape) -> Shape:
    """Return the shape of an audience of people who did something in the last `length` days."""
    return lambda day: sum(rate(before) for before in range(day - length + 1, day + 1)) / length


def notices(history: History) -> list[tuple[int, str]]:
    """Return the day of the year and the state of each notification, and the day and "over" when all is over."""
    found: list[tuple[int, str]] = []
    known: list[AuditFinding] = []
    for day in range(YEAR):
        trend = trend_of(until(history, FIRST + day), FIRST + day)
        opened = of_audiences({"1": trend}, [Audience("1")], known)
        found += [(day, trend.state) for _ in Findings(tuple(known)).new_in(opened)]
        found += [(day, "over")] if known and not opened else []
        known = opened
    return found


def until(history: History, today: int) -> History:
    """Return the history as it is at the end of a day. What comes later is not read."""
    return replace(history, uploads=[day for day in history.uploads if today - HISTORY < day <= today])


def weekend(day: int) -> float:
    return 0.6 if day % 7 in (5, 6) else 1


def december(day: int) -> float:
    return 2 if 200 <= day < 231 else 1


SEASONS: dict[str, Values] = {
    "noise": days(lambda _: 1, noise=0.15),
    "growing 1 % a day": days(lambda day: 1.01**day),
    "weekends": days(weekend, noise=0.1),
    "Black Friday, people of a week": days(window(7, lambda day: 3 if 200 <= day < 207 else 1)),
    "Black Friday, people of a day": days(lambda day: weekend(day) * (3 if 200 <= day < 207 else 1)),
    "December, people of 30 days": days(window(30, december)),
    "a summer with 30 % less": days(lambda day: 1 - 0.3 * max(0, min(day - 180, 42, 284 - day)) / 42),
    "about a hundred people": days(lambda _: 1, size=110, noise=0.2),
    "uploaded once a week": days(lambda _: 1, every=7),
    "uploaded once a month": days(lambda _: 1, every=30),
    "filled in two weeks": {day: value for day, value in days(lambda day: min(1, day / 14)).items() if day > FIRST},
    "four odd zeros": days(lambda _: 1) | {FIRST + day: 0 for day in (20, 133, 240, 300)},
    "days without a reading": {day: value for day, value in days(weekend).items() if day % 30 not in (3, 4, 5)},
    "filled again within two days": days(lambda _: 1) | {FIRST + 200: 0, FIRST + 201: 15_000},
}


@pytest.mark.parametrize("season", SEASONS)
def test_no_seasonal_change_sets_off_the_alarm(season: str) -> None:
    assert notices(History(sizes=SEASONS[season])) == []


FAULTS: dict[str, tuple[Values, int]] = {  # and the days until it is notified
    "half in a day": (days(lambda day: 1 if day < FAULT else 0.5), 2),
    "empty in a day": (days(lambda day: day < FAULT), 2),
    "60 % within ten days": (days(lambda day: 1 - 0.06 * max(0, min(day - FAULT, 10))), 10),
    "2 % a day, as members expire": (days(lambda day: 0.98 ** max(0, day - FAULT)), 45),
    "half, with weekends": (days(lambda day: weekend(day) * (1 if day < FAULT else 0.5)), 2),
    "half, uploaded once a week": (days(lambda day: 1 if day < FAULT else 0.5, every=7), 13),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fall_sets_off_the_alarm_once_and_counts_as_usual_after_eight_weeks(fault: str) -> None:
    sizes, within = FAULTS[fault]
    (day, state), *others = notices(History(sizes))
    assert (state, day - FAULT <= within) == (State.SIZE_FELL, True)
    assert [(state, after - FAULT > 50) for after, state in others] == ([] if "expire" in fault else [("over", True)])


def test_a_fall_of_30_percent_or_during_growth_sets_off_no_alarm() -> None:
    assert notices(History(days(lambda day: 1 if day < FAULT else 0.7))) == []
    assert notices(History(days(lambda day: 1.01**day * (1 if day < FAULT else 0.5)))) == []


def test_a_fall_is_over_after_three_days_at_the_usual_size() -> None:
    sizes = days(lambda day: 0.5 if 200 <= day < 210 else 1)
    assert notices(History(sizes)) == [(202, "size_fell"), (212, "over")]


def test_the_alarm_goes_off_over_a_four_day_holiday_and_at_the_end_of_december() -> None:
    assert len(notices(History(days(lambda day: 0.5 if 200 <= day < 204 else 1)))) == 2
    assert [state for _, state in notices(History(days(window(7, december))))] == ["size_fell", "over"]


def test_a_fall_of_the_size_in_dsp_alone_sets_off_the_alarm() -> None:
    half = days(lambda day: 1 if day < FAULT else 0.5, noise=0)
    history = History(days(lambda _: 1), in_dsp=half)
    assert notices(history)[0] == (FAULT + 2, "size_fell")
    found = "Since 2025-04-21 its size in DSP is 20,000, 50% less than the 40,000 of the weeks before."
    assert trend_of(history, FIRST + FAULT + 2).sentence == found
    assert trend_of(history, FIRST) == (State.USUAL, "No fall against its own last eight weeks.")


def test_the_percentage_compares_the_same_weekday() -> None:
    history = History(days(lambda day: weekend(day) * (1 if day < FAULT else 0.5), noise=0))
    falls = [trend_of(history, FIRST + FAULT + day).sentence for day in (2, 3)]
    assert [" ".join(each.split()[5:]) for each in falls] == [
        "12,000, 50% less than the 24,000 of the weeks before.",
        "20,000, 50% less than the 40,000 of the weeks before.",
    ]


def test_a_match_rate_that_halves_outranks_the_size_that_follows_it() -> None:
    rates = days(lambda day: 0.6 if day < FAULT else 0.3, size=100, noise=0.03)
    history = History(days(lambda day: 1 if day < FAULT + 5 else 0.5), match_rates=rates)
    assert [state for _, state in notices(history)] == [State.MATCH_RATE_FELL, "over"]
    found = "Since 2025-04-21 Amazon matches 29.7% of its records, 52% less than the 61.3% of the weeks before."
    assert trend_of(history, FIRST + FAULT + 9).sentence == found


@pytest.mark.parametrize(
    ("every", "after", "since"), [(1, 4, "2025-04-21"), (7, 14, "2025-04-17"), (14, 28, "2025-04-17")]
)
def test_silence_sets_off_the_alarm_after_four_days_or_twice_the_longest_pause(
    every: int, after: int, since: str
) -> None:
    uploads = range(FIRST - 112, FIRST + FAULT + 1, every)
    last = uploads[-1] - FIRST
    history = History(days(lambda _: 1), uploads=uploads)
    assert notices(history) == [(last + after, State.SILENT), (last + 56, "over")], "after eight weeks that is usual"
    sentence = trend_of(history, uploads[-1] + after).sentence
    paused = f"its longest pause before was {every} day{'' if every == 1 else 's'}."
    assert sentence == f"Amazon has reported nothing new about it since {since}; {paused}"


def test_two_weeks_below_2000_matched_members_set_off_the_alarm() -> None:
    sizes = days(lambda _: 1)
    for_days = days(lambda day: 0.04 if 100 <= day < 110 else 1)
    for_weeks = days(lambda day: 0.04 if 100 <= day < 150 else 1)
    assert notices(History(sizes, matched=for_days)) == []
    assert notices(History(sizes, matched=for_weeks)) == [(114, "below_minimum"), (152, "over")]
    always = History(sizes, matched=days(lambda _: 0.04, noise=0))
    begins = "For eight weeks or more it has stayed below the 2,000 matched members"
    assert trend_of(always, FIRST).sentence == f"{begins} that Amazon DSP needs; last count: 1,600."


def test_a_less_urgent_state_or_a_missing_history_does_not_clear_the_alarm() -> None:
    unknown = "CloudWatch has too little recent history: three weeks are needed."
    assert trend_of(History(), FIRST) == (State.UNKNOWN, unknown)
    before = [AuditFinding("audience_shrunk", "It fell.", each, State.SIZE_FELL.urgency) for each in ("1", "unlisted")]
    for state in (State.UNKNOWN, State.SILENT):
        assert of_audiences({"1": Trend(state, "")}, [Audience("1")], before) == before[:1]
    assert of_audiences({"1": Trend(State.USUAL, "")}, [Audience("1")], before) == []


def test_the_history_has_uploads_and_a_minimum_by_api_and_target() -> None:
    received, rates, in_dsp = {1: 4_000.0, 2: 4_000.0, 3: 90.0}, {1: 50.0, 2: 50.0, 3: 9.0}, {2: 1_900.0}
    history = History.of(Audience("1", destination=dsp_advertiser("7")), received, rates, in_dsp, is_dataset=False)
    assert history == History(received, in_dsp, {1: 50.0, 2: 50.0}, {1: 2_000.0, 2: 2_000.0, 3: 8.1}, [1, 2, 3])
    dataset = History.of(Audience("1", destination=amc_connection("c")), received, rates, {}, is_dataset=True)
    assert (dataset.matched, dataset.uploads) == ({}, [3])
