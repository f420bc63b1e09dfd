"""Deletion notices: each is recorded once for the person, and spread over the audiences that know the person.

A notice writes one row, whose audience is EVERY_AUDIENCE. By it an older enter loses that arrives later, also where
nothing was known of the person. Only audiences with a row of the person get an exit, through the change queue: nothing
is sent to Amazon about strangers.

A worker that has read no notice may insert a row of the person until its invocation ends. So each notice comes back
once, after that, and is spread over what has been inserted meanwhile.

A notice counts as superseded by the exits that it leads to, and these count as changes of their own: so the audit finds
one that is lost.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import batched

from audience_sync.amazon_ads.destination import of_changes
from audience_sync.aws.membership_table import HasTime, MembershipTable
from audience_sync.delivery.context import DeliveryContext
from audience_sync.errors import OutOfTime, TransientError, Unavailable
from audience_sync.member_step import step
from audience_sync.membership import EVERY_AUDIENCE, Audience, Member, MembershipChange, coalesce, since
from audience_sync.messages import DeliveryHistory, pack

ROWS_AT_ONCE = 10_000  # rows that are read between two looks at the time: 100 requests, a second or two


def with_notices(
    table: MembershipTable,
    pending: Mapping[Member, Sequence[MembershipChange]],
    has_time: HasTime = lambda: True,
) -> dict[Member, Sequence[MembershipChange]]:
    """Return what the changes of members without a row come to, given the deletion notices about these persons.

    Args:
        table: of members and notices.
        pending: changes as `coalesce` returns them.
        has_time: asked before each request.

    Returns:
        The changes of each member, with the notice as the exit that it is; none where the newest is older. Members for
        whom there is no time are left out.

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
                erase=True,
            )
            newer = since(changes, notice.version)
            found[member] = coalesce([notice, *newer]) if newer else ()
    return found


class DeletionNotices:
    """Records and spreads deletion notices."""

    def __init__(self, context: DeliveryContext, table: MembershipTable, deadline: float) -> None:
        """Take the collaborators; `deadline` in monotonic seconds."""
        self.accepted: Counter[int] = Counter()  # exits that were queued, by epoch millisecond
        self._context = context
        self._table = table
        self._deadline = deadline

    def batches(self, notices: Sequence[MembershipChange]) -> Iterator[Sequence[MembershipChange]]:
        """Cut notices into as many as can be spread at once. Raises Unavailable: the audience table does not answer."""
        return batched(notices, max(1, ROWS_AT_ONCE // (len(self._context.audiences()) + 1)))

    def spread(
        self, notices: Sequence[MembershipChange], was_tried: Callable[[MembershipChange], bool]
    ) -> dict[Member, TransientError]:
        """Record notices of distinct persons, and queue an exit for each audience that knows the person.

        Args:
            notices: changes of EVERY_AUDIENCE.
            was_tried: whether an earlier attempt at a notice may have recorded it, and stopped there.

        Returns:
            Which notices are not recorded, and why.

        Raises:
            Unavailable: a table or the queue does not answer; nothing is done for certain.
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
        """Write the row of each person. Returns whose row is new, and whose is not written."""
        states = self._table.read(each.member for each in notices)
        now = int(self._context.clock.now())
        timing = self._context.limits.timing
        steps = [step(states.get(each.member), [each], now=now, timing=timing) for each in notices]
        newer = [each.state for each in steps if each.writes]
        results = self._table.write(newer)
        failed = {
            state.member: result
            for state, result in zip(newer, results, strict=True)
            if isinstance(result, TransientError)
        }
        return {state.member for state in newer}, failed


def due_exits(
    table: MembershipTable, notices: Sequence[MembershipChange], audiences: Sequence[Audience]
) -> Iterator[MembershipChange]:
    """Yield an exit from each audience in which the person's row does not follow the notice yet. Raises Unavailable."""
    states = table.read((audience.audience_id, each.member[1]) for each in notices for audience in audiences)
    for each in notices:
        for audience in audiences:
            state = states.get((audience.audience_id, each.member[1]))
            if state and not state.follows(each.version):
                yield _exit_from(audience, each)


def _exit_from(audience: Audience, notice: MembershipChange) -> MembershipChange:
    return replace(
        notice,
        audience_id=audience.audience_id,
        destination=of_changes(audience),
        erase=True,  # also of a notice that was read from its row
    )
