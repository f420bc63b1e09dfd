"""One way through the dead letters: each is received once, acted on and deleted; all others are given back."""

import time
from collections.abc import Callable, Sequence
from math import inf

from audience_sync.aws.sqs import Queue
from cli.dead_letters import DeadLetters, Letter, Reading
from cli.session import Session

DEADLINE = 30.0  # seconds for one batch to reach the change queue

type Wanted = Callable[[Letter], bool]


class Redrive:
    """Sends letters round again. A change goes once: while its cause is not mended, it is back before the way ends."""

    def __init__(self, queue: Queue, wanted: Wanted, rate: float) -> None:
        """Hand in the change queue, which letters are meant, and how many may go a second."""
        self.sent = self.unreadable = self.returned = 0  # letters
        self._queue = queue
        self._wanted = wanted
        self._rate = rate
        self._gone: set[int] = set()  # digests of the changes that were sent; there may be a million

    def __call__(self, reading: Reading, letters: Sequence[Letter]) -> bool:
        """Take one batch. Returns whether to go on."""
        mine = [each for each in letters if self._wanted(each)]
        readable = [each for each in mine if each.is_readable]
        going = [each for each in readable if not self._changes(each) <= self._gone]
        self.unreadable += len(mine) - len(readable)
        self.returned += len(readable) - len(going)
        if going:
            self._queue.send([each.again() for each in going], deadline=time.monotonic() + DEADLINE)
            self.sent += len(going)
            self._gone.update(*map(self._changes, going))
            reading.delete(going)
            time.sleep(len(going) / self._rate)
        return True

    def _changes(self, letter: Letter) -> set[int]:
        return {hash((change.member, change.version)) for change in letter.changes}


class Drop:
    """Deletes letters for good."""

    def __init__(self, wanted: Wanted, expected: float = inf) -> None:
        """Hand in which letters are meant, and after how many the way may end."""
        self.matched = self.dropped = 0
        self._wanted = wanted
        self._expected = expected

    def __call__(self, reading: Reading, letters: Sequence[Letter]) -> bool:
        """Take one batch. Returns whether to go on."""
        mine = [each for each in letters if self._wanted(each)]
        self.matched += len(mine)
        self.dropped += reading.delete(mine)
        return self.matched < self._expected


def through(session: Session, letters: DeadLetters, label: str, act: Redrive | Drop) -> str:
    """Go through the dead letters once. Tells and returns why not all could be read; empty where they were."""
    with letters.reading() as reading, session.screen.progress(label, letters.count()) as bar:
        for received in reading.letters():
            bar.advance(len(received))
            if not act(reading, received):
                break
    if reading.stopped:
        session.screen.note(f"{reading.stopped} Repeat it for the rest.", style="yellow")
    return reading.stopped
