"""The result of one invocation. Each part of delivery counts into it what it does."""

from collections import Counter
from dataclasses import dataclass, field

from audience_sync.delivery.context import Message
from audience_sync.delivery.uploads import UploadJob
from audience_sync.errors import MovedOn, OutOfTime, RowKey
from audience_sync.members.membership import ChangeOutcome

_ORDINARY = frozenset({OutOfTime.reason, MovedOn.reason})  # nothing has failed: the next invocation continues


@dataclass(frozen=True, slots=True)
class DeferredMessage:
    """A message that stays in the queue, and the seconds for which it should stay invisible."""

    message: Message
    delay: float
    reason: str


@dataclass(slots=True)
class BatchReport:
    """The result of one invocation. Each change has exactly one of the three outcomes, or stays in the queue."""

    outcomes: Counter[ChangeOutcome] = field(default_factory=Counter)
    jobs: list[UploadJob] = field(default_factory=list)  # accepted uploads, one each
    failed_uploads: Counter[str] = field(default_factory=Counter)  # by reason
    counted_from_one: set[str] = field(default_factory=set)  # ids of jobs whose refused records Amazon counts from 1
    requeued: int = 0  # messages sent again with their remaining changes
    deferred: list[DeferredMessage] = field(default_factory=list)
    parked_reasons: Counter[str] = field(default_factory=Counter)  # changes and unreadable messages, by reason
    accepted: Counter[int] = field(default_factory=Counter)  # exits caused by notices, by when they were queued
    erasures: int = 0  # people with a new deletion notice or denial of consent
    completed: Counter[int] = field(default_factory=Counter)  # changes with an outcome, by when they were accepted
    incomplete: set[str] = field(default_factory=set)  # audiences with a change that was parked or goes back
    oldest_deferred: float = 0.0  # age in seconds of the oldest change that goes back after a failed attempt
    oldest_waiting: float = 0.0  # the same, of enters that wait
    waiting: Counter[str] = field(default_factory=Counter)  # enters that wait, by audience
    repeated: Counter[str] = field(default_factory=Counter)  # members for whom something was sent again, by audience
    unknown_fields: Counter[str] = field(default_factory=Counter)  # records with fields not known here, by audience
    left_out: Counter[str] = field(default_factory=Counter)  # identities for which a row has no room, by audience
    unread: set[RowKey] = field(default_factory=set)  # damaged rows, whose members wait

    @property
    def delivered(self) -> int:
        """Changes that Amazon has accepted."""
        return self.outcomes[ChangeOutcome.DELIVERED]

    @property
    def superseded(self) -> int:
        """Changes that a newer change has replaced."""
        return self.outcomes[ChangeOutcome.SUPERSEDED]

    @property
    def parked(self) -> int:
        """Changes sent to the dead letter queue."""
        return self.outcomes[ChangeOutcome.PARKED]

    @property
    def reasons(self) -> Counter[str]:
        """Reasons for parked changes and failed uploads."""
        return self.parked_reasons + self.failed_uploads

    @property
    def has_failures(self) -> bool:
        """Whether anything has failed, so that somebody should know."""
        return bool(self.reasons) or not _ORDINARY.issuperset(each.reason for each in self.deferred)

    def oldest(self, *, is_new_stack: bool) -> tuple[float, float]:
        """Return the seconds since which a change fails, and since which one waits. On a new stack, none fails yet."""
        if is_new_stack and self.oldest_deferred:  # which is not an outage
            return 0.0, max(self.oldest_deferred, self.oldest_waiting)
        return self.oldest_deferred, self.oldest_waiting
