"""Steps of a person's erasure, recorded in rows. Pure.

They outlive the identifiers, so that an erasure can be proven for as long as its rows exist.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

MAX_STEPS = 16  # kept in one row; an erasure takes one or two in each, unless Amazon's jobs end late


class StepKind(StrEnum):
    """The kind of a step."""

    NOTICE = "notice"  # a deletion notice was recorded, in the row of all audiences
    DENIAL = "denial"  # denied consent was recorded there
    REMOVAL = "removal"  # a job or upload that removed identities has ended
    DELETION = "deletion"  # Ads Data Manager has accepted the deletion of identities in all datasets
    CLOSED = "closed"  # every audience was found done, in the row of all audiences
    WAITING = "waiting"  # the same but for Amazon's time, which is over at `ended`


class ErasureStep(NamedTuple):
    """One step."""

    kind: StepKind
    id: str  # Segment's message id of a notice or denial, Amazon's id of a job, an upload or a request; else empty
    at: int  # epoch milliseconds of the event, or right before the request
    ended: int  # epoch milliseconds at which it was recorded, or counted as ended


def with_step(steps: Sequence[ErasureStep], step: ErasureStep) -> tuple[ErasureStep, ...]:
    """Add a step after the others, unless it is there. Drops the oldest beyond MAX_STEPS."""
    if any((each.kind, each.id, each.at) == (step.kind, step.id, step.at) for each in steps):
        return tuple(steps)
    return (*steps, step)[-MAX_STEPS:]
