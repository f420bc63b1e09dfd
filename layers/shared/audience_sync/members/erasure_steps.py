"""Steps of a person's erasure, and its plan, recorded in rows. Pure.

They outlive the identifiers, so that an erasure can be proven for as long as its rows exist.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from audience_sync.clock import EpochMilliseconds, EpochSeconds

MAX_STEPS = 16  # in one row; an erasure takes one or two in each, unless jobs end late or denials of consent repeat


class StepKind(StrEnum):
    """The kind of a step."""

    NOTICE = "notice"  # a deletion notice was recorded, in the row of all audiences
    DENIAL = "denial"  # denied consent was recorded there
    REMOVAL = "removal"  # a job or upload that removed identities has ended
    DELETION = "deletion"  # Amazon has accepted the person's deletion from all datasets; until November 2026, in theirs
    CLOSED = "closed"  # nothing was left to do in any audience; in the row of all audiences
    WAITING = "waiting"  # nothing but Amazon's own deletion, whose time is over at `ended`


class ErasureStep(NamedTuple):
    """One step."""

    kind: StepKind
    # Segment's message id of a notice or denial, Amazon's id of a job, an upload or a request; the note of an operator
    # who has closed the erasure; else empty.
    id: str
    at: EpochMilliseconds  # of the event, or right before the request
    ended: EpochMilliseconds  # at which it was recorded, or counted as ended


class ErasurePlan(NamedTuple):
    """The work that the newest notice or denial led to, in the row of all audiences."""

    # Ids of the audiences with a row of the person when it was recorded.
    held_in: tuple[str, ...] = ()  # Amazon may have held the person: each must show a removal or a deletion
    also_in: tuple[str, ...] = ()
    done_after: EpochSeconds = 0  # before, the removals cannot all have ended
    next_review: EpochSeconds = 0  # of the person, which decides whether to ask Amazon for a deletion; 0: none is left

    @property
    def known_in(self) -> set[str]:
        """All these audiences; none if nobody knew the id."""
        return {*self.held_in, *self.also_in}


def with_step(steps: Sequence[ErasureStep], step: ErasureStep) -> tuple[ErasureStep, ...]:
    """Add a step after the others, unless it is there.

    Beyond MAX_STEPS, drops the oldest of an erasure that was closed, or else the second: the first notice dates it. The
    last accepted deletion stays: without it, Amazon would be asked again.
    """
    if any((each.kind, each.id, each.at) == (step.kind, step.id, step.at) for each in steps):
        return tuple(steps)
    if len(steps) < MAX_STEPS:
        return (*steps, step)
    first = 0 if any(each.kind is StepKind.CLOSED for each in steps) else 1
    kept = max((place for place, each in enumerate(steps) if each.kind is StepKind.DELETION), default=None)
    dropped = first + (first == kept)
    return (*steps[:dropped], *steps[dropped + 1 :], step)


def has_end(steps: Sequence[ErasureStep]) -> bool:
    """Return whether the newest erasure was recorded as closed, or as done but for Amazon's time."""
    return bool(steps) and steps[-1].kind in (StepKind.CLOSED, StepKind.WAITING)


def notices_in(steps: Sequence[ErasureStep]) -> tuple[ErasureStep, ...]:
    """Return the notices and denials of the newest erasure, in the order in which they were recorded."""
    notices: tuple[ErasureStep, ...] = ()
    was_closed = False
    for step in steps:
        if step.kind in (StepKind.NOTICE, StepKind.DENIAL):
            notices = (step,) if was_closed else (*notices, step)
        was_closed = step.kind is StepKind.CLOSED
    return notices
