"""Compares rows of a newly linked audience with the deletion notices of the last 40 days.

A notice is spread over the audiences listed at the time. Rows of another audience, from a restored table or an audience
unlinked by an earlier version, may be older than the notice about their person.
"""

from audience_sync.members.membership import Audience
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.deletion_notices import queue_uncounted


def queue_due_exits(session: Session, audience: Audience) -> None:
    """Queue an exit for each person whose row is older than their deletion notice. Raises Unavailable.

    Reads the notices, of which there are few, not the rows of the audience. Safe to repeat.
    """
    from audience_sync.delivery.deletion_notices import due_exits  # noqa: PLC0415 - loads boto3

    queued = 0
    with session.screen.progress("checking deletion notices") as bar:
        for page in session.member_scan.deletion_notices():
            states = session.members.read((audience.audience_id, each.state.member[1]) for each in page)
            exits = list(due_exits(states, [each.state.newest for each in page], [audience]))
            queue_uncounted(session, exits)
            queued += len(exits)
            bar.advance(len(page))
    if queued:
        session.screen.note(
            f"{counted(queued, 'exit')} queued for people erased by a deletion notice after they entered.",
            style="yellow",
        )
