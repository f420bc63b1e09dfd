"""`audience-sync mappings`: show, check and try the mappings that turn an event into a record."""

import json
from pathlib import Path
from typing import Annotated

import typer

from audience_sync.errors import InvalidMapping, InvalidRequest
from audience_sync.intake import IntakeResult, changes_from, compiled
from audience_sync.messages import change_as_json
from audience_sync.segment.mapping_config import parse_mappings
from audience_sync.segment.trigger import compile_trigger
from audience_sync.translation import Policy
from audience_sync_cli.errors import AlreadyReported, OperatorError
from audience_sync_cli.mapping_files import read_event, read_mappings
from audience_sync_cli.mapping_text import plain
from audience_sync_cli.mapping_versions import FILE, FORCE, require_effect
from audience_sync_cli.mapping_warnings import events_of, id_warning, looks_like_a_phone_number, warnings_about
from audience_sync_cli.mappings_store import read
from audience_sync_cli.screen import counted
from audience_sync_cli.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "show")(show)
    command(app, "check")(check)
    command(app, "try")(try_)


def show(session: Session) -> None:
    """Show the mappings in force. To change them, save them first: `mappings show --json > mappings.json`.

    Exit code 1 when the stored mappings are invalid: no event is accepted until `mappings apply` has replaced them.
    """
    stored = read(session)
    if not stored.is_readable:
        raise OperatorError(
            "The stored mappings are unreadable, and no event is accepted.",
            "Store a valid file with `audience-sync mappings apply`.",
        )
    if not stored.is_versioned:
        session.screen.note("The stored version is not a number and counts as 0; `mappings apply` stores a number.")
    try:
        mappings = parse_mappings(stored.mappings, compile_trigger)
    except InvalidMapping as error:
        session.screen.result(stored.document)  # to be saved, fixed and applied
        session.screen.note(f"The stored mappings are invalid, and no event is accepted: {error}.", style="red")
        session.screen.note("Fix what `mappings show --json` prints, and store it with `mappings apply`.")
        raise AlreadyReported from None
    default = "No mappings are stored: Segment's default mapping is in force."
    session.screen.say(default if stored.is_built_in else f"Version {stored.version}.")
    if not any(mapping.enabled for mapping in mappings):
        session.screen.say("No mapping is enabled: every event is ignored.", style="yellow")
    for mapping in mappings:
        session.screen.say(f"\n{mapping.name}{'' if mapping.enabled else ' (disabled)'}", style="bold")
        session.screen.say(f"when {mapping.trigger}")
        session.screen.table(("field", "directive"), [(name, plain(each)) for name, each in mapping.fields.items()])
    session.screen.result(stored.document)


def check(
    session: Session,
    file: FILE,
    event: Annotated[
        Path | None,
        typer.Option(help="Also try the member ids on this request body from Segment.", exists=True, dir_okay=False),
    ] = None,
    force: FORCE = False,
) -> None:
    """Check a file of mappings. Changes nothing.

    Warns where the member id may be a phone number or an e-mail address in clear text, and where no event fulfils a
    trigger. Mappings that would ignore every event are refused without --force.
    """
    mappings = parse_mappings(read_mappings(file), compile_trigger)
    require_effect(mappings, force=force)
    enabled = sum(each.enabled for each in mappings)
    session.screen.say(f"{counted(len(mappings), 'mapping')}, {enabled} enabled.", style="green")
    warnings = warnings_about(mappings, events_of(read_event(event)) if event else [])
    for warning in warnings:
        session.screen.note(warning, style="yellow")
    session.screen.result({"mappings": len(mappings), "enabled": enabled, "warnings": warnings})


def try_(
    session: Session,
    event: Annotated[
        Path,
        typer.Argument(
            help="A request body from Segment, such as a file in events/segment/.", exists=True, dir_okay=False
        ),
    ],
    mappings: Annotated[
        Path | None, typer.Option(help="Use this file instead of the mappings in force.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Show the record that an event would become, with hashed identifiers, or why it is rejected. Sends nothing."""
    document = json.dumps(read_mappings(mappings)) if mappings else session.audiences.mappings()
    try:
        outcome = changes_from(
            event.read_bytes(),
            mappings=compiled(document),
            audiences=session.audiences,
            now=round(session.now() * 1000),
            policy=_policy(session),
        )
    except InvalidRequest as error:
        raise OperatorError(f"{error}.", "Segment would get a 400 or 413 and would not send it again.") from None
    _print_outcome(session, outcome)
    if any(looks_like_a_phone_number(change.record["externalUserId"]) for change in outcome.changes):
        session.screen.note(id_warning(), style="yellow")
    if outcome.rejections:
        raise AlreadyReported


def _print_outcome(session: Session, outcome: IntakeResult) -> None:
    session.screen.facts(
        {"accepted": outcome.accepted, "ignored": outcome.ignored, "rejected": len(outcome.rejections)}
    )
    for change in outcome.changes:
        session.screen.say(f"\naudience {change.audience_id}{', with a deletion notice' if change.erase else ''}")
        session.screen.say(json.dumps(change.record, indent=2, ensure_ascii=False))
    if outcome.rejections:
        session.screen.table(
            ("event", "message", "reason", "detail"),
            [(each.index, each.message_id, each.reason, each.detail) for each in outcome.rejections],
        )
    session.screen.result(
        {
            "accepted": outcome.accepted,
            "ignored": outcome.ignored,
            "changes": [{"audienceId": each.audience_id, **change_as_json(each)} for each in outcome.changes],
            "rejections": [each.as_json() for each in outcome.rejections],
        }
    )


def _policy(session: Session) -> Policy:
    parameters = session.stack.parameters
    return Policy(
        consent="pass" if parameters.get("ConsentPolicy") == "pass" else "require",
        literal_email=parameters.get("LiteralEmail") == "yes",
    )
