"""The list of all erasures, and an end by hand: `audience-sync member erasure` without an id, and with `--close`."""

from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import Any

from audience_sync.errors import TransientError
from audience_sync.members.erasure.status import Erasure, Missing, Progress, is_closed
from audience_sync.members.erasure_steps import ErasureStep, StepKind, with_step
from audience_sync.operations.erasure_check import person_erasures
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import WrongUsage
from audience_sync_cli.frame.operator_log import checked_note
from audience_sync_cli.frame.screen import counted, iso_time
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY, HOUR
from audience_sync_cli.members.erasure_report import Person
from audience_sync_cli.members.id_list import SHOWN
from audience_sync_cli.stack.presentation import caveats_about


def close_erasure(session: Session, person: Person, note: str) -> None:
    """Close an erasure that the stack cannot finish; the note says what was done instead. Raises WrongUsage."""
    member, note = person.everywhere.member[1], checked_note(note)
    if person.erasure.progress is not Progress.OPEN or is_closed(person.everywhere):
        raise WrongUsage("This erasure is not open.", f"`{to_paste('member erasure', member)}` shows it.")
    missing = sum(each.missing is not None for each in person.erasure.audiences.values())
    unfinished = (
        f"In {counted(missing, 'audience')} the removal of the person is not confirmed."
        if missing
        else "Amazon has not accepted the deletion from all datasets."
    )
    session.screen.confirm(f"{unfinished} Close this erasure nevertheless?")
    now = round(session.now() * 1000)
    closed = with_step(person.everywhere.erasure, ErasureStep(StepKind.CLOSED, note, now, now))  # asks Amazon no more
    with session.log.line("member erasure --close", audiences=missing):
        (result,) = session.members.write([replace(person.everywhere, erasure=closed)])
        if isinstance(result, TransientError):
            raise result
    session.screen.say("Closed. The report keeps your note.", style="green")
    session.screen.result({"member": member, "closedAt": iso_time(now), "note": note})


def list_erasures(session: Session) -> None:
    """List all erasures on record, what each open one still lacks, and the newest done ones. Raises OperatorError."""
    audiences, now = session.audiences.with_unlinked(), session.now()
    done: list[tuple[dict[str, Any], Erasure]] = []
    left: list[tuple[dict[str, Any], Erasure]] = []
    with session.screen.progress("reading erasures", unit="people") as bar:
        people = chain.from_iterable(session.member_scan.deletion_notices())
        recorded = (each.state for each in people if each.expires_at > now)
        for each in person_erasures(recorded, audiences, session.members, session.timings, now):
            bar.advance()
            closed = is_closed(each.everywhere) or each.erasure.progress in (Progress.CLOSED, Progress.UNKNOWN)
            document = _listed(each.everywhere.member[1], each.erasure, closed=closed, now=now)
            (done if closed else left).append((document, each.erasure))
    for some in done, left:
        some.sort(key=lambda each: (each[1].notices[0].ended, each[0]["member"]))
    if shown := [
        _row(document, now - erasure.notices[0].ended / 1000) for document, erasure in (*done[-SHOWN:], *left)
    ]:
        session.screen.table(("external user id", "kind", "recorded", "age", "state", "missing"), shown)
    states = Counter(document["state"] for document, _ in left)
    session.screen.say(
        f"{counted(states[Progress.OPEN], 'erasure')} open; {states[Progress.AMAZON_DELETES]:,} done here and waiting "
        f"for Amazon to delete; {len(done):,} done{', of which --json lists all' if len(done) > SHOWN else ''}."
    )
    for sentence in caveats_about(audiences):
        session.screen.say(sentence)
    session.screen.result([document for document, _ in (*done, *left)])


def _listed(member: str, erasure: Erasure, *, closed: bool, now: float) -> dict[str, Any]:
    missing = Counter(each.missing for each in erasure.audiences.values() if each.missing)
    if erasure.next_review is not None:
        missing.setdefault(Missing.DELETION, 1)
    return {
        "member": member,
        "kinds": sorted({each.kind for each in erasure.notices}),
        "recordedAt": iso_time(erasure.notices[0].ended),
        "state": erasure.progress,
        "closed": closed,
        "since": iso_time(erasure.since),
        "amazonUntil": iso_time(erasure.until),
        "overdue": not closed and erasure.is_overdue(now),
        "missing": dict(sorted(missing.items())),  # audiences by code
    }


def _row(listed: dict[str, Any], age: float) -> tuple[str, ...]:
    """Return a row of the table; `age` in seconds."""
    since = f"{age / HOUR:.0f} h" if age < 2 * DAY else f"{age // DAY:.0f} days"
    names = [
        f"{code.replace('_', ' ')}{f' ({count})' if count > 1 else ''}" for code, count in listed["missing"].items()
    ]
    return (
        listed["member"],
        ", ".join(listed["kinds"]),
        f"{listed['recordedAt'][:10]} {listed['recordedAt'][11:16]}",
        f"{since}, overdue" if listed["overdue"] else since,
        "closed by hand"
        if listed["closed"] and listed["state"] == Progress.OPEN
        else listed["state"].replace("_", " "),
        ", ".join(names),
    )
