"""The dead letters of the event queue: messages as their sender wrote them, in plain text."""

import json
import re
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain
from typing import Any, ClassVar

from audience_sync.quick_json import read_json
from audience_sync.reasons import Reason
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.dead_letters import DeadLetterMessage, DeadLetters, Peek
from audience_sync_cli.stack.peeking import peek, with_erased
from audience_sync_cli.stack.redrive import Condition

# A JSON string, closed or not, and whether it is the name of a field; or a number or a word outside of strings.
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)(\s*+:)?|([0-9a-zA-Z_-]+)', re.DOTALL)
_WORD = re.compile(r"[0-9a-zA-Z_-]+")  # an external user id is one
_KINDS = ("type", "event")  # fields that hold no id, but words such as track


@dataclass(frozen=True, slots=True)
class DeadEvent(DeadLetterMessage):
    """One message, with events about any number of people. The body may not be JSON, so it is searched as text."""

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
        names = {*_names(self.body, _is_json(self.body))}
        addresses = names | {name.strip().lower() for name in names}
        hashed = {sha256(each.encode(errors="ignore")).hexdigest() for each in addresses}
        return not people.isdisjoint(hashed | {name.strip() for name in names})


def _is_json(body: str) -> bool:
    try:
        return isinstance(read_json(body.encode(errors="surrogatepass")), dict | list)
    except (ValueError, RecursionError):
        return False


def _names(text: str, is_json: bool) -> Iterator[str]:
    """Yield what may be an id: strings, but no names of fields, and numbers; words too, if the body is damaged."""
    field = ""
    for string, is_field, word in _TOKEN.findall(text):
        value = word or string
        if "\\" in value:
            with suppress(ValueError):
                value = str(json.loads(f'"{string}"', strict=False))
        if is_field:
            field = value
        elif field not in _KINDS:
            yield value
            if '"' in value:  # JSON in a string, as in the envelope of SNS
                yield from _names(value, is_json)
            elif not is_json:
                yield from _WORD.findall(value)


def read_event(message: Mapping[str, Any]) -> DeadEvent:
    """Return a message as received. The function states the reason if no retry can mend it."""
    # Without the attribute, SQS moved it here, unless body and attribute would have been too large together.
    moved = Reason.RECEIVED_TOO_OFTEN if _is_json(message["Body"]) else Reason.INVALID_REQUEST
    reason = message.get("MessageAttributes", {}).get("reason", {}).get("StringValue", moved)
    at = int(message["Attributes"]["SentTimestamp"])
    return DeadEvent(message["MessageId"], message["ReceiptHandle"], message["Body"], reason, at, content=None)


class DeadEvents(DeadLetters):
    """The dead letter queue of the event queue."""

    logical_id = "EventsDeadLetterQueue"
    read = staticmethod(read_event)


def dead_letter_queues(session: Session) -> list[DeadLetters]:
    """Return the dead letter queues of the change queue and, if the stack has one, of the event queue."""
    kinds = (DeadLetters, DeadEvents) if session.stack.event_queue else (DeadLetters,)
    return [kind.of(session.stack) for kind in kinds]


def peek_all(session: Session, is_wanted: Condition) -> Peek:
    """Return matching messages of all dead letter queues, marked if their people were erased. See `peek`."""
    found, stopped = zip(*(peek(session, is_wanted, queue) for queue in dead_letter_queues(session)), strict=True)
    return Peek(with_erased(session, [*chain(*found)]), " ".join(filter(None, stopped)))


def peek_erased(session: Session, is_wanted: Condition) -> list[DeadLetterMessage]:
    """Return matching events that name an erased person and that no retry can mend. Prints a note about others."""
    if not session.stack.event_queue:
        return []
    notices = chain.from_iterable(session.member_scan.deletion_notices())
    people = {each.state.member[1] for each in notices if each.expires_at > session.now()}
    found, _ = peek(session, lambda each: is_wanted(each) and each.is_about(people), DeadEvents.of(session.stack))
    lost = [replace(each, erased=True) for each in found if not each.is_readable]
    if kept := len(found) - len(lost):  # they may hold changes of more people
        messages = f"{counted(kept, 'message')} of the event queue about erased people"
        session.screen.note(f"{messages} can still be redriven: `audience-sync parked redrive`.", style="yellow")
    return lost
