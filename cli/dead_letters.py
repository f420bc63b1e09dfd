"""Dead letters: read without taking them away, each with its story."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import batched
from math import inf
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from audience_sync.errors import InvalidMessage
from audience_sync.membership import MembershipChange
from audience_sync.messages import ChangeMessage

BATCH = 10  # messages of one call; the limit of SQS
HELD = 300  # seconds for which reading hides messages, should the command die before it gives them back
EMPTY_ANSWERS = 3  # in a row, until a queue counts as empty: a short poll asks some of its servers only
STALE_ANSWERS = 30  # in a row with nothing but letters seen before: they reappear as fast as they can be read
REACH = 50_000  # letters that a look hides at a time; SQS hides 120,000 in all, and others want to read, too


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
            {name: value for name, value in told.items() if name != "failure"}
            | ({"replay": True} if self.story else {}),
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


class Look(NamedTuple):
    """What one look has found."""

    found: list[Letter]
    stopped: str  # why it may not be all; empty where it is


class DeadLetters:
    """The dead letter queue, to look into and to take from."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def count(self) -> int:
        """Return about how many letters there are."""
        answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def look(self, wanted: Callable[[Letter], bool], seen: Callable[[int], None] = lambda _: None) -> Look:
        """Return the letters that are wanted, oldest first, and give all back."""
        found: list[Letter] = []
        with self.reading(reach=REACH) as reading:
            for letters in reading.letters():
                found += filter(wanted, letters)
                seen(len(letters))
        return Look(sorted(found, key=lambda letter: letter.at), reading.stopped)

    @contextmanager
    def reading(self, *, reach: float = inf) -> Iterator["Reading"]:
        """Read the letters once, `reach` of them at most. In the end those that were not deleted are given back."""
        reading = Reading(self._sqs, self._url, reach)
        try:
            yield reading
        finally:
            reading.give_back()


class Reading:
    """One way through the dead letters. What was read is hidden from others, and from this reading, until the end."""

    def __init__(self, sqs: Any, url: str, reach: float) -> None:
        self.stopped = ""  # why not every letter was read; a sentence for the operator
        self._sqs = sqs
        self._url = url
        self._reach = reach
        self._held: dict[str, str] = {}  # message id: receipt; all that would have to be given back

    def letters(self) -> Iterator[list[Letter]]:
        """Take letters, batch by batch, until there are no more, or `stopped` says why it ends before."""
        empty = stale = 0
        while empty < EMPTY_ANSWERS:
            if len(self._held) >= self._reach:
                self.stopped = f"One look reaches {len(self._held):,} letters, and there may be more."
                return
            if stale >= STALE_ANSWERS:
                self.stopped = f"Letters reappear {HELD} seconds after they were read, faster than all could be read."
                return
            received = self._receive()
            if received is None:
                return
            new = [each for each in received if each.message_id not in self._held]
            self._held |= {each.message_id: each.receipt for each in received}
            empty = 0 if received else empty + 1
            stale = stale + 1 if received and not new else 0
            if new:
                yield new

    def delete(self, letters: Sequence[Letter]) -> int:
        """Take letters out for good. Returns how many: SQS may fail for some, which then stay."""
        done = 0
        for few in batched(letters, BATCH, strict=False):
            entries = [{"Id": str(index), "ReceiptHandle": each.receipt} for index, each in enumerate(few)]
            answer = self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
            for each in answer.get("Successful", []):
                self._held.pop(few[int(each["Id"])].message_id, None)
                done += 1
        return done

    def give_back(self) -> None:
        """Let what was read and not deleted be seen again at once."""
        for few in batched(self._held.values(), BATCH, strict=False):
            entries = [
                {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for index, receipt in enumerate(few)
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def _receive(self) -> list[Letter] | None:
        """Ask SQS once. None, and `stopped`, where it hides as many messages as it can."""
        try:
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=HELD,
                WaitTimeSeconds=0,
                MessageSystemAttributeNames=["SentTimestamp"],
                MessageAttributeNames=["reason"],
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "OverLimit":
                raise
            self.stopped = (
                "SQS hides no more letters at a time: that is as far as one look reaches "
                f"({len(self._held):,} read; others that are hidden reappear within {HELD} seconds)."
            )
            return None
        return [letter(message) for message in answer.get("Messages", [])]


def letter(message: Mapping[str, Any]) -> Letter:
    """Read a message as received, whatever it holds."""
    body = message["Body"]
    try:
        changes, story = tuple(ChangeMessage.from_body(body).changes), json.loads(body).get("failure") or {}
    except InvalidMessage:
        changes, story = (), {}
    attribute = message.get("MessageAttributes", {}).get("reason", {}).get("StringValue")
    # Without a story or an attribute, the queue itself moved it: it was received too often.
    reason = story.get("reason") or attribute or ("received_too_often" if changes else "unreadable")
    sent = int(message.get("Attributes", {}).get("SentTimestamp", 0))
    return Letter(
        message["MessageId"], message["ReceiptHandle"], body, reason, int(story.get("lastAt") or sent), story, changes
    )
