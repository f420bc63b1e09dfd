"""The options about a file of members, and what follows from them: which columns are read, and of when the file is."""

from dataclasses import dataclass
from typing import Annotated

import typer

from audience_sync.amazon_ads.countries import NO_COUNTRY, accepted_country
from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT
from audience_sync.fields import IDENTIFIERS
from audience_sync.record_rules import MAX_ENTER_AGE
from audience_sync.segment.event import MAX_AHEAD
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.member_files.columns import chosen
from audience_sync_cli.member_files.member_file import MemberFile, Rows
from audience_sync_cli.member_files.row_changes import Reading
from audience_sync_cli.screen import moment
from audience_sync_cli.session import Session
from audience_sync_cli.terminal_text import on_one_line
from audience_sync_cli.times import DAY, read_time

FILE = Annotated[
    str,
    typer.Argument(help="CSV, JSON lines or Parquet, also compressed with gzip; `-` is standard input."),
]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How the file is read."""

    column: Annotated[
        list[str] | None,
        typer.Option(help="Use this column for a field, whatever its name: `email=Contact`.", metavar="FIELD=COLUMN"),
    ] = None
    country: Annotated[
        str, typer.Option(help="The country of members whose row names none, such as US.", metavar="CODE")
    ] = ""
    hash_ids: Annotated[
        bool, typer.Option("--hash-ids", help="Hash the external user ids, as a mapping with @sha256 does.")
    ] = False
    at: Annotated[
        str,
        typer.Option(
            help="When the members were as the file has them: 2026-03-04T09:00Z, or an age: 90m, 12h, 3d. By default "
            "when the file was last written.",
            metavar="TIME",
        ),
    ] = ""

    def reading(self, rows: Rows, *, exits: bool) -> Reading:
        """Return which column is used for which field. Raises WrongUsage where none holds what is needed."""
        columns = chosen(rows.columns, self.column or ())
        listed = f"The columns are: {on_one_line(', '.join(rows.columns))}."
        if "external_user_id" not in columns:
            raise WrongUsage(
                "No column is recognized as the external user id.",
                f"Name it: --column external_user_id=COLUMN. {listed}",
            )
        if not exits and not any(each.name in columns for each in IDENTIFIERS):
            raise WrongUsage(
                "No column is recognized as an identifier, such as email or phone.",
                f"Name one: --column email=COLUMN. {listed}",
            )
        return Reading(columns, self._country(), exits=exits, hash_ids=self.hash_ids)

    def time(self, session: Session, file: MemberFile, *, sends: bool = True) -> int:
        """Return the time of the file, in epoch milliseconds; the present if nothing is sent and there is no other.

        Raises:
            WrongUsage: the time is missing, in the future, or too long ago.
        """
        now = session.now() * 1000
        given = read_time(self.at, session.now())
        at = round(given) if given is not None else file.written_at()
        if at is None and sends:
            raise WrongUsage("Standard input has no date.", "Use --at to say when this list was current.")
        if at is None:
            return round(now)
        if at > now + MAX_AHEAD:
            raise WrongUsage(f"{moment(at)} is in the future.", "Give another time with --at.")
        if now - at >= KEEP_ACTIVE * 1000:
            raise WrongUsage(
                f"{moment(at)} is {KEEP_ACTIVE // DAY} days ago or more: Amazon keeps no member for longer, and it "
                "is not known who has left since.",
                "Export the members again, or give another time with --at.",
            )
        return min(at, round(now))

    def _country(self) -> str | None:
        if not self.country:
            return None
        code = accepted_country(self.country)
        if code is None or code in NO_COUNTRY:
            raise WrongUsage(
                "--country is not a country that Amazon accepts.", "Give two letters, such as US, DE or GB."
            )
        return code


def require_remembered_exits(session: Session, at: int) -> None:
    """Refuse to add members of a time from which ingest accepts no additions either. Raises WrongUsage."""
    stack = session.stack
    if stack.accepts_old_additions or at >= session.now() * 1000 - MAX_ENTER_AGE:
        return
    raise WrongUsage(
        f"{moment(at)} is more than {MAX_ENTER_AGE // 1000 // DAY} days ago: members who have left or were erased "
        "since may be added again.",
        "Export the members again, or set the stack's AcceptOldEvents to yes for this import. If the file was written "
        "later, give its time with --at.",
    )


def forgotten_exits(session: Session, at: int) -> str | None:
    """Return why members who left after the file was written may be added again, None where that cannot happen."""
    if not session.stack.keeps_rows:
        return "This stack keeps no rows of members (OrderingGuard is no): members who have left since are added again."
    since = round(session.now() * 1000) - KEEP_EXIT * 1000
    if at >= since:
        return None
    return (
        f"The file is older than {KEEP_EXIT // DAY} days, and exits and deletion notices are kept for as long: members "
        f"who left or were erased before {moment(since)} are added again."
    )
