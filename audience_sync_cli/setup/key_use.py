"""Last use of a previous key: while Segment sends it, retiring it loses events."""

from typing import Literal

from audience_sync.errors import Unavailable
from audience_sync.runtime.telemetry import PREVIOUS_USED
from audience_sync_cli.screen import moment
from audience_sync_cli.session import Session
from audience_sync_cli.times import DAY

STEP = 300  # seconds; resolution of the last use
SHOWN = 14 * DAY  # seconds to look back; few destinations send less often
RECENT = 3 * DAY  # seconds; a workspace that used the previous key within them probably still has it
UNKNOWN: Literal["unknown"] = "unknown"  # CloudWatch does not answer, or access to it is denied
type LastUse = float | Literal["unknown"] | None  # epoch seconds


def last_use(session: Session, entry: str) -> LastUse:
    """Return when a previous key was last used, rounded up to five minutes; None if not within SHOWN seconds."""
    from audience_sync_cli.state.metrics import StackMetrics  # noqa: PLC0415 - loads boto3

    now = session.now()
    try:
        (series,) = StackMetrics(session.stack).sums([PREVIOUS_USED[entry]], STEP, now - SHOWN, now + 60).values()
    except Unavailable:
        return UNKNOWN
    return min(max(series) + STEP, now) if series else None


def described(used: LastUse) -> str:
    """Return the last use for a table."""
    if used is None:
        return f"not in the last {SHOWN // DAY} days"
    return used if isinstance(used, str) else moment(used * 1000)


def warning(used: LastUse, now: float) -> str | None:
    """Return a reason not to retire a previous key yet; None if there is none."""
    if isinstance(used, str):
        return "CloudWatch does not report the last use of the previous one."
    if used is not None and now - used < RECENT:
        at = moment(used * 1000)
        return f"The previous one was last used at {at}. A sender that still has it would lose its events."
    return None
