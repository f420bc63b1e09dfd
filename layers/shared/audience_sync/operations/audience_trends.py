"""Whether an audience shrinks: its size, match rate and uploads against its own last weeks. Pure.

All days are whole days in UTC, counted from 1970. Nothing is stored between two checks: each goes through the last
eight weeks again, and asks the eight weeks before them only what was usual. So after that time a low level is usual.

tests/unit/operations/test_audience_trends.py has a year of seasons, which set off nothing, and the faults that do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from audience_sync.amazon_ads.destination import reaches_dsp
from audience_sync.members.membership import Audience

DAY = 86_400  # seconds
WINDOW = 56  # days
HISTORY = 2 * WINDOW  # days
MIN_FOR_DSP = 2_000  # matched members; Amazon DSP does not use an audience with fewer, by Amazon's guide
FEW = 100  # records; the numbers of a smaller audience say nothing
# An odd value, and an audience that Segment fills again for a day or two, are no fall. A low value that stays the last
# one for a week is: some audiences are uploaded once a week.
LOW_READINGS, LOW_DAYS = 3, 7
MINIMUM_DAYS = 14  # an audience may fill for two weeks
SHRINK_PERCENT = 40  # by default
MATCH_RATE_FALL = (
    0.3  # of what was usual, such as from 60 % to 42 %; less than a size may fall, because it has no seasons
)
SILENT_DAYS = 4  # without an upload; more for an audience with longer pauses
ABOVE_MINIMUM = 1.1  # times the minimum, so that an audience around it does not change its state every week
LEAK = 0.5  # of what was usual seven weeks ago; a season of a month does not halve an audience beyond that

type Days = Mapping[int, float]  # values, by day


class State(StrEnum):
    """An audience's state, the most urgent last. A notification reports each change to a more urgent one."""

    UNKNOWN = "unknown"  # too short a history
    USUAL = "usual"
    BELOW_MINIMUM = "below_minimum"
    SILENT = "silent"
    SIZE_FELL = "size_fell"
    MATCH_RATE_FELL = "match_rate_fell"

    @property
    def urgency(self) -> int:
        """0 for states that need nobody."""
        return max(0, list(State).index(self) - 1)


class Trend(NamedTuple):
    """The state of an audience, and the sentence about it in `diagnose` and in notifications."""

    state: State
    sentence: str


@dataclass(frozen=True, slots=True)
class History:
    """The days of an audience, HISTORY of them up to the last whole one."""

    sizes: Days = field(default_factory=dict)  # records
    in_dsp: Days = field(default_factory=dict)  # members; empty where Amazon reports none
    match_rates: Days = field(default_factory=dict)  # percent
    matched: Days = field(default_factory=dict)  # members; empty if they do not go to DSP, which has a minimum
    uploads: Sequence[int] = ()  # days with an upload

    @classmethod
    def of(cls, audience: Audience, received: Days, match_rates: Days, in_dsp: Days, *, is_dataset: bool) -> "History":
        """Read the history from Amazon's numbers. They come on each day with an upload; of a dataset, on each day.

        A day on which a dataset's size has changed counts as a day with an upload.
        """
        changed = [day for before, day in pairwise(sorted(received)) if received[before] != received[day]]
        matched = {day: received[day] * rate / 100 for day, rate in match_rates.items() if day in received}
        return cls(
            received,
            in_dsp,
            {day: rate for day, rate in match_rates.items() if received.get(day, 0) >= FEW},
            matched if reaches_dsp(audience) else {},
            changed if is_dataset else sorted(received),
        )


def trend_of(history: History, today: int, shrink_percent: float = SHRINK_PERCENT) -> Trend:
    """Return the most urgent state of an audience at the end of a day. Its size may fall by `shrink_percent`."""
    if rate := _fall(history.match_rates, today, MATCH_RATE_FALL, at_least=0):
        found = f"Amazon matches {rate.value:.1f}% of its records, {rate.percent:.0f}% less than the {rate.usual:.1f}%"
        return Trend(State.MATCH_RATE_FELL, f"{_since(rate.since, today)} {found} of the weeks before.")
    for values, what in ((history.in_dsp, "its size in DSP"), (history.sizes, "its size")):
        if size := _fall(values, today, shrink_percent / 100, at_least=FEW):
            found = f"{what} is {size.value:,.0f}, {size.percent:.0f}% less than the {size.usual:,.0f}"
            return Trend(State.SIZE_FELL, f"{_since(size.since, today)} {found} of the weeks before.")
    if silence := _silence(history.uploads, today):
        return Trend(State.SILENT, silence)
    below = _low_since(history.matched, today, lambda _: MIN_FOR_DSP, WINDOW, MINIMUM_DAYS, back_at=ABOVE_MINIMUM)
    if below is not None:
        last = f"last count: {_filled(history.matched, today)[today]:,.0f}"
        found = f"it has stayed below the {MIN_FOR_DSP:,} matched members that Amazon DSP needs; {last}."
        return Trend(State.BELOW_MINIMUM, f"{_since(below, today)} {found}")
    if _usual(_filled(history.sizes, today), today) is None:
        return Trend(State.UNKNOWN, "CloudWatch has too little recent history: three weeks are needed.")
    return Trend(State.USUAL, "No fall against its own last eight weeks.")


