"""`audience-sync mappings`: apply a file, put an earlier version or the built-in mapping in force."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from audience_sync.errors import InvalidMapping
from audience_sync.segment.compiled_mapping import Mapping
from audience_sync.segment.mapping_config import parse_mappings
from audience_sync.segment.trigger import compile_trigger
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import FaultyMappings, NotThere, OperatorError, WrongUsage
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.usage import shown
from audience_sync_cli.mappings.diff import differences, print_differences
from audience_sync_cli.mappings.files import read_mappings
from audience_sync_cli.mappings.trial import newly_rejected
from audience_sync_cli.mappings.warnings import warnings_about, why_all_is_ignored
from audience_sync_cli.stack.mapping_history import BUILT_IN, KeptVersion
from audience_sync_cli.stack.mapping_store import Stored, read, replace

app = typer.Typer()
FILE = Annotated[
    Path, typer.Argument(help="JSON, as printed by `mappings show --json`.", exists=True, dir_okay=False, readable=True)
]
FORCE = Annotated[bool, typer.Option("--force", help="Allow mappings that would ignore every event.")]
_DRY_RUN = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]


@command(app, "apply", "mappings apply mappings.json", asks=True)
def apply(session: Session, file: FILE, *, dry_run: _DRY_RUN = False, force: FORCE = False) -> None:
    """Check a file of mappings, show its changes, and put it in force after confirmation.

    A file made from a version that is no longer in force is rejected, as are mappings that would ignore every event,
    without --force. A file without changes is not stored. Warns if events as Segment sends them would be rejected.
    """
    document = read_mappings(file)
    mappings = parse_mappings(document, compile_trigger)
    listed = document["mappings"] if isinstance(document, dict) else document
    stored = read(session)
    made_from = document.get("version", stored.version) if isinstance(document, dict) else stored.version
    if stored.is_readable and made_from != stored.version and differences(stored.mappings, listed):
        raise _conflict(stored, made_from, listed)
    effect = require_effect(mappings, force=force)
    before = stored.mappings if isinstance(stored.mappings, list) else []
    for warning in (*warnings_about(mappings), *newly_rejected(before, listed, session.now(), session.policy)):
        session.screen.note(warning, style="yellow")
    question = f"{effect}Put this in force as version {stored.next_version}?"
    _change(session, "apply", stored, listed, question, dry_run=dry_run)


@command(app, "revert", "mappings revert 3 --dry-run", "mappings revert built-in", asks=True)
def revert(
    session: Session,
    version: Annotated[
        str | None, typer.Argument(help="Its number, or built-in; without it, the stored versions are listed.")
    ] = None,
    *,
    dry_run: _DRY_RUN = False,
    force: FORCE = False,
) -> None:
    """Put an earlier version of the mappings back in force, as a new version. Shows the changes, and asks.

    Up to 20 versions are stored. `audience-sync operator-log` shows who applied each. With built-in, the deployed
    version of Audience Sync provides the mapping, which is Segment's own, extended, also after an update.
    """
    stored = read(session)
    is_built_in = version == "built-in"  # its number is stored for twenty versions only
    found = KeptVersion(0, None, None) if is_built_in else kept_version(stored, version)
    try:
        mappings = parse_mappings(found.listed, compile_trigger)
    except InvalidMapping as error:
        raise FaultyMappings(error.faults, where=f"Version {version} has", remedy="Choose another version.") from None
    effect = require_effect(mappings, force=force)
    back = "the built-in mapping in force" if is_built_in else f"version {version} in force again"
    question = f"{effect}Put {back}, as version {stored.next_version}?"
    _change(session, "revert", stored, found.mappings, question, dry_run=dry_run)


def kept_version(stored: Stored, version: str | None) -> KeptVersion:
    """Return a stored version. Raises WrongUsage if none is named, and NotThere if it is not stored; both list them."""
    listed = "".join(f"\n  {each.number}  {moment(each.applied_at)}" for each in stored.history)
    kept = f" Stored versions, the newest first, with the time of `apply`:{listed}" if listed else ""
    if version is None:
        raise WrongUsage(f"No version is named.{kept}", "`audience-sync mappings show --version NUMBER` shows one.")
    found = next((each for each in stored.history if str(each.number) == version), None)
    if found is None:
        raise NotThere(
            f"Version {shown(version)} is not stored.{kept}",
            "`audience-sync mappings revert built-in` goes back to the built-in mapping; a file that you saved without "
            "its `version` can be applied at any time.",
        )
    return found


def require_effect(mappings: Sequence[Mapping], *, force: bool) -> str:
    """Raise OperatorError for mappings that would ignore every event, unless forced; return a warning in that case."""
    why = why_all_is_ignored(mappings)
    if why and not force:
        raise OperatorError(
            f"These mappings would ignore every event. {why}",
            "Segment would get 200 for each event, and no audience would change. To apply them anyway, add --force.",
        )
    return "Every event would be ignored. " if why else ""


def _change(
    session: Session, verb: str, stored: Stored, mappings: list[Any] | None, question: str, *, dry_run: bool
) -> None:
    """Show the changes, confirm, and store. None is the built-in mapping."""
    changes = differences(stored.mappings, _listed(mappings))
    result = {"mappings": len(_listed(mappings)), "dryRun": dry_run, "changes": changes}
    is_usable = stored.is_readable and stored.is_versioned
    is_same = is_usable and not changes and (mappings is not None or stored.is_built_in)
    if not stored.is_readable:
        question = f"The stored mappings are unreadable and would be replaced. {question}"
    print_differences(session.screen, changes)
    if is_same or dry_run:
        current = "the built-in mapping" if stored.is_built_in else f"version {stored.version}, which is the same,"
        would = f"{counted(len(changes), 'mapping')} would change. Nothing was changed."
        session.screen.say(f"Nothing to change: {current} is already in force." if is_same else would)
        session.screen.result({"version": stored.version, "changed": False} | result)
        return
    session.screen.confirm(question)
    with session.log.line(f"mappings {verb}", mappings=len(_listed(mappings)), version=stored.next_version):
        version = replace(session, stored, mappings)
    session.screen.say(f"Version {version} is stored, and takes effect within a minute.", style="green")
    if stored.is_readable:
        session.screen.say(f"To go back: `{to_paste('mappings revert', str(stored.version))}`.")
    session.screen.result({"version": version, "changed": True} | result)


def _listed(mappings: list[Any] | None) -> list[Any]:
    """Return the mappings of a version; None stands for the built-in mapping."""
    return BUILT_IN if mappings is None else mappings


def _conflict(stored: Stored, made_from: Any, listed: list[Any]) -> OperatorError:
    for each in stored.history:
        if each.number == made_from and not differences(each.listed, listed):
            return OperatorError(
                f"The file is version {made_from}, and version {stored.version} is in force.",
                f"To restore version {made_from}: `{to_paste('mappings revert', str(made_from))}`.",
            )
    return OperatorError(
        f"The file was made from version {made_from}, and version {stored.version} is in force.",
        "Copy your changes into the current output of `audience-sync mappings show --json`, and apply that. To replace "
        f"version {stored.version} unconditionally, remove `version` from the file.",
    )
