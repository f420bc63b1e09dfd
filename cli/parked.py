"""`audience-sync parked`: changes that could not be delivered. Looked at, sent round again, or dropped."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Annotated, Any

import typer

from cli.dead_letters import DeadLetters, Letter, Look
from cli.errors import NotThere, WrongUsage
from cli.redrive import Drop, Redrive, Wanted, through
from cli.screen import counted, moment
from cli.session import Session, command

SHOWN = 100  # letters in a table; the JSON holds all
_AGES = {"m": 60, "h": 3600, "d": 86_400}

_DRY = Annotated[bool, typer.Option("--dry-run", help="Count what would happen, and change nothing.")]
_LETTER = Annotated[str, typer.Argument(help="The letter's id as `list` shows it, or how it begins.")]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant: those that every given option fits."""

    reason: Annotated[str, typer.Option(help="Only letters parked with this reason code.", metavar="CODE")] = ""
    audience: Annotated[str, typer.Option(help="Only letters of this Amazon audience id.", metavar="ID")] = ""
    member: Annotated[str, typer.Option(help="Only letters about this external user id.", metavar="ID")] = ""
    since: Annotated[
        str, typer.Option(help="Parked since then: 2026-03-04T09:00Z, or an age: 90m, 12h, 3d.", metavar="TIME")
    ] = ""
    until: Annotated[str, typer.Option(help="Parked before then.", metavar="TIME")] = ""

    @property
    def is_given(self) -> bool:
        """Whether there is any condition."""
        return self != Filter()

    def at(self, now: float) -> Wanted:
        """Return the condition, with ages counted back from `now`, epoch seconds. Raises WrongUsage."""
        after, before = read_time(self.since, now), read_time(self.until, now)
        return lambda letter: (
            (not self.reason or letter.reason == self.reason)
            and (not self.audience or letter.audience_id == self.audience)
            and (not self.member or self.member in letter.members)
            and (after is None or letter.at >= after)
            and (before is None or letter.at < before)
        )


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "list")(list_)
    command(app, "show")(show)
    command(app, "redrive")(redrive)
    command(app, "drop", asks=True)(drop)


def list_(session: Session, only: Filter) -> None:
    """List the dead letters. They are kept for fourteen days and stay where they are.

    One look reaches 50,000 letters. Where there are more, it says so.
    """
    found, stopped = look(session, only.at(session.now()))
    if found:
        _tell(session, found, stopped)
    else:
        session.screen.say("No dead letter fits." if only.is_given or stopped else "Nothing is parked.")
    session.screen.result([each.as_json() for each in found])


def show(session: Session, letter: _LETTER) -> None:
    """Show the story of one dead letter: why, when, how often it was tried, and what Amazon said."""
    found, _ = look(session, lambda each: each.message_id.startswith(letter))
    if len(found) != 1:
        raise NotThere("No letter has that id." if not found else "Several letters begin so.", "See `parked list`.")
    each = found[0]
    session.screen.facts(
        {
            "letter": each.message_id,
            "reason": each.reason,
            "detail": each.story.get("detail"),
            "Amazon's status": str(each.story.get("status") or "-"),
            "Amazon's request": each.story.get("requestId"),
            "attempts": each.story.get("attempts"),
            "first queued": moment(each.story.get("firstAt")),
            "parked": moment(each.at),
            "audience": each.audience_id,
            "members": ", ".join(each.members[:20]) + (", ..." if len(each.members) > 20 else ""),
            "actions": ", ".join(sorted({"leave" if change.exits else "enter" for change in each.changes})),
        }
    )
    session.screen.result(each.as_json())


def redrive(
    session: Session,
    only: Filter,
    *,
    rate: Annotated[float, typer.Option(help="Letters a second.", min=0.1)] = 50,
    dry_run: _DRY = False,
) -> None:
    """Send dead letters round again: into the change queue first, out of the dead letters after.

    Safe to repeat and to interrupt: a change that is older than what Amazon knows meanwhile is dropped on the way.
    Letters that nobody can read stay. Mend the cause first, or they come back.
    """
    wanted = only.at(session.now())
    if dry_run:
        found, stopped = look(session, wanted)
        _tell(session, found, stopped)
        readable = sum(each.is_readable for each in found)
        session.screen.say(f"{readable} of {_number(found, stopped)} would go round again.")
        session.screen.result(_outcome(stopped, matched=len(found), redriven=0, dryRun=True))
        return
    round_ = Redrive(session.queue("ChangeQueue"), wanted, rate)
    stopped = through(session, _letters(session), "redriving", round_)
    matched = round_.sent + round_.unreadable + round_.returned
    if matched:
        session.screen.say(f"{counted(round_.sent, 'letter')} on the way again.", style="green" if round_.sent else "")
    else:
        session.screen.say("No dead letter fits.")
    if round_.unreadable:
        session.screen.say(f"{counted(round_.unreadable, 'unreadable letter')} left; `parked drop` ends them.")
    if round_.returned:
        session.screen.say(
            f"{counted(round_.returned, 'letter')} left with changes that have just gone: they came back, or were "
            "parked twice. Mend the cause, then repeat it.",
            style="yellow",
        )
    session.screen.result(_outcome(stopped, matched=matched, redriven=round_.sent, dryRun=False))


