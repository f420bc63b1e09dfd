"""Takes an audience off the list, so that events no longer reach it."""

from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.errors import TryLater
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.creating import creation_locks

# Seconds to keep an unlinked audience: by then the last row of its members has expired, even one that a redriven dead
# letter wrote after the unlinking.
KEEP_UNLINKED = KEEP_ACTIVE + KEEP_EXIT


def take_off_list(session: Session, audience: Audience, replacement: Audience | None = None) -> int:
    """Unlink an audience; returns the time, in epoch milliseconds. Raises Unavailable.

    Raises TryLater if the audience that is to get its events is no longer listed, or was moved to this one.
    """
    # Release the lock first: an audience that is still listed can be found and unlinked again.
    creation_locks(session).remove(audience.audience_id)
    now = round(session.now() * 1000)
    is_unlinked = session.audiences.unlink(
        audience.audience_id, at=now, replacement=replacement.audience_id if replacement else None
    )
    if replacement and not is_unlinked:
        raise TryLater(
            f"{audience.audience_id} was ended in the meantime, or {replacement.audience_id}, "
            "which took its place, was ended or moved.",
            "Look at `audience-sync audiences list` before you repeat the command.",
        )
    session.audiences.remove_unlinked(before=now - KEEP_UNLINKED * 1000)
    return now
