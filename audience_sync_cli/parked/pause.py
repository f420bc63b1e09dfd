"""`audience-sync pause` and `audience-sync resume`: stop and start delivery within a minute, without a deployment."""

from typing import Annotated, Any

import typer

from audience_sync_cli.frame.operator_log import checked_note
from audience_sync_cli.frame.screen import counted, iso_time
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.stack.counts import depth
from audience_sync_cli.stack.event_source import (
    DEPLOY_TO_RESUME,
    PAUSE,
    RESUME,
    Paused,
    is_paused,
    is_paused_by_deployment,
    paused_by,
    switch,
)

app = typer.Typer()
_NOTE = Annotated[str, typer.Option(help="The reason, for other operators; no personal data.", metavar="TEXT")]
_MEANS = "The API keeps accepting events; changes wait in the queue, exits and deletions also, for seven days at most."


@command(app, PAUSE, "pause", 'pause --note "Amazon asked us to wait" --yes', asks=True)
def pause(session: Session, note: _NOTE = "") -> None:
    """Pause delivery to Amazon. The API keeps accepting events, and changes wait, for seven days at most.

    Exits and deletions also wait. Disables the worker's event source, and waits until Lambda has done it; a worker that
    is running delivers what it has. `status` and the dashboard show the pause and who made it.
    """
    note = checked_note(note) if note else ""
    if not is_paused(session.stack):
        session.screen.confirm(f"Pause delivery? {_MEANS}")
    changed = _switch(session, PAUSE, note)
    session.screen.say("Delivery is paused." if changed else "Delivery is already paused.", style="yellow")
    by_deployment = is_paused_by_deployment(session.stack)
    resumes = DEPLOY_TO_RESUME if by_deployment else "audience-sync resume"
    session.screen.say(f"Changes wait, for seven days at most. `{resumes}` delivers them.")
    _result(session, paused_by(session.stack, session.now()), changed=changed, paused=True)


@command(app, RESUME, "resume", "--stack prod resume")
def resume(session: Session, note: _NOTE = "") -> None:
    """Resume delivery after `pause`, and wait until the worker's event source is enabled.

    Waiting changes follow at once. A pause by the parameter Enabled=no ends with a deployment of Enabled=yes.
    """
    note = checked_note(note) if note else ""
    before, waiting = paused_by(session.stack, session.now()), depth(session.stack, "ChangeQueue").total
    changed = _switch(session, RESUME, note)
    if changed:
        queued = f"{counted(waiting, 'message')} of the change queue will now be delivered."
        session.screen.say(f"Delivery is resumed. {queued}", style="green")
        if before.at:
            session.screen.say(f"It was paused{before}.")
    else:
        session.screen.say("Delivery is not paused.")
    _result(session, before if changed else Paused(), changed=changed, paused=False)


def _switch(session: Session, name: str, note: str) -> bool:
    with session.screen.progress("waiting for Lambda") as bar:
        return switch(session, session.log, name, note=note, on_state=lambda state: bar.describe(f"Lambda: {state}"))


def _result(session: Session, by: Paused, **facts: Any) -> None:
    session.screen.result(facts | {"by": by.by or None, "at": iso_time(by.at), "note": by.note or None})
