"""How long the delivery of many changes takes, and what it costs at AWS."""

from audience_sync_cli.frame.screen import Screen, counted
from audience_sync_cli.frame.session import Session

CHANGES_A_SECOND = 400  # of one worker if Amazon answers in two seconds: docs/scaling.md
WORKERS = 5  # `MaximumConcurrency` by default
DOLLARS_A_MILLION = 1.3  # for a million changes, from the change queue to Amazon: docs/cost.md


def workers_of(session: Session) -> int:
    """Return how many workers the stack may run at a time."""
    return int(session.stack.parameters.get("MaximumConcurrency", WORKERS))


def estimate(changes: int, workers: int) -> tuple[int, float]:
    """Return about how many seconds delivery will take with so many workers, and its cost in dollars."""
    return round(changes / (CHANGES_A_SECOND * workers)), round(changes * DOLLARS_A_MILLION / 1e6, 2)


def show_estimate(screen: Screen, changes: int, workers: int) -> None:
    """Print the estimated duration and cost of delivery, if there is anything to deliver."""
    if not changes:
        return
    seconds, dollars = estimate(changes, workers)
    duration = f"about {counted(round(seconds / 60), 'minute')}" if seconds >= 90 else "under two minutes"
    cost = f"about ${dollars:,.2f}" if dollars >= 0.01 else "under $0.01"
    screen.say(f"Delivery to Amazon takes {duration} with {counted(workers, 'worker')}, and costs {cost} at AWS.")
