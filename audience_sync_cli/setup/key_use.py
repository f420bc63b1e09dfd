"""Last use of a previous key: while Segment sends it, retiring it loses events."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from audience_sync.errors import Unavailable
from audience_sync.runtime.telemetry import PREVIOUS_USED
from audience_sync_cli.frame.screen import iso_time, moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY

STEP = 300  # seconds; resolution of the last use
SHOWN = 14 * DAY  # seconds to look back; few destinations send less often
RECENT = 3 * DAY  # seconds; a workspace that used the previous key within them probably still has it
UNPROVEN = DAY  # seconds; the use of a key that became the previous one within them says little: many send once a day
UNKNOWN: Literal["unknown"] = "unknown"  # CloudWatch does not answer, or access to it is denied


class PreviousUse(NamedTuple):
    """The use of a key since it became the previous one."""

    last: float | Literal["unknown"] | None  # epoch seconds; None if not within SHOWN seconds
    since: float | None  # epoch seconds at which it became the previous one, if known

    def as_json(self) -> dict[str, str | None]:
        """Return both times for JSON output."""
        last = self.last if isinstance(self.last, str) else iso_time(self.last and self.last * 1000)
        return {"since": iso_time(self.since and self.since * 1000), "lastUse": last}

    def described(self, now: float) -> str:
        """Return the last use for a table."""
        if self.last is None and self.since is not None and now - self.since < SHOWN:
            # Within a minute of the rotation, functions take it for the current one and count no use.
            return f"none since {moment(self.since * 1000 + 60_000)}"
        if self.last is None:
            return f"not in the last {SHOWN // DAY} days"
        return self.last if isinstance(self.last, str) else moment(self.last * 1000)

    def warning(self, now: float) -> str | None:
        """Return a reason not to retire the key yet; None if there is none."""
        if isinstance(self.last, str):
            return "CloudWatch does not report the last use of the previous one."
        if self.last is not None and now - self.last < RECENT:
            at = moment(self.last * 1000)
            return f"The previous one was last used at {at}. A sender that still has it would lose its events."
        if self.since is not None and now - self.since < UNPROVEN:
            at = moment(self.since * 1000)
            return f"It became the previous one at {at}. A sender that sends once a day may still have it."
        return None


NEVER = PreviousUse(None, None)


def previous_use(session: Session, stored: Mapping[str, Any], entry: str) -> PreviousUse:
    """Return the use of a previous key, the last one rounded up to five minutes."""
    from audience_sync_cli.stack.stack_metrics import StackMetrics  # noqa: PLC0415 - loads boto3

    now, since = session.now(), stored.get(since_entry(entry))
    since = since if isinstance(since, int) else None
    begin = min(max(now - SHOWN, since or 0), now)  # an earlier use is of an earlier previous key
    try:
        (series,) = StackMetrics(session.stack).sums([PREVIOUS_USED[entry]], STEP, begin, now + 60).values()
    except Unavailable:
        return PreviousUse(UNKNOWN, since)
    return PreviousUse(min(max(series) + STEP, now) if series else None, since)


def since_entry(entry: str) -> str:
    """Return the entry of the ingest secret with the epoch second at which a key became the previous one."""
    return f"{entry}Since"
