"""Plan: the work that a deletion notice or denied consent leads to, in the person's row of all audiences. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from audience_sync.clock import to_milliseconds
from audience_sync.members.erasure.review import PersonRow, in_effect, last_accepted, next_review
from audience_sync.members.erasure_steps import ErasurePlan, StepKind, notices_in
from audience_sync.members.member_state import MemberState, Timing

FIRST_REVIEW = 2.0  # in units of Timing.late: four minutes after a notice, exits are recorded and older uploads dated


class DamagedRow(NamedTuple):
    """An audience in which the person's row cannot be read: nobody knows what was sent."""

    audience_id: str
    timing: Timing
    has_jobs: bool  # of the audience API; otherwise a dataset


def planned(
    before: MemberState | None,
    everywhere: MemberState,
    rows: Sequence[PersonRow],
    now: int,
    *,
    is_new: bool,
    may_delete: bool,
    damaged: Sequence[DamagedRow] = (),
) -> ErasurePlan | None:
    """Plan the work that a notice leads to, or complete the plan if the notice is spread again.

    Args:
        before: the person's row of all audiences as it was stored.
        everywhere: the same row, with the notice.
        rows: the person's rows in all audiences.
        now: epoch seconds.
        is_new: whether the notice is recorded for the first time.
        may_delete: whether the account may delete people from datasets.
        damaged: the person's other rows. Each audience must show a removal or a deletion, as if it had been sent.

    Returns:
        None if an older version has recorded the notice.
    """
    plan, next_at = everywhere.plan, next_review(before) if before else 0
    if not is_new:
        notice = everywhere.version  # rows inserted by another worker since, or restored, lack its exit
        rows = [row for row in rows if not row.state.reflects(notice, is_dataset=not row.has_jobs)]
        is_over = may_delete and not next_at and any(not row.has_jobs for row in rows)
        without_exit = {*(row.state.member[0] for row in rows), *(row.audience_id for row in damaged)}
        if plan is None or not (is_over or without_exit - plan.known_in):
            return plan
    elif plan is None or len(notices_in(everywhere.erasure)) == 1:  # the first notice of an erasure
        plan = ErasurePlan()
    held_in = {*plan.held_in, *(row.state.member[0] for row in rows if _held_before(row, everywhere))}
    held_in |= {row.audience_id for row in damaged}
    also_in = plan.known_in.union(row.state.member[0] for row in rows) - held_in
    denies = everywhere.newest.denies_consent  # and Amazon ignores removals from datasets
    removing = [row for row in rows if _removes(row.state, everywhere) and (row.has_jobs or not denies)]
    ends = [plan.done_after, now, *(_done_after(row, now) for row in removing)]
    in_datasets = [row for row in rows if not row.has_jobs]
    timings = [row.timing for row in in_datasets] + [row.timing for row in damaged if not row.has_jobs]
    if may_delete and timings:
        soonest = now + FIRST_REVIEW * timings[0].late
        first = round(max([soonest, *(in_effect(row.state, row.timing) for row in in_datasets)]))
        next_at = min(next_at or first, first)
    return ErasurePlan(tuple(sorted(held_in)), tuple(sorted(also_in)), round(max(ends)), next_at)


def _held_before(row: PersonRow, everywhere: MemberState) -> bool:
    """Return whether the audience must show a removal or a deletion.

    A row of a dataset may lose the identities with the exit, since Amazon ignores a removal without consent. A row that
    was restored by an older version lacks them.
    """
    state = row.state
    was_sent = state.enter_sent or state.enters_effective_by
    if not was_sent or state.reflects(everywhere.version, is_dataset=not row.has_jobs):
        return False
    if state.identities:
        return any(each.at <= everywhere.newest.at for each in state.identities)
    ended = (step.at for step in state.erasure if step.kind in (StepKind.REMOVAL, StepKind.DELETION))
    proven = max([0, *ended, *([] if row.has_jobs else [last_accepted([everywhere])])])
    return to_milliseconds(state.enter_sent) > proven


def _removes(state: MemberState, everywhere: MemberState) -> bool:
    """Return whether the exit has anything to remove. Of a member who is out, it also removes newer identities."""
    return any(state.newest.exits or each.at <= everywhere.newest.at for each in state.identities)


def _done_after(row: PersonRow, now: int) -> float:
    """Return the epoch second before which the removal cannot have ended for the last time."""
    last = in_effect(row.state, row.timing) + row.timing.longest_job
    return max(now, last) + row.timing.effective_after
