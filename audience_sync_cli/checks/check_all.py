"""`audience-sync test`: check every part of the stack, one line each, with a remedy for each problem."""

from collections.abc import Sequence
from typing import Annotated

import typer

from audience_sync_cli.checks.readings import StackReadings
from audience_sync_cli.checks.stack_checks import CHECKS
from audience_sync_cli.frame.errors import AlreadyReported, OperatorError, WrongUsage
from audience_sync_cli.frame.finding import TEST, Finding, run
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session, command

app = typer.Typer()


@command(app, "test", "test --alarms", "test --json | jq .ok", asks=True)
def test(
    session: Session,
    *,
    alarms: Annotated[
        bool, typer.Option("--alarms", help="Also set off the alarm DeadLetters, to see that alarms reach a person.")
    ] = False,  # noqa: PT028 - a command, not a test
) -> None:
    """Check that everything is connected: secrets, token, Amazon, tables, queues, functions, gateway.

    Exit code 0 if events can reach Amazon, with or without notes. `audience-sync send --round-trip` tries it.
    """
    session.screen.say(f"Stack {session.stack.name}")
    if alarms:
        _set_off_alarm(session)
    with session.screen.progress("checking"):
        findings = list(run(CHECKS, StackReadings(session)))
    session.screen.table(
        ("part", "state", "found", "remedy"),
        [(*TEST.row(each), each.remedy or " ") for each in findings],
    )
    problems = [each for each in findings if TEST.word(each) == "problem"]
    _summarize(session, findings, len(problems))
    session.screen.result({"ok": not problems, "findings": [TEST.as_json(each) for each in findings]})
    if problems:
        raise AlreadyReported


def _set_off_alarm(session: Session) -> None:
    """Set an alarm off as CloudWatch would, so that its message takes the whole way. CloudWatch ends it."""
    if session.stack.local:
        raise WrongUsage("A local stack has no alarms.", "Leave --alarms out, or name a deployed stack with --stack.")
    name, metrics = f"{session.stack.name}-DeadLetters", session.stack.service("cloudwatch")
    if [each["StateValue"] for each in metrics.describe_alarms(AlarmNames=[name])["MetricAlarms"]] == ["ALARM"]:
        raise OperatorError(f"The alarm {name} is already on, so no message would be sent.", "See docs/runbook.md.")
    session.screen.confirm(f"Set off the alarm {name}? Everyone who gets alarms is told. It ends within minutes.")
    with session.log.line("test --alarms"):
        why = f"A test by {session.log.caller()}: nothing is wrong."
        metrics.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason=why)
    session.screen.say(f"{name} was set off. Expect its message within a minute; it ends a few minutes later.")


def _summarize(session: Session, findings: Sequence[Finding], problems: int) -> None:
    delayed = {each.name: "" for each in findings if each.name in ("delivery", "uploads") and each.state == "note"}
    if problems:
        session.screen.say(f"{counted(problems, 'problem')}: events may not reach Amazon.", style="red")
    elif delayed:
        see = " and ".join(delayed)
        session.screen.say(f"No problem found, but changes may reach Amazon late: see {see}.", style="yellow")
    else:
        session.screen.say("Everything is connected.", style="green")
