"""`audience-sync diagnose`: why an audience is empty or small, the most likely reason first."""

from collections.abc import Sequence
from typing import Annotated

import typer

from audience_sync_cli.checks.audience_checks import diagnose as run_checks
from audience_sync_cli.checks.audience_checks import likely_reasons
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.frame.errors import AlreadyReported
from audience_sync_cli.frame.finding import DIAGNOSE, Finding
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.stack.listed import AUDIENCE

app = typer.Typer()
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
    readings = AudienceReadings.of(session, audience, days, counts_members=count)
    if readings.is_listed:  # each of these shows its own progress
        readings.optional(lambda each: each.parked)
        readings.optional(lambda each: each.members)
    with session.screen.progress("reading the stack and asking Amazon"):
        findings = [_as_shown(each) for each in run_checks(readings)]
    if print_diagnosis(session.screen, readings, findings):
        raise AlreadyReported


def print_diagnosis(screen: Screen, readings: AudienceReadings, findings: Sequence[Finding]) -> bool:
    """Print the result of every check, then the possible reasons. Returns whether there is a problem."""
    reasons = likely_reasons(findings)
    screen.say(_title(readings))
    screen.table(("check", "state", "found"), map(DIAGNOSE.row, findings))
    screen.say("")
    screen.say("Possible reasons, the most likely first:" if reasons else _nothing(readings))
    for number, each in enumerate(reasons, 1):
        screen.say(f"{number}. {each.name}: {each.found}", style=DIAGNOSE.style(each))
        if each.remedy:
            screen.say(f"   {each.remedy}")
    has_problem = any(DIAGNOSE.word(each) == "problem" for each in reasons)
    screen.result(
        {
            "audienceId": readings.audience.audience_id if readings.is_listed else None,
            "ok": not has_problem,
            "findings": [DIAGNOSE.as_json(each) for each in findings],
            "reasons": [each.name for each in reasons],
        }
    )
    return has_problem


def _as_shown(finding: Finding) -> Finding:
    """Return a finding as it is shown: of an unread one, the reason is all that is known."""
    if finding.state != "unread":
        return finding
    return finding._replace(found=f"Not checked. {finding.found} {finding.remedy}".strip(), remedy="")


def _title(readings: AudienceReadings) -> str:
    if not readings.is_listed:
        return "Audience not listed"
    return f"Audience {readings.audience.name or '-'} ({readings.audience.audience_id})"


def _nothing(readings: AudienceReadings) -> str:
    matched = readings.optional(lambda each: each.sizes.matched)
    return "No problem found." if matched is None else f"No problem found: {matched:,} matched members."
