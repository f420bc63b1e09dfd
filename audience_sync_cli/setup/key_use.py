"""Last use of a previous key: while Segment sends it, retiring it loses events."""

from enum import Enum

from audience_sync.aws.cloudwatch import Metric, MetricStore
from audience_sync.errors import Unavailable
from audience_sync.runtime.metric_names import NAMESPACE
from audience_sync.runtime.telemetry import PREVIOUS_USED
from audience_sync_cli.screen import moment
from audience_sync_cli.session import Session
from audience_sync_cli.times import DAY

STEP = 300  # seconds; resolution of the last use
SHOWN = 14 * DAY  # seconds to look back; few destinations send less often
RECENT = 3 * DAY  # seconds; a workspace that used the previous key within them probably still has it


class Unknown(Enum):
    """CloudWatch does not answer, or access to it is denied."""

    UNKNOWN = "unknown"


def last_use(session: Session, entry: str) -> float | Unknown | None:
    """Return the time of the last request with a previous key: epoch seconds, rounded up to five minutes.

    None if there was none within SHOWN seconds.
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
    """Return a reason not to retire a previous key yet; None if there is none."""
    if used is Unknown.UNKNOWN:
        return "CloudWatch does not report the last use of the previous one."
    if used is not None and now - used < RECENT:
        at = moment(used * 1000)
        return f"The previous one was last used at {at}. A sender that still has it would lose its events."
    return None
