"""`audience-sync operator-log`: every change made with the command, and by whom."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from audience_sync_cli.frame.operator_log import FIELDS, NAME
from audience_sync_cli.frame.screen import iso_time, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.times import SINCE, read_time
from audience_sync_cli.stack.function_logs import FunctionLogs, LogLine
from audience_sync_cli.stack.listed import NAMES, completions, find

app = typer.Typer()


@command(app, "operator-log", "operator-log --since 7d", "operator-log --command import --audience big_spenders")
def operator_log(
    session: Session,
    since: SINCE = "30d",
    only: Annotated[
        list[str] | None,
        typer.Option("--command", help="Show only this command, such as import. Repeatable.", metavar="COMMAND"),
    ] = None,
    audience: Annotated[
        str, typer.Option(help=f"Only about this audience: {NAMES}.", metavar="AUDIENCE", autocompletion=completions)
    ] = "",
) -> None:
    """Show who has changed what with this command, the newest first. Kept for 400 days.

    `--command import --command "audiences move"` lists imports and moves, with the changes sent and what was left out.
    Operators write the log themselves, each time a command changes something; CloudTrail is the proof.
    """
    begin = (read_time(since, session.now()) or 0) / 1000
    lines = [each for each in FunctionLogs(session.stack).read((NAME,), begin) if "command" in each.fields]
    found = [each for each in reversed(lines) if not only or str(each.fields["command"]).startswith(tuple(only))]
    if audience:
        logged = any(each.fields.get("audienceId") == audience for each in found)  # perhaps no longer in any list
        audience_id = audience if logged else find(session, audience, with_unlinked=True).audience_id
        found = [each for each in found if each.fields.get("audienceId") == audience_id]
    if found:
        session.screen.table(
            ("time", "who", "command", "outcome", "what"),
            [(moment(each.at), *_cells(each.fields)) for each in found],
        )
    else:
        session.screen.say("Nothing since then.")
    session.screen.result([_as_json(each) for each in found])


def _cells(fields: Mapping[str, Any]) -> tuple[str, ...]:
    who, command, outcome = (str(fields.get(each, "")) for each in ("who", "command", "outcome"))
    what = ", ".join(f"{label} {fields[name]}" for name, label in FIELDS.items() if name in fields)
    return who.rpartition(":")[2], command, outcome, what  # the end of an ARN; the beginning is as long as the rest


def _as_json(line: LogLine) -> dict[str, Any]:
    fields = ("who", "command", "outcome", *FIELDS)
    return {"at": iso_time(line.at)} | {name: line.fields[name] for name in fields if name in line.fields}
