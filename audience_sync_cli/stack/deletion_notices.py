"""Queues changes that no accepted event has caused: deletion notices, and the exits that are due after them."""

import time
from collections.abc import Iterable, Sequence
from uuid import uuid4

from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.membership import MembershipChange
from audience_sync.members.messages import DeliveryHistory, pack
from audience_sync_cli.frame.session import Session

SEND_TIMEOUT = 30.0  # seconds for the change queue to accept everything


def queue_deletion_notices(session: Session, members: Iterable[str]) -> list[MembershipChange]:
    """Queue removals from every audience and the deletion of what is stored about people. Raises Unavailable."""
    now = round(session.now() * 1000)
    notices = [erasing_exit(member, now, f"erase-{uuid4().hex}") for member in members]
    queue_uncounted(session, notices)
    return notices


def queue_uncounted(session: Session, exits: Sequence[MembershipChange]) -> None:
    """Queue exits as replays: counting them would unbalance the sums of `status`. Raises Unavailable."""
    bodies = pack(exits, DeliveryHistory(was_counted=True))
    session.queue("ChangeQueue").send(bodies, deadline=time.monotonic() + SEND_TIMEOUT)
