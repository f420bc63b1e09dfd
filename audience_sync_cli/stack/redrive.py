"""Redrives or deletes dead letters: each message is received once; unmatched ones become visible again."""

import time
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING

from audience_sync.aws.sqs import Queue
from audience_sync_cli.frame.screen import counted
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.dead_letters import DeadLetterMessage, DeadLetters, Reader

if TYPE_CHECKING:
    from audience_sync_cli.frame.operator_log import Line  # loads boto3, which completion must not

RATE = 50.0  # dead letters a second
SEND_TIMEOUT = 30.0  # seconds for one batch to reach the change queue

type Condition = Callable[[DeadLetterMessage], bool]


class Redrive:
    """Sends dead letters to the queue that they come from.

    Each change is sent once: if its cause is not fixed, it is parked again before the command ends.
    """

    command, label = "parked redrive", "redriving"

    def __init__(self, queue_of: Callable[[str], Queue], is_wanted: Condition) -> None:
        self.done = self.unreadable = self.returned = 0  # dead letters; `done` were sent
        self._queue_of = queue_of  # by logical id
        self._is_wanted = is_wanted
        self._sent: set[int] = set()  # hashes, because there may be a million changes

    def __call__(self, reader: Reader, messages: Sequence[DeadLetterMessage]) -> bool:
        """Process one batch. Returns whether to continue."""
        wanted = [each for each in messages if self._is_wanted(each)]
        readable = [each for each in wanted if each.is_readable]
        new = [each for each in readable if not each.fingerprints <= self._sent]
        self.unreadable += len(wanted) - len(readable)
        self.returned += len(readable) - len(new)
        if new:
            bodies = [body for each in new for body in each.redrive_bodies()]
            self._queue_of(new[0].destination).send(bodies, deadline=time.monotonic() + SEND_TIMEOUT)  # of one reader
            self.done += len(new)
            self._sent.update(*(each.fingerprints for each in new))
            reader.delete(new)
            time.sleep(len(new) / RATE)
        return True

    @property
    def matched(self) -> int:
        """Number of matching dead letters, redriven or not."""
        return self.done + self.unreadable + self.returned

    @property
    def result(self) -> str:
        """The work done, in a sentence."""
        return f"{counted(self.done, 'dead letter')} redriven." if self.matched else "No dead letters match."

    def left(self) -> list[str]:
        """Return a sentence about each kind of dead letter left in the queue."""
        sentences = []
        if self.unreadable:
            sentences.append(
                f"{counted(self.unreadable, 'unreadable dead letter')} left, which no redrive can send. To delete: "
                "`audience-sync parked drop --help`."
            )
        if self.returned:
            sentences.append(
                f"{counted(self.returned, 'dead letter')} left, because this run had already sent the same changes: "
                "they were parked again, or had been parked twice. Fix the cause, then run the command again."
            )
        return sentences


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


def process_dead_letters(
    dead_letters: DeadLetters, action: Redrive | Drop, line: "Line", on_read: Callable[[int], None] = lambda _: None
) -> str:
    """Run an action over the dead letter queue once. Returns why some messages could not be read, if any.

    `line` of the operator log gets the number processed so far; `on_read` the number of messages of each batch.
    """
    with dead_letters.reader() as reader:
        for messages in reader.batches():
            on_read(len(messages))
            goes_on = action(reader, messages)
            line["deadLetters"] = action.done
            if not goes_on:
                break
    return reader.stopped


def run_command(session: Session, action: Redrive | Drop, queues: Sequence[DeadLetters]) -> str:
    """Run an action as a command. Returns as `process_dead_letters`, and prints it as a note."""
    with (
        session.log.line(action.command, deadLetters=0) as line,
        session.screen.progress(action.label, sum(each.count() for each in queues)) as bar,
    ):
        stopped = " ".join(filter(None, [process_dead_letters(each, action, line, bar.advance) for each in queues]))
    if stopped:
        session.screen.note(f"{stopped} Run the command again for the rest.", style="yellow")
    return stopped
