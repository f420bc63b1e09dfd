"""Sends changes about the rows of an audience, with progress, and counts them in the operator log."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from audience_sync.clock import Clock
from audience_sync_cli.member_files.change_sender import ChangeSender, counted_in_cloudwatch
from audience_sync_cli.member_files.queue_room import room_for
from audience_sync_cli.screen import Bar
from audience_sync_cli.session import Session

if TYPE_CHECKING:
    from audience_sync_cli.operator_log import Line  # loads boto3, which completion must not


@contextmanager
def sending(session: Session, label: str, line: "Line", most: int | None) -> Iterator[tuple[ChangeSender, Bar]]:
    """Yield a sender and the progress bar. Pauses while more than `most` messages wait. Raises Unavailable."""

    def confirmed(_row: int, changes: int) -> None:
        line["changes"] = int(line.get("changes") or 0) + changes

    queue, clock = session.queue("ChangeQueue"), Clock(session.now, sleep=session.sleep)
    with session.screen.progress(label, session.member_scan.approximate_rows() or None, unit="rows") as bar:
        room = room_for(queue, most, clock, session.screen)
        count = counted_in_cloudwatch(session.stack)
        sender = ChangeSender(queue, count, clock, confirmed, room, session.screen.note)
        with sender:
            yield sender, bar
