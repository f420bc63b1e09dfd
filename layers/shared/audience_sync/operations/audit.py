"""Is every accepted change accounted for? Closes the books, step by step, on what can no longer be waiting.

Each change counts as accepted once, and once as ended (delivered, superseded or parked), both under the time at which
it was accepted. So of what was accepted within five minutes as many must have ended, and later traffic hides nothing.
What is missing when nothing so old can be waiting any more has been lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

STEP = 300  # seconds; the finest sums that CloudWatch keeps for as long as a message can wait
HOUR = 3600  # seconds
PATIENCE = HOUR  # seconds; what waits shows itself every 15 minutes, and crashing, whenever SQS hands it out again
# Seconds in which a change can go from hand to hand unseen while the worker crashes: SQS hands a message out 20 times,
# a visibility timeout apart, and then it lies in the dead letters. The hour more is for counting in whole ones.
MAX_CRASH_LOOP = 8 * HOUR
# How long CloudWatch may take to show a metric, by how old the time is that it is dated by: seconds, seconds.
CLOUDWATCH_LAG = ((3 * HOUR, HOUR / 4), (24 * HOUR, 2 * HOUR), (inf, 50 * HOUR))


@dataclass(frozen=True, slots=True)
class Counts:
    """What the functions have counted. Times are epoch seconds at which a step or an hour begins."""

    accepted: Mapping[int, float]  # changes, by step
    ended: Mapping[int, float]  # changes, by the step in which they were accepted
    longest_wait: Mapping[int, float]  # seconds, by hour; inf where nobody can know


def longest_waits(
    *,
    oldest: Mapping[int, float],
    put_off: Mapping[int, float],
    crashes: Mapping[int, float],
    visible: Mapping[int, float],
    invocations: Mapping[int, float],
) -> dict[int, float]:
    """Tell how long a change may have waited in each hour, in seconds.

    Nobody tells the age of what a crashing worker holds. It was told when the message lay in the queue or was put off
    for the last time, which is less than MAX_CRASH_LOOP ago; if that never happened, the change itself is younger. So in
    an     hour with a crash something may be as old as it was in one of the hours before, and the time since then. It is not
    older, even with a crash in every hour: the books would never close otherwise, and nothing would ring.

    Args:
        oldest: the age of the oldest message, as SQS tells; it leaves out those that were received three times.
        put_off: the age of the oldest change that the worker put off.
        crashes: of the worker.
        visible: the fewest messages in the queue that nobody took. With delivery paused SQS alone tells their age.
        invocations: of the worker.
    """
    told = {
        hour: inf if visible.get(hour) and not invocations.get(hour) else max(oldest.get(hour, 0), put_off.get(hour, 0))
        for hour in {*oldest, *put_off, *crashes, *visible}
    }
    return {
        hour: max(told.get(hour - ago, 0) + ago for ago in range(0, MAX_CRASH_LOOP + 1, HOUR))
        if crashes.get(hour)
        else wait
        for hour, wait in told.items()
    }


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes without an end."""

    at: int  # epoch seconds; they were accepted within STEP of it
    changes: int


@dataclass(frozen=True, slots=True)
class AuditResult:
    """How far the books are closed, and what was missing on the way there."""

    until: int  # epoch seconds
    gaps: tuple[Gap, ...]

    @property
    def missing(self) -> int:
        """Changes without an end, altogether."""
        return sum(gap.changes for gap in self.gaps)


def reconcile(counts: Counts, since: int, now: float) -> AuditResult:
    """Close the books from `since` on, as far as nothing that was accepted by then can still be waiting.

    Args:
        counts: from `since` until now.
        since: how far they are closed already, epoch seconds, a multiple of STEP.
        now: epoch seconds.
    """
    gaps: list[Gap] = []
    step = since
    while _known_at(step, counts.longest_wait) <= now:
        # More ended than accepted is no gap: a message that came twice counts twice.
        missing = round(counts.accepted.get(step, 0) - counts.ended.get(step, 0))
        if missing > 0:
            gaps.append(Gap(step, missing))
        step += STEP
    return AuditResult(step, tuple(gaps))


def _known_at(step: int, longest_wait: Mapping[int, float]) -> float:
    """Return when everything is known about the changes accepted in a step, epoch seconds."""
    end = step + STEP
    # In an hour whose longest wait reaches back to the step, one of its changes may have waited.
    waited = [hour + HOUR for hour, wait in longest_wait.items() if hour + HOUR > step and hour - wait < end]
    ended_by = max([end, *waited]) + PATIENCE
    return ended_by + next(lag for age, lag in CLOUDWATCH_LAG if ended_by - step < age)
