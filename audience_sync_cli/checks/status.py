"""`audience-sync status`: queue depths, counts, and whether every accepted change is accounted for."""

from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated

import typer

from audience_sync.aws.checkpoint import AUDIT, Checkpoint
from audience_sync.operations.findings import WHAT_TO_DO
from audience_sync_cli.frame.errors import AlreadyReported
from audience_sync_cli.frame.screen import Screen, camel_case, counted, iso_time, moment
from audience_sync_cli.frame.session import NO_API, Session, command
from audience_sync_cli.stack.blockers import Waiting, waiting
from audience_sync_cli.stack.counts import Counts, Depth, depth, event_queue_depth, waiting_text
from audience_sync_cli.stack.findings import open_findings
from audience_sync_cli.stack.member_counts import MemberCount, member_counts
from audience_sync_cli.stack.needs import needs, needs_json
from audience_sync_cli.stack.settling import TIMEOUT, follow_stack, raise_unless_settled
from audience_sync_cli.stack.stack_metrics import StackMetrics

app = typer.Typer()


@command(app, "status", "status --members", "status --wait --timeout 600", "--stack prod status --hours 24")
def status(
    session: Session,
    hours: Annotated[int | None, typer.Option(help="Count only the last hours.", min=1)] = None,
    members: Annotated[
        bool,
        typer.Option("--members", help="Also count the members of every audience. Reads the whole membership table."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until no change is waiting, then show it.")] = False,
    timeout: Annotated[int, typer.Option(help="With --wait: seconds.", min=1, metavar="SECONDS")] = TIMEOUT,
) -> None:
    """Show queue depths, counts, and whether they add up: accepted = delivered + superseded + parked + waiting.

    Counts of a deployed stack come from CloudWatch and are a few minutes old. Exit code 1 if delivery has stopped until
    you act. With --wait, also if a change is parked, and 5 if changes are still waiting at the timeout.
    """
    stack = session.stack
    end = follow_stack(session, timeout) if wait else None
    changes, dead_letters = depth(stack, "ChangeQueue"), depth(stack, "DeadLetterQueue")
    events = event_queue_depth(stack)
    now, metrics = session.now(), StackMetrics(stack)
    counts = metrics.counts(stack.created, now, hours)
    audit = Checkpoint(stack.service("dynamodb"), stack["MembershipTable"], AUDIT)
    audited_until, audited_since = audit.time(), audit.began()
    waits = changes.total > 0 or counts.waiting > 0
    why = waiting(session, only_event_sources=not waits)
    overdue, findings = metrics.overdue_erasures(now), open_findings(stack)
    needed = needs(counts, dead_letters.total, why.blockers, overdue_erasures=overdue, event_queue=events)
    state = f"{waiting_text(counts, changes, events, is_needed=bool(needed))}."
    warn_of_another_version(session)
    session.screen.facts(
        ({"version": stack.version} if stack.version else {})
        | {
            "events": f"{counts.events_accepted:,} accepted, {counts.events_ignored:,} ignored, "
            f"{counts.events_rejected:,} rejected",
            **({"unauthorized": f"{counted(counts.unauthorized, 'request')} refused"} if counts.unauthorized else {}),
            **({"event queue": counted(events.messages, "message")} if events else {}),
            **({"event dead letters": f"{events.dead_letters:,}"} if events else {}),
            "change queue": f"{counted(changes.total, 'message')} waiting",
            "dead letters": f"{dead_letters.total:,}",
            "uploads": f"{counts.uploads:,} accepted by Amazon, {counts.uploads_failed:,} failed"
            + (f", {counted(counts.repeated, 'record')} sent again" if counts.repeated else ""),
            "changes": counts.sum(None if hours else dead_letters.total),
            "audit": audit_progress(audited_until, audited_since, counts),
            "events to": " and ".join(filter(None, (stack.events_url, stack.event_queue))),
            "audiences to": stack.audiences_url or NO_API,
        }
    )
    if end is None or end.text != state:
        session.screen.say(state, style="yellow" if waits or needed or (events and events.messages) else "green")
    report_waiting(session.screen, why)
    for each in needed:
        if end is None or end.text not in each.found:
            session.screen.say(each.found, style="red")
    for finding in findings:
        session.screen.say(f"{finding.name}: {finding.sentence}", style="yellow")
    if findings:
        session.screen.note(WHAT_TO_DO)
    by_audience = count_members(session) if members else None
    session.screen.result(
        {
            "version": stack.version,
            "eventsUrl": stack.events_url,
            "audiencesUrl": stack.audiences_url,
            "eventQueueUrl": stack.event_queue,
            "eventQueue": events and {"messages": events.messages, "deadLetters": events.dead_letters},
            "changeQueue": _as_json(changes),
            "deadLetters": _as_json(dead_letters),
            "counts": _as_json(counts) | {"waiting": counts.waiting},
            "reconciledUntil": iso_time(audited_until * 1000) if audited_until else None,
            "auditSince": iso_time(audited_since * 1000) if audited_since else None,
            "waiting": why.as_json() if waits else None,
            "hours": hours,
            "summary": " ".join([state, *(each.found for each in needed)]),
            "needs": needs_json(needed),
            "findings": [{"name": each.name, "about": each.about, "text": each.sentence} for each in findings],
            **({"end": end.as_json()} if end else {}),
            **({"members": [each.as_json() for each in by_audience]} if by_audience is not None else {}),
        }
    )
    if end:
        raise_unless_settled(end)
    if any(each.needs_person for each in why.blockers):
        raise AlreadyReported


def warn_of_another_version(session: Session) -> None:
    """Warn if the stack's version differs from this command's.

    Local stacks have no version, nor have stacks deployed before the template stated one.
    """
    deployed, own = session.stack.version, version("audience-sync")
    if deployed is not None and deployed != own:
        session.screen.note(
            f"The stack is version {deployed}, this command is version {own}: their stored formats may differ. "
            f"Deploy version {own}, or use the command of version {deployed}.",
            style="yellow",
        )


def count_members(session: Session) -> list[MemberCount]:
    """Count the members of every listed audience, and print the counts."""
    audiences, scan = session.audiences.all(), session.member_scan
    with session.screen.progress("counting members", scan.size().rows or None) as bar:
        counts = member_counts(scan, audiences, bar.advance)
    session.screen.table(
        ("audience", "name", "in", "out"),
        ((each.audience.audience_id, each.audience.name, each.inside, each.outside) for each in counts),
    )
    return counts


def _as_json(numbers: Depth | Counts) -> dict[str, int]:
    """Return the fields in camel case, as in all JSON output."""
    return {camel_case(name): value for name, value in asdict(numbers).items()}


def audit_progress(until: int | None, since: int | None, counts: Counts) -> str:
    """Return the audit's progress and its findings; both times in epoch seconds."""
    if not until:
        return "not completed yet; it runs every hour"
    if until == since:
        return f"nothing yet; the audit counts what is accepted from {moment(until * 1000)} on"
    return f"completed up to {moment(until * 1000)}, {counts.unaccounted:,} unaccounted for"


def report_waiting(screen: Screen, why: Waiting) -> None:
    """Print why changes wait, and the failed uploads."""
    for blocker in (each for each in why.blockers if not each.needs_person):  # those are among the needs
        screen.say(blocker.text, style="yellow")
    if why.failed.by_reason:
        screen.say(f"Failed uploads: {why.failed.text}.", style="yellow")
    for sentence in why.repetitions.lines:
        screen.note(f"Last hour: {sentence}.")
    for sentence in why.unknown:
        screen.note(sentence)
