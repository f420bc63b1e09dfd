"""Which reasons for rejecting events a person must hear of: new ones, and known ones that take many events. Pure."""

from collections.abc import Mapping

MANY = 100  # events; fewer can wait
SHARE = 0.01  # of all events; a few hundred rejections in a million are normal
# Seconds between two reports of a reason: more often is noise, and never again a loss that nobody sees.
AGAIN = 24 * 3600
COUNTED = AGAIN - 3600  # seconds of events that count; so, by whole hours, none counts for two reports


def are_many(rejected: float, events: float) -> bool:
    """Return whether so many of some events were rejected that a person must look."""
    return rejected >= max(MANY, SHARE * events)


def to_report(counts: Mapping[str, float], events: float, reported: Mapping[str, int], now: float) -> dict[str, int]:
    """Return the reasons to report, each with what to keep: when it was reported for taking many events, or 0.

    Args:
        counts: rejections of the last COUNTED seconds, by reason, of every reason that has occurred lately.
        events: all of that time.
        reported: what was kept of the reasons reported so far.
        now: epoch seconds.
    """
    many = {reason for reason, rejected in counts.items() if are_many(rejected, events)}
    return {
        reason: int(now) if reason in many else 0
        for reason in sorted(counts)
        if reason not in reported or (reason in many and now - reported[reason] >= AGAIN)
    }
