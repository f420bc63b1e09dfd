"""`audience-sync member erasure`: the report on the erasure of one person, or of everybody on a list."""

from importlib.metadata import version
from typing import Any

import typer

from audience_sync_cli.errors import NotThere, ReportedAsNotThere
from audience_sync_cli.files import new_file
from audience_sync_cli.members.erasure_page import HTML, html
from audience_sync_cli.members.erasure_report import document, list_document
from audience_sync_cli.members.erasure_sentences import list_parts, parts, text
from audience_sync_cli.members.id_list import FILE, MEMBER, listed
from audience_sync_cli.members.people import people
from audience_sync_cli.screen import iso_time
from audience_sync_cli.session import Session, command

app = typer.Typer()


@command(
    app,
    "erasure",
    "member erasure cust_1001 --json > cust_1001.json",
    "member erasure cust_1001 --html cust_1001.html",
    "member erasure --file leavers.txt --html leavers.html",
)
def erasure(session: Session, member: MEMBER = None, file: FILE = None, page: HTML = None) -> None:
    """Report on the erasure of one person, or of everybody on a list: what was removed, what remains, what is proven.

    Judges the newest deletion notice or denied consent, and lists earlier ones, while it is on record: 40 days. File
    the output of --json before then, and the page of --html if people are to read it: the page shows the digest of the
    JSON document. Exit code 3 if no erasure of an id is recorded; a list is reported nevertheless.
    """
    ids = listed(session.screen, [member] if member else [], file)
    now, head = session.now(), head_of(session)
    found = {each.member: each.erasure for each in people(session, ids.ids)}
    if not ids.is_list and None in found.values():
        raise no_erasure()
    reports = {name: document(each, head, now) if each else None for name, each in found.items()}
    report = list_document(reports, head) if ids.is_list else next(filter(None, reports.values()))
    shown = list(list_parts(report) if ids.is_list else parts(report))
    if page:
        with new_file(page, "--html") as stream:
            stream.write(html(shown))
    for number, part in enumerate(shown):
        for line in text(part, is_first=not number):
            session.screen.say(line)
        if part.table:
            columns, *rows = part.table
            session.screen.table(columns, [(*row[:-1], row[-1][:12]) for row in rows])  # the digest begins so
    session.screen.result(report)
    if None in found.values():
        raise ReportedAsNotThere


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
