"""Reads dead letters for a command, leaves them in the queue, and describes them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from audience_sync.members.membership import EVERY_AUDIENCE
from audience_sync_cli.frame.errors import NotThere
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.dead_letters import DeadLetterMessage, DeadLetters, Peek
from audience_sync_cli.stack.listed import find
from audience_sync_cli.stack.redrive import Condition


def peek(session: Session, is_wanted: Condition, dead_letters: DeadLetters | None = None) -> Peek:
    """Return matching dead letters; they stay in the queue. Prints a note if some could not be read."""
    dead_letters = dead_letters or DeadLetters.of(session.stack)
    with session.screen.progress("reading dead letters", dead_letters.count()) as bar:
        peeked = dead_letters.peek(is_wanted, bar.advance)
    if peeked.stopped:
        session.screen.note(f"{peeked.stopped} Redrive or drop some, then run it again.", style="yellow")
    return peeked


def audience_id_of(session: Session, name: str) -> str:
    """Return Amazon's id of an audience: listed, unlinked, or with dead letters only. Raises NotThere, WrongUsage."""
    try:
        return find(session, name, with_unlinked=True).audience_id
    except NotThere:
        if not peek(session, lambda message: message.audience_id == name).found:
            raise
        return name


def with_erased(session: Session, messages: Sequence[DeadLetterMessage]) -> list[DeadLetterMessage]:
    """Mark dead letters whose changes are all older than the deletion notice about their person. Raises Unavailable."""
    people = {member for each in messages for member in each.members}
    notices = session.members.read((EVERY_AUDIENCE, person) for person in people) if people else {}
    newest = {person: state.version for (_, person), state in notices.items()}

    def is_erased(message: DeadLetterMessage) -> bool:
        pairs = [(change, newest.get(change.member[1])) for change in message.changes]
        return bool(pairs) and all(notice is not None and change.version < notice for change, notice in pairs)

    return [replace(each, erased=is_erased(each)) for each in messages]


def facts_of(each: DeadLetterMessage) -> dict[str, Any]:
    """Return why a dead letter was parked, and for whom, for people; without identifiers."""
    return {
        "message id": each.message_id,
        "reason": each.reason,
        "detail": each.failure.get("detail"),
        "what to do": each.remedy,
        "Amazon's status": str(each.failure.get("status") or "-"),
        "Amazon's request": each.failure.get("requestId"),
        "attempts": each.failure.get("attempts"),
        "accepted": moment(each.failure.get("firstAt") or None),
        "parked": moment(each.at),
        "audience": each.audience_id,
        "members": ", ".join(each.members[:20]) + (", ..." if len(each.members) > 20 else ""),
        "actions": ", ".join(sorted({"leave" if change.exits else "enter" for change in each.changes})),
        "erased since": each.erased,
    }
