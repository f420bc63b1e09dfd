"""`audience-sync diagnose`: why an audience is empty or small, the most likely reason first."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from audience_sync_cli.audiences.listed import AUDIENCE
from audience_sync_cli.diagnosis.checks import diagnose as run_checks
from audience_sync_cli.diagnosis.checks import likely_reasons
from audience_sync_cli.diagnosis.facts import Facts, State
from audience_sync_cli.diagnosis.reading import read_facts
from audience_sync_cli.errors import AlreadyReported
from audience_sync_cli.screen import Screen
from audience_sync_cli.session import Session, command

app = typer.Typer()
_STYLES: dict[State, str] = {"ok": "green", "look": "yellow", "problem": "red"}
_DAYS = Annotated[int, typer.Option(help="Days of events, refusals and jobs to look back on.", min=1, max=14)]
_COUNT = Annotated[
    bool,
    typer.Option(help="Count the audience's members in the membership table; reads every row."),
]


@command(app, "diagnose", "diagnose big_spenders", "diagnose big_spenders --days 14 --no-count")
def diagnose(session: Session, audience: AUDIENCE, days: _DAYS = 7, *, count: _COUNT = True) -> None:
    """Find out why an audience is empty or small, from Segment's events to the size at Amazon.

    Each check reports `ok`, `look` (a possible reason) or `problem`. Possible reasons follow, the most likely first,
    each with the next command. Changes nothing. docs/empty-audience.md explains each check.

    Exit code 0 if there is no problem, 1 if there is one.
    """
    facts = read_facts(session, audience, days=days, counts_members=count)
    if print_diagnosis(session.screen, facts):
        raise AlreadyReported


def print_diagnosis(screen: Screen, facts: Facts) -> bool:
    """Print the result of every check, then the possible reasons. Returns whether there is a problem."""
    findings = run_checks(facts)
    reasons = likely_reasons(findings)
    screen.say(_title(facts))
    screen.table(
        ("check", "state", "found"),
        [(each.check, Text(each.state, _STYLES[each.state]), each.found) for each in findings],
    )
    screen.say("")
    screen.say("Possible reasons, the most likely first:" if reasons else _nothing(facts))
    for number, each in enumerate(reasons, 1):
        screen.say(f"{number}. {each.check}: {each.found}", style=_STYLES[each.state])
        if each.next:
            screen.say(f"   {each.next}")
    has_problem = any(each.state == "problem" for each in reasons)
    screen.result(
        {
            "audienceId": facts.audience.audience_id if facts.is_listed else None,
            "ok": not has_problem,
            "findings": [asdict(each) for each in findings],
            "reasons": [each.check for each in reasons],
        }
    )
    return has_problem


def _title(facts: Facts) -> str:
    if not facts.is_listed:
        return "Audience not listed"
    return f"Audience {facts.audience.name or '-'} ({facts.audience.audience_id})"


def _nothing(facts: Facts) -> str:
    matched = facts.sizes.matched
    return "No problem found." if matched is None else f"No problem found: {matched:,} matched members."
