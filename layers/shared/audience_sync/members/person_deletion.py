"""The deletion of a person from all datasets, for which Amazon is asked by id: whether, when, and its effect. Pure.

The person's row of all audiences owns it. Amazon is asked if a dataset was sent an enter since it last accepted a
deletion of the person, once no enter from before the notice can take effect afterwards. A plain exit asks for nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from audience_sync.clock import CLOCKS_APART, to_milliseconds, to_seconds
from audience_sync.members.erasure import ErasurePlan, ErasureStep, StepKind, notices_in, with_step
from audience_sync.members.member_state import MemberState, Timing

AT_THE_LATEST = 86_400  # seconds after a notice was recorded: exits that are recorded later are not waited for
CHECK_AGAIN = 900  # seconds until rows that lack the exit are read again
_NO_ID = "-"  # Amazon gives a deletion no id


class PersonRow(NamedTuple):
    """The person's row in one audience."""

    state: MemberState
    timing: Timing
    has_jobs: bool  # of the audience API; otherwise a dataset


def planned(
    everywhere: MemberState, rows: Sequence[PersonRow], now: int, *, is_new: bool, may_delete: bool
) -> ErasurePlan | None:
    """Plan the work that a notice leads to, or complete the plan if it is spread again.

    Args:
        everywhere: the person's row of all audiences, with the notice.
        rows: the person's rows in all audiences.
        now: epoch seconds.
        is_new: whether the notice is recorded for the first time.
        may_delete: whether there are datasets, and the account may delete people from them.

    Returns:
        None if an older version has recorded the notice.
    """
    plan = everywhere.plan
    if not is_new:  # rows that another worker has inserted meanwhile; those with the exit held nothing before
        notice = everywhere.version
        rows = [row for row in rows if not row.state.reflects(notice, is_dataset=not row.has_jobs)]
        if plan is None or {row.state.member[0] for row in rows} <= plan.known_in:
            return plan
    elif plan is None or len(notices_in(everywhere.erasure)) == 1:  # the first notice of an erasure
        plan = ErasurePlan()
    held_in = {*plan.held_in, *(row.state.member[0] for row in rows if _held_before(row, everywhere))}
    also_in = plan.known_in.union(row.state.member[0] for row in rows) - held_in
    denies = bool(everywhere.newest.record.get("userConsent"))  # and Amazon ignores removals from datasets
    removing = [row for row in rows if _removes(row.state, everywhere) and (row.has_jobs or not denies)]
    ends = [plan.done_after, now, *(_done_after(row, now) for row in removing)]
    in_effect = [_in_effect(row) for row in rows if not row.has_jobs]
    due = round(max([now, *in_effect])) if may_delete and (held_in or also_in) else 0
    return ErasurePlan(tuple(sorted(held_in)), tuple(sorted(also_in)), round(max(ends)), due)


def next_request(everywhere: MemberState, rows: Iterable[MemberState], now: float) -> float | None:
    """Return the epoch second at which Amazon is to be asked to delete a person, or the rows are to be read again.

    Args:
        everywhere: the person's row of all audiences.
        rows: the person's rows in the datasets that knew the person when the notice was recorded.
        now: epoch seconds.

    Returns:
        None if Amazon need not be asked. It is due if it is not after `now`.
    """
    if everywhere.plan is None or not everywhere.plan.deletion_due:
        return None
    rows = list(rows)
    due, accepted, notice = everywhere.plan.deletion_due, last_accepted([everywhere, *rows]), everywhere.version
    recorded = _recorded(everywhere)
    lacking = [state for state in rows if not state.reflects(notice, is_dataset=True)]
    if accepted >= recorded:  # asked at the latest time, before some exits were recorded
        since = to_seconds(accepted)
        late = [state.enters_end for state in rows if state.left == notice and state.enters_end > since]
        return max([due, *late]) if late else None
    latest = to_seconds(recorded) + AT_THE_LATEST
    if lacking and now < latest:
        return min(latest, now + CHECK_AGAIN)
    if rows and not any(_may_have_entered_since(accepted, state) for state in rows):
        return None
    if not rows and accepted:
        return None
    return max(due, min(latest, max((state.enters_end for state in rows), default=0)))


