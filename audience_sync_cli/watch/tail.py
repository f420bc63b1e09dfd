"""`audience-sync tail`: accepted, rejected, uploaded and parked changes as they happen."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated

import typer

from audience_sync.errors import TransientError
from audience_sync.reasons import Reason
from audience_sync_cli.frame.explanation import explained, passes
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.times import SINCE, read_time
from audience_sync_cli.frame.usage import did_you_mean
from audience_sync_cli.stack.function_logs import FUNCTIONS, Follower, FunctionLogs, LogLine
from audience_sync_cli.stack.listed import NAMES, completions, find
from audience_sync_cli.watch.log_entries import Entry, selected

app = typer.Typer()
PAUSE = 3.0  # seconds between two checks; CloudWatch allows ten requests a second of an account
_STYLES = {  # by kind of entry
    "rejected": "yellow",
    "refused": "yellow",
    "failed": "yellow",
    "waits": "yellow",
    "parked": "red",
    "error": "red",
    "warning": "yellow",
}


@command(app, "tail", "tail --audience lapsed_premium_buyers", "tail --since 1h --no-follow --json")
def tail(
    session: Session,
    audience: Annotated[
        str,
        typer.Option(
            help=f"Only uploads, jobs, parked and waiting changes of this audience: {NAMES}.",
            metavar="AUDIENCE",
            autocompletion=completions,
        ),
    ] = "",
    reason: Annotated[
        str,
        typer.Option(help="Only entries with this reason code.", metavar="CODE", autocompletion=lambda: [*Reason]),
    ] = "",
    since: SINCE = "10m",
    follow: Annotated[bool, typer.Option(help="Continue until Ctrl-C.")] = True,
) -> None:
    """Print accepted, rejected, uploaded and parked changes as they happen. Ctrl-C ends it.

    Reads the functions' logs, which lag by some seconds. With --json, each line is a document.
    """
    stack, screen = session.stack, session.screen
    if reason and reason not in Reason and (similar := did_you_mean(reason, tuple(Reason), cutoff=0.8)):
        screen.note(f"Unknown reason code. {similar}".strip(), style="yellow")
    begin = (read_time(since, session.now()) or session.now() * 1000) / 1000
    audience_id = find(session, audience, with_unlinked=True).audience_id if audience else ""
    follower = Follower(FunctionLogs(stack), FUNCTIONS, begin)
    with suppress(KeyboardInterrupt):  # the normal end
        for found in batches(follower, lambda: time.sleep(stack.pause(PAUSE)), screen.note, once=not follow):
            for entry in selected(found, stack.batch_window, audience_id=audience_id, reason=reason):
                screen.say(line(entry), style=_STYLES.get(entry.kind, ""))
                screen.result(entry.as_json(), indent=None)


def batches(
    follower: Follower, pause: Callable[[], None], note: Callable[[str], None], *, once: bool
) -> Iterator[list[LogLine]]:
    """Yield new entries, again and again with pauses, or once. Raises AudienceSyncError, also if the first check fails.

    `note` gets a sentence about a later, temporary error; the next check returns the entries of the failed one.
    """
    has_read = False
    while True:
        try:
            found = follower.new()
            has_read = True
        except TransientError as error:
            if not (has_read and passes(error)):
                raise
            note(f"{explained(error)} Trying again.")
            found = []
        yield found
        if once:
            return
        pause()


def line(entry: Entry) -> str:
    """Format an entry for people."""
    return f"{moment(entry.at)}  {entry.kind:<9}  {entry.text}"
