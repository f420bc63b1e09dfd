"""Message counts of the queues, and the sum of all changes."""

from dataclasses import dataclass

from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.stacks import Stack

_DEPTHS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


@dataclass(frozen=True, slots=True)
class Depth:
    """Approximate numbers of messages in one queue."""

    visible: int
    in_work: int  # received and not yet deleted; SQS calls them not visible
    delayed: int

    @property
    def total(self) -> int:
        """All messages of the queue."""
        return self.visible + self.in_work + self.delayed


@dataclass(frozen=True, slots=True)
class EventQueueDepth:
    """Approximate numbers of messages in the event queue, received ones also: one that failed returns after minutes."""

    messages: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals since the stack was created, or of the last hours. Changes, unless the name says otherwise."""

    events_accepted: int = 0
    events_ignored: int = 0
    events_rejected: int = 0
    accepted: int = 0
    delivered: int = 0
    superseded: int = 0
    parked: int = 0
    uploads: int = 0
    uploads_failed: int = 0  # refused by Amazon, or without a usable answer
    repeated: int = 0  # records sent again, since another upload may have taken effect later
    unaccounted: int = 0  # changes that the audit has found missing; `waiting` includes them
    counted_twice: int = 0  # completed again after a worker was stopped, or after SQS had delivered them twice
    unauthorized: int = 0  # requests with a credential that does not match, or Segment's without any

    def __post_init__(self) -> None:
        """Count as twice what is more than was accepted, before the audit does."""
        object.__setattr__(self, "counted_twice", max(self.counted_twice, self._completed - self.accepted))

    @property
    def waiting(self) -> int:
        """Accepted changes that are not completed yet."""
        return self.accepted + self.counted_twice - self._completed

    @property
    def on_their_way(self) -> int:
        """Accepted changes that are not completed yet, without those that the audit has found missing."""
        return max(0, self.waiting - self.unaccounted)

    def parked_since(self, dead_letters: int) -> str:
        """Return how many parked changes are dead letters no more, in words; empty if none: for `status` and the page.

        A parked change is one dead letter, and stays counted as parked. One that is parked again is counted once.
        """
        gone = self.parked - dead_letters
        return f"{gone:,} redriven, dropped or expired" if gone > 0 else ""

    def sum(self, dead_letters: int | None) -> str:
        """Return the sum that adds up, in words; of the last hours without the number of dead letters."""
        missing = self.waiting - self.on_their_way
        since = "" if dead_letters is None else self.parked_since(dead_letters)
        return (
            f"{self.accepted:,} accepted = {self.delivered:,} delivered + {self.superseded:,} superseded + "
            f"{self.parked:,} parked{f' ({since})' if since else ''} + {self.on_their_way:,} waiting"
            + (f" + {missing:,} unaccounted for" if missing else "")
            + (f" - {self.counted_twice:,} counted twice" if self.counted_twice else "")
        )

    @property
    def _completed(self) -> int:
        return self.delivered + self.superseded + self.parked


def depth(stack: Stack, logical_id: str) -> Depth:
    """Read how many messages a queue holds."""
    answer = stack.service("sqs").get_queue_attributes(QueueUrl=stack[logical_id], AttributeNames=list(_DEPTHS))
    return Depth(*(int(answer["Attributes"][name]) for name in _DEPTHS))


def event_queue_depth(stack: Stack) -> EventQueueDepth | None:
    """Read how many messages the event queue and its dead letter queue hold. None without EventQueue=yes."""
    names = ("EventsQueue", "EventsDeadLetterQueue")
    return EventQueueDepth(*(depth(stack, name).total for name in names)) if stack.event_queue else None


def waiting_text(
    counts: Counts, queue: Depth, events: EventQueueDepth | None = None, *, is_needed: bool = False
) -> str:
    """Return the sentence, without its period, about what waits: the same in `status` and on the page.

    If anything needs a person, it does not say that all is completed.
    """
    if events and events.messages:
        held = f"{counted(events.messages, 'message')} (if it does not empty, see OldestEventAge in docs/runbook.md)"
        return f"{waiting_text(counts, queue, is_needed=is_needed)}; the event queue holds {held}"
    changes, messages = counted(counts.on_their_way, "change"), counted(queue.total, "message")
    if not (counts.accepted or counts.waiting):
        return "No change was accepted"
    if counts.on_their_way < queue.total:
        others = "redriven, sent again, or not counted yet"
        return f"{changes} waiting; the change queue holds {messages}: other changes in it are {others}"
    if counts.on_their_way == 0:
        return "No change is waiting" if is_needed else "Every accepted change is completed"
    if queue.total:
        return f"{changes} waiting in {messages} of the change queue"
    return f"{changes} not completed, but the change queue is empty: counts may lag by a few minutes"
