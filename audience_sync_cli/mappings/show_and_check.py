"""`audience-sync mappings`: show, check, try and apply the mappings of events to records."""

from typing import Annotated, Any

import typer

from audience_sync.errors import InvalidMapping
from audience_sync.segment.mapping_config import parse_mappings
from audience_sync.segment.trigger import compile_trigger
from audience_sync_cli.frame.errors import AlreadyReported, FaultyMappings, OperatorError
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.mappings.files import read_mappings
from audience_sync_cli.mappings.text import membership, plain
from audience_sync_cli.mappings.versions import FILE, FORCE, kept_version, require_effect
from audience_sync_cli.mappings.warnings import warnings_about
from audience_sync_cli.stack.mapping_store import read

app = typer.Typer()


@command(app, "show", "mappings show", "mappings show --json > mappings.json")
def show(
    session: Session,
    *,
    version: Annotated[int | None, typer.Option(help="Show this version; `mappings revert` lists them.", min=0)] = None,
) -> None:
    """Show the mappings in force. To change them, save them first: `mappings show --json > mappings.json`.

    Exit code 1 if the stored mappings are invalid: no event is accepted until `mappings apply` has replaced them.
    """
    stored = read(session)
    if version is not None:
        kept = kept_version(stored, str(version))
        session.screen.say(f"Version {version}, applied {moment(kept.applied_at)}.")
        _print(session, kept.listed)
        session.screen.result({"version": version, "mappings": kept.listed})
        return
    if not stored.is_readable:
        raise OperatorError(
            "The stored mappings are unreadable, and no event is accepted.",
            "Store a valid file with `audience-sync mappings apply`.",
        )
    if not stored.is_versioned:
        session.screen.note(
            "The stored version is not a number and counts as 0; `audience-sync mappings apply` stores a number."
        )
    try:
        parse_mappings(stored.mappings, compile_trigger)
    except InvalidMapping as error:
        session.screen.result(stored.document)  # to be saved, fixed and applied
        faults = FaultyMappings(error.faults, where="No event is accepted: the stored mappings have")
        session.screen.note(str(faults), style="red")
        session.screen.note(
            "Fix what `audience-sync mappings show --json` prints, and store it with `audience-sync mappings apply`."
        )
        raise AlreadyReported from None
    default = "No mappings are stored: Segment's default mapping is in force."
    session.screen.say(default if stored.is_built_in else f"Version {stored.version}.")
    _print(session, stored.mappings)
    session.screen.result(stored.document)


@command(app, "check", "mappings check mappings.json")
def check(session: Session, file: FILE, force: FORCE = False) -> None:
    """Check a file of mappings. Changes nothing.

    Warns if the member id may be a phone number or an e-mail address in plain text, if no event matches a trigger, and
    if a field reads a name that no event has, such as $.propertys.
    Mappings that would ignore every event are rejected without --force.
    """
    mappings = parse_mappings(read_mappings(file), compile_trigger)
    require_effect(mappings, force=force)
    enabled = sum(each.enabled for each in mappings)
    session.screen.say(f"{counted(len(mappings), 'mapping')}, {enabled} enabled.", style="green")
    decide = [each for each in mappings if each.membership]
    session.screen.facts({f"{each.name}, membership": membership(each.membership) for each in decide})
    warnings = warnings_about(mappings)
    for warning in warnings:
        session.screen.note(warning, style="yellow")
    session.screen.result({"mappings": len(mappings), "enabled": enabled, "warnings": warnings})


def _print(session: Session, listed: list[Any]) -> None:
    """Print mappings as their JSON has them. Earlier versions may be invalid."""
    entries = [each for each in listed if isinstance(each, dict)]
    if not any(each.get("enabled", True) for each in entries):
        session.screen.say("No mapping is enabled: every event is ignored.", style="yellow")
    for each in entries:
        session.screen.say(f"\n{each.get('name')}{'' if each.get('enabled', True) else ' (disabled)'}", style="bold")
        session.screen.say(f"when {each.get('trigger')}")
        fields = each.get("fields")
        rows = fields.items() if isinstance(fields, dict) else ()
        decides = [("membership", membership(each["membership"]))] if each.get("membership") else []
        session.screen.table(
            ("field", "directive"), [*decides, *((name, plain(directive)) for name, directive in rows)]
        )
