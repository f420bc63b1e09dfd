"""Options for a file of members, and their effect: columns to read, and the date of the file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import typer

from audience_sync.amazon_ads.countries import NO_COUNTRY, accepted_country
from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT
from audience_sync.clock import MAX_AHEAD
from audience_sync.fields import IDENTIFIERS, LISTED
from audience_sync.ingest.record_rules import MAX_ENTER_AGE
from audience_sync.segment.separators import SEPARATORS_EXPECTED, split_at
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.terminal_text import on_one_line
from audience_sync_cli.frame.times import DAY, TIME, read_time
from audience_sync_cli.member_files.columns import chosen, named
from audience_sync_cli.member_files.member_file import MemberFile, Rows
from audience_sync_cli.member_files.row_changes import Reading
from audience_sync_cli.member_files.unused_columns import require_stated_consent

FILE = Annotated[
    str,
    typer.Argument(help="CSV, JSON lines or Parquet, optionally gzipped; `-` for standard input."),
]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Options for reading the file."""

    column: Annotated[
        list[str] | None,
        typer.Option(help="Read a field from this column: `email=Contact`.", metavar="FIELD=COLUMN"),
    ] = None
    separator: Annotated[
        list[str] | None,
        typer.Option(help="Split a cell with several emails or phones: `email=;`.", metavar="FIELD=CHARACTERS"),
    ] = None
    country: Annotated[str, typer.Option(help="Country of members whose row has none, such as US.", metavar="CODE")] = (
        ""
    )
    consent: Annotated[
        str,
        typer.Option(
            help="GRANTED: you state that members whose row has no consent signal have given consent to the use of "
            "their data for advertising at Amazon. Recorded in the operator log.",
            metavar="GRANTED",
        ),
    ] = ""
    hash_ids: Annotated[
        bool, typer.Option("--hash-ids", help="Hash external user ids, like a mapping with @sha256.")
    ] = False
    at: Annotated[
        str,
        typer.Option(
            help=f"Time at which the file was current: {TIME}. Default: when the file was last written.",
            metavar="TIME",
        ),
    ] = ""

    def reading(self, rows: Rows, *, exits: bool) -> Reading:
        """Return the column of each field. Raises WrongUsage if a required one is missing."""
        corrections = self.column or ()
        columns, by_operator = chosen(rows.columns, corrections), named(rows.columns, corrections)
        listed = f"The columns are: {on_one_line(', '.join(filter(None, rows.columns)))}."
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
        separators = self._separators(columns)
        country, consent = self._country(), self._consent()
        reading = Reading(columns, by_operator, country, consent, exits, self.hash_ids, separators)
        require_stated_consent(rows.columns, reading)
        return reading

    def time(self, session: Session, file: MemberFile, *, sends: bool = True) -> int:
        """Return the time of the file, in epoch milliseconds; the present if nothing is sent and no time is known.

        Raises WrongUsage if it is missing, in the future, or too long ago.
        """
        now = session.now() * 1000
        given = read_time(self.at, session.now())
        at = round(given) if given is not None else file.written_at()
        if at is None and sends:
            raise WrongUsage("Standard input has no date.", "Use --at to say when this list was current.")
        if at is None:
            return round(now)
        if at > now + MAX_AHEAD:
            raise WrongUsage(f"{moment(at)} is in the future.", "Pass another time with --at.")
        if now - at >= KEEP_ACTIVE * 1000:
            raise WrongUsage(
                f"{moment(at)} is {KEEP_ACTIVE // DAY} or more days ago. Amazon keeps no member that long, and who has "
                "left since is not known.",
                "Export the members again, or pass another time with --at.",
            )
        return min(at, round(now))

    def _separators(self, columns: Mapping[str, str]) -> dict[str, str]:
        separators = dict(each.partition("=")[::2] for each in self.separator or ())
        for name, characters in separators.items():
            if name not in columns or name not in [each.name for each in LISTED]:
                raise WrongUsage(
                    "--separator names no column of emails or phones.", "Give email=CHARACTERS or phone=CHARACTERS."
                )
            if not split_at(characters):
                raise WrongUsage(f"--separator {name} cannot be used.", f"It {SEPARATORS_EXPECTED}.")
        return separators

    def _consent(self) -> str | None:
        if self.consent and self.consent.upper() != "GRANTED":
            raise WrongUsage(
                "--consent can only be GRANTED.",
                "Members who deny it leave every audience: write DENIED in their rows.",
            )
        return self.consent.upper() or None

    def _country(self) -> str | None:
        if not self.country:
            return None
        code = accepted_country(self.country)
        if code is None or code in NO_COUNTRY:
            raise WrongUsage(
                "--country is not a country that Amazon accepts.",
                "Use a code, or its English or German name, such as 'United States'.",
            )
        return code


def stated_consent(reading: Reading) -> str:
    """Return the sentence that an operator confirms with --consent; empty without it."""
    if not reading.consent:
        return ""
    return "You state that members whose row has no consent signal have given consent; the operator log records it."


def require_remembered_exits(session: Session, at: int) -> None:
    """Reject additions dated at a time from which ingest does not accept them either. Raises WrongUsage."""
    stack = session.stack
    if stack.accepts_old_additions or at >= session.now() * 1000 - MAX_ENTER_AGE:
        return
    raise WrongUsage(
        f"{moment(at)} is more than {MAX_ENTER_AGE // 1000 // DAY} days ago: members who left or were erased "
        "since may be added again.",
        "Export the members again, or set the stack's AcceptOldEvents to yes for this import. If the file was written "
        "later, pass its time with --at.",
    )


def forgotten_exits(session: Session, at: int) -> str | None:
    """Return why members who left after the file was written may be added again; None if that cannot happen."""
    since = round(session.now() * 1000) - KEEP_EXIT * 1000
    if at >= since:
        return None
    return (
        f"Exits and deletion notices are kept for {KEEP_EXIT // DAY} days, and the file is older: members who left "
        f"or were erased before {moment(since)} are added again."
    )
