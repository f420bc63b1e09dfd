"""Tells Amazon again who is in, before it drops them: a member goes when the audience's time to live has passed.

Amazon counts from when a member was added, and says nowhere whether adding one again starts the count anew; its advice
to refresh audiences every week makes sense only if so. What is sent is the newest change as it stands, through the
change queue, as a repetition: the worker finds out whether it still is the newest, and it counts as nothing new.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from audience_sync.amazon_ads.audience_settings import MAX_TTL
from audience_sync.aws.membership_scan import Cursor, MembershipScan
from audience_sync.membership import Audience, DeliveryHistory, MembershipChange, pack

LONGEST_MARGIN = 14 * 86_400  # seconds before the end; as many runs may fail
MAX_WAITING = 1_000  # messages in the change queue; at 300 changes each, a minute or two for five workers
PAUSE = 5.0  # seconds between two looks at a queue that has enough to do
RESERVE = 30.0  # seconds kept back to send a last page, note where it ended and tell


class ChangeQueue(Protocol):
    """The queue that the worker takes from."""

    def send(self, bodies: Sequence[str], *, deadline: float) -> None:
        """Store all bodies. Raises Unavailable unless all are stored."""

    def waiting(self) -> int:
        """Return how many messages there are, about. Raises Unavailable."""


class Clock(NamedTuple):
    """Time, as it is handed in."""

    now: Callable[[], float]  # epoch seconds
    monotonic: Callable[[], float]  # seconds
    sleep: Callable[[float], None]  # seconds


@dataclass(slots=True)
class Report:
    """What one run came to."""

    audiences: int = 0  # read to their end
    rows: int = 0  # read
    renewed: int = 0  # changes queued
    reason: str | None = None  # why it stopped before the end


def is_renewed(audience: Audience) -> bool:
    """Tell whether an audience's members are told again."""
    return audience.settings.get("renew") is True


def renewal_age(audience: Audience) -> int:
    """Return the age at which a member is told again: seconds since Amazon was last told."""
    ttl: int = audience.settings.get("ttl", MAX_TTL)
    return ttl - min(LONGEST_MARGIN, ttl // 2)


class Renewal:
    """One run through all audiences; where it stops, the next one goes on."""

    def __init__(self, entries: MembershipScan | None, queue: ChangeQueue, clock: Clock) -> None:
        """Hand in the collaborators; no entries where the membership table is not kept."""
        self._entries = entries
        self._queue = queue
        self._clock = clock

    def run(self, audiences: Sequence[Audience], *, deadline: float) -> Report:
        """Queue every member who is due.

        Args:
            audiences: all that are listed; those without the setting are left alone.
            deadline: monotonic seconds at which the function is stopped.

        Raises:
            Unavailable: queue or table did not do its part. What was queued is queued, and the next run sees it.
        """
        report = Report()
        wanted = sorted(filter(is_renewed, audiences), key=lambda audience: audience.audience_id)
        if not wanted:
            return report
        if self._entries is None:
            report.reason = "unguarded"  # what is left in the table may be long outdated: people who have left, too
            return report
        if self._queue.waiting() > MAX_WAITING:
            # What waits there may well be the last run's: none of it would carry a new date yet.
            report.reason = "queue_behind"
            return report
        begun = self._entries.bookmark()
        place = self._go_through(self._entries, _from(wanted, begun), begun, report, deadline - RESERVE)
        if place != begun:
            self._entries.save_cursor(place)
        return report

    def _go_through(
        self,
        entries: MembershipScan,
        audiences: Sequence[Audience],
        begun: Cursor | None,
        report: Report,
        deadline: float,
    ) -> Cursor | None:
        """Work through audiences from where the last run stopped. Returns where this one does, None at the end."""
        for audience in audiences:
            is_begun = begun is not None and begun.audience_id == audience.audience_id
            place = begun if is_begun else Cursor(audience.audience_id)
            while place is not None:
                if self._clock.monotonic() >= deadline:
                    report.reason = "out_of_time"
                    return place
                page = entries.last_sent_before(round(self._clock.now()) - renewal_age(audience), place)
                report.rows += page.rows
                if page.changes:
                    if not self._has_room(deadline):
                        report.reason = "queue_behind"
                        return place
                    self._queue.send(_messages(audience, page.changes), deadline=deadline + RESERVE)
                    report.renewed += len(page.changes)
                place = page.next
            report.audiences += 1
        return None

    def _has_room(self, deadline: float) -> bool:
        """Wait for the queue to have room: what Segment tells meanwhile should not have to stand behind all of this."""
        while self._queue.waiting() > MAX_WAITING:
            if self._clock.monotonic() + PAUSE >= deadline:
                return False
            self._clock.sleep(PAUSE)
        return True


def _from(audiences: Sequence[Audience], begun: Cursor | None) -> Sequence[Audience]:
    """Leave out the audiences that the last run has read; none where it has read them all."""
    left = [audience for audience in audiences if begun is None or audience.audience_id >= begun.audience_id]
    return left or audiences


def _messages(audience: Audience, changes: Sequence[MembershipChange]) -> list[str]:
    """Lay changes out as repetitions, to where the audience goes by now: its targets may have changed since."""
    going = [
        replace(change, connection_id=audience.connection_id, target_types=audience.target_types) for change in changes
    ]
    return pack(going, DeliveryHistory(again=True))
