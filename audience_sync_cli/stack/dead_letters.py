"""The dead letter queue: reads without losing a message, and deletes on request."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import batched
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from botocore.exceptions import ClientError

from audience_sync.aws.client_errors import error_code
from audience_sync.errors import InvalidMessage
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.members.membership import MembershipChange
from audience_sync.reasons import PARKED, Reason
from audience_sync_cli.frame import reasons
from audience_sync_cli.frame.screen import iso_time

if TYPE_CHECKING:
    from audience_sync_cli.frame.stacks import Stack

BATCH = 10  # messages of one call; the limit of SQS
VISIBILITY = 300  # seconds for which messages stay hidden if the command dies before making them visible
EMPTY_ANSWERS = 3  # in a row before a queue counts as empty: a short poll asks only some of its servers
STALE_ANSWERS = 30  # in a row with only known messages: they become visible again as fast as they can be read
type Read = Callable[[Mapping[str, Any]], DeadLetterMessage]  # parses a message as SQS returns it
_OF_EVENTS = (Reason.INVALID_REQUEST, Reason.TOO_LARGE)  # in the event queue
REASONS = (*(reason for reason in Reason if reason.effects >= PARKED), *_OF_EVENTS)
MAX_PEEK = 50_000  # messages that one peek hides at a time; SQS hides at most 120,000, and other commands also read


@dataclass(frozen=True, slots=True)
class DeadLetterMessage:
    """One message of the dead letter queue, as received. `reason` is the code it was parked with."""

    destination: ClassVar = "ChangeQueue"  # logical id of the queue for another attempt

    message_id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    reason: str
    at: int  # epoch milliseconds: when it was parked; when it was sent, if SQS itself moved it here
    content: DeadLetter | None = field(repr=False)  # None if the worker could not read it either
    # A later deletion notice names all its people: another attempt would be superseded, and only hashes are left.
    erased: bool = False

    @property
    def changes(self) -> tuple[MembershipChange, ...]:
        """Its changes; empty if it is unreadable."""
        return self.content.changes if self.content else ()

    @property
    def failure(self) -> Mapping[str, Any]:
        """Status, detail, requestId, attempts, firstAt and lastAt; empty if SQS moved it here."""
        return self.content.failure.as_json() if self.content and self.content.failure else {}

    @property
    def remedy(self) -> str:
        """What to do about it, in sentences."""
        return reasons.parked(self.reason, self.changes).remedy

    @property
    def subject(self) -> str:
        """Whom it is about, for a table."""
        return self.members[0] if len(self.members) == 1 else f"{len(self.members)} members"

    @property
    def fingerprints(self) -> set[int]:
        """Hashes of what another attempt would deliver."""
        return {hash((change.member, change.version)) for change in self.changes}

    @property
    def is_readable(self) -> bool:
        """Whether the worker could deliver it."""
        return bool(self.changes)

    @property
    def audience_id(self) -> str | None:
        """The audience; None if the message is unreadable."""
        return self.changes[0].audience_id if self.changes else None

    @property
    def members(self) -> list[str]:
        """The external user ids of its changes."""
        return [change.member[1] for change in self.changes]

    def is_about(self, people: Set[str]) -> bool:
        """Whether a change is about any of these external user ids."""
        return not people.isdisjoint(self.members)

    def redrive_bodies(self) -> list[str]:
        """Return the change messages for another attempt; none if it is unreadable."""
        return self.content.redrive_bodies() if self.content else []

    def as_json(self) -> dict[str, Any]:
        """Return the message for scripts, without identifiers, although they are hashes."""
        return {
            "id": self.message_id,
            "reason": self.reason,
            "at": iso_time(self.at),
            "audienceId": self.audience_id,
            "members": self.members,
            "erased": self.erased,
            **{name: value for name, value in self.failure.items() if name not in ("reason", "firstAt", "lastAt")},
            **{name: iso_time(self.failure[name] or None) for name in ("firstAt", "lastAt") if name in self.failure},
        }


class Peek(NamedTuple):
    """The matching messages."""

    found: list[DeadLetterMessage]
    stopped: str  # why some may be missing; empty if none are


def read_message(message: Mapping[str, Any]) -> DeadLetterMessage:
    """Parse a message as SQS returns it, valid or not."""
    body = message["Body"]
    content = _content(body)
    failure = content.failure if content else None
    attribute = message.get("MessageAttributes", {}).get("reason", {}).get("StringValue")
    # With neither failure nor attribute, SQS itself moved it here: it was received too often.
    moved = Reason.RECEIVED_TOO_OFTEN if content else Reason.UNREADABLE
    reason = (failure.reason if failure else "") or attribute or moved
    sent = int(message.get("Attributes", {}).get("SentTimestamp", 0))
    at = (failure.last_at if failure else 0) or sent
    return DeadLetterMessage(message["MessageId"], message["ReceiptHandle"], body, reason, at, content)


class DeadLetters:
    """The dead letter queue."""

    logical_id = "DeadLetterQueue"
    read: Read = staticmethod(read_message)

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url

    @classmethod
    def of(cls, stack: "Stack") -> Self:
        """Return the dead letter queue of a stack."""
        return cls(stack.service("sqs"), stack[cls.logical_id])

    def count(self) -> int:
        """Return the approximate number of messages."""
        answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def peek(
        self, is_wanted: Callable[[DeadLetterMessage], bool], on_read: Callable[[int], None] = lambda _: None
    ) -> Peek:
        """Return matching messages, oldest first, and leave all in the queue.

        `on_read` is called with the number of messages of each batch.
        """
        found: list[DeadLetterMessage] = []
        with self.reader(limit=MAX_PEEK) as reader:
            for messages in reader.batches():
                found += filter(is_wanted, messages)
                on_read(len(messages))
        return Peek(sorted(found, key=lambda message: message.at), reader.stopped)

    @contextmanager
    def reader(self, *, limit: float = inf) -> Iterator["Reader"]:
        """Read the queue once, at most `limit` messages. At the end, messages not deleted become visible again."""
        reader = Reader(self._sqs, self._url, limit, self.read)
        try:
            yield reader
        finally:
            reader.make_visible()


class Reader:
    """Reads the queue once. Messages it has read stay hidden, from other readers also, until the end."""

    def __init__(self, sqs: Any, url: str, limit: float, read: Read) -> None:
        self.stopped = ""  # why some messages were not read; a sentence for the operator
        self._sqs = sqs
        self._url = url
        self._limit = limit
        self._read = read
        self._receipts: dict[str, str] = {}  # by message id: all messages hidden and not deleted

    def batches(self) -> Iterator[list[DeadLetterMessage]]:
        """Receive messages in batches until there are no more, or until `stopped` says why it ends early."""
        empty = stale = 0
        while empty < EMPTY_ANSWERS:
            if len(self._receipts) >= self._limit:
                self.stopped = f"Only {len(self._receipts):,} dead letters were read, and there may be more."
                return
            if stale >= STALE_ANSWERS:
                self.stopped = (
                    f"Dead letters become visible again after {VISIBILITY} seconds, "
                    "and not all could be read within that time."
                )
                return
            received = self._receive()
            if received is None:
                return
            new = [each for each in received if each.message_id not in self._receipts]
            self._receipts |= {each.message_id: each.receipt for each in received}
            empty = 0 if received else empty + 1
            stale = stale + 1 if received and not new else 0
            if new:
                yield new

    def delete(self, messages: Sequence[DeadLetterMessage]) -> int:
        """Delete messages. Returns the number deleted: SQS may fail for some, which then stay."""
        deleted = 0
        for batch in batched(messages, BATCH, strict=False):
            entries = [{"Id": str(index), "ReceiptHandle": each.receipt} for index, each in enumerate(batch)]
            answer = self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
            for each in answer.get("Successful", []):
                self._receipts.pop(batch[int(each["Id"])].message_id, None)
                deleted += 1
        return deleted

    def make_visible(self) -> None:
        """Make the messages that were read and not deleted visible at once."""
        for batch in batched(self._receipts.values(), BATCH, strict=False):
            entries = [
                {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for index, receipt in enumerate(batch)
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def _receive(self) -> list[DeadLetterMessage] | None:
        """Receive one batch. Returns None, and sets `stopped`, if SQS has as many messages in flight as it allows."""
        try:
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=VISIBILITY,
                WaitTimeSeconds=0,
                MessageSystemAttributeNames=["SentTimestamp"],
                MessageAttributeNames=["reason"],
            )
        except ClientError as error:
            if error_code(error) != "OverLimit":
                raise
            self.stopped = (
                f"Only {len(self._receipts):,} dead letters were read: the queue has as many messages in flight as SQS "
                f"allows. Messages held by other readers become visible again within {VISIBILITY} seconds."
            )
            return None
        return [self._read(message) for message in answer.get("Messages", [])]


def _content(body: str) -> DeadLetter | None:
    try:
        return DeadLetter.from_body(body)
    except InvalidMessage:
        return None
