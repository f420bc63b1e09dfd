"""`audience-sync parked`: list, show, redrive and drop the changes that could not be delivered."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any

import typer

from audience_sync_cli.frame.errors import AlreadyReported, NotThere, WrongUsage
from audience_sync_cli.frame.reasons import FORMER
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.times import MINUTE, SINCE, read_time
from audience_sync_cli.frame.usage import did_you_mean
from audience_sync_cli.stack.dead_events import DeadEvent, dead_letter_queues, peek_all, peek_erased
from audience_sync_cli.stack.dead_letters import REASONS, DeadLetterMessage
from audience_sync_cli.stack.listed import NAMES, completions
from audience_sync_cli.stack.peeking import audience_id_of, facts_of
from audience_sync_cli.stack.redrive import Condition, Drop, Redrive, run_command
from audience_sync_cli.stack.settling import TIMEOUT, follow_stack, raise_unless_settled

app = typer.Typer()
MAX_SHOWN = 100  # dead letters in a table; the JSON has all

_MESSAGE_ID = Annotated[str, typer.Argument(help="Message id from `list`, or its first characters.")]


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects dead letters that match every given option."""

    reason: Annotated[
        str, typer.Option(help="Only with this reason code.", metavar="CODE", autocompletion=lambda: [*REASONS])
    ] = ""
    audience: Annotated[
        str, typer.Option(help=f"Only for this audience: {NAMES}.", metavar="AUDIENCE", autocompletion=completions)
    ] = ""
    id: Annotated[
        str, typer.Option(help="Only about this external user id, or with this message id.", metavar="ID")
    ] = ""
    since: SINCE = ""

    @property
    def is_given(self) -> bool:
        """Whether there is any condition."""
        return self != Filter()

    def condition(self, session: Session) -> Condition:
        """Return a test for dead letters. Raises WrongUsage, and NotThere for an audience that nothing knows."""
        if self.reason and self.reason not in (*REASONS, *FORMER):
            raise WrongUsage(
                "Unknown reason code.",
                f"{did_you_mean(self.reason, REASONS)}The codes: {', '.join(REASONS)}.",
            )
        after = read_time(self.since, session.now())
        audience_id = audience_id_of(session, self.audience) if self.audience else ""
        return lambda message: (
            (not self.reason or message.reason == self.reason)
            and (not audience_id or message.audience_id == audience_id)
            and (not self.id or message.message_id == self.id or message.is_about({self.id}))
            and (after is None or message.at >= after)
        )


@command(app, "list", "parked list --since 12h", "parked list --reason access_denied --audience big_spenders")
def list_(session: Session, only: Filter) -> None:
    """List the dead letters, also of the event queue. They are kept for 14 days; listing leaves them in the queue.

    Reads at most 50,000 dead letters, and says so if there are more.
    """
    found, stopped = peek_all(session, only.condition(session))
    if found:
        _print_table(session, found, stopped)
        for reason, remedy in sorted({(each.reason, each.remedy) for each in found}):
            session.screen.say(f"{reason}: {remedy}")
        session.screen.say("The detail of each: `audience-sync parked show ID`.")
        if erased := sum(each.erased for each in found):
            session.screen.say(
                f"{counted(erased, 'dead letter')} of people erased by a later deletion notice. "
                "`audience-sync parked drop --erased` deletes them; they can have no effect."
            )
    else:
        session.screen.say("No dead letters match." if only.is_given or stopped else "There are no dead letters.")
    session.screen.result([message.as_json() for message in found])


@command(app, "show", "parked show 3637f47d")
def show(session: Session, message_id: _MESSAGE_ID) -> None:
    """Show why one dead letter was parked: reason, times, attempts, and Amazon's answer."""
    with session.log.line("parked show") as line:
        found, _ = peek_all(session, lambda each: each.message_id.startswith(message_id))
        line["deadLetters"] = len(found)
    if len(found) != 1:
        problem = "Several dead letter ids begin with these characters." if found else "No dead letter has that id."
        raise NotThere(problem, "See `audience-sync parked list`.")
    (each,) = found
    session.screen.facts(facts_of(each))
    session.screen.result(each.as_json())


