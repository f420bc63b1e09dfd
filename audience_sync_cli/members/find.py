"""`audience-sync member find`: the people behind an e-mail address, a number, a hash or an id."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from audience_sync.amazon_ads.countries import NO_COUNTRY, accepted_country
from audience_sync.aws.membership_scan import READ_UNIT, TableSize
from audience_sync.clock import Clock
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import AlreadyReported, ReportedAsNotThere, WrongUsage
from audience_sync_cli.frame.operator_log import checked_request
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.times import DAY, MINUTE
from audience_sync_cli.members.asked_values import NORMALIZED, Asked, Wanted, asked
from audience_sync_cli.members.erasure_page import HTML
from audience_sync_cli.members.erasure_sentences import Part
from audience_sync_cli.members.find_report import answer, next_lines, parts, person_part
from audience_sync_cli.members.id_list import REQUEST, SHOWN, lines_of
from audience_sync_cli.members.member import person_json
from audience_sync_cli.members.people import about_damaged, backups_of, people
from audience_sync_cli.members.proof import head_of, show_report
from audience_sync_cli.stack.dead_event_text import named_in
from audience_sync_cli.stack.dead_events import DeadEvents, is_searchable, unsearchable
from audience_sync_cli.stack.dead_letters import DeadLetterMessage
from audience_sync_cli.stack.peeking import peek

app = typer.Typer()
ASKS_ABOVE = 1_000_000  # rows
ROWS_A_SECOND = 10_000  # read and compared by a slow processor
READ_REQUEST = 0.125e-6  # dollars a read unit, on demand, in us-east-1


@command(app, "find", "member find --country US", "member find --file values.txt --html answer.html", asks=True)
def find(
    session: Session,
    *,
    file: Annotated[
        str | None, typer.Option("--file", help="The values, one a line; `-`: standard input.", metavar="FILE")
    ] = None,
    country: Annotated[str, typer.Option(help="Country of numbers without +, such as US.", metavar="CODE")] = "",
    request: REQUEST = "",
    page: HTML = None,
) -> None:
    """Find the people whose data is stored under an e-mail address, a phone number, a SHA-256 or an external user id.

    Asks for the values, one a line, to keep them out of the shell's history. Reads all rows of members and all dead
    letters once, and compares the hashes that the stack and senders make of a value. Changes nothing. Exit code 3 if
    nothing is found, with a sentence for the person; 1 if a value cannot be searched, or if a row or a dead letter
    cannot be read or searched, since it may be the person's. Of a longer line, it searches the one address or number in
    it, and says so; events of the event queue by exact words.
    """
    code = accepted_country(country) if country else None
    if country and (code is None or code in NO_COUNTRY):
        raise WrongUsage("--country is not a country that Amazon accepts.", "Use a code or a name, such as US.")
    values, refused = asked(lines_of(file) if file else _typed(session.screen), code)
    for line, why in [*refused.items()][:SHOWN]:
        session.screen.note(f"Line {line} is not searched: {why}.", style="yellow")
    for each in [each for each in values if each.part][:SHOWN]:
        session.screen.note(f"Of line {each.line}, only the {each.kind} in it is searched ({each.part}).")
    if not values:
        raise WrongUsage("There is no value to search.", "Give an e-mail address, phone number, SHA-256 or id.")
    with session.log.line("member find", values=len(values), **checked_request(request)) as logged:
        report, shown = _searched(session, values)
        logged |= {"people": len(report["people"]), "events": len(report["events"])}
    report |= {"request": request, "notSearched": [{"line": line, "problem": why} for line, why in refused.items()]}
    report["answer"] = answer(report)
    show_report(session.screen, report, parts(report, shown), page)
    for to_type in next_lines(report):
        session.screen.say(to_type)
    if refused or report["unread"]:
        raise AlreadyReported
    if not report["people"] and not report["events"]:
        raise ReportedAsNotThere


def _typed(screen: Screen) -> list[str]:
    """Ask for values until an empty line. They are shown while typed: a typing error would find nothing."""
    screen.note("One value a line: e-mail address, phone number, SHA-256 or external user id. Then an empty line.")
    return [*iter(lambda: screen.ask("value", instead="give --file"), "")]


def _searched(session: Session, values: Sequence[Asked]) -> tuple[dict[str, Any], list[Part]]:
    """Search rows and dead letters. Returns everything about the people found, and a part about each."""
    stack, wanted = session.stack, Wanted(values)
    unread: list[str] = []
    rows = _rows(session, wanted, unread)
    events, read = _dead_letters(session, wanted, unread)
    ids = {each for value in values for each, form in value.ids.items() if form == NORMALIZED}
    found, shown = [], []
    for known in people(session, sorted({*wanted.found, *ids})):
        unread += about_damaged(known.damaged)
        if known.erasure:  # of an id, there may be a notice alone
            wanted.compare(known.member)
        if matches := sorted(wanted.found.get(known.member, ())):
            letters = [each.message_id for each in known.parked]
            found.append(person_json(known) | {"matches": [each._asdict() for each in matches], "deadLetters": letters})
            shown.append(person_part(known, matches))
    lines = {member: {each.line for each in matches} for member, matches in wanted.found.items()}
    report = {
        **head_of(session),
        "region": str(stack.service("dynamodb").meta.region_name),
        "sentTo": urlsplit(stack.hosts.api).hostname,
        "backupDays": round(backups_of(stack) / DAY),
        "rowsRead": rows,
        "values": [
            {
                "line": each.line,
                "kind": each.kind,
                "part": each.part or None,
                "members": [id_ for id_ in lines if each.line in lines[id_]],
            }
            for each in values
        ],
        "people": found,
        "events": events,
        "eventsRead": read,
        "unread": [*dict.fromkeys(unread)],
    }
    return report, shown


def _rows(session: Session, wanted: Wanted, unread: list[str]) -> int:
    """Compare all rows, and add damaged ones to `unread`. Returns their number."""
    size, rows = session.member_scan.size(), 0
    if size.rows > ASKS_ABOVE:
        seconds, dollars = estimate(size)
        cost = "half of the table's read units" if size.units else f"about ${dollars:,.2f}"
        minutes = f"{seconds / MINUTE:,.0f} minutes"
        session.screen.confirm(f"Reading {size.rows:,} rows takes about {minutes} and {cost}. Search?")
    with session.screen.progress("reading members", size.rows, unit="rows") as bar:
        for page in session.member_scan.members(Clock(sleep=session.sleep)):
            for state in (each.state for each in page.stored):
                wanted.compare(state.member[1], state.identities)
            unread += about_damaged(page.unread.values())
            rows += len(page.stored) + len(page.unread)
            bar.move_to(rows)
    return rows


def estimate(size: TableSize) -> tuple[float, float]:
    """Return about how many seconds a search takes, and dollars: none beside provisioned capacity."""
    seconds, units = size.rows / ROWS_A_SECOND, size.size / READ_UNIT
    return (max(seconds, units / size.units), 0.0) if size.units else (seconds, units * READ_REQUEST)


def _dead_letters(session: Session, wanted: Wanted, unread: list[str]) -> tuple[list[dict[str, Any]], int]:
    """Compare all dead letters, and add unreadable ones to `unread`.

    Returns the events that hold a value, and the number of those read.
    """

    def note(message: DeadLetterMessage) -> bool:
        for change in message.changes:
            wanted.compare(change.member[1], change.identities)
        return not message.is_readable

    letters = peek(session, note)
    shown = [f"A dead letter cannot be read: `{to_paste('parked show', each.message_id)}`." for each in letters.found]
    unread += filter(None, [*shown, letters.stopped])
    if not session.stack.event_queue:
        return [], 0
    lines: dict[str, list[int]] = {}

    def note_event(message: DeadLetterMessage) -> bool:
        lines[message.message_id] = wanted.lines_in(named_in(message.body))
        return bool(lines[message.message_id]) or not is_searchable(message)

    events = peek(session, note_event, DeadEvents.of(session.stack))
    unread += filter(None, [*unsearchable(events.found), events.stopped])
    held = [{"messageId": each.message_id, "lines": lines[each.message_id]} for each in events.found]
    return [each for each in held if each["lines"]], len(lines)
