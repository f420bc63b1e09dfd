"""Audit: reconciles accepted against completed changes, in 5-minute windows old enough to be final.

Each change counts once as accepted and once as completed (delivered, superseded or parked), both under the time at
which it was accepted. So each five minutes must have as many completed as accepted changes, and later traffic hides no
loss. Changes still missing when none so old can be waiting are lost. More completed than accepted ones were counted
twice: a worker was stopped after it had put changes back into the queue, or SQS delivered them twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

STEP = 300  # seconds; the finest sums that CloudWatch keeps for as long as a message can wait
HOUR = 3600  # seconds
# Seconds added before a window counts as final: a waiting change is seen every 15 minutes, and one that crashes the
# worker each time SQS delivers it.
MARGIN = HOUR
# Seconds in which a change can stay unseen while the worker crashes: SQS delivers a message 20 times, a visibility
# timeout apart, and then it is in the dead letters. The extra hour is for counting in whole hours.
MAX_CRASH_LOOP = 8 * HOUR
# CloudWatch's delay before it shows a metric, by the age of the metric's timestamp: seconds, seconds.
CLOUDWATCH_LAG = ((3 * HOUR, HOUR / 4), (24 * HOUR, 2 * HOUR), (inf, 50 * HOUR))


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of the functions. Times are epoch seconds at which a window or an hour begins."""

    accepted: Mapping[int, float]  # changes, by window
    completed: Mapping[int, float]  # changes, by the window in which they were accepted
    longest_wait: Mapping[int, float]  # seconds, by hour; inf if unknown


def longest_waits(
    *,
    oldest: Mapping[int, float],
    deferred: Mapping[int, float],
    waiting: Mapping[int, float],
    crashes: Mapping[int, float],
    visible: Mapping[int, float],
    invocations: Mapping[int, float],
) -> dict[int, float]:
    """Return how long a change may have waited in each hour, in seconds.

    The age of a message that crashes the worker is not reported. It was reported when the message last waited in the
    queue or was deferred, less than MAX_CRASH_LOOP ago; if that never happened, the change itself is younger. So in an
    hour with a crash, a change may be as old as in one of the hours before, plus the time since. It is not older, even
    with a crash in every hour: otherwise the audit would never advance, and no alarm would go off.

    Args:
        oldest: the age of the oldest message, as SQS reports it; without messages received three times.
        deferred: the age of the oldest change that the worker deferred.
        waiting: the age of the oldest change that waited for a job to end.
        crashes: of the worker.
        visible: the fewest visible messages in the queue. While delivery is paused, only SQS knows their age.
        invocations: of the worker.
    """
    reported = {
        hour: inf
        if visible.get(hour) and not invocations.get(hour)
        else max(oldest.get(hour, 0), deferred.get(hour, 0), waiting.get(hour, 0))
        for hour in {*oldest, *deferred, *waiting, *crashes, *visible}
    }
    return {
        hour: max(reported.get(hour - ago, 0) + ago for ago in range(0, MAX_CRASH_LOOP + 1, HOUR))
        if crashes.get(hour)
        else wait
        for hour, wait in reported.items()
    }


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes accepted and never completed."""

    at: int  # epoch seconds; they were accepted within STEP of it
    changes: int


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The time up to which changes are reconciled, and the gaps on the way."""

    until: int  # epoch seconds
    gaps: tuple[Gap, ...]
    counted_twice: int = 0  # changes: more completed than accepted

    @property
    def missing(self) -> int:
        """The total of changes accepted and never completed."""
        return sum(gap.changes for gap in self.gaps)


def reconcile(counts: Counts, since: int, now: float) -> AuditResult:
    """Reconcile the windows from `since` on, up to the first whose changes may still be waiting.

    Args:
        counts: from `since` until now.
        since: changes are reconciled up to here; epoch seconds, a multiple of STEP.
        now: epoch seconds.
    """
    gaps: list[Gap] = []
    counted_twice, step = 0, since
    while _final_at(step, counts.longest_wait) <= now:
        missing = round(counts.accepted.get(step, 0) - counts.completed.get(step, 0))
        if missing > 0:
            gaps.append(Gap(step, missing))
        counted_twice += max(0, -missing)
        step += STEP
    return AuditResult(step, tuple(gaps), counted_twice)


def _final_at(step: int, longest_wait: Mapping[int, float]) -> float:
    """Return the time at which the counts of a window are final, epoch seconds."""
    end = step + STEP
    # In an hour whose longest wait reaches back to the window, one of its changes may have waited.
    waited = [hour + HOUR for hour, wait in longest_wait.items() if hour + HOUR > step and hour - wait < end]
    completed_by = max([end, *waited]) + MARGIN
    return completed_by + next(lag for age, lag in CLOUDWATCH_LAG if completed_by - step < age)
