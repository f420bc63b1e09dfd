"""`audience-sync send`: post an event as Segment does, and follow it to the end of its job at Amazon."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from audience_sync.members.membership import Audience
from audience_sync_cli.frame.errors import TryLater, WrongUsage
from audience_sync_cli.frame.samples import MEMBER, SAMPLES, sample
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.stack.deletion_notices import queue_deletion_notices
from audience_sync_cli.stack.listed import NAMES, completions, find, same_key, the_only_audience
from audience_sync_cli.watch.posting import stated
from audience_sync_cli.watch.sent import Sent

app = typer.Typer()
TIMEOUT = 1_200  # seconds; Amazon's jobs usually end within 15 minutes


@dataclass(frozen=True, slots=True)
class Follow:
    """Options for what is followed to Amazon."""

    wait: Annotated[bool, typer.Option("--wait", help="Follow the event until Amazon applies it.")] = False
    round_trip: Annotated[
        str,
        typer.Option(
            help=f"Send enter and exit of a new made-up person, follow both, and erase the person: {NAMES}.",
            metavar="AUDIENCE",
            autocompletion=completions,
        ),
    ] = ""
    timeout: Annotated[
        int, typer.Option(help="With --wait and --round-trip: seconds to follow each event.", min=1, metavar="SECONDS")
    ] = TIMEOUT


POSTED_ONLY = Follow()


@command(app, "send", "send --sample track --wait", "send --round-trip big_spenders", "send event.json --wait")
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
    follow: Follow = POSTED_ONLY,
) -> None:
    """Send an event to the stack as Segment does, and print the answer.

    With --wait, the event is followed: change queue, membership table, upload, job. Reasons for waiting are printed,
    such as a pause, a missing token or an open circuit breaker. Exit code 1 if the event is rejected or parked, 5 if it
    is still on its way at the timeout.
    """
    if len([each for each in (file, sample_name, follow.round_trip) if each]) != 1:
        raise WrongUsage("Nothing or too much to send.", "Pass either a FILE, --sample or --round-trip.")
    if not sample_name and (audience or exits):
        raise WrongUsage("--audience and --exit need --sample.", "A file names member and audience itself.")
    if follow.round_trip:
        _send_round_trip(session, follow.round_trip, follow.timeout)
        return
    body = file.read_bytes() if file else _sample_of_option(session, sample_name, audience, exits=exits)
    with session.log.line("send") as line:
        sent = Sent.post(session, body)
        line["events"] = sent.accepted
    if follow.wait:
        sent.follow(follow.timeout, session.sleep)
    is_queued = sent.ends or not follow.wait
    if sample_name and sent.is_accepted and not exits and is_queued and all(end.is_good for end in sent.ends):
        session.screen.note(f"{MEMBER}, a made-up person, enters the audience. --exit removes it.")
    session.screen.result(sent.as_json())
    sent.raise_unless_good()


def _sample_of_option(session: Session, name: str, audience: str, *, exits: bool) -> bytes:
    if name not in SAMPLES:
        raise WrongUsage("There is no such sample.", f"Use one of: {', '.join(SAMPLES)}.")
    return _sample_body(session, find(session, audience) if audience else the_only_audience(session), name, exits=exits)


def _sample_body(
    session: Session, target: Audience, name: str = "track", *, exits: bool, member: str = MEMBER
) -> bytes:
    others, message_id = same_key(target, session.audiences.all()), f"audience-sync-{uuid4().hex}"
    event = sample(name, target, others, enters=not exits, at=session.now(), message_id=message_id, member=member)
    return json.dumps(event, ensure_ascii=False).encode()


def _send_round_trip(session: Session, audience: str, timeout: float) -> None:
    """Let a made-up member enter and exit an audience, follow both to Amazon, and erase the member in any case."""
    target = find(session, audience)
    member = f"audience-sync-test-{uuid4().hex[:8]}"  # a known one would wait for its last removal to end
    sent: list[Sent] = []
    ids: set[str] = set()
    with session.log.line("send --round-trip", audienceId=target.audience_id):
        is_kept = False
        try:
            for what in ("enters", "exits"):
                session.screen.say(f"\n{member} {what} {target.name or target.audience_id}", style="bold")
                body = _sample_body(session, target, exits=what == "exits", member=member)
                ids |= {change.member[1] for change in stated(session, body).changes}  # mappings may give another id
                earlier = {job for each in sent for job in each.jobs}
                sent.append(Sent.post(session, body))
                is_kept |= sent[-1].is_accepted
                sent[-1].follow(timeout, session.sleep, earlier)
                if not sent[-1].is_good:
                    break
        except TryLater:
            is_kept = True  # an event without an answer may have been accepted
            raise
        finally:
            if is_kept:
                queue_deletion_notices(session, sorted(ids))
                session.screen.say(f"{member} is being erased.")
    entered, left = (each.as_json() if each else None for each in (*sent, None)[:2])
    session.screen.result({"audienceId": target.audience_id, "member": member, "entered": entered, "left": left})
    for each in sent:
        each.raise_unless_good()
