"""Size, match rate and last change of audiences, as the stack publishes them: Amazon is not asked."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Self

from audience_sync.errors import Unavailable
from audience_sync_cli.frame.screen import iso_time, moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY, HOUR

HISTORY = 30 * DAY  # seconds


class Published(NamedTuple):
    """The newest numbers of one audience; each is None if it is not known yet."""

    size: int | None = None  # records that Amazon has received
    match_rate: float | None = None  # percent
    changed_at: float | None = None  # epoch seconds, to the hour: since then, or longer, the size is the same

    @classmethod
    def of(cls, sizes: Mapping[int, float], rates: Mapping[int, float]) -> Self:
        """Return the newest of two series."""
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

    now = session.now()
    try:
        found = StackMetrics(session.stack).of_audiences(audience_ids, now - HISTORY, now + 60, HOUR)
    except Unavailable as error:
        session.screen.note(f"Sizes are left out: {error}.", style="yellow")
        return {}
    return {audience_id: Published.of(*series) for audience_id, series in found.items()}
