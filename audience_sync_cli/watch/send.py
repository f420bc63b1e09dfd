"""`audience-sync send`: post an event as Segment does, and follow it to the end of its job at Amazon."""

import json
import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from audience_sync_cli.audiences.listed import NAMES, completions, find, same_key, the_only_audience
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.session import Session, command
from audience_sync_cli.watch.samples import MEMBER, SAMPLES, sample
from audience_sync_cli.watch.sent import Sent

app = typer.Typer()
TIMEOUT = 1_200  # seconds; Amazon's jobs usually end within 15 minutes


@command(app, "send", "send --sample track --wait", "send event.json --wait --timeout 300")
def send(
    session: Session,
    file: Annotated[
        Path | None,
        typer.Argument(help="A request body from Segment: an event, or an array of them.", exists=True, dir_okay=False),
    ] = None,
    sample_name: Annotated[
        str,
        typer.Option(
            "--sample", help=f"Send a sample event of a made-up person: {', '.join(SAMPLES)}.", metavar="NAME"
        ),
    ] = "",
    audience: Annotated[
        str,
        typer.Option(
            help=f"With --sample: {NAMES}. Optional if only one audience is listed.",
            metavar="AUDIENCE",
            autocompletion=completions,
        ),
    ] = "",
    exits: Annotated[bool, typer.Option("--exit", help="With --sample: the person exits the audience.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the event until Amazon applies it.")] = False,
    timeout: Annotated[
        int, typer.Option(help="With --wait: seconds to follow it.", min=1, metavar="SECONDS")
    ] = TIMEOUT,
) -> None:
    """Send an event to the stack as Segment does, and print the answer.

    With --wait, the event is followed: change queue, membership table, upload, job. Reasons for waiting are printed,
    such as a pause, a missing token or an open circuit breaker. Exit code 1 if the event is rejected or parked, 5 if it
    is still on its way at the timeout.
    """
    if bool(file) == bool(sample_name):
        raise WrongUsage("Nothing or too much to send.", "Pass either a FILE or --sample.")
    if file and (audience or exits):
        raise WrongUsage("The events in a file name member and audience.", "Use --audience and --exit with --sample.")
    body = file.read_bytes() if file else _sample_body(session, sample_name, audience, exits=exits)
    with session.log.line("send") as line:
        sent = Sent.post(session, body)
        line["events"] = sent.accepted
    if wait:
        sent.follow(timeout, time.sleep)
    if sample_name and sent.is_accepted and not exits and all(end.is_good for end in sent.ends):
        session.screen.note(f"{MEMBER}, a made-up person, enters the audience. --exit removes it.")
    session.screen.result(sent.as_json())
    sent.raise_unless_good()


def _sample_body(session: Session, name: str, audience: str, *, exits: bool) -> bytes:
    if name not in SAMPLES:
        raise WrongUsage("There is no such sample.", f"Use one of: {', '.join(SAMPLES)}.")
    target = find(session, audience) if audience else the_only_audience(session)
    others = same_key(target, session.audiences.all())
    event = sample(name, target, others, enters=not exits, at=session.now(), message_id=f"audience-sync-{uuid4().hex}")
    return json.dumps(event, ensure_ascii=False).encode()
