"""When a previous key was last used: as long as Segment sends it, retiring it loses events."""

from enum import Enum

from audience_sync.aws.cloudwatch import Metric, MetricStore
from audience_sync.errors import Unavailable
from audience_sync.metric_names import NAMESPACE
from audience_sync.telemetry import PREVIOUS_USED
from audience_sync_cli.screen import moment
from audience_sync_cli.session import Session
from audience_sync_cli.times import DAY

STEP = 300  # seconds; how exactly the last use is known
SHOWN = 14 * DAY  # seconds to look back; a destination that sends less often than that is an exception
RECENT = 3 * DAY  # seconds; a workspace that used the previous key within them probably still has it


class Unknown(Enum):
    """CloudWatch does not answer, or does not let us ask."""

    UNKNOWN = "unknown"


def last_use(session: Session, entry: str) -> float | Unknown | None:
    """Return when a previous key last let a request in: epoch seconds, at the end of five minutes.

    Args:
        session: of the command.
        entry: of the ingest secret, such as `previousEventKey`.

    Returns:
        None where it let none in within SHOWN seconds.
    """
    stack, now = session.stack, session.now()
    metric = Metric(NAMESPACE, PREVIOUS_USED[entry], {"service": stack.name}, "Sum", STEP)
    try:
        series = MetricStore(stack.service("cloudwatch")).read({"used": metric}, now - SHOWN, now + 60)["used"]
    except Unavailable:
        return Unknown.UNKNOWN
    return min(max(series) + STEP, now) if series else None


def described(used: float | Unknown | None) -> str:
    """Return the last use for a table."""
    match used:
        case Unknown.UNKNOWN:
            return "unknown"
        case None:
            return f"not in the last {SHOWN // DAY} days"
        case _:
            return moment(used * 1000)


def warning(used: float | Unknown | None, now: float) -> str | None:
    """Return why a previous key should not be retired yet, None where nothing speaks against it."""
    if used is Unknown.UNKNOWN:
        return "CloudWatch does not say when the previous one was last used."
    if used is not None and now - used < RECENT:
        at = moment(used * 1000)
        return f"The previous one let a request in at {at}. A sender may still have it, and would lose its events."
    return None
