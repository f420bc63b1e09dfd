"""The plan of one import: file, audience, reading, date and first row."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from audience_sync.ingest.record_rules import Policy
from audience_sync.members.membership import Audience
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.member_files.erased import erased_among
from audience_sync_cli.member_files.import_state import ImportState, Progress
from audience_sync_cli.member_files.member_file import MemberFile, Rows
from audience_sync_cli.member_files.options import FileOptions, require_remembered_exits
from audience_sync_cli.member_files.row_changes import Reading, RowChanges, ids_of_file, ids_of_records
from audience_sync_cli.stack.settling import TIMEOUT


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of the run."""

    exits: Annotated[bool, typer.Option("--exit", help="Remove the members of the file instead of adding them.")] = (
        False
    )
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: show the resulting changes and the rows left out.")
    ] = False
    include_erased: Annotated[
        bool,
        typer.Option(
            "--include-erased",
            help="Also add people whom a deletion notice or denied consent has erased in the last 40 days. Recorded in "
            "the operator log.",
        ),
    ] = False
    rejects: Annotated[
        Path | None,
        typer.Option(help="List rows left out and values not usable in this CSV file.", metavar="FILE"),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run of this file after its last row.")
    ] = False
    wait: Annotated[bool, typer.Option("--wait", help="Follow the changes until Amazon has applied them.")] = False
    timeout: Annotated[int, typer.Option(help="With --wait: how long to follow them.", min=1, metavar="SECONDS")] = (
        TIMEOUT
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """An import, checked and ready to run."""

    file: MemberFile
    audience: Audience
    reading: Reading
    policy: Policy
    at: int  # epoch milliseconds, the time of all changes
    digest: str | None  # of the file and how it is read; None for standard input
    state: ImportState | None  # None for standard input
    begun: Progress | None  # where an interrupted run stopped
    resumes: bool  # whether this run continues from there

    @property
    def after(self) -> int:
        """The last row sent by an earlier run; 0 if this run starts at the first row."""
        return self.begun.row if self.begun and self.resumes else 0

    def row_changes(self) -> RowChanges:
        """Return the converter of rows to changes."""
        message_id = ids_of_file(self.digest) if self.digest else ids_of_records
        return RowChanges(self.reading, self.audience, self.policy, message_id, at=self.at)


def planned(
    session: Session, file: MemberFile, rows: Rows, audience: Audience, options: ImportOptions, reading: FileOptions
) -> Plan:
    """Plan an import. Raises WrongUsage if an option or the file does not allow it."""
    if options.wait and options.dry_run:
        raise WrongUsage("A dry run sends nothing to wait for.", "Leave out --wait.")
    if options.include_erased and options.exits:
        raise WrongUsage("A removal adds nobody.", "Leave out --include-erased.")
    if options.rejects and file.path and options.rejects.resolve() == file.path.resolve():
        raise WrongUsage("--rejects names the file to import.", "Use another name.")
    how, policy = reading.reading(rows, exits=options.exits), session.policy
    at = reading.time(session, file, sends=not options.dry_run)
    content, digest, state, begun = file.digest(), None, None, None
    if content is None and options.resume:
        raise WrongUsage("Standard input cannot be resumed.", "Send all of it again; repeating rows is safe.")
    if content is not None:
        digest = how.digest(content)
        state = ImportState.of(session.stack.name, audience.audience_id, digest)
        begun = state.load()
    if options.resume:
        at = _time_of_interrupted(begun, at if reading.at else None)
    if not options.exits:
        require_remembered_exits(session, at)
    if not (options.exits or options.include_erased):
        how = replace(how, erased_among=erased_among(session, audience))
    return Plan(file, audience, how, policy, at, digest, state, begun, options.resume)


def _time_of_interrupted(begun: Progress | None, given: int | None) -> int:
    if begun is None:
        raise WrongUsage(
            "There is no interrupted run of this file with these options.",
            "Leave out --resume; repeating rows is safe.",
        )
    if given not in (None, begun.at):
        raise WrongUsage(f"The interrupted run dated its changes {moment(begun.at)}.", "Leave out --at.")
    return begun.at
