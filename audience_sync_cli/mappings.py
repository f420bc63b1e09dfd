"""`audience-sync mappings`: show, check, apply and try the mappings that turn an event into a record."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from audience_sync.errors import InvalidMapping, InvalidRequest
from audience_sync.intake import IntakeResult, changes_from, compiled
from audience_sync.messages import change_as_json
from audience_sync.segment.mapping_config import parse_mappings
from audience_sync.segment.trigger import compile_trigger
from audience_sync.translation import Policy
from audience_sync_cli.errors import AlreadyReported, OperatorError, WrongUsage
from audience_sync_cli.mapping_warnings import events_of, id_warning, looks_like_a_phone_number, warnings_about
from audience_sync_cli.mappings_store import read, replace, version_conflict
from audience_sync_cli.screen import counted
from audience_sync_cli.session import Session, command

_FILE = Annotated[
    Path, typer.Argument(help="JSON, as `mappings show --json` prints it.", exists=True, dir_okay=False, readable=True)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "show")(show)
    command(app, "check")(check)
    command(app, "apply", asks=True)(apply)
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
    session.screen.say(default if stored.attribute is None else f"Version {stored.version}.")
    if not any(mapping.enabled for mapping in mappings):
        session.screen.say("No mapping is enabled: every event is ignored.", style="yellow")
    for mapping in mappings:
        session.screen.say(f"\n{mapping.name}{'' if mapping.enabled else ' (disabled)'}", style="bold")
        session.screen.say(f"when {mapping.trigger}")
        session.screen.table(("field", "directive"), [(name, plain(each)) for name, each in mapping.fields.items()])
    session.screen.result(stored.document)


def check(
    session: Session,
    file: _FILE,
    event: Annotated[
        Path | None,
        typer.Option(help="Also try the member ids on this request body from Segment.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Check a file of mappings. Changes nothing.

    Warns where the member id may be a phone number or an e-mail address in clear text.
    """
    mappings = parse_mappings(_read(file), compile_trigger)
    enabled = sum(each.enabled for each in mappings)
    session.screen.say(f"{counted(len(mappings), 'mapping')}, {enabled} enabled.", style="green")
    warnings = warnings_about(mappings, events_of(_read(event)) if event else [])
    for warning in warnings:
        session.screen.note(warning, style="yellow")
    session.screen.result({"mappings": len(mappings), "enabled": enabled, "warnings": warnings})


def apply(session: Session, file: _FILE) -> None:
    """Check a file of mappings and put it in force.

    A file that names the version it was made from is refused when another version has been applied since. If the stored
    mappings are unreadable, the command asks before it replaces them.
    """
    document = _read(file)
    mappings = parse_mappings(document, compile_trigger)
    stored = read(session)
    version = stored.version
    made_from = document.get("version", version) if isinstance(document, dict) else version
    if not stored.is_readable:
        session.screen.confirm("The stored mappings are unreadable and would be replaced. Go on?")
    elif made_from != version:
        raise version_conflict(made_from, version)
    if not any(each.enabled for each in mappings):
        session.screen.confirm("No mapping is enabled: every event would be ignored. Go on?")
    listed = document["mappings"] if isinstance(document, dict) else document
    replace(session, stored, json.dumps({"version": version + 1, "mappings": listed}, ensure_ascii=False))
    session.screen.say(f"Version {version + 1} is stored, and in force within a minute.", style="green")
    session.screen.result({"version": version + 1, "mappings": len(mappings)})


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
    document = json.dumps(_read(mappings)) if mappings else session.audiences.mappings()
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


def plain(directive: Any) -> str:
    """Format a directive: a path as it is, the first of several paths as a list of them, all others as JSON."""
    match directive:
        case {"@path": str(path)} if len(directive) == 1:
            return path
        case {"@if": {"blank": first, "then": then, "else": other}} | {
            "@if": {"exists": first, "then": then, "else": other}
        }:
            if first == then:
                return f"{plain(then)}, else {plain(other)}"
    return json.dumps(directive)


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


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise WrongUsage(f"{file} is not a readable JSON file.", "`mappings show --json` prints one.") from None


def _policy(session: Session) -> Policy:
    parameters = session.stack.parameters
    return Policy(
        consent="pass" if parameters.get("ConsentPolicy") == "pass" else "require",
        literal_email=parameters.get("LiteralEmail") == "yes",
    )
