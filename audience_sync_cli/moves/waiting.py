"""Waits of a move: until ingest knows the changed list, and until changes accepted earlier are completed."""

from audience_sync.aws.audience_listing import MAX_AGE
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import MINUTE
from audience_sync_cli.stack.settling import outstanding

LISTING = MAX_AGE + 10.0  # seconds after which every request is answered with the changed list
LONGEST_WAIT = 10 * MINUTE  # seconds for changes accepted earlier
POLL_INTERVAL = 15.0  # seconds


def wait(session: Session, label: str, seconds: float) -> None:
    """Wait, with a countdown."""
    until = session.now() + seconds
    with session.screen.progress(label) as bar:
        while (left := until - session.now()) > 0:
            bar.count_down(label, left)
            session.sleep(min(left, 1.0 if left <= 2 * MINUTE else 30.0))


def wait_for_ingest(session: Session) -> None:
    """Wait until events reach the audiences as they are listed now."""
    wait(session, "waiting until every function has read the list of audiences", LISTING)


def wait_for_earlier_changes(session: Session) -> int:
    """Wait until changes accepted before now are completed, but not for long. Returns how many are not."""
    begun = session.now()
    with session.screen.progress("waiting for changes accepted earlier") as bar:
        while left := outstanding(session, begun):
            if session.now() - begun >= LONGEST_WAIT:
                session.screen.note(
                    f"{counted(left, 'change')} accepted before may still wait: `audience-sync status` shows them.",
                    style="yellow",
                )
                break
            bar.describe(f"waiting for {counted(left, 'change')} accepted earlier")
            session.sleep(POLL_INTERVAL)
    return left
