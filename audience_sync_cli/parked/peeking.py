"""Finds dead letters for a command, which leaves them in the queue."""

from audience_sync_cli.parked.dead_letters import DeadLetters, Peek
from audience_sync_cli.parked.redrive import Condition
from audience_sync_cli.session import Session


def peek(session: Session, is_wanted: Condition) -> Peek:
    """Return the dead letters that are wanted; they stay in the queue. Prints a note where not all could be read."""
    dead_letters = DeadLetters.of(session.stack)
    with session.screen.progress("reading dead letters", dead_letters.count()) as bar:
        peeked = dead_letters.peek(is_wanted, bar.advance)
    if peeked.stopped:
        session.screen.note(f"{peeked.stopped} Redrive or drop some, then run it again.", style="yellow")
    return peeked
