"""`audience-sync restore-members`: copy the members of an older table into the stack's membership table."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from audience_sync.aws.client_errors import error_code
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.errors import MisplacedRow
from audience_sync.members.membership import EVERY_AUDIENCE, Audience
from audience_sync.operations.renewal import is_renewed
from audience_sync_cli.frame.errors import NotThere, TryLater, WrongUsage
from audience_sync_cli.frame.screen import camel_case, counted, iso_time, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.times import DAY, TIME, read_time
from audience_sync_cli.members.restoration import MAX_AGE, WRITTEN, Outcomes, Restoration, RowOutcome

app = typer.Typer()
_KEYS = {"audienceShard": "HASH", "externalUserId": "RANGE"}
_NOTICES = "(deletion notices)"
SEND_TIMEOUT = 30.0  # seconds for the change queue to accept the removals of one page
SEND_DELAY = 120  # seconds before the worker gets them, if delivery is not paused: by then, the rows are written
_RESYNC = "Re-sync the audiences from Segment instead: it sends all current members."


@command(
    app,
    "restore-members",
    "restore-members restored-members --dry-run",
    "restore-members kept-members --since 2026-03-04T09:00Z",
    asks=True,
)
def restore_members(
    session: Session,
    source_table: Annotated[
        str, typer.Argument(help="Table to copy from: restored by DynamoDB, or kept from a removed stack.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the rows that would be copied.")] = False,
    since: Annotated[
        str,
        typer.Option(
            help=f"Time at which the source was last up to date: {TIME}. Not needed for a table restored by DynamoDB.",
            metavar="TIME",
        ),
    ] = "",
) -> None:
    """Copy the members of an older table into the stack's membership table. Safe to repeat.

    Copies rows of members that the stack does not have, or only an older row of, and adds missing identifiers to newer
    ones. Queues the removal of members who have left or were named in a deletion notice since: they may still be at
    Amazon. Skips expired rows, and audiences that are neither listed nor unlinked. Pause delivery first: a notice
    processed at the same time could be missed.
    """
    as_of = _as_of(session, _described(session, source_table), since)
    audiences = session.audiences.with_unlinked()
    _note_renewed(session, [each for each in audiences if each.unlinked_at is None])
    if not dry_run:
        session.screen.confirm(f"Copy the members of {source_table}, as of {moment(as_of)}. Is delivery paused?")
    listed = [each.audience_id for each in audiences]
    with nullcontext(dict[str, Any]()) if dry_run else session.log.line("restore-members") as line:
        outcomes = _run(session, source_table, listed, writes=not dry_run)
        total = sum(outcomes.values(), Counter[RowOutcome]())
        line["rows"] = _written(total)
    _show(session, outcomes, total, audiences, dry_run=dry_run)
    session.screen.say(
        f"Changes after {moment(as_of)} are not in that table. If they are also lost here, repeat them:\n"
        "- deletion notices: `audience-sync member erase` for each, from Segment's Deletion and Suppression list\n"
        "- enters and exits: `audience-sync compare FILE AUDIENCE --repair missing,surplus`, each with a fresh export"
    )
    session.screen.result(
        {
            "source": source_table,
            "target": session.stack["MembershipTable"],
            "since": iso_time(as_of),
            "dryRun": dry_run,
            "total": _as_json(total),
            "audiences": [
                {"audienceId": audience_id, **_as_json(found)}
                for audience_id, found in sorted(outcomes.items())
                if audience_id != EVERY_AUDIENCE
            ],
            "deletionNotices": _as_json(outcomes.get(EVERY_AUDIENCE, {})),
        }
    )


def _note_renewed(session: Session, audiences: Sequence[Audience]) -> None:
    renewed = ", ".join(each.name or each.audience_id for each in audiences if is_renewed(each))
    if renewed:
        session.screen.note(
            f"Renewed every day: {renewed}. That would send people who have left since. Disable it with "
            "`audience-sync audiences update ID --no-renew` until the audience is repaired by `compare`.",
            style="yellow",
        )


def _described(session: Session, table: str) -> dict[str, Any]:
    """Return DynamoDB's description of the source. Raises NotThere, TryLater, WrongUsage if it cannot be copied."""
    if table == session.stack["MembershipTable"]:
        raise WrongUsage("That is the stack's own membership table.", "Name the table to copy from.")
    try:
        found: dict[str, Any] = session.stack.service("dynamodb").describe_table(TableName=table)["Table"]
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        raise NotThere(
            "There is no such table in this account and region.", "See `aws dynamodb list-tables`."
        ) from None
    if found["TableStatus"] != "ACTIVE":
        raise TryLater(
            f"That table is not ready: {found['TableStatus'].lower()}.", "Wait: `aws dynamodb wait table-exists`."
        )
    if {each["AttributeName"]: each["KeyType"] for each in found["KeySchema"]} != _KEYS:
        raise WrongUsage("That is not a membership table.", "Its key must be audienceShard and externalUserId.")
    return found


