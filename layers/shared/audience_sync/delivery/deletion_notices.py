"""Deletion notices: each is recorded once for the person, and spread over the audiences that know the person.

A notice writes one row, whose audience is EVERY_AUDIENCE. It overrides older enters that arrive later, even for people
never seen before. Only audiences with a row of the person get an exit, through the change queue: nothing is sent to
Amazon about strangers.

A worker that read before the notice was written may insert a row of the person until its invocation ends. So each
notice comes back once after that, and is spread over the rows inserted meanwhile.

A notice counts as superseded by its exits, and these count as changes of their own: so the audit finds a lost one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import batched

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.destination import of_changes
from audience_sync.amazon_ads.record import exit_record
from audience_sync.aws.membership_table import HasTime, MembershipTable
from audience_sync.delivery.context import DeliveryContext
from audience_sync.erasure import ErasureStep, StepKind, with_step
from audience_sync.errors import OutOfTime, TransientError, Unavailable
from audience_sync.member_state import MemberState
from audience_sync.member_step import step
from audience_sync.membership import EVERY_AUDIENCE, Audience, Member, MembershipChange, coalesce, since
from audience_sync.messages import DeliveryHistory, pack

ROWS_AT_ONCE = 10_000  # rows read between two checks of the time: 100 requests, a second or two


def with_notices(
    table: MembershipTable,
    pending: Mapping[Member, Sequence[MembershipChange]],
    has_time: HasTime = lambda: True,
) -> dict[Member, Sequence[MembershipChange]]:
    """Apply deletion notices to the changes of members without a row.

    Args:
        table: of members and notices.
        pending: changes as `coalesce` returns them.
        has_time: checked before each request.

    Returns:
        The changes of each member, with the notice as an exit; none if the newest change is older. Members are left
        out if there is no time for them.

    Raises:
        Unavailable: the table does not answer, or a notice cannot be read.
    """
    notices = table.read_each(((EVERY_AUDIENCE, member[1]) for member in pending), has_time) if pending else {}
    found = dict(pending)
    for member, changes in pending.items():
        state = notices.get((EVERY_AUDIENCE, member[1]))
        if isinstance(state, Unavailable):
            raise state
        if isinstance(state, OutOfTime):
            del found[member]
        elif state:
            newest = changes[-1]
            notice = replace(
                state.newest,
                audience_id=newest.audience_id,
                destination=newest.destination,
                record=exit_record(state.newest.record, newest.destination),
                erase=True,
            )
            newer = since(changes, notice.version)
            found[member] = coalesce([notice, *newer]) if newer else ()
    return found


class DeletionNotices:
    """Records and spreads deletion notices."""

    def __init__(self, context: DeliveryContext, table: MembershipTable, deadline: float) -> None:
        """Set up delivery of notices; `deadline` in monotonic seconds."""
        self.accepted: Counter[int] = Counter()  # exits that were queued, by epoch millisecond
        self._context = context
        self._table = table
        self._deadline = deadline

    def batches(self, notices: Sequence[MembershipChange]) -> Iterator[Sequence[MembershipChange]]:
        """Split notices into batches that can be spread at once. Raises Unavailable if the audience table fails."""
        return batched(notices, max(1, ROWS_AT_ONCE // (len(self._context.audiences()) + 1)))

    def spread(
        self, notices: Sequence[MembershipChange], was_tried: Callable[[MembershipChange], bool]
    ) -> dict[Member, TransientError]:
        """Record notices of distinct persons, and queue an exit for each audience that knows the person.

        Args:
            notices: changes of EVERY_AUDIENCE.
            was_tried: whether an earlier attempt may have recorded a notice and stopped there.

        Returns:
            The notices that are not recorded, with their errors.

        Raises:
            Unavailable: a table or the queue does not answer; nothing is certain to be done.
        """
        new, failed = self._record(notices)
        recorded = [each for each in notices if each.member not in failed]
        exits = list(due_exits(self._table, recorded, self._context.audiences()))
        queue, at = self._context.queue, self._context.clock.now_ms()
        queue.send(pack(exits, DeliveryHistory(first_at=at)), deadline=self._deadline)
        self.accepted[at] += len(exits)
        again = [each for each in recorded if each.member in new or was_tried(each)]
        replay = DeliveryHistory(is_replay=True)
        queue.send(pack(again, replay), deadline=self._deadline, delay=self._context.limits.late)
        return failed

    def _record(self, notices: Sequence[MembershipChange]) -> tuple[set[Member], dict[Member, TransientError]]:
        """Write the row of each person. Returns the members whose row is new, and errors for rows not written."""
        states = self._table.read(each.member for each in notices)
        now = int(self._context.clock.now())
        timing = self._context.limits.timing
        steps = [step(states.get(each.member), [each], now=now, timing=timing) for each in notices]
        noted = [_noted(each.state, notice, now * 1000) for each, notice in zip(steps, notices, strict=True)]
        changed = [state for state, each in zip(noted, steps, strict=True) if each.writes or state != each.state]
        results = self._table.write(changed)
        failed = {
            state.member: result
            for state, result in zip(changed, results, strict=True)
            if isinstance(result, TransientError)
        }
        return {each.state.member for each in steps if each.writes}, failed


def _noted(state: MemberState, notice: MembershipChange, now: int) -> MemberState:
    """Record a notice, or a denial of consent, as a step; `now` in epoch milliseconds."""
    kind = StepKind.DENIAL if notice.record.get("userConsent") else StepKind.NOTICE
    return replace(state, erasure=with_step(state.erasure, ErasureStep(kind, notice.message_id, notice.at, now)))


def due_exits(
    table: MembershipTable, notices: Sequence[MembershipChange], audiences: Sequence[Audience]
) -> Iterator[MembershipChange]:
    """Yield an exit from each audience whose row of the person does not reflect the notice yet. Raises Unavailable."""
    states = table.read((audience.audience_id, each.member[1]) for each in notices for audience in audiences)
    for each in notices:
        for audience in audiences:
            state = states.get((audience.audience_id, each.member[1]))
            # A notice also removes from datasets that the person has entered since.
            if state and not state.reflects(each.version, deletes_everywhere=not has_jobs(audience.destination)):
                yield _exit_from(audience, each)


def _exit_from(audience: Audience, notice: MembershipChange) -> MembershipChange:
    destination = of_changes(audience)
    return replace(
        notice,
        audience_id=audience.audience_id,
        destination=destination,
        record=exit_record(notice.record, destination),
        erase=True,  # also if the notice was read from its row
    )
