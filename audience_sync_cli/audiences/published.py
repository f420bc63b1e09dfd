"""Size, match rate and last change of audiences, as the stack publishes them: Amazon is not asked."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Self

from audience_sync.errors import Unavailable
from audience_sync_cli.frame.screen import iso_time, moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY, HOUR, MINUTE

HISTORY = 30 * DAY  # seconds
LATEST = 2 * DAY  # seconds for which the minutes are read too: of an hour, CloudWatch knows the highest value only


class Published(NamedTuple):
    """The newest numbers of one audience; each is None if it is not known yet."""

    size: int | None = None  # records that Amazon has received
    match_rate: float | None = None  # percent
    changed_at: float | None = None  # epoch seconds, to the hour: since then, or longer, the size is the same

    @classmethod
    def of(cls, series: Sequence[Mapping[int, float]], minutes: Sequence[Mapping[int, float]]) -> Self:
        """Return the newest of sizes and match rates, each by the hour, and of the last days by the minute."""
        sizes, rates = (_with_newest(*each) for each in zip(series, minutes, strict=True))
        newest_first = sorted(sizes, reverse=True)
        same = [*takewhile(lambda at: sizes[at] == sizes[newest_first[0]], newest_first)]
        size, changed_at = (round(sizes[same[0]]), same[-1]) if same else (None, None)
        return cls(size, rates[max(rates)] if rates else None, changed_at)

    def cells(self) -> tuple[int | str | None, ...]:
        """Return the numbers for a table."""
        rate = None if self.match_rate is None else f"{self.match_rate:.1f}%"
        return self.size, rate, None if self.changed_at is None else moment(self.changed_at * 1000)[:10]

    def as_json(self) -> dict[str, Any]:
        """Return the numbers for scripts."""
        changed_at = None if self.changed_at is None else iso_time(self.changed_at * 1000)
        return {"size": self.size, "matchRate": self.match_rate, "changedAt": changed_at}


def published(session: Session, audience_ids: Sequence[str]) -> dict[str, Published]:
    """Return the numbers by audience; none, with a note, if CloudWatch does not answer."""
    from audience_sync_cli.stack.stack_metrics import StackMetrics  # noqa: PLC0415 - loads boto3

    now, metrics = session.now(), StackMetrics(session.stack)
    try:
        hours = metrics.of_audiences(audience_ids, now - HISTORY, now + MINUTE, HOUR)
        minutes = metrics.of_audiences(audience_ids, now - LATEST, now + MINUTE, MINUTE)
    except Unavailable as error:
        session.screen.note(f"Sizes are left out: {error}.", style="yellow")
        return {}
    return {audience_id: Published.of(hours[audience_id], minutes[audience_id]) for audience_id in audience_ids}


def _with_newest(hours: Mapping[int, float], minutes: Mapping[int, float]) -> dict[int, float]:
    """Return a series by the hour in which the newest hour has its last value."""
    if not minutes:
        return dict(hours)
    newest = max(minutes)
    return {**hours, newest // HOUR * HOUR: minutes[newest]}