@command(app, "redrive", "parked redrive --reason access_denied --dry-run", "parked redrive --since 12h --wait")
def redrive(
    session: Session,
    only: Filter,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be redriven, and change nothing.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help=f"Wait until no change is waiting, {TIMEOUT // MINUTE} minutes at most.")
    ] = False,
) -> None:
    """Redrive dead letters: send each to the queue that it comes from, then delete it from the dead letter queue.

    Safe to repeat and to interrupt: superseded changes do not reach Amazon. Unreadable messages stay. Fix the cause
    first; otherwise the changes are parked again. With --wait, exit code 1 if that happens or a person is needed, 5 if
    changes are still waiting at the end.
    """
    condition = only.condition(session)
    if dry_run:
        found, stopped = peek_all(session, condition)
        _print_table(session, found, stopped)
        readable = sum(each.is_readable for each in found)
        session.screen.say(f"{readable} of {_number(found, stopped)} would be redriven.")
        session.screen.result(_result(stopped, matched=len(found), redriven=0, dryRun=True))
        return
    action = Redrive(session.queue, condition)
    stopped = run_command(session, action, dead_letter_queues(session))
    session.screen.say(action.result, style="green" if action.done else "")
    for sentence in action.left():
        session.screen.say(sentence, style="yellow" if action.returned else "")
    end = follow_stack(session, TIMEOUT) if wait else None
    result = _result(stopped, matched=action.matched, redriven=action.done, dryRun=False)
    session.screen.result(result | ({"end": end.as_json()} if end else {}))
    if end:
        raise_unless_settled(end)
    if wait and action.returned:
        raise AlreadyReported


@command(app, "drop", "parked drop --reason no_identifier", "parked drop --erased --yes", asks=True)
def drop(
    session: Session,
    only: Filter,
    *,
    erased: Annotated[bool, typer.Option("--erased", help="Only changes of people who were erased later.")] = False,
) -> None:
    """Delete dead letters for good, also of the event queue. Their changes never reach Amazon. It asks with the number.

    Run it with --erased after a deletion: dead letters older than the deletion notice can have no effect, but hold
    hashes of the person. Removals requested by the notice itself are kept. Of the event queue, it deletes dead letters
    that name the person by external user id, unless they can be redriven; exit code 1 if one cannot be read.
    """
    if not erased and not only.is_given:
        raise WrongUsage(
            "Without a filter, all dead letters would be deleted.", "Add a filter; --since 14d matches all of them."
        )
    condition, expected, unread, is_whole = only.condition(session), inf, "", True
    if erased or session.screen.asks:
        found, stopped = peek_all(session, condition)
        if erased:
            events_of_erased, is_whole = peek_erased(session, condition)
            found = [each for each in found if each.erased] + events_of_erased
        events = sum(isinstance(each, DeadEvent) for each in found)
        if not found:
            session.screen.say("No dead letters match.")
            session.screen.result(_result(stopped, matched=0, dropped=0))
            if not is_whole:
                raise AlreadyReported
            return
        exits = sum(change.exits for each in found if not each.erased for change in each.changes)
        warning = f" {exits} of their changes are exits: these members stay in their audience." if exits else ""
        others = ", and all others that match" if stopped and not erased else ""
        if events:
            number = counted(events, "message")
            warning += f" This includes {number} of the event queue, deleted whole, with any events about others."
        session.screen.confirm(f"Drop {_number(found, stopped)} for good{others}?{warning}")
        if erased or not stopped:  # only the ones counted; others may have been parked since
            ids = {each.message_id for each in found}
            condition, expected, unread = lambda message: message.message_id in ids, len(found), stopped
    action = Drop(condition, expected)
    stopped = run_command(session, action, dead_letter_queues(session)) or unread
    session.screen.say(f"{counted(action.done, 'dead letter')} dropped.", style="green" if action.done else "")
    session.screen.result(_result(stopped, matched=action.matched, dropped=action.done))
    if not is_whole:
        raise AlreadyReported


def _print_table(session: Session, found: Sequence[DeadLetterMessage], stopped: str) -> None:
    shows_erased = any(each.erased for each in found)
    session.screen.table(
        ("message id", "parked", "reason", "audience", "member", *(["erased since"] if shows_erased else [])),
        [
            (
                *(each.message_id[:8], moment(each.at), each.reason, each.audience_id, each.subject),
                *([each.erased] if shows_erased else []),
            )
            for each in found[:MAX_SHOWN]
        ],
    )
    if len(found) > MAX_SHOWN:
        session.screen.say(
            f"... and {len(found) - MAX_SHOWN} more; --json lists all{' that were read' if stopped else ''}."
        )
    if stopped:
        session.screen.say(f"{_number(found, stopped).capitalize()}.")


def _number(found: Sequence[DeadLetterMessage], stopped: str) -> str:
    return f"{'at least ' if stopped else ''}{counted(len(found), 'dead letter')}"


def _result(stopped: str, **counts: Any) -> dict[str, Any]:
    return counts | ({"stopped": stopped} if stopped else {})
