"""Spread: a deletion notice is recorded once for the person, and spread over the audiences that know the person.

A notice writes one row, whose audience is EVERY_AUDIENCE. It overrides older enters that arrive later, even for people
never seen before. Only audiences with a row of the person get an exit, through the change queue: nothing is sent to
Amazon about strangers.

A worker that read before the notice was written may insert a row of the person until its invocation ends. So each
notice comes back once after that, and is spread over the rows inserted in the meantime.

A notice counts as superseded by its exits, and these count as changes of their own: so the audit finds a lost one.

The same row owns the deletion of the person from datasets (members/erasure/), which the jobs function carries out.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import batched

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.consent import consent_of_exit
from audience_sync.amazon_ads.destination import destination_of_changes
from audience_sync.clock import to_milliseconds
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.report import BatchReport
from audience_sync.errors import TransientError
from audience_sync.members.erasure.planning import DamagedRow, planned
from audience_sync.members.erasure.review import next_review, rows_of
from audience_sync.members.erasure.status import is_closed
from audience_sync.members.erasure_steps import ErasureStep, StepKind, has_end, with_step
from audience_sync.members.member_state import MemberState
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, Member, MembershipChange, coalesce, since
from audience_sync.members.messages import DeliveryHistory, pack
from audience_sync.members.repetitions import deletion_messages
from audience_sync.members.stores import HasTime, MemberRows

ROWS_AT_ONCE = 10_000  # rows read between two checks of the time: 100 requests, a second or two


def with_notices(
    table: MemberRows,
    pending: Mapping[Member, Sequence[MembershipChange]],
    has_time: HasTime = lambda: True,
) -> dict[Member, Sequence[MembershipChange] | TransientError]:
    """Apply deletion notices to the changes of members without a row.

    Args:
        table: of members and notices.
        pending: changes as `coalesce` returns them.
        has_time: checked before each request.

    Returns:
        The changes of each member, with the notice as an exit; none if the newest change is older. An error if the
        notice was not read: there was no time, or the row is damaged.

    Raises:
        Unavailable: the table does not answer.
    """
    notices = table.read_each(((EVERY_AUDIENCE, member[1]) for member in pending), has_time) if pending else {}
    found: dict[Member, Sequence[MembershipChange] | TransientError] = {**pending}
    for member, changes in pending.items():
        state = notices.get((EVERY_AUDIENCE, member[1]))
        if isinstance(state, TransientError):
            found[member] = state
        elif state:
            newest = changes[-1]
            notice = replace(
                state.newest,
                audience_id=newest.audience_id,
                destination=newest.destination,
                consent=consent_of_exit(state.newest.consent, newest.destination),
                erase=True,
            )
            newer = since(changes, notice.version)
            found[member] = coalesce([notice, *newer]) if newer else []
    return found


class DeletionNotices:
    """Records and spreads deletion notices."""

    def __init__(self, context: DeliveryContext, deadline: float, report: BatchReport) -> None:
        """Set up delivery of notices, which count into the report; `deadline` in monotonic seconds."""
        self._context = context
        self._table = context.members
        self._deadline = deadline
        self._report = report

    def batches(self, notices: Sequence[MembershipChange]) -> Iterator[Sequence[MembershipChange]]:
        """Split notices into batches that can be spread at once. Raises Unavailable if the audience table fails."""
        return batched(notices, max(1, ROWS_AT_ONCE // (len(self._context.audiences()) + 1)))

    def spread(
        self, notices: Sequence[MembershipChange], was_tried: Callable[[MembershipChange], bool]
    ) -> dict[Member, TransientError]:
        """Record notices of distinct persons, and queue an exit for each audience that knows the person.

        If a dataset knows the person, the person's deletion is queued as well.

        Args:
            notices: changes of EVERY_AUDIENCE.
            was_tried: whether an earlier attempt may have recorded a notice and stopped there.

        Returns:
            The notices that must come back, with their errors: they are not recorded, or one of the person's rows is
            damaged, which gets its exit when it can be read again.

        Raises:
            Unavailable: a table or the queue does not answer; nothing is certain to be done.
        """
        audiences = self._context.audiences()
        places = [EVERY_AUDIENCE, *(audience.audience_id for audience in audiences)]
        states, damaged = self._table.readable((place, each.member[1]) for each in notices for place in places)
        failed: dict[Member, TransientError] = {each: damaged[each] for each in damaged if each[0] == EVERY_AUDIENCE}
        sound = [each for each in notices if each.member not in failed]
        before = {each.member: states.get(each.member) for each in sound}
        after = {
            each.member: self._with_notice(before[each.member], each, audiences, states, damaged) for each in sound
        }
        failed |= self._write([state for member, state in after.items() if state != before[member]])
        recorded = [each for each in sound if each.member not in failed]
        exits = list(due_exits(states, recorded, audiences))
        queue, at = self._context.queue, self._context.clock.now_ms()
        queue.send(pack(exits, DeliveryHistory(first_at=at)), deadline=self._deadline)
        self._report.accepted[at] += len(exits)
        new = {each.member for each in recorded if _is_new(before.get(each.member), after[each.member])}
        self._report.erasures += len(new)
        reviewed = [each for each in recorded if each.member in new or was_tried(each)]
        waiting: dict[Member, TransientError] = {(EVERY_AUDIENCE, each[1]): error for each, error in damaged.items()}
        again = [each for each in reviewed if each.member not in waiting]  # the others come back in any case
        replay = DeliveryHistory(was_counted=True)
        queue.send(pack(again, replay), deadline=self._deadline, delay=self._context.limits.timings.late)
        reviews = {each.member[1]: at for each in reviewed if (at := next_review(after[each.member]))}
        for body, delay in deletion_messages(reviews, self._context.clock.now()):
            self._context.jobs.send([body], deadline=self._deadline, delay=delay)
        return waiting | failed

    def _with_notice(
        self,
        known: MemberState | None,
        notice: MembershipChange,
        audiences: Sequence[Audience],
        states: Mapping[Member, MemberState],
        damaged: Collection[Member],
    ) -> MemberState:
        """Return the person's row of all audiences with a notice, or a denial of consent, and the plan for it.

        An older notice that arrives late is recorded, and the newest one's deletion covers it: a second deletion could
        only hurt a person who has come back since.
        """
        limits, now = self._context.limits, int(self._context.clock.now())
        state = apply_changes(known, [notice], now=now, timing=limits.timings.audiences).state
        kind = StepKind.DENIAL if notice.denies_consent else StepKind.NOTICE
        step_taken = ErasureStep(kind, notice.message_id, notice.at, to_milliseconds(now))
        state = replace(state, erasure=with_step(state.erasure, step_taken))
        if known and known.plan and notice.version < known.version and not is_closed(known):
            return state
        is_new, may_delete = _is_new(known, state), self._context.deletes_people
        rows = rows_of(notice.member[1], audiences, states, limits.timings.of, has_jobs)
        unread = [
            DamagedRow(each.audience_id, limits.timings.of(each.destination), has_jobs(each.destination))
            for each in audiences
            if (each.audience_id, notice.member[1]) in damaged
        ]
        plan = planned(known, state, rows, now, is_new=is_new, may_delete=may_delete, damaged=unread)
        if not is_new and plan != state.plan and has_end(state.erasure):  # a row without the exit: it had not ended
            state = replace(state, erasure=state.erasure[:-1])
        return replace(state, plan=plan)

    def _write(self, changed: Sequence[MemberState]) -> dict[Member, TransientError]:
        """Write rows. Returns an error for each that is not written."""
        results = zip(changed, self._table.write(changed), strict=True)
        return {state.member: result for state, result in results if isinstance(result, TransientError)}


def _is_new(before: MemberState | None, after: MemberState) -> bool:
    """Return whether a notice is recorded for the first time."""
    return before is None or len(after.erasure) != len(before.erasure) or after.erasure[-1] != before.erasure[-1]


def due_exits(
    states: Mapping[Member, MemberState], notices: Sequence[MembershipChange], audiences: Sequence[Audience]
) -> Iterator[MembershipChange]:
    """Yield an exit from each audience whose row of the person, if there is one, does not reflect the notice yet."""
    for each in notices:
        for audience in audiences:
            state = states.get((audience.audience_id, each.member[1]))
            if state and not state.reflects(each.version, is_dataset=not has_jobs(audience.destination)):
                yield _exit_from(audience, each)


def _exit_from(audience: Audience, notice: MembershipChange) -> MembershipChange:
    destination = destination_of_changes(audience)
    return replace(
        notice,
        audience_id=audience.audience_id,
        destination=destination,
        consent=consent_of_exit(notice.consent, destination),
        erase=True,  # also if the notice was read from its row
    )