def _as_of(session: Session, description: dict[str, Any], since: str) -> float:
    """Return the time up to which the source is complete, in epoch milliseconds. Raises WrongUsage."""
    now = session.now() * 1000
    as_of = read_time(since, session.now())
    if as_of is None and "RestoreSummary" in description:
        as_of = description["RestoreSummary"]["RestoreDateTime"].timestamp() * 1000
    if as_of is None:
        raise WrongUsage(
            "DynamoDB did not restore that table, so the age of its rows is unknown.",
            "Pass the end of delivery into it with --since.",
        )
    if as_of > now:
        raise WrongUsage("--since is in the future.", "Pass the time at which the source was last up to date.")
    if now - as_of >= MAX_AGE * 1000:
        days = MAX_AGE // DAY
        raise WrongUsage(
            f"Those rows are {days} or more days old, and deletion notices are kept for {days} days: "
            "later erasures are unknown.",
            _RESYNC,
        )
    return as_of


def _run(session: Session, source_table: str, listed: list[str], *, writes: bool) -> Outcomes:
    client, sharding = session.stack.service("dynamodb"), Sharding()
    source = MembershipScan(client, source_table, sharding)
    read_older = MembershipTable(client, source_table, sharding, Clock()).read

    def send(bodies: Sequence[str]) -> None:
        deadline = time.monotonic() + SEND_TIMEOUT
        session.queue("ChangeQueue").send(bodies, deadline=deadline, delay=SEND_DELAY)

    restoration = Restoration(read_older, session.members, listed, session.timings, send)
    pages = chain(source.deletion_notices(), (page.whole() for page in source.members(Clock())))
    with session.screen.progress("copying" if writes else "reading", source.size().rows or None) as bar:
        try:
            return restoration.run(pages, session.now(), writes=writes, on_rows=bar.advance)
        except MisplacedRow:
            raise WrongUsage(f"The source does not spread its rows over {sharding.shards} shards.", _RESYNC) from None


def _show(
    session: Session, outcomes: Outcomes, total: Counter[RowOutcome], audiences: Sequence[Audience], *, dry_run: bool
) -> None:
    names = {each.audience_id: each.name for each in audiences} | {EVERY_AUDIENCE: _NOTICES}
    shown = [each for each in RowOutcome if total[each] or each is RowOutcome.COPIED]
    session.screen.table(
        ("audience", "name", "read", *shown),
        (
            (audience_id, names.get(audience_id, ""), found.total(), *(found[each] for each in shown))
            for audience_id, found in sorted(outcomes.items())
        ),
    )
    would = "would be " if dry_run else ""
    session.screen.say(f"{counted(_written(total), 'row')} of {total.total():,} {would}written.", style="green")
    if removals := total[RowOutcome.TO_REMOVE]:
        session.screen.say(
            f"{counted(removals, 'removal')} {would}queued, for members who left or were named in a deletion notice, "
            "and may still be at Amazon."
        )


def _written(total: Counter[RowOutcome]) -> int:
    return sum(total[each] for each in WRITTEN)


def _as_json(outcomes: Mapping[RowOutcome, int]) -> dict[str, int]:
    return {"read": sum(outcomes.values()), **{camel_case(each): outcomes.get(each, 0) for each in RowOutcome}}