def last_accepted(rows: Iterable[MemberState]) -> int:
    """Return when the last accepted deletion was asked for, in epoch milliseconds; 0 if none was.

    Until November 2026, the rows of the datasets held it.
    """
    return max((step.at for state in rows for step in state.erasure if step.kind is StepKind.DELETION), default=0)


def claimed(everywhere: MemberState, until: float) -> MemberState:
    """Keep others from asking before an epoch second: several messages may name one person."""
    plan = everywhere.plan and everywhere.plan._replace(deletion_due=round(until))
    return replace(everywhere, plan=plan)


def with_deletion(everywhere: MemberState, asked: int, now: int) -> MemberState:
    """Record an accepted deletion. Times are in epoch milliseconds; `asked` is right before the request."""
    return replace(
        everywhere, erasure=with_step(everywhere.erasure, ErasureStep(StepKind.DELETION, _NO_ID, asked, now))
    )


def enters_wait_until(everywhere: MemberState, rows: Iterable[MemberState], timing: Timing) -> float:
    """Return the epoch second before which no dataset is sent an enter of a person, however soon Amazon is asked.

    A row that had an exit newer than a late notice does not wait for the notice.
    """
    return min([to_seconds(_recorded(everywhere)) + timing.after_notice, *(each.removals_end for each in rows)])


def entered_again(state: MemberState, asked: float, timing: Timing) -> MemberState:
    """Count a deletion as a removal, so that a member of a dataset who was entered before it is entered again.

    Enters wait for a deletion, but not for ever.

    Args:
        state: the person's row in a dataset.
        asked: epoch seconds; right before the request.
        timing: how long Amazon may take.
    """
    if state.newest.exits or state.entered > asked + CLOCKS_APART or state.removals_end >= asked:
        return state
    return replace(state, removals_end=round(asked + timing.effective_after))


def _recorded(everywhere: MemberState) -> int:
    """Return when the newest notice was recorded, in epoch milliseconds; an older one may be recorded after it."""
    return max(notices_in(everywhere.erasure), key=lambda notice: notice.at).ended


def _held_before(row: PersonRow, everywhere: MemberState) -> bool:
    """Return whether the audience must show a removal or a deletion.

    A row of the audience API keeps the identities until the removal has ended, so it needs no other proof. A row of a
    dataset may lose them with the exit, since Amazon ignores a removal without consent. A row that was restored by an
    older version lacks them.
    """
    state = row.state
    was_sent = state.entered or state.enters_end
    if not was_sent or state.reflects(everywhere.version, is_dataset=not row.has_jobs):
        return False
    if state.identities:
        return not row.has_jobs and any(each.at <= everywhere.newest.at for each in state.identities)
    ended = (step.at for step in state.erasure if step.kind in (StepKind.REMOVAL, StepKind.DELETION))
    proven = max([0, *ended, *([] if row.has_jobs else [last_accepted([everywhere])])])
    return to_milliseconds(state.entered) > proven


def _may_have_entered_since(accepted: int, state: MemberState) -> bool:
    since = to_seconds(accepted)
    return state.entered > max(0, since - CLOCKS_APART) or state.enters_end > since


def _removes(state: MemberState, everywhere: MemberState) -> bool:
    """Return whether the exit has anything to remove. Of a member who is out, it also removes newer identities."""
    return any(state.newest.exits or each.at <= everywhere.newest.at for each in state.identities)


def _in_effect(row: PersonRow) -> float:
    """Return the epoch second by which the last enter has taken effect."""
    return row.state.entered + row.timing.effective_after if row.state.entered else 0


def _done_after(row: PersonRow, now: int) -> float:
    """Return the epoch second before which the removal cannot have ended for the last time."""
    last = _in_effect(row) + row.timing.longest_job
    return max(now, last) + row.timing.effective_after
