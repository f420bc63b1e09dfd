"""`audience-sync member find`: the people behind an e-mail address, a number, a hash or an id."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from audience_sync.amazon_ads.countries import NO_COUNTRY, accepted_country
from audience_sync.aws.membership_scan import READ_UNIT, TableSize
from audience_sync.clock import Clock
from audience_sync.members.membership import Member
from audience_sync_cli.column_names import guess
from audience_sync_cli.errors import AlreadyReported, ReportedAsNotThere, ReportedAsUsage, WrongUsage
from audience_sync_cli.files import new_file
from audience_sync_cli.members.asked_values import ID, Asked, Match, Wanted, asked
from audience_sync_cli.members.erasure_page import HTML, html
from audience_sync_cli.members.erasure_sentences import text
from audience_sync_cli.members.find_report import answer, next_lines, parts
from audience_sync_cli.members.id_list import SHOWN, lines_of
from audience_sync_cli.members.member import person_json
from audience_sync_cli.members.people import backups_of, people, require_rows, unreadable
from audience_sync_cli.members.proof import head_of
from audience_sync_cli.parked.dead_events import DeadEvents
from audience_sync_cli.parked.dead_letters import DeadLetterMessage
from audience_sync_cli.parked.peeking import peek
from audience_sync_cli.session import Session, command
from audience_sync_cli.times import DAY, MINUTE

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
    request: Annotated[str, typer.Option(help="Your number of the request, for the answer.", metavar="ID")] = "",
    page: HTML = None,
) -> None:
    """Find the people whose data is stored under an e-mail address, a phone number, a SHA-256 or an external user id.

    Asks for the values, one a line, so that no history has them. Reads all rows of members and all dead letters once,
    and compares the hashes that the stack and senders make of a value. Changes nothing. Exit code 3 if nothing is
    found, with a sentence for the person; 1 if a row or a dead letter cannot be read, so that nothing can be denied; 2
    if a value cannot be searched.
    """
    code = accepted_country(country) if country else None
    if country and (code is None or code in NO_COUNTRY):
        raise WrongUsage("--country is not a country that Amazon accepts.", "Use a code or a name, such as US.")
    lines = lines_of(file) if file else _typed(session)
    if guess(lines[:1]):
        lines[0] = ""  # the heading of an export
    values, refused = asked(lines, code)
    for line, why in [*refused.items()][:SHOWN]:
        session.screen.note(f"Line {line} is not searched: {why}.", style="yellow")
    if not values:
        raise WrongUsage("There is no value to search.", "Give an e-mail address, phone number, SHA-256 or id.")
    require_rows(session)
    report = _report(session, values)
    report |= {"request": request, "notSearched": [{"line": line, "problem": why} for line, why in refused.items()]}
    report["answer"] = answer(report)
    _show(session, report, page)
    if report["unread"]:
        raise AlreadyReported
    if refused:
        raise ReportedAsUsage
    if not report["people"] and not report["events"]:
        raise ReportedAsNotThere


def _typed(session: Session) -> list[str]:
    """Ask for values until an empty line. They are shown while typed: a typing error would find nothing."""
    session.screen.note(
        "One value a line: e-mail address, phone number, SHA-256 or external user id. Then an empty line."
    )
    return [*iter(lambda: session.screen.ask("value", instead="give --file"), "")]


def _report(session: Session, values: Sequence[Asked]) -> dict[str, Any]:
    """Search rows and dead letters, and read everything about the people found."""
    stack, wanted = session.stack, Wanted(values)
    unread: list[str] = []
    matches, rows = _rows(session, wanted, unread)
    lines, events = _dead_letters(session, wanted, unread)
    for (_, member), found in matches.items():
        lines[member] |= {each.line for each in found}
    ids = {each: value.line for value in values if value.kind == ID for each in value.ids}
    found_people = []
    for known in people(session, [*{**lines, **ids}], unread):
        if known.member in ids and (known.erasure or known.member in lines):  # of an id, there may be a notice alone
            lines[known.member].add(ids[known.member])
        if known.member in lines:
            person = person_json(known) | {"lines": sorted(lines[known.member])}
            for each in person["audiences"]:
                each["matches"] = [match._asdict() for match in matches.get((each["audienceId"], known.member), ())]
            found_people.append(person | {"deadLetters": [each.message_id for each in known.parked]})
    by_line = {each.line: [member for member in lines if each.line in lines[member]] for each in values}
    return {
        **head_of(session),
        "region": str(stack.service("dynamodb").meta.region_name),
        "sentTo": urlsplit(stack.hosts.api).hostname,
        "backupDays": round(backups_of(stack) / DAY),
        "rowsRead": rows,
        "values": [{"line": each.line, "kind": each.kind, "members": by_line[each.line]} for each in values],
        "people": found_people,
        "events": events,
        "unread": [*dict.fromkeys(unread)],
    }


def _rows(session: Session, wanted: Wanted, unread: list[str]) -> tuple[dict[Member, list[Match]], int]:
    """Return what matches in each row of a member, and the number of all rows; names damaged ones."""
    size = session.member_scan.size()
    if size.rows > ASKS_ABOVE:
        seconds, dollars = estimate(size)
        cost = "half of the table's read units" if size.units else f"about ${dollars:,.2f}"
        session.screen.confirm(
            f"Reading {size.rows:,} rows takes about {seconds / MINUTE:,.0f} minutes and {cost}. Search?"
        )
    matches: dict[Member, list[Match]] = {}
    rows = 0
    with session.screen.progress("reading members", size.rows, unit="rows") as bar:
        for page in session.member_scan.members(Clock(sleep=session.sleep)):
            for state in (each.state for each in page.stored):
                if found := wanted.matches(state.member[1], state.identities):
                    matches[state.member] = found
            unread += map(unreadable, page.unread)
            rows += len(page.stored) + len(page.unread)
            bar.move_to(rows)
    return matches, rows


def estimate(size: TableSize) -> tuple[float, float]:
    """Return about how many seconds a search takes, and dollars: none beside provisioned capacity."""
    seconds, units = size.rows / ROWS_A_SECOND, size.size / READ_UNIT
    return (max(seconds, units / size.units), 0.0) if size.units else (seconds, units * READ_REQUEST)


def _dead_letters(
    session: Session, wanted: Wanted, unread: list[str]
) -> tuple[defaultdict[str, set[int]], list[dict[str, Any]]]:
    """Return the lines of values that dead letters hold, by external user id, and events; names what is not read."""
    lines: defaultdict[str, set[int]] = defaultdict(set)

    def note(message: DeadLetterMessage) -> bool:
        for change in message.changes:
            if found := wanted.matches(change.member[1], change.identities):
                lines[change.member[1]] |= {each.line for each in found}
        return not message.is_readable

    letters = peek(session, note)
    unread += [
        f"A dead letter cannot be read: `audience-sync parked show {each.message_id}`." for each in letters.found
    ]
    unread += filter(None, [letters.stopped])
    if not session.stack.event_queue:
        return lines, []
    events = peek(session, lambda each: bool(wanted.lines_in(each.body)), DeadEvents.of(session.stack))
    unread += filter(None, [events.stopped])
    return lines, [{"messageId": each.message_id, "lines": wanted.lines_in(each.body)} for each in events.found]


def _show(session: Session, report: Mapping[str, Any], page: Path | None) -> None:
    shown = [*parts(report)]
    if page:
        with new_file(page, "--html") as stream:
            stream.write(html(shown))
    for number, part in enumerate(shown):
        for line in text(part, is_first=not number):
            session.screen.say(line)
    if lines := next_lines(report):
        session.screen.say("\nNext")
        for line in lines:
            session.screen.say(f"  {line}")
    session.screen.result(report)
