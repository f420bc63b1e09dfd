"""How many changes may count twice: those that faults have left in the change queue a second time."""

from collections.abc import Iterable

from audience_sync.errors import InvalidMessage
from audience_sync.members.messages import ChangeMessage


class Recounts:
    """An upper bound: what is left twice need not be completed twice."""

    def __init__(self) -> None:
        self.changes = 0
        self.is_unanswered = False  # a request to SQS is applied, and its answer is lost

    def add(self, bodies: Iterable[str], times: int = 1) -> None:
        """Take messages of the change queue that are there twice, or stay after they have completed."""
        for body in bodies:
            try:
                read = ChangeMessage.from_body(body)
            except InvalidMessage:
                continue
            self.changes += times * len(read.changes) * (not read.history.was_counted)
