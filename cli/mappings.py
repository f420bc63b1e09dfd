"""`audience-sync mappings`: from event to record. Shown, checked, applied by version, tried without sending."""

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
from cli.errors import AlreadyReported, OperatorError, WrongUsage
from cli.mappings_store import overtaken, read, replace
from cli.screen import counted
from cli.session import Session, command

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
    """Show the mappings in force. Save them to change them: `mappings show --json > mappings.json`.

    Exit code 1 when what is stored is wrong: then no event is taken until `mappings apply` has replaced it.
    """
    stored = read(session)
    if not stored.is_readable:
        raise OperatorError(
            "What is stored is unreadable, and no event is taken.", "`audience-sync mappings apply` a sound file."
        )
    if not stored.is_versioned:
        session.screen.note("Its version is not a number and counts as 0; the next `mappings apply` gives it one.")
    try:
        mappings = parse_mappings(stored.listed, compile_trigger)
    except InvalidMapping as error:
        session.screen.result(stored.document)  # to be saved, mended and applied
        session.screen.note(f"What is stored is refused, and no event is taken: {error}.", style="red")
        session.screen.note("Mend what `mappings show --json` prints, and put it in force with `mappings apply`.")
        raise AlreadyReported from None
    nothing = "Nothing is stored: Segment's own mapping is in force."
    session.screen.say(nothing if stored.held is None else f"Version {stored.version}.")
    if not any(mapping.enabled for mapping in mappings):
        session.screen.say("None is enabled: every event is ignored.", style="yellow")
    for mapping in mappings:
        session.screen.say(f"\n{mapping.name}{'' if mapping.enabled else ' (disabled)'}", style="bold")
        session.screen.say(f"when {mapping.trigger}")
        session.screen.table(("field", "directive"), [(name, plain(told)) for name, told in mapping.fields.items()])
    session.screen.result(stored.document)


def check(session: Session, file: _FILE) -> None:
    """Check a file of mappings. Changes nothing."""
    mappings = parse_mappings(_read(file), compile_trigger)
    enabled = sum(each.enabled for each in mappings)
    session.screen.say(f"{counted(len(mappings), 'mapping')}, {enabled} enabled.", style="green")
    session.screen.result({"mappings": len(mappings), "enabled": enabled})


def apply(session: Session, file: _FILE) -> None:
    """Check a file of mappings and put it in force.

    A file that names the version it was made from is refused when somebody else has applied another since. What is
    stored and unreadable has no version: it is replaced, after a question.
    """
    wanted = _read(file)
    mappings = parse_mappings(wanted, compile_trigger)
    stored = read(session)
    version = stored.version
    made_from = wanted.get("version", version) if isinstance(wanted, dict) else version
    if not stored.is_readable:
        session.screen.confirm("What is stored is unreadable and would be written anew. Go on?")
    elif made_from != version:
        raise overtaken(made_from, version)
    if not any(each.enabled for each in mappings):
        session.screen.confirm("No mapping is enabled: every event would be ignored. Go on?")
    listed = wanted["mappings"] if isinstance(wanted, dict) else wanted
    replace(session, stored, json.dumps({"version": version + 1, "mappings": listed}, ensure_ascii=False))
    session.screen.say(f"Version {version + 1} is in force within a minute.", style="green")
    session.screen.result({"version": version + 1, "mappings": len(mappings)})


def try_(
    session: Session,
    event: Annotated[
        Path,
        typer.Argument(
            help="A request body of Segment, such as a file of events/segment/.", exists=True, dir_okay=False
        ),
    ],
    mappings: Annotated[
        Path | None, typer.Option(help="Try this file instead of what is in force.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Show what an event would become: the record for Amazon, hashed, or why it is rejected. Nothing is sent."""
    document = json.dumps(_read(mappings)) if mappings else session.audiences.mappings()
    try:
        reading = changes_from(
            event.read_bytes(),
            mappings=compiled(document),
            audiences=session.audiences,
            now=round(session.now() * 1000),
            policy=_policy(session),
        )
    except InvalidRequest as error:
        raise OperatorError(f"{error}.", "Segment would be answered with 400 or 413 and not repeat it.") from None
    _tell(session, reading)
    if reading.rejections:
        raise AlreadyReported


def plain(directive: Any) -> str:
    """Write a directive for people: a path as itself, a choice of the first path with a value as a list of paths."""
    match directive:
        case {"@path": str(path)} if len(directive) == 1:
            return path
        case {"@if": {"blank": first, "then": then, "else": other}} | {
            "@if": {"exists": first, "then": then, "else": other}
        }:
            if first == then:
                return f"{plain(then)}, else {plain(other)}"
    return json.dumps(directive)


def _tell(session: Session, reading: IntakeResult) -> None:
    session.screen.facts(
        {"accepted": reading.accepted, "ignored": reading.ignored, "rejected": len(reading.rejections)}
    )
    for change in reading.changes:
        session.screen.say(f"\naudience {change.audience_id}{', to be forgotten' if change.erase else ''}")
        session.screen.say(json.dumps(change.record, indent=2, ensure_ascii=False))
    if reading.rejections:
        session.screen.table(
            ("event", "message", "reason", "detail"),
            [(each.index, each.message_id, each.reason, each.detail) for each in reading.rejections],
        )
    session.screen.result(
        {
            "accepted": reading.accepted,
            "ignored": reading.ignored,
            "changes": [{"audienceId": each.audience_id, **change_as_json(each)} for each in reading.changes],
            "rejections": [each.as_json() for each in reading.rejections],
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
