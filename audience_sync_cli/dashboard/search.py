"""Search on the page: everything stored under an id of a member, an event or a dead letter."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from audience_sync.members.membership import EVERY_AUDIENCE
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.errors import NotThere, WrongUsage
from audience_sync_cli.frame.reasons import explained
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.frame.session import Session
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.stack.dead_letters import DeadLetterMessage, DeadLetters
from audience_sync_cli.stack.function_logs import FunctionLogs
from audience_sync_cli.stack.member_facts import state_facts
from audience_sync_cli.stack.peeking import facts_of, with_erased

SEARCHED = 2_000  # dead letters; `audience-sync member show` searches all
SHORTEST_PREFIX = 8  # characters of a dead letter's id, as in `parked list`
REJECTED = {"event rejected": "Rejected event", "consent denied": "Event that denies consent"}  # titles, by message
BY_HASH = "An e-mail address or a phone number is searched by hash with `audience-sync member find`."
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Found(NamedTuple):
    """One stored thing with the id."""

    title: str
    facts: dict[str, Any]  # name: value, both for people


def find(session: Session, wanted: str) -> list[Found]:
    """Find members, dead letters and rejected events by an external user id or a message id.

    Raises:
        WrongUsage: no id can look like this.
        NotThere: nothing is stored under it.
    """
    if not _ID.fullmatch(wanted):
        raise WrongUsage(BY_HASH, "An id has 1 to 128 letters, digits and . _ : -.")
    found = [*_members(session, wanted), *_dead_letters(session, wanted), *_rejected_events(session, wanted)]
    if not found:
        raise NotThere(
            "No member, event or dead letter has that id.",
            f"Of accepted events, only the member is stored: search for it. {BY_HASH}",
        )
    return found


def _members(session: Session, member: str) -> Iterator[Found]:
    audiences = session.audiences.with_unlinked()
    ids = [each.audience_id for each in audiences]
    rows = session.members.read((each, member) for each in (*ids, EVERY_AUDIENCE))
    for audience in audiences:
        state = rows.get((audience.audience_id, member))
        if state is None:
            continue
        unlinked = "" if audience.unlinked_at is None else f", unlinked {moment(audience.unlinked_at)}"
        about = {"member": member, "audience id": f"{audience.audience_id}{unlinked}"}
        facts = state_facts(state) | {"consent": ""}  # it may hold an IP address
        in_a_terminal = {"in a terminal": to_paste("member show", member)}
        yield Found(f"Member of {audience.name or audience.audience_id}", about | facts | in_a_terminal)
    if notice := rows.get((EVERY_AUDIENCE, member)):
        title = "Denied consent" if notice.newest.denies_consent else "Deletion notice"
        yield Found(title, {"member": member, "of": moment(notice.newest.at)})


def _dead_letters(session: Session, wanted: str) -> Iterator[Found]:
    def is_wanted(message: DeadLetterMessage) -> bool:
        is_own = len(wanted) >= SHORTEST_PREFIX and message.message_id.startswith(wanted)
        return is_own or wanted in message.members or any(each.message_id == wanted for each in message.changes)

    with DeadLetters.of(session.stack).reader(limit=SEARCHED) as reader:
        found = [each for messages in reader.batches() for each in messages if is_wanted(each)]
    for each in with_erased(session, found):
        yield Found("Dead letter", facts_of(each))
    if reader.stopped:
        yield Found("Not all dead letters", {"": f"{reader.stopped} `audience-sync parked list` searches more."})


def _rejected_events(session: Session, message_id: str) -> Iterator[Found]:
    """Yield the last day's rejections with this message id, oldest first."""
    for line in FunctionLogs(session.stack).matching("Ingest", f'"{message_id}"', session.now() - DAY):
        if line.message in REJECTED and line.fields.get("message_id") == message_id:
            reason = str(line.fields.get("reason"))
            about = {"message id": message_id, "received": moment(line.at), "reason": reason}
            why = {"meaning": explained(reason).means, "detail": line.fields.get("detail")}
            yield Found(REJECTED[line.message], about | why)