def drop(
    session: Session,
    only: Filter,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Without any filter.")] = False,
    dry_run: _DRY = False,
) -> None:
    """Delete dead letters for good. What they say never reaches Amazon."""
    if not everything and not only.is_given:
        raise WrongUsage("Without a filter, all dead letters would go.", "Give a filter, or --all.")
    wanted, expected = only.at(session.now()), inf
    if dry_run or session.screen.asks:
        found, stopped = look(session, wanted)
        if dry_run or not found:
            session.screen.say(f"{_number(found, stopped)} would be dropped.")
            session.screen.result(_outcome(stopped, matched=len(found), dropped=0, dryRun=dry_run))
            return
        exits = sum(change.exits for each in found for change in each.changes)
        warning = f" {exits} of their changes are exits: those members stay in their audience." if exits else ""
        others = ", and all others that fit" if stopped else ""
        session.screen.confirm(f"Drop {_number(found, stopped)} for good{others}?{warning}")
        if not stopped:  # those that were counted; others may have been parked since
            wanted, expected = _among(found), len(found)
    round_ = Drop(wanted, expected)
    stopped = through(session, _letters(session), "dropping", round_)
    session.screen.say(f"{counted(round_.dropped, 'letter')} dropped.", style="green" if round_.dropped else "")
    session.screen.result(_outcome(stopped, matched=round_.matched, dropped=round_.dropped, dryRun=False))


def read_time(text: str, now: float) -> float | None:
    """Read a time or an age as epoch milliseconds, None where the text is empty. Raises WrongUsage."""
    if not text:
        return None
    if age := re.fullmatch(r"(\d+)([mhd])", text):
        return (now - int(age[1]) * _AGES[age[2]]) * 1000
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUsage("That is no time.", "Give 2026-03-04, 2026-03-04T09:00Z, or an age: 90m, 12h, 3d.") from None
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1000


def look(session: Session, wanted: Wanted) -> Look:
    """Return the dead letters that are wanted; they stay where they are. Notes it where not all could be read."""
    letters = _letters(session)
    with session.screen.progress("reading dead letters", letters.count()) as bar:
        seen = letters.look(wanted, bar.advance)
    if seen.stopped:
        session.screen.note(f"{seen.stopped} Redrive or drop some, then look again.", style="yellow")
    return seen


def _letters(session: Session) -> DeadLetters:
    return DeadLetters(session.stack.service("sqs"), session.stack["DeadLetterQueue"])


def _tell(session: Session, found: Sequence[Letter], stopped: str) -> None:
    session.screen.table(
        ("letter", "parked", "reason", "audience", "member"),
        [(each.message_id[:8], moment(each.at), each.reason, each.audience_id, _whose(each)) for each in found[:SHOWN]],
    )
    if len(found) > SHOWN:
        session.screen.say(
            f"... and {len(found) - SHOWN} more; --json lists all{' that were read' if stopped else ''}."
        )
    if stopped:
        session.screen.say(f"{_number(found, stopped).capitalize()}.")


def _number(found: Sequence[Letter], stopped: str) -> str:
    return f"{'at least ' if stopped else ''}{counted(len(found), 'letter')}"


def _outcome(stopped: str, **told: Any) -> dict[str, Any]:
    """The result for scripts, with why not every letter was read where that is so."""
    return told | ({"stopped": stopped} if stopped else {})


def _among(found: Sequence[Letter]) -> Wanted:
    ids = {each.message_id for each in found}
    return lambda letter: letter.message_id in ids


def _whose(letter: Letter) -> str:
    return letter.members[0] if len(letter.members) == 1 else f"{len(letter.members)} members"
