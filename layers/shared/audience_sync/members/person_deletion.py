"""The deletion of a person from all datasets, for which Amazon is asked by id: whether, when, and its effect. Pure.

The plan in the person's row of all audiences has one appointment, the time of the next look at the person. A notice
makes it, and only a look decides: it writes the time of the next one, 0 if none is left, or asks Amazon. Nobody else
derives from rows whether Amazon is to be asked. A plain exit asks for nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from audience_sync.clock import CLOCKS_APART, to_milliseconds, to_seconds
from audience_sync.members.erasure import ErasurePlan, ErasureStep, StepKind, has_end, notices_in, with_step
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.membership import Version

# In units of Timing.late, two minutes as deployed: a local stack shortens all of them with it.
AT_THE_LATEST = 720.0  # a day after a notice was recorded: until then, a look waits for exits and enters
LOOK_AGAIN = 7.5  # a quarter of an hour until rows that lack the exit are read again
WITHOUT_EXIT = 180.0  # six hours until then, once Amazon has accepted the deletion
FIRST_LOOK = 2.0  # four minutes after a notice: the exits are recorded, and older uploads are dated

CLAIM = 300  # seconds for which nobody else asks: longer than an invocation may last
_NO_ID = "-"  # Amazon gives a deletion no id


class PersonRow(NamedTuple):
    """The person's row in one audience."""

    state: MemberState
    timing: Timing
    has_jobs: bool  # of the audience API; otherwise a dataset


class Look(NamedTuple):
    """The decision of a look: Amazon is asked now, or there is another look."""

    next_look: int  # epoch seconds; 0: none is left
    asks: bool = False


def planned(
    before: MemberState | None,
    everywhere: MemberState,
    rows: Sequence[PersonRow],
    now: int,
    *,
    is_new: bool,
    may_delete: bool,
) -> ErasurePlan | None:
    """Plan the work that a notice leads to, or complete the plan if the notice is spread again.

    Args:
        before: the person's row of all audiences as it was stored.
        everywhere: the same row, with the notice.
        rows: the person's rows in all audiences.
        now: epoch seconds.
        is_new: whether the notice is recorded for the first time.
        may_delete: whether the account may delete people from datasets.

    Returns:
        None if an older version has recorded the notice.
    """
    plan, appointment = everywhere.plan, next_look(before) if before else 0
    if (
        not is_new
    ):  # rows that another worker has inserted meanwhile, or that are restored; those with the exit are known
        notice = everywhere.version
        rows = [row for row in rows if not row.state.reflects(notice, is_dataset=not row.has_jobs)]
        is_over = may_delete and not appointment and any(not row.has_jobs for row in rows)
        if plan is None or not (is_over or {row.state.member[0] for row in rows} - plan.known_in):
            return plan
    elif plan is None or len(notices_in(everywhere.erasure)) == 1:  # the first notice of an erasure
        plan = ErasurePlan()
    held_in = {*plan.held_in, *(row.state.member[0] for row in rows if _held_before(row, everywhere))}
    also_in = plan.known_in.union(row.state.member[0] for row in rows) - held_in
    denies = bool(everywhere.newest.record.get("userConsent"))  # and Amazon ignores removals from datasets
    removing = [row for row in rows if _removes(row.state, everywhere) and (row.has_jobs or not denies)]
    ends = [plan.done_after, now, *(_done_after(row, now) for row in removing)]
    in_datasets = [row for row in rows if not row.has_jobs]
    if may_delete and in_datasets:
        soonest = now + FIRST_LOOK * in_datasets[0].timing.late
        first = round(max([soonest, *(_in_effect(row.state, row.timing) for row in in_datasets)]))
        appointment = min(appointment or first, first)
    return ErasurePlan(tuple(sorted(held_in)), tuple(sorted(also_in)), round(max(ends)), appointment)


def next_look(everywhere: MemberState) -> int:
    """Return the epoch second of the next look at a person; 0 if nothing is left to ask.

    Until December 2026, plans kept a time after the erasure had ended.
    """
    return everywhere.plan.next_look if everywhere.plan and not has_end(everywhere.erasure) else 0


def is_past_due(everywhere: MemberState, now: float) -> bool:
    """Return whether the next look at a person is due; `now` in epoch seconds."""
    return 0 < next_look(everywhere) <= now


