"""`audience-sync member erasure`: the report on the erasure of one person or a list, and the list of all erasures."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from audience_sync_cli.frame.errors import AlreadyReported, NotThere, ReportedAsNotThere, WrongUsage
from audience_sync_cli.frame.files import make_output_private, new_file
from audience_sync_cli.frame.screen import Screen, iso_time
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.members.erasure_page import HTML, html
from audience_sync_cli.members.erasure_report import document, list_document
from audience_sync_cli.members.erasure_sentences import Part, list_parts, parts, text
from audience_sync_cli.members.erasures import close_erasure, list_erasures
from audience_sync_cli.members.id_list import FILE, MEMBER, listed
from audience_sync_cli.members.people import about_damaged, people

app = typer.Typer()


_CLOSE = Annotated[
    str,
    typer.Option(
        "--close", help="Close an open erasure of MEMBER: what was done instead, no personal data.", metavar="TEXT"
    ),
]


@command(
    app,
    "erasure",
    "member erasure",
    "member erasure cust_1001 --html cust_1001.html",
    "member erasure --file leavers.txt --html leavers.html",
    'member erasure cust_1001 --close "removed in the console"',
    asks=True,
)
def erasure(session: Session, member: MEMBER = None, file: FILE = None, page: HTML = None, close: _CLOSE = "") -> None:
    """Report on the erasure of one person, or of everybody on a list: what was removed, what remains, what is proven.

    Without MEMBER and --file: list all erasures, and what is missing in those that are not done. They are on record for
    40 days: keep the output of --json before then, and the page of --html for people to read, which shows the digest of
    the JSON document. Exit code 3 if no erasure of an id is recorded; the rest of a list is reported.

    --close is for an erasure that the stack cannot finish, after you have removed the person in another way. The report
    shows what is missing, with your note. The next deletion notice or denied consent opens an erasure again.
    """
    if close and (not member or file or page):
        raise WrongUsage("--close is for one external user id.", "Pass MEMBER, without --file and --html.")
    if not member and not file and not page:
        list_erasures(session)
        return
    ids = listed(session.screen, [member] if member else [], file)
    now, head = session.now(), head_of(session)
    known = list(people(session, ids.ids))
    found = {each.member: each.erasure for each in known}
    damaged = [row for each in known for row in each.damaged]
    if not ids.is_list and None in found.values():
        raise damaged[0] if damaged else no_erasure()
    if close:
        close_erasure(session, next(filter(None, found.values())), close)
        return
    reports = {name: document(each, head, now) if each else None for name, each in found.items()}
    report = list_document(reports, head) if ids.is_list else next(filter(None, reports.values()))
    show_report(session.screen, report, list_parts(report) if ids.is_list else parts(report), page)
    for sentence in about_damaged(damaged):
        session.screen.note(sentence, style="red")
    if damaged:
        raise AlreadyReported
    if None in found.values():
        raise ReportedAsNotThere


def show_report(screen: Screen, report: Mapping[str, Any], parts_of_it: Iterable[Part], page: Path | None) -> None:
    """Print a report, and write it to a page."""
    make_output_private()
    shown = list(parts_of_it)
    if page:
        with new_file(page, "--html") as stream:
            stream.write(html(shown))
    for number, part in enumerate(shown):
        for line in text(part, is_first=not number):
            screen.say(line)
        if part.table:
            columns, *rows = part.table
            screen.table(columns, [(*row[:-1], row[-1][:12]) for row in rows])  # the digest begins so
    screen.result(report)


def head_of(session: Session) -> dict[str, Any]:
    """Return what a report begins with: where, by which version and when it is made."""
    return {
        "stack": session.stack.name,
        "version": session.stack.version,
        "commandVersion": version("audience-sync"),
        "reportedAt": iso_time(round(session.now() * 1000)),
    }


def no_erasure() -> NotThere:
    """Return the error for an id without an erasure."""
    return NotThere(
        "No deletion notice or denied consent is recorded for that id.",
        "They are recorded when delivered, and kept for 40 days; `audience-sync status` shows what is waiting. "
        "Use the external user id as the mapping derives it from Segment's userId.",
    )
