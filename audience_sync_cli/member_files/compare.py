"""`audience-sync compare`: compares a file with the members of an audience, and repairs the audience."""

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from audience_sync.members.membership import Audience
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.reasons import listed
from audience_sync_cli.frame.screen import camel_case, counted, iso_time, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.member_files.comparison import Comparison, Difference, OnDifference
from audience_sync_cli.member_files.erased import erased_people
from audience_sync_cli.member_files.import_report import show_columns
from audience_sync_cli.member_files.lists import listed_differences
from audience_sync_cli.member_files.member_file import MemberFile, Rows
from audience_sync_cli.member_files.options import FILE, FileOptions
from audience_sync_cli.member_files.repair import RepairOptions, changes_as_of, send_repair, without_id
from audience_sync_cli.member_files.repeated_ids import RepeatedIds, show_repeated
from audience_sync_cli.member_files.row_changes import LeftOut, Reading
from audience_sync_cli.member_files.unusable_values import unusable_json, unusable_text
from audience_sync_cli.member_files.unused_columns import note_unused, require_decision
from audience_sync_cli.stack.counts import depth
from audience_sync_cli.stack.listed import AUDIENCE, find, note_others_of_key

app = typer.Typer()
_AS_IT_IS = FileOptions()
_NO_REPAIR = RepairOptions()
_MEANING = {
    Difference.MISSING: "in the file, not in the audience",
    Difference.LEFT: "in the file; left before it was written",
    Difference.DIFFERENT: "in both, not with every identifier of the file",
    Difference.SURPLUS: "in the audience, not in the file",
    Difference.LEFT_SINCE: "in the file; left after it was written",
    Difference.ENTERED_SINCE: "entered after the file was written",
    Difference.CHANGED_SINCE: "in both; changed after the file was written",
    Difference.ERASED: "in the file; erased by a deletion notice or denied consent",
    Difference.ROW_LEFT_OUT: "in both; the row in the file cannot be sent",
    Difference.CONSENT_DENIED: "in both; the row in the file denies consent",
}


@command(
    app,
    "compare",
    "compare members.csv big_spenders --out differences.csv",
    "compare members.csv big_spenders --repair missing,surplus",
    asks=True,
)
def compare(
    session: Session,
    file: FILE,
    audience: AUDIENCE,
    reading: FileOptions = _AS_IT_IS,
    options: RepairOptions = _NO_REPAIR,
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="List every member who differs in this CSV file, by external user id.", metavar="FILE"),
    ] = None,
) -> None:
    """Compare the members in a file with those in an audience, as stored in the membership table, and repair it.

    Reads every row of the audience. Members who have changed since the file was written are listed separately and
    never repaired: anything newer than the file is right.
    """
    known, members = find(session, audience), MemberFile.named(file)
    note_others_of_key(session, known, audience)
    _check(members, options)
    with members.rows() as rows:
        how, at = reading.reading(rows, exits=False), reading.time(session, members)
        show_columns(session.screen, rows.columns, how)
        undecided = note_unused(session.screen, members, rows.columns, how)
        if options.includes("missing"):
            require_decision(session.screen, undecided)
        comparison = _read(session, rows, how, known, at)
    options.check_ids(comparison.rows_without_id)
    in_file = comparison.members
    # A repair has a line of its own.
    reads = nullcontext() if options.repair else session.log.line("compare", audienceId=known.audience_id, rows=in_file)
    with reads, listed_differences(out) as on_difference:
        _compare(session, known, comparison, on_difference)
    _show(session, known, comparison, in_file)
    sent = send_repair(session, members, how, known, comparison, options) if options.repair else None
    session.screen.result(
        {
            "audienceId": known.audience_id,
            "at": iso_time(at),
            "consent": how.consent,
            "membersInFile": in_file,
            "repeatedMemberIds": comparison.repeated and comparison.repeated.ids,
            "unusable": unusable_json(comparison.unusable),
            "rowsLeftOut": comparison.rows_left_out.total(),
            "rowsWithoutMemberId": comparison.rows_without_id,
            "leftOut": dict(comparison.rows_left_out),
            "membersLeftOut": dict(comparison.members_left_out),
            "differences": {camel_case(each): comparison.counts[each] for each in Difference},
            "sample": {camel_case(each): members for each, members in comparison.sample.items()},
            "sent": sent,
        }
    )


def _check(file: MemberFile, options: RepairOptions) -> None:
    options.check()
    if options.repair and file.path is None:
        raise WrongUsage("A repair reads the file twice.", "Pass the path of a file.")


def _read(session: Session, rows: Rows, reading: Reading, audience: Audience, at: int) -> Comparison:
    changes, comparison = changes_as_of(session, reading, audience, at), Comparison(at)
    with RepeatedIds() as ids, session.screen.progress("reading the file", unit="rows") as bar:
        for row, values, change in changes.outcomes(rows.read([*reading.columns.values()])):
            comparison.unusable.update((each.field, each.reason) for each in changes.unusable(row, values, change))
            if isinstance(change, LeftOut):
                comparison.leave_out(change)
            else:
                comparison.add(change)
                ids.add(change.member_id, [each.digests for each in change.identities])
            bar.advance()
        comparison.repeated = ids.count()
    return comparison


def _compare(session: Session, audience: Audience, comparison: Comparison, on_difference: OnDifference) -> None:
    scan, erased = session.member_scan, erased_people(session)
    with session.screen.progress("reading the audience", scan.size().rows or None) as bar:

        def pages() -> Iterator[Any]:
            for page in scan.states(audience.audience_id):
                bar.advance(len(page))
                yield page

        comparison.compare(chain.from_iterable(pages()), erased, on_difference)


def _show(session: Session, audience: Audience, comparison: Comparison, in_file: int) -> None:
    screen, counts = session.screen, comparison.counts
    left_out, waiting = comparison.rows_left_out, depth(session.stack, "ChangeQueue").total
    screen.say("")
    screen.facts(
        {
            "audience": f"{audience.name} ({audience.audience_id})",
            "file of": moment(comparison.at),
            "members in the file": in_file,
            "rows left out": f"{left_out.total():,} ({listed(left_out)})" if left_out else 0,
            **({"not usable": unusable_text(comparison.unusable)} if comparison.unusable else {}),
            "same in both": counts[Difference.SAME],
        }
    )
    show_repeated(screen, comparison.repeated)
    differing = [each for each in _MEANING if counts[each]]
    if differing:
        screen.say("")
        screen.table(
            ("difference", "members", "meaning", "such as"),
            [(each, counts[each], _MEANING[each], ", ".join(comparison.sample[each])) for each in differing],
        )
    else:
        aside = ", aside from rows left out" if left_out else ""
        screen.say(f"The audience has exactly the members of the file{aside}.", style="green")
    if comparison.rows_without_id:
        screen.say(f"{without_id(comparison.rows_without_id)}.")
    if left_out or comparison.unusable:
        screen.say(
            "`audience-sync import --dry-run --rejects FILE` lists rows left out and values that are not usable."
        )
    if waiting:
        screen.note(
            f"{counted(waiting, 'message')} in the change queue: their changes are not in this comparison.",
            style="yellow",
        )
