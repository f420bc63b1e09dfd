"""Redrives or deletes dead letters: each message is received once; unmatched ones become visible again."""

import time
from collections.abc import Callable, Sequence
from math import inf

from audience_sync.aws.sqs import Queue
from audience_sync_cli.parked.dead_letters import DeadLetterMessage, DeadLetters, Reader
from audience_sync_cli.screen import counted
from audience_sync_cli.session import Session

SEND_TIMEOUT = 30.0  # seconds for one batch to reach the change queue

type Condition = Callable[[DeadLetterMessage], bool]


class Redrive:
    """Sends dead letters to the change queue.

    Each change is sent once: if its cause is not fixed, it is parked again before the command ends.
    """

    command, label = "parked redrive", "redriving"

    def __init__(self, queue: Queue, is_wanted: Condition, rate: float) -> None:
        self.done = self.unreadable = self.returned = 0  # dead letters; `done` were sent
        self._queue = queue
        self._is_wanted = is_wanted
        self._rate = rate
        self._sent_changes: set[int] = set()  # hashes, because there may be a million changes

    def __call__(self, reader: Reader, messages: Sequence[DeadLetterMessage]) -> bool:
        """Process one batch. Returns whether to continue."""
        wanted = [each for each in messages if self._is_wanted(each)]
        readable = [each for each in wanted if each.is_readable]
        new = [each for each in readable if not self._changes(each) <= self._sent_changes]
        self.unreadable += len(wanted) - len(readable)
        self.returned += len(readable) - len(new)
        if new:
            bodies = [body for each in new for body in each.redrive_bodies()]
            self._queue.send(bodies, deadline=time.monotonic() + SEND_TIMEOUT)
            self.done += len(new)
            self._sent_changes.update(*map(self._changes, new))
            reader.delete(new)
            time.sleep(len(new) / self._rate)
        return True

    @property
    def matched(self) -> int:
        """Number of matching dead letters, redriven or not."""
        return self.done + self.unreadable + self.returned

    def left(self) -> list[str]:
        """Return a sentence about each kind of dead letter left in the queue."""
        sentences = []
        if self.unreadable:
            sentences.append(
                f"{counted(self.unreadable, 'unreadable dead letter')} left; `audience-sync parked drop` deletes them."
            )
        if self.returned:
            sentences.append(
                f"{counted(self.returned, 'dead letter')} left, because this run had already sent the same changes: "
                "they were parked again, or had been parked twice. Fix the cause, then run the command again."
            )
        return sentences

    def _changes(self, message: DeadLetterMessage) -> set[int]:
        return {hash((change.member, change.version)) for change in message.changes}


class Drop:
    """Deletes dead letters."""

    command, label = "parked drop", "dropping"

    def __init__(self, is_wanted: Condition, expected: float = inf) -> None:
        self.matched = self.done = 0
        self._is_wanted = is_wanted
        self._expected = expected

    def __call__(self, reader: Reader, messages: Sequence[DeadLetterMessage]) -> bool:
        """Process one batch. Returns whether to continue."""
        wanted = [each for each in messages if self._is_wanted(each)]
        self.matched += len(wanted)
        self.done += reader.delete(wanted)
        return self.matched < self._expected


def process_dead_letters(session: Session, action: Redrive | Drop) -> str:
    """Run an action over the dead letter queue once, log it, and return why some messages could not be read, if any."""
    dead_letters = DeadLetters.of(session.stack)
    with (
        session.log.line(action.command, deadLetters=0) as line,
        dead_letters.reader() as reader,
        session.screen.progress(action.label, dead_letters.count()) as bar,
    ):
        for messages in reader.batches():
            bar.advance(len(messages))
            goes_on = action(reader, messages)
            line["deadLetters"] = action.done
            if not goes_on:
                break
    if reader.stopped:
        session.screen.note(f"{reader.stopped} Run the command again for the rest.", style="yellow")
    return reader.stopped
