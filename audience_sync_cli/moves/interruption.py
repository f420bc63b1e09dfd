"""What a move or an end has done, for the operator who interrupts it or sees it fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session

if TYPE_CHECKING:
    from audience_sync_cli.frame.operator_log import Line  # loads boto3, which completion must not


@contextmanager
def saying_how_to_go_on(session: Session, line: "Line") -> Iterator[list[str]]:
    """Yield a list for sentences about what is done; if the block stops early, print them, and how to go on."""
    done: list[str] = []
    try:
        yield done
    except BaseException as stop:
        if sent := int(line["changes"] or 0):
            done.append(f"{counted(sent, 'change')} sent to the change queue.")
        if done or not isinstance(stop, Exception):  # of a failure with nothing done, the error says enough
            session.screen.note(" ".join([*done, "To continue, repeat the command."]))
        raise
