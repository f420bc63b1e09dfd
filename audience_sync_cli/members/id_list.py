"""The external user ids that a command is about: one or more, or a list in a file, one id a line."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from audience_sync.amazon_ads.ids import external_user_id
from audience_sync.errors import RejectedEvent
from audience_sync_cli.frame.column_names import names_an_id
from audience_sync_cli.frame.errors import NotThere, WrongUsage
from audience_sync_cli.frame.files import encoding_of
from audience_sync_cli.frame.screen import Screen, counted

_ID_HELP = "External user id, as the mapping derives it from Segment's userId."
MEMBER_ID = Annotated[str, typer.Argument(metavar="MEMBER", help=_ID_HELP)]
MEMBER = Annotated[str | None, typer.Argument(help=_ID_HELP)]
MEMBERS = Annotated[list[str] | None, typer.Argument(metavar="MEMBER...", help=f"{_ID_HELP} Several for one person.")]
FILE = Annotated[
    str | None,
    typer.Option("--file", help="Read external user ids from FILE, one a line; `-`: standard input.", metavar="FILE"),
]
REQUEST = Annotated[str, typer.Option(help="Your number of the request, for the operator log.", metavar="ID")]
MAX_SIZE = 10_000_000  # bytes of a list: a quarter of a million UUIDs
SHOWN = 20  # ids or lines; the JSON document has all ids


class Ids(NamedTuple):
    """Valid ids, each once."""

    ids: list[str]
    is_list: bool
    repeated: int = 0  # lines with an id of an earlier line
    empty: int = 0  # lines


def listed(screen: Screen, members: Sequence[str], file: str | None) -> Ids:
    """Return the given ids, or those in the file; prints a note if lines are left out. Raises WrongUsage, NotThere."""
    if bool(members) == (file is not None):
        raise WrongUsage("Pass an external user id or --file.", "Give one of them, not both.")
    if file is None:
        for member in members:
            require_id(member)
        ids = list(dict.fromkeys(members))
        return Ids(ids, is_list=False, repeated=len(members) - len(ids))
    lines = lines_of(file)
    if is_headed := bool(lines) and names_an_id(lines[0]):
        screen.note(f"Left out: {lines[0]} in line 1, since it names the column.")
        lines[0] = ""
    if invalid := [str(number) for number, line in enumerate(lines, 1) if line and not is_id(line)]:
        raise WrongUsage(
            f"Not an external user id, in {counted(len(invalid), 'line')}: {', '.join(invalid[:SHOWN])}.",
            "Write one id a line and nothing else: 1 to 128 letters, digits, - and _.",
        )
    given = [line for line in lines if line]
    if not given:
        raise WrongUsage("The list is empty.", "Write one external user id a line.")
    ids = list(dict.fromkeys(given))
    repeated, empty = len(given) - len(ids), len(lines) - len(given) - is_headed
    if repeated or empty:
        screen.note(f"Left out: {counted(repeated, 'repeated id')}, {counted(empty, 'empty line')}.")
    return Ids(ids, is_list=True, repeated=repeated, empty=empty)


def lines_of(file: str) -> list[str]:
    """Return the trimmed lines of a file; `-` is standard input. Raises WrongUsage, NotThere."""
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as stream:
            content = stream.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            raise WrongUsage(f"The list is over {MAX_SIZE:,} bytes.", "Split it into several.")
        text = content.decode(encoding_of(content[:4]))
    except OSError:
        raise NotThere(f"Cannot read {file}.", "Check the path.") from None
    except UnicodeDecodeError:
        raise WrongUsage("The list is not UTF-8.", "Save it as plain UTF-8, one value a line.") from None
    return [line.strip() for line in text.splitlines()]


def require_id(member: str) -> None:
    """Refuse what cannot be an external user id, such as an address. Raises WrongUsage."""
    if not is_id(member):
        raise WrongUsage(
            "MEMBER must be 1 to 128 letters, digits, - and _.",
            "By an e-mail address or a phone number, `audience-sync member find` finds the external user id.",
        )


def is_id(value: str) -> bool:
    """Return whether Amazon accepts it as an external user id."""
    try:
        external_user_id(value)
    except RejectedEvent:
        return False
    return True
