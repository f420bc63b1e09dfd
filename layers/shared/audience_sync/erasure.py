"""Steps of a person's erasure, recorded in rows. Pure.

They outlive the identifiers, so that an erasure can be proven for as long as its rows exist.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

MAX_STEPS = 16  # in one row; an erasure takes one or two in each, unless jobs end late or denials of consent repeat


class StepKind(StrEnum):
    """The kind of a step."""

    NOTICE = "notice"  # a deletion notice was recorded, in the row of all audiences
    DENIAL = "denial"  # denied consent was recorded there
    REMOVAL = "removal"  # a job or upload that removed identities has ended
    DELETION = "deletion"  # Ads Data Manager has accepted the deletion of identities in all datasets
    CLOSED = "closed"  # nothing was left to do in any audience; in the row of all audiences
    WAITING = "waiting"  # nothing but Amazon's own deletion, whose time is over at `ended`


class ErasureStep(NamedTuple):
    """One step."""

    kind: StepKind
    # Segment's message id of a notice or denial, Amazon's id of a job, an upload or a request; the note of an operator
    # who has closed the erasure; else empty.
    id: str
    at: int  # epoch milliseconds of the event, or right before the request
    ended: int  # epoch milliseconds at which it was recorded, or counted as ended


def with_step(steps: Sequence[ErasureStep], step: ErasureStep) -> tuple[ErasureStep, ...]:
    """Add a step after the others, unless it is there.

    Beyond MAX_STEPS, drops the oldest of an erasure that was closed, or else the second: the first notice dates it.
    """
    if any((each.kind, each.id, each.at) == (step.kind, step.id, step.at) for each in steps):
        return tuple(steps)
    if len(steps) < MAX_STEPS:
        return (*steps, step)
    dropped = 0 if any(each.kind is StepKind.CLOSED for each in steps) else 1
    return (*steps[:dropped], *steps[dropped + 1 :], step)
