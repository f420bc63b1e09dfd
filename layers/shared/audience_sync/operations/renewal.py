"""Renewal: re-sends active members before their TTL expires.

Amazon removes a member when the audience's TTL has passed since the member was added. It does not say whether adding a
member again restarts the count; its advice to refresh audiences every week makes sense only if so. The newest change is
sent as it is, through the change queue, as a replay: the worker checks whether it is still the newest, and it is not
counted again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from audience_sync.amazon_ads.advertiser_audiences.audience_settings import MAX_TTL
from audience_sync.amazon_ads.destination import destination_of_changes, is_known
from audience_sync.aws.checkpoint import Checkpoint
from audience_sync.aws.membership_scan import Cursor, MembershipScan
from audience_sync.clock import Clock
from audience_sync.errors import RowKey
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.members.messages import DeliveryHistory, pack
from audience_sync.members.stores import MessageQueue
from audience_sync.reasons import Reason

DAY = 86_400  # seconds between two runs
LATE = 6 * 3_600  # seconds; a run, the delivery of its changes and Amazon's jobs may take so long
# Before the TTL expires: fourteen runs may fail, and the next one is up to a day later.
LONGEST_MARGIN = 15 * DAY + LATE
# Messages in the change queue, also those that Lambda is gathering: a minute of 160 events a second. If all were the
# renewal's, with 300 changes each, five workers would need ten minutes.
MAX_WAITING = 10_000
POLL_INTERVAL = 5.0  # seconds between two counts of a change queue that is too full
RESERVE = 30.0  # seconds kept to send a last page, save the cursor and report


class ChangeQueue(MessageQueue, Protocol):
    """The change queue."""

    def waiting(self) -> int:
        """Return about how many messages are visible or in flight. Raises Unavailable."""


@dataclass(slots=True)
class RenewalReport:
    """The result of one run."""

    audiences: int = 0  # read to their end
    rows: int = 0  # read
    renewed: int = 0  # changes queued
    unread: set[RowKey] = field(default_factory=set)  # damaged rows, whose members are not renewed
    unknown: int = 0  # audiences of an API that this version does not know; their replays would only be parked
    reason: Reason | None = None  # why it stopped before the end


def is_renewed(audience: Audience) -> bool:
    """Return whether an audience's active members are re-sent."""
    return audience.settings.get("renew") is True


def renewal_age(audience: Audience) -> int:
    """Return the seconds after which a member is re-sent."""
    ttl: int = audience.settings.get("ttl", MAX_TTL)
    return ttl - min(LONGEST_MARGIN, ttl // 2 + DAY + LATE)


class Renewal:
    """One run through all audiences. The next one continues from the point where this one stops."""

    def __init__(self, scan: MembershipScan, checkpoint: Checkpoint, queue: ChangeQueue, clock: Clock) -> None:
        self._scan = scan
        self._checkpoint = checkpoint
        self._queue = queue
        self._clock = clock

    def run(self, audiences: Sequence[Audience], *, deadline: float) -> RenewalReport:
        """Queue every due member.

        Args:
            audiences: all listed ones; those without the setting are skipped.
            deadline: monotonic seconds at which Lambda stops the function.

        Raises:
            Unavailable: queue or table failed. Queued changes stay queued, and the next run finds their new dates.
        """
        report = RenewalReport()
        asked = [each for each in audiences if is_renewed(each)]
        wanted = sorted((each for each in asked if is_known(each.destination)), key=lambda each: each.audience_id)
        report.unknown = len(asked) - len(wanted)
        if not wanted:
            self._save(None)
            return report
        if self._queue.waiting() > MAX_WAITING:
            # These may be messages of the last run, whose members do not have their new dates yet.
            report.reason = Reason.QUEUE_BEHIND
            return report
        begun = self._cursor()
        cursor = self._run_from(_from(wanted, begun), begun, report, deadline - RESERVE)
        self._save(cursor)
        return report

    def _run_from(
        self, audiences: Sequence[Audience], begun: Cursor | None, report: RenewalReport, deadline: float
    ) -> Cursor | None:
        """Continue from the last run's position. Returns the position at which this one stops, None at the end."""
        for audience in audiences:
            is_begun = begun is not None and begun.audience_id == audience.audience_id
            cursor = begun if is_begun else Cursor(audience.audience_id)
            while cursor is not None:
                if self._clock.monotonic() >= deadline:
                    report.reason = Reason.OUT_OF_TIME
                    return cursor
                page = self._scan.last_sent_before(round(self._clock.now()) - renewal_age(audience), cursor)
                report.rows += page.rows
                report.unread |= {error.key for error in page.unread.values()}
                if page.changes:
                    if not self._has_room(deadline):
                        report.reason = Reason.QUEUE_BEHIND
                        return cursor
                    self._queue.send(_messages(audience, page.changes), deadline=deadline + RESERVE)
                    report.renewed += len(page.changes)
                cursor = page.next
            report.audiences += 1
        return None

    def _has_room(self, deadline: float) -> bool:
        """Wait for room in the queue, so that Segment's changes do not wait behind all of these."""
        while self._queue.waiting() > MAX_WAITING:
            if self._clock.monotonic() + POLL_INTERVAL >= deadline:
                return False
            self._clock.sleep(POLL_INTERVAL)
        return True

    def _cursor(self) -> Cursor | None:
        position = self._checkpoint.position()
        if "audience" not in position:
            return None
        return Cursor(position["audience"], int(position.get("shard", "0")), position.get("after"))

    def _save(self, cursor: Cursor | None) -> None:
        """Save where the next run continues, or when this pass was completed, in epoch seconds: the audit reads it."""
        position: dict[str, str | None] = {"completed": str(int(self._clock.now()))}
        if cursor is not None:
            position = {"completed": self._checkpoint.position().get("completed"), "audience": cursor.audience_id}
            position |= {"shard": str(cursor.shard), "after": cursor.after}
        self._checkpoint.save({name: value for name, value in position.items() if value is not None})


def _from(audiences: Sequence[Audience], begun: Cursor | None) -> Sequence[Audience]:
    """Return the audiences that the last run has not read; all of them if it has read every one."""
    left = [audience for audience in audiences if begun is None or audience.audience_id >= begun.audience_id]
    return left or audiences


def _messages(audience: Audience, changes: Sequence[MembershipChange]) -> list[str]:
    """Build replays of changes, to the audience's current destination."""
    current = [replace(change, destination=destination_of_changes(audience)) for change in changes]
    return pack(current, DeliveryHistory(was_counted=True))
