"""The review of a person: whether and when Amazon is asked to delete it from all datasets, by id. Pure.

The plan in the person's row of all audiences has the time of the next review of the person. A notice sets it, and only
a review decides: it writes the time of the next one, 0 if none is left, or asks Amazon. No other code derives from rows
whether Amazon is to be asked. A plain exit asks for nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from audience_sync.clock import to_seconds
from audience_sync.members.erasure_steps import ErasureStep, StepKind, has_end, notices_in, with_step
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.membership import Audience, Destination, Member, Version

# In units of Timing.late, two minutes as deployed: a local stack shortens all of them with it.
AT_THE_LATEST = 720.0  # a day after a notice was recorded: until then, a review waits for exits and enters
REVIEW_AGAIN = 7.5  # a quarter of an hour until rows that lack the exit are read again
WITHOUT_EXIT = 180.0  # six hours until then, once Amazon has accepted the deletion

CLAIM = 300  # seconds for which nobody else asks: longer than an invocation may last
_NO_ID = "-"  # Amazon gives a deletion no id


class PersonRow(NamedTuple):
    """The person's row in one audience."""

    state: MemberState
    timing: Timing
    has_jobs: bool  # of the audience API; otherwise a dataset


def rows_of(
    person: str,
    audiences: Iterable[Audience],
    states: Mapping[Member, MemberState],
    timing_of: Callable[[Destination], Timing],
    has_jobs: Callable[[Destination], bool],
) -> list[PersonRow]:
    """Return the person's rows among some states."""
    return [
        PersonRow(state, timing_of(audience.destination), has_jobs(audience.destination))
        for audience in audiences
        if (state := states.get((audience.audience_id, person)))
    ]


class Review(NamedTuple):
    """The decision of a review: ask Amazon now, or review again later."""

    next_review: int  # epoch seconds; 0: none is left
    asks: bool = False


def next_review(everywhere: MemberState) -> int:
    """Return the epoch second of a person's next review; 0 if nothing is left to ask.

    Until December 2026, plans kept a time after the erasure had ended.
    """
    return everywhere.plan.next_review if everywhere.plan and not has_end(everywhere.erasure) else 0


def is_past_due(everywhere: MemberState, now: float) -> bool:
    """Return whether a person's next review is due; `now` in epoch seconds."""
    return 0 < next_review(everywhere) <= now


def review(everywhere: MemberState, rows: Sequence[MemberState | None], now: float, timing: Timing) -> Review:
    """Decide whether Amazon is asked now to delete a person, or when the next review is.

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
    dated = max((state.exit_recorded + timing.late for state in known), default=0.0)  # older uploads under way, by then
    if now < latest and (lacks_exit or now < dated):
        return Review(round(min(latest, now + REVIEW_AGAIN * timing.late if lacks_exit else dated)))
    in_effect = max((_in_effect_by(state, notice, recorded, timing, was_asked=was_asked) for state in rows), default=0)
    if in_effect <= accepted:
        return Review(round(now + WITHOUT_EXIT * timing.late) if lacks_exit else 0)
    due = in_effect if was_asked else min(in_effect, latest)
    return Review(round(due)) if now < due else Review(round(now) + CLAIM, asks=True)


def last_accepted(rows: Iterable[MemberState]) -> int:
    """Return when the last accepted deletion was asked for, in epoch milliseconds; 0 if none was.

    Until November 2026, the rows of the datasets held it.
    """
    return max((step.at for state in rows for step in state.erasure if step.kind is StepKind.DELETION), default=0)


def with_next_review(everywhere: MemberState, at: int) -> MemberState:
    """Write the time of the next review, in epoch seconds; 0 if nothing is left to ask."""
    return replace(everywhere, plan=everywhere.plan and everywhere.plan._replace(next_review=at))


def with_deletion(
    everywhere: MemberState,
    claim: MemberState,
    rows: Sequence[MemberState | None],
    asked: int,
    now: int,
    timing: Timing,
) -> MemberState:
    """Record an accepted deletion, and the next review unless a notice has come since, which has set its own.

    Args:
        everywhere: the person's row of all audiences as it is now.
        claim: as it was before the request.
        rows: as `review` read them.
        asked: epoch milliseconds; right before the request.
        now: epoch milliseconds.
        timing: of datasets.
    """
    accepted = ErasureStep(StepKind.DELETION, _NO_ID, asked, now)
    after = replace(everywhere, erasure=with_step(everywhere.erasure, accepted))
    if (everywhere.plan, everywhere.version) != (claim.plan, claim.version):
        return after
    return with_next_review(after, review(after, rows, to_seconds(now), timing).next_review)


def enters_wait_until(everywhere: MemberState, rows: Iterable[MemberState | None], timing: Timing) -> float:
    """Return the epoch second before which no dataset is sent an enter of a person, however soon Amazon is asked.

    A row that had an exit newer than a late notice does not wait for the notice.
    """
    waits = (each.removals_effective_by for each in rows if each)
    return min([to_seconds(_recorded(everywhere)) + timing.after_notice, *waits])


def after_deletion(state: MemberState, asked: float, timing: Timing) -> MemberState:
    """Count an accepted deletion as a removal: an enter waits until it has taken effect, or is sent again then.

    Args:
        state: the person's row in a dataset.
        asked: epoch seconds; right before the request.
        timing: how long Amazon may take.
    """
    in_effect_by = round(asked + timing.effective_after)
    return replace(state, removals_effective_by=max(state.removals_effective_by, in_effect_by))


def _recorded(everywhere: MemberState) -> int:
    """Return when the newest notice was recorded, in epoch milliseconds; an older one may be recorded after it."""
    return max(notices_in(everywhere.erasure), key=lambda notice: notice.at).ended


def in_effect(state: MemberState, timing: Timing) -> float:
    """Return the epoch second by which the last enter has taken effect; 0 if none was sent."""
    return state.enter_sent + timing.effective_after if state.enter_sent else 0


def _in_effect_by(
    state: MemberState | None, notice: Version, recorded: float, timing: Timing, *, was_asked: bool
) -> float:
    """Return the epoch second by which the enters from before a notice have taken effect; 0 if there were none.

    `enter_sent` of a row with the exit is not read: it may be of a person who is back. Once Amazon was asked, a row
    with an exit after the notice does not count: that has ended a later life.
    """
    if state is None:  # lost: it may have been sent until then
        return recorded
    if not state.reflects(notice, is_dataset=True):
        return max(state.enters_effective_by, in_effect(state, timing))
    ended_later_life = state.last_exit is not None and state.last_exit > notice
    return 0 if was_asked and ended_later_life else state.enters_effective_by