def _since(day: int, today: int) -> str:
    return "For eight weeks or more" if day <= today - WINDOW + 1 else f"Since {_date(day)}"


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY, UTC).date().isoformat()


class _Fall(NamedTuple):
    since: int  # day
    value: float  # the last one
    usual: float  # before

    @property
    def percent(self) -> float:
        return max(0.0, 100 * (1 - self.value / self.usual))  # a recovery counts from its third day


def _fall(values: Days, today: int, share: float, *, at_least: float) -> _Fall | None:
    """Return since when a series is a share below what was usual; None if it is not, or if little was usual."""
    filled = _filled(values, today)

    def floor(day: int) -> float | None:
        usual, earlier = _usual(filled, day), _usual(filled, day - 35)
        if usual is None or usual < at_least:
            return None
        return max(usual * (1 - share), (earlier or 0) * min(LEAK, 1 - share))

    since = _low_since(values, today, floor, LOW_READINGS, LOW_DAYS, back_at=(1 - share / 2) / max(1 - share, 0.01))
    if since is None:
        return None
    last = max(day for day in values if day <= today)
    weekday = since + (last - since) % 7  # of the last value, in the week of the fall
    return _Fall(since, values[last], max(_usual(filled, weekday) or 0, _usual(filled, weekday - 35) or 0))


def _usual(filled: Days, day: int) -> float | None:
    """Return the lowest value of the same weekday in the four weeks before; None if fewer than three are known.

    Weekdays differ, and after a sale or a holiday the weeks before it are the measure.
    """
    known = [filled[before] for week in range(1, 5) if (before := day - 7 * week) in filled]
    return min(known) if len(known) >= 3 else None


def _low_since(
    values: Days,
    today: int,
    floor: Callable[[int], float | None],
    readings: int,
    days: int,
    *,
    back_at: float,
) -> int | None:
    """Return the day since which a series is below its floor; None if it is not.

    It is, after so many low readings in a row or so many days, until LOW_READINGS in a row reach `back_at` times the
    floor. From the first low day on, floors are those of the week before it: a fall must not lower its own measure.
    """
    since: int | None = None
    low = high = 0
    is_certain = False
    for day in range(today - WINDOW + 1, today + 1):
        limit = floor(day if since is None else since + (day - since) % 7)
        value = values.get(day)
        if value is not None and limit is not None:
            low = low + 1 if value < limit else 0
            high = high + 1 if value >= back_at * limit else 0
            if since is None and low:
                since = day
        if since is not None:
            is_certain = is_certain or low >= readings or (low > 0 and day - since >= days)
            if high >= LOW_READINGS if is_certain else not low:
                since, is_certain = None, False
    return since if is_certain else None


def _silence(uploads: Sequence[int], today: int) -> str:
    """Say that uploads have ended, for SILENT_DAYS and twice the longest pause before; empty if they have not."""
    recent = [day for day in uploads if day > uploads[-1] - WINDOW]
    if len(recent) < 3:
        return ""
    quiet, longest = today - recent[-1], max(after - before for before, after in pairwise(recent))
    if not max(SILENT_DAYS, 2 * longest) <= quiet < WINDOW:
        return ""
    before = f"its longest pause before was {longest} day{'s' * (longest > 1)}"
    return f"Amazon has reported nothing new about it since {_date(recent[-1])}; {before}."


def _filled(values: Days, today: int) -> dict[int, float]:
    """Return a value for each day: a reading stands until the next one."""
    filled: dict[int, float] = {}
    for day in range(today - HISTORY + 1, today + 1):
        if day in values:
            filled[day] = values[day]
        elif day - 1 in filled:
            filled[day] = filled[day - 1]
    return filled
