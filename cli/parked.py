"""`audience-sync parked`: changes that could not be delivered. Looked at, sent round again, or dropped."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.errors import NotThere, WrongUsage
from cli.letters import DeadLetters, Letter
from cli.screen import counted, moment
from cli.session import Session, command

SHOWN = 100  # letters in a table; the JSON holds all
DEADLINE = 30.0  # seconds for one batch to reach the change queue
_AGES = {"m": 60, "h": 3600, "d": 86_400}

_DRY = Annotated[bool, typer.Option("--dry-run", help="Count what would happen, and change nothing.")]
_LETTER = Annotated[str, typer.Argument(help="The letter's id as `list` shows it, or how it begins.")]

type Wanted = Callable[[Letter], bool]


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
    """List the dead letters. They are kept for fourteen days and stay where they are."""
    found = look(session, only.at(session.now()))
    if not found:
        session.screen.say("No dead letter fits." if only.is_given else "Nothing is parked.")
    else:
        _tell(session, found)
    session.screen.result([each.as_json() for each in found])


def show(session: Session, letter: _LETTER) -> None:
    """Show the story of one dead letter: why, when, how often it was tried, and what Amazon said."""
    found = look(session, lambda each: each.message_id.startswith(letter))
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
    found = look(session, only.at(session.now()))
    readable = [each for each in found if each.is_readable]
    if dry_run:
        _tell(session, found)
        session.screen.say(f"{len(readable)} of {counted(len(found), 'letter')} would go round again.")
        session.screen.result({"matched": len(found), "redriven": 0, "dryRun": True})
        return
    queue = session.queue("ChangeQueue")

    def send(letters: Sequence[Letter]) -> None:
        queue.send([each.again() for each in letters], deadline=time.monotonic() + DEADLINE)
        time.sleep(len(letters) / rate)

    done = _take(session, readable, "redriving", send)
    session.screen.say(f"{counted(done, 'letter')} on the way again.", style="green" if done else "")
    if len(found) > len(readable):
        session.screen.say(f"{counted(len(found) - len(readable), 'unreadable letter')} left; `parked drop` ends them.")
    session.screen.result({"matched": len(found), "redriven": done, "dryRun": False})


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
    found = look(session, only.at(session.now()))
    if dry_run or not found:
        session.screen.say(f"{counted(len(found), 'letter')} would be dropped.")
        session.screen.result({"matched": len(found), "dropped": 0, "dryRun": dry_run})
        return
    exits = sum(change.exits for each in found for change in each.changes)
    warning = f" {exits} of their changes are exits: those members stay in their audience." if exits else ""
    session.screen.confirm(f"Drop {counted(len(found), 'letter')} for good?{warning}")
    done = _take(session, found, "dropping", lambda _: None)
    session.screen.say(f"{counted(done, 'letter')} dropped.", style="green")
    session.screen.result({"matched": len(found), "dropped": done, "dryRun": False})


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


def look(session: Session, wanted: Wanted) -> list[Letter]:
    """Return the dead letters that are wanted; they stay where they are."""
    letters = _letters(session)
    with session.screen.progress("reading dead letters", letters.count()) as bar:
        return letters.look(wanted, bar.advance)


def _take(session: Session, chosen: Sequence[Letter], label: str, act: Callable[[Sequence[Letter]], None]) -> int:
    """Act on the chosen letters and delete them; give back all others. Returns how many were taken."""
    ids = {each.message_id for each in chosen}
    letters, others, done = _letters(session), list[Letter](), 0
    if not ids:
        return 0
    try:
        with session.screen.progress(label, len(ids)) as bar:
            for received in letters.receive():
                mine = [each for each in received if each.message_id in ids]
                others += [each for each in received if each.message_id not in ids]
                if mine:
                    act(mine)
                    letters.delete(mine)
                    done += len(mine)
                    bar.advance(len(mine))
                if done >= len(ids):
                    break
    finally:
        letters.give_back(others)
    return done


def _letters(session: Session) -> DeadLetters:
    return DeadLetters(session.stack.service("sqs"), session.stack["DeadLetterQueue"])


def _tell(session: Session, found: Sequence[Letter]) -> None:
    session.screen.table(
        ("letter", "parked", "reason", "audience", "member"),
        [(each.message_id[:8], moment(each.at), each.reason, each.audience_id, _whose(each)) for each in found[:SHOWN]],
    )
    if len(found) > SHOWN:
        session.screen.say(f"... and {len(found) - SHOWN} more; --json lists all.")


def _whose(letter: Letter) -> str:
    return letter.members[0] if len(letter.members) == 1 else f"{len(letter.members)} members"
