"""The dead letters of the event queue: messages as their sender wrote them, in plain text."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar

from audience_sync.reasons import Reason
from audience_sync_cli.frame.command_lines import to_paste
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.dead_event_text import is_json, named_in
from audience_sync_cli.stack.dead_letters import DeadLetterMessage, DeadLetters, Peek
from audience_sync_cli.stack.peeking import peek, with_erased
from audience_sync_cli.stack.redrive import Condition


@dataclass(frozen=True, slots=True)
class DeadEvent(DeadLetterMessage):
    """One message, with events about any number of people, in any format."""

    destination: ClassVar = "EventsQueue"
    subject = "the event queue"

    @property
    def remedy(self) -> str:
        """What to do about it, in sentences."""
        if self.is_readable:
            return "Find the cause as for FunctionErrors and OldestEventAge in docs/runbook.md, then redrive it."
        return "Correct the sender, and have it send these events again; then drop this one."

    @property
    def fingerprints(self) -> set[int]:
        """The hash of the whole body."""
        return {hash(self.body)}

    def redrive_bodies(self) -> list[str]:
        """Return the body, byte for byte."""
        return [self.body]

    @property
    def is_readable(self) -> bool:
        """Whether a redrive may take it in: SQS moved it after a day of failed attempts."""
        return self.reason == Reason.RECEIVED_TOO_OFTEN

    def is_about(self, people: Set[str]) -> bool:
        """Whether it names any of these people by external user id, or by what a mapping with @sha256 makes one of."""
        named = named_in(self.body)
        return not people.isdisjoint(named.ids | named.hashes)


def read_event(message: Mapping[str, Any]) -> DeadEvent:
    """Return a message as received. The function states the reason if no retry can mend it."""
    # Without the attribute, SQS moved it here, unless body and attribute would have been too large together.
    moved = Reason.RECEIVED_TOO_OFTEN if is_json(message["Body"]) else Reason.INVALID_REQUEST
    reason = message.get("MessageAttributes", {}).get("reason", {}).get("StringValue", moved)
    at = int(message["Attributes"]["SentTimestamp"])
    return DeadEvent(message["MessageId"], message["ReceiptHandle"], message["Body"], reason, at, content=None)


class DeadEvents(DeadLetters):
    """The dead letter queue of the event queue."""

    logical_id = "EventsDeadLetterQueue"
    read = staticmethod(read_event)


def is_searchable(message: DeadLetterMessage) -> bool:
    """Return whether a message of the event queue is plain text: else nobody knows whom it names."""
    return named_in(message.body).is_whole


def unsearchable(messages: Iterable[DeadLetterMessage]) -> list[str]:
    """Return a sentence with the number of messages that cannot be searched; none if all can."""
    found = [each.message_id for each in messages if not is_searchable(each)]
    if not found:
        return []
    are, which = ("is", "it") if len(found) == 1 else ("are", "the first")
    said = f"{counted(len(found), 'dead event')} {are} not in a form that can be searched"
    return [f"{said}: `{to_paste('parked show', found[0])}` shows {which}."]


def dead_letter_queues(session: Session) -> list[DeadLetters]:
    """Return the dead letter queues of the change queue and, if the stack has one, of the event queue."""
    kinds = (DeadLetters, DeadEvents) if session.stack.event_queue else (DeadLetters,)
    return [kind.of(session.stack) for kind in kinds]


def peek_all(session: Session, is_wanted: Condition) -> Peek:
    """Return matching messages of all dead letter queues, marked if their people were erased. See `peek`."""
    found, stopped = zip(*(peek(session, is_wanted, queue) for queue in dead_letter_queues(session)), strict=True)
    return Peek(with_erased(session, [*chain(*found)]), " ".join(filter(None, stopped)))


def peek_erased(session: Session, is_wanted: Condition) -> tuple[list[DeadLetterMessage], bool]:
    """Return matching events that name an erased person and that no retry can mend, and whether all can be searched.

    Prints notes about the others.
    """
    if not session.stack.event_queue:
        return [], True
    notices = chain.from_iterable(session.member_scan.deletion_notices())
    people = {each.state.member[1] for each in notices if each.expires_at > session.now()}
    queue = DeadEvents.of(session.stack)
    matching, _ = peek(
        session, lambda each: is_wanted(each) and (each.is_about(people) or not is_searchable(each)), queue
    )
    found = [each for each in matching if each.is_about(people)]
    lost = [replace(each, erased=True) for each in found if not each.is_readable]
    if kept := len(found) - len(lost):  # they may hold changes of more people
        messages = f"{counted(kept, 'message')} of the event queue about erased people"
        session.screen.note(f"{messages} can still be redriven: `audience-sync parked redrive`.", style="yellow")
    for sentence in (sentences := unsearchable(matching)):
        session.screen.note(sentence, style="yellow")
    return lost, not sentences
