"""`audience-sync member erasures` and `close-erasure`: all open erasures, and an end by hand."""

from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audience_sync.errors import TransientError
from audience_sync.members.erasure.judging import Erasure, Missing, Progress, is_closed
from audience_sync.members.erasure_steps import ErasureStep, StepKind, with_step
from audience_sync.operations.erasure_check import judged
from audience_sync_cli.errors import WrongUsage
from audience_sync_cli.members.people import people, require_rows
from audience_sync_cli.members.proof import no_erasure
from audience_sync_cli.operator_log import checked_note
from audience_sync_cli.screen import counted, iso_time
from audience_sync_cli.session import Session, command
from audience_sync_cli.times import DAY, HOUR

if TYPE_CHECKING:
    from audience_sync.members.member_state import MemberState

app = typer.Typer()
_MEMBER = Annotated[str, typer.Argument(help="External user id, as the mapping derives it from Segment's userId.")]


@command(app, "close-erasure", 'member close-erasure cust_1001 --note "removed in the console"', asks=True)
def close_erasure(
    session: Session,
    member: _MEMBER,
    note: Annotated[str, typer.Option(help="What was done instead, for the report; no personal data.", metavar="TEXT")],
) -> None:
    """Close an erasure that the stack cannot finish, after you have removed the person in another way.

    `erasures` and the alarm ErasuresOverdue leave it out from then on. The report still shows what is missing, with
    your note. The next deletion notice or denied consent of the person opens an erasure again.
    """
    note = checked_note(note)
    (known,) = people(session, [member])
    person = known.erasure
    if person is None:
        raise no_erasure()
    if person.erasure.progress is not Progress.OPEN or is_closed(person.everywhere):
        raise WrongUsage("This erasure is not open.", f"`audience-sync member erasure {member}` shows it.")
    missing = sum(each.missing is not None for each in person.erasure.audiences.values())
    unfinished = (
        f"In {counted(missing, 'audience')} the person is not known to be removed."
        if missing
        else "Amazon has not accepted the deletion from all datasets."
    )
    session.screen.confirm(f"{unfinished} Close this erasure nevertheless?")
    now = round(session.now() * 1000)
    closed = with_step(person.everywhere.erasure, ErasureStep(StepKind.CLOSED, note, now, now))  # asks Amazon no more
    with session.log.line("member close-erasure", audiences=missing):
        (result,) = session.members.write([replace(person.everywhere, erasure=closed)])
        if isinstance(result, TransientError):
            raise result
    session.screen.say("Closed. The report keeps your note.", style="green")
    session.screen.result({"member": member, "closedAt": iso_time(now), "note": note})


@command(app, "erasures", "member erasures", "member erasures --all --json")
def erasures(
    session: Session,
    *,
    everyone: Annotated[bool, typer.Option("--all", help="Also list closed erasures.")] = False,
) -> None:
    """List the erasures that are not closed, oldest first, and what each still lacks.

    Reads the rows of all deletion notices and denials of consent, which are kept for 40 days.
    """
    require_rows(session)
    audiences, now = session.audiences.with_unlinked(), session.now()
    found: list[tuple[MemberState, Erasure]] = []
    with session.screen.progress("reading erasures", unit="people") as bar:
        people = chain.from_iterable(session.member_scan.deletion_notices())
        left = (each.state for each in people if each.expires_at > now and (everyone or not is_closed(each.state)))
        for each in judged(left, audiences, session.members, session.timings, now):
            bar.advance()
            if everyone or each.erasure.progress not in (Progress.CLOSED, Progress.UNKNOWN):
                found.append((each.everywhere, each.erasure))
    found.sort(key=lambda each: (each[1].notices[0].ended, each[0].member))
    listed = [_listed(state.member[1], each, is_overdue=each.is_overdue(now)) for state, each in found]
    begun = [judgement.notices[0].ended / 1000 for _, judgement in found]
    if rows := [_row(each, now - at) for each, at in zip(listed, begun, strict=True)]:
        session.screen.table(("external user id", "kind", "recorded", "age", "state", "missing"), rows)
    states = Counter(each["state"] for each in listed)
    waiting = states[Progress.AMAZON_DELETES]
    session.screen.say(
        f"{counted(states[Progress.OPEN], 'erasure')} open; {waiting:,} done here and waiting for Amazon to delete."
    )
    session.screen.result(listed)


def _listed(member: str, judgement: Erasure, *, is_overdue: bool) -> dict[str, Any]:
    missing = Counter(each.missing for each in judgement.audiences.values() if each.missing)
    if judgement.next_look is not None:
        missing.setdefault(Missing.DELETION, 1)
    return {
        "member": member,
        "kinds": sorted({each.kind for each in judgement.notices}),
        "recordedAt": iso_time(judgement.notices[0].ended),
        "state": judgement.progress,
        "since": iso_time(judgement.since),
        "amazonUntil": iso_time(judgement.until),
        "overdue": is_overdue,
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
        listed["state"].replace("_", " "),
        ", ".join(names),
    )