def look(everywhere: MemberState, rows: Sequence[MemberState | None], now: float, timing: Timing) -> Look:
    """Decide whether Amazon is asked now to delete a person, or when to look again.

    Args:
        everywhere: the person's row of all audiences.
        rows: the person's rows in the datasets of the plan; None for one that is lost.
        now: epoch seconds.
        timing: of datasets.
    """
    notice, recorded = everywhere.version, to_seconds(_recorded(everywhere))
    known = [state for state in rows if state]
    accepted, latest = to_seconds(last_accepted([everywhere, *known])), recorded + AT_THE_LATEST * timing.late
    was_asked = accepted >= recorded
    lacks_exit = not all(state.reflects(notice, is_dataset=True) for state in known)
    dated = max((state.ended + timing.late for state in known), default=0.0)  # older uploads under way, by then
    if now < latest and (lacks_exit or now < dated):
        return Look(round(min(latest, now + LOOK_AGAIN * timing.late if lacks_exit else dated)))
    in_effect = max((_in_effect_by(state, notice, recorded, timing, was_asked=was_asked) for state in rows), default=0)
    if in_effect <= accepted:
        return Look(round(now + WITHOUT_EXIT * timing.late) if lacks_exit else 0)
    due = in_effect if was_asked else min(in_effect, latest)
    return Look(round(due)) if now < due else Look(round(now) + CLAIM, asks=True)


def last_accepted(rows: Iterable[MemberState]) -> int:
    """Return when the last accepted deletion was asked for, in epoch milliseconds; 0 if none was.

    Until November 2026, the rows of the datasets held it.
    """
    return max((step.at for state in rows for step in state.erasure if step.kind is StepKind.DELETION), default=0)


def with_next_look(everywhere: MemberState, at: int) -> MemberState:
    """Write the appointment, in epoch seconds; 0 if nothing is left to ask."""
    return replace(everywhere, plan=everywhere.plan and everywhere.plan._replace(next_look=at))


def with_deletion(
    everywhere: MemberState,
    claim: MemberState,
    rows: Sequence[MemberState | None],
    asked: int,
    now: int,
    timing: Timing,
) -> MemberState:
    """Record an accepted deletion, and the next look unless a notice has come meanwhile, which has made its own.

    Args:
        everywhere: the person's row of all audiences as it is now.
        claim: as it was before the request.
        rows: as `look` read them.
        asked: epoch milliseconds; right before the request.
        now: epoch milliseconds.
        timing: of datasets.
    """
    accepted = ErasureStep(StepKind.DELETION, _NO_ID, asked, now)
    after = replace(everywhere, erasure=with_step(everywhere.erasure, accepted))
    if (everywhere.plan, everywhere.version) != (claim.plan, claim.version):
        return after
    return with_next_look(after, look(after, rows, to_seconds(now), timing).next_look)


def enters_wait_until(everywhere: MemberState, rows: Iterable[MemberState | None], timing: Timing) -> float:
    """Return the epoch second before which no dataset is sent an enter of a person, however soon Amazon is asked.

    A row that had an exit newer than a late notice does not wait for the notice.
    """
    waits = (each.removals_end for each in rows if each)
    return min([to_seconds(_recorded(everywhere)) + timing.after_notice, *waits])


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

    A row of a dataset may lose the identities with the exit, since Amazon ignores a removal without consent. A row that
    was restored by an older version lacks them.
    """
    state = row.state
    was_sent = state.entered or state.enters_end
    if not was_sent or state.reflects(everywhere.version, is_dataset=not row.has_jobs):
        return False
    if state.identities:
        return any(each.at <= everywhere.newest.at for each in state.identities)
    ended = (step.at for step in state.erasure if step.kind in (StepKind.REMOVAL, StepKind.DELETION))
    proven = max([0, *ended, *([] if row.has_jobs else [last_accepted([everywhere])])])
    return to_milliseconds(state.entered) > proven


def _removes(state: MemberState, everywhere: MemberState) -> bool:
    """Return whether the exit has anything to remove. Of a member who is out, it also removes newer identities."""
    return any(state.newest.exits or each.at <= everywhere.newest.at for each in state.identities)


def _in_effect(state: MemberState, timing: Timing) -> float:
    """Return the epoch second by which the last enter has taken effect; 0 if none was sent."""
    return state.entered + timing.effective_after if state.entered else 0


def _in_effect_by(
    state: MemberState | None, notice: Version, recorded: float, timing: Timing, *, was_asked: bool
) -> float:
    """Return the epoch second by which the enters from before a notice have taken effect; 0 if there were none.

    `entered` of a row with the exit is not read: it may be of a person who is back. Once Amazon was asked, a row with
    an exit after the notice does not count: that has ended a later life.
    """
    if state is None:  # lost: it may have been sent until then
        return recorded
    if not state.reflects(notice, is_dataset=True):
        return max(state.enters_end, _in_effect(state, timing))
    ended_later_life = state.left is not None and state.left > notice
    return 0 if was_asked and ended_later_life else state.enters_end


def _done_after(row: PersonRow, now: int) -> float:
    """Return the epoch second before which the removal cannot have ended for the last time."""
    last = _in_effect(row.state, row.timing) + row.timing.longest_job
    return max(now, last) + row.timing.effective_after
