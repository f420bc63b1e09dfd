"""Dead letters: read without taking them away, each with its story."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience_sync.errors import InvalidMessage
from audience_sync.membership import ChangeMessage, MembershipChange

BATCH = 10  # messages of one call; the limit of SQS
HELD = 300  # seconds for which a look hides messages, should the command die before it gives them back
EMPTY_ANSWERS = 3  # in a row, until a queue counts as empty: a short poll asks some of its servers only


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `reason` is the code it was parked with."""

    message_id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    reason: str
    at: int  # epoch milliseconds: parked, or sent where the queue itself gave up
    story: Mapping[str, Any]  # status, detail, requestId, attempts, firstAt, lastAt; empty where the queue gave up
    changes: tuple[MembershipChange, ...]  # empty where nobody can read it

    @property
    def is_readable(self) -> bool:
        """Whether the worker could try again."""
        return bool(self.changes)

    @property
    def audience_id(self) -> str | None:
        """The audience, None where nobody can read it."""
        return self.changes[0].audience_id if self.changes else None

    @property
    def members(self) -> list[str]:
        """The external user ids that it is about."""
        return [change.member[1] for change in self.changes]

    def again(self) -> str:
        """Return the body to send round again: without its story, and marked as counted where it was counted."""
        told: dict[str, Any] = json.loads(self.body)
        # A change with a story was counted as parked. Counted again, no sum would come out any more.
        return json.dumps(
            {name: value for name, value in told.items() if name != "parked"} | ({"again": True} if self.story else {}),
            separators=(",", ":"),
        )

    def as_json(self) -> dict[str, Any]:
        """The letter for scripts. Identifiers are hashes already, and still left out."""
        return {
            "id": self.message_id,
            "reason": self.reason,
            "at": self.at,
            "audienceId": self.audience_id,
            "members": self.members,
            **{name: value for name, value in self.story.items() if name != "reason"},
        }


class DeadLetters:
    """The dead letter queue, to look into and to take from."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def count(self) -> int:
        """Return about how many letters there are."""
        answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def look(self, wanted: Callable[[Letter], bool], seen: Callable[[int], None] = lambda _: None) -> list[Letter]:
        """Return the letters that are wanted, oldest first, and give all back."""
        held: list[Letter] = []
        try:
            for letters in self.receive():
                held += letters
                seen(len(letters))
        finally:
            self.give_back(held)
        return sorted(filter(wanted, held), key=lambda letter: letter.at)

    def receive(self) -> Iterator[list[Letter]]:
        """Take letters, batch by batch, until there are no more. The caller gives back what it does not delete."""
        nothing, known = 0, set[str]()
        while nothing < EMPTY_ANSWERS:
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=HELD,
                WaitTimeSeconds=0,
                MessageSystemAttributeNames=["SentTimestamp"],
                MessageAttributeNames=["reason"],
            )
            letters = [letter(message) for message in answer.get("Messages", [])]
            nothing = 0 if letters else nothing + 1
            if not known.isdisjoint(each.message_id for each in letters):
                self.give_back(letters)  # the first ones are visible again: so many letters take longer than HELD
                return
            known.update(each.message_id for each in letters)
            if letters:
                yield letters

    def give_back(self, letters: Sequence[Letter]) -> None:
        """Let letters be seen again at once."""
        for few in _batches(letters):
            entries = [
                {"Id": str(index), "ReceiptHandle": each.receipt, "VisibilityTimeout": 0}
                for index, each in enumerate(few)
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def delete(self, letters: Sequence[Letter]) -> None:
        """Take letters out for good."""
        for few in _batches(letters):
            entries = [{"Id": str(index), "ReceiptHandle": each.receipt} for index, each in enumerate(few)]
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)


def letter(message: Mapping[str, Any]) -> Letter:
    """Read a message as received, whatever it holds."""
    body = message["Body"]
    try:
        changes, story = tuple(ChangeMessage.from_body(body).changes), json.loads(body).get("parked") or {}
    except InvalidMessage:
        changes, story = (), {}
    attribute = message.get("MessageAttributes", {}).get("reason", {}).get("StringValue")
    # Without a story or an attribute, the queue itself moved it: it was received too often.
    reason = story.get("reason") or attribute or ("received_too_often" if changes else "unreadable")
    sent = int(message.get("Attributes", {}).get("SentTimestamp", 0))
    return Letter(
        message["MessageId"], message["ReceiptHandle"], body, reason, int(story.get("lastAt") or sent), story, changes
    )


def _batches(letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    return (letters[start : start + BATCH] for start in range(0, len(letters), BATCH))
