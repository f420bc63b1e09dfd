"""`audience-sync test`: check every part of the stack, one line each, with a remedy for each problem."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from audience_sync_cli.audiences.listed import NAMES, completions
from audience_sync_cli.errors import AlreadyReported, OperatorError, WrongUsage
from audience_sync_cli.report.finding import TEST, Finding, run
from audience_sync_cli.report.readings import StackReadings
from audience_sync_cli.report.stack_checks import CHECKS
from audience_sync_cli.screen import counted
from audience_sync_cli.session import Session, command
from audience_sync_cli.watch.send import TIMEOUT

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """Options for a test of the whole way to Amazon."""

    end_to_end: Annotated[
        bool,
        typer.Option("--end-to-end", help="Also send a made-up member's enter and exit, and follow both to Amazon."),
    ] = False
    audience: Annotated[
        str,
        typer.Option(
            help=f"With --end-to-end: {NAMES}. By default a test audience; asks before creating it.",
            metavar="AUDIENCE",
            autocompletion=completions,
        ),
    ] = ""
    timeout: Annotated[
        int, typer.Option(help="With --end-to-end: seconds to follow each of the two.", min=1, metavar="SECONDS")
    ] = TIMEOUT
    alarms: Annotated[
        bool, typer.Option("--alarms", help="Also set off the alarm DeadLetters, to see that alarms reach a person.")
    ] = False


CHECKS_ONLY = EndToEnd()


@command(app, "test", "test --end-to-end", "test --alarms", "test --json | jq .ok", asks=True)
def test(
    session: Session,
    options: EndToEnd = CHECKS_ONLY,  # noqa: PT028 - a command, not a test
) -> None:
    """Check that everything is connected: secrets, token, Amazon, tables, queues, functions, gateway.

    Exit code 0 if events can reach Amazon, with or without notes. With --end-to-end, the made-up member is erased at
    the end; exit code 5 if a change is still on its way at the timeout.
    """
    if options.audience and not options.end_to_end:
        raise WrongUsage("--audience needs --end-to-end.", "Pass both.")
    session.screen.say(f"Stack {session.stack.name}")
    if options.alarms:
        _set_off_alarm(session)
    with session.screen.progress("checking"):
        findings = list(run(CHECKS, StackReadings(session)))
    session.screen.table(
        ("part", "state", "found", "remedy"),
        [(*TEST.row(each), each.remedy or " ") for each in findings],
    )
    problems = [each for each in findings if TEST.word(each) == "problem"]
    document: dict[str, Any] = {"ok": not problems, "findings": [TEST.as_json(each) for each in findings]}
    _summarize(session, findings, len(problems))
    whole_way = None
    if options.end_to_end and not problems:
        from audience_sync_cli.health.end_to_end import WholeWay  # noqa: PLC0415 - the other checks do not need it

        whole_way = WholeWay(session, options.audience, options.timeout, time.sleep)
        whole_way.run()
        document["endToEnd"] = whole_way.as_json()
    session.screen.result(document)
    if problems:
        raise AlreadyReported
    if whole_way:
        whole_way.raise_unless_good()


def _set_off_alarm(session: Session) -> None:
    """Set an alarm off as CloudWatch would, so that its message takes the whole way. CloudWatch ends it."""
    if session.stack.local:
        raise WrongUsage("A local stack has no alarms.", "Leave --alarms out, or name a deployed stack with --stack.")
    name, metrics = f"{session.stack.name}-DeadLetters", session.stack.service("cloudwatch")
    if [each["StateValue"] for each in metrics.describe_alarms(AlarmNames=[name])["MetricAlarms"]] == ["ALARM"]:
        raise OperatorError(f"The alarm {name} is on already, so that no message would follow.", "See docs/runbook.md.")
    session.screen.confirm(f"Set off the alarm {name}? Everyone who gets alarms is told. It ends within minutes.")
    with session.log.line("test --alarms"):
        why = f"A test by {session.log.caller()}: nothing is wrong."
        metrics.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason=why)
    session.screen.say(f"{name} is set off. Its message must arrive within a minute, and its end within minutes.")


def _summarize(session: Session, findings: Sequence[Finding], problems: int) -> None:
    delayed = {each.name: "" for each in findings if each.name in ("delivery", "uploads") and each.state == "note"}
    if problems:
        session.screen.say(f"{counted(problems, 'problem')}: events may not reach Amazon.", style="red")
    elif delayed:
        see = " and ".join(delayed)
        session.screen.say(f"No problem found, but changes may reach Amazon late: see {see}.", style="yellow")
    else:
        session.screen.say("Everything is connected.", style="green")
