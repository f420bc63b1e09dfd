"""The outcome of one event: its changes, its rejection, or both."""

from collections.abc import Mapping
from typing import NamedTuple, Self

from audience_sync.errors import RejectedEvent
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.reasons import Reason


class Rejected(NamedTuple):
    """The rejection of an event, or its replacement by the exits of a person who denies consent.

    Not an exception: in a list that its traceback refers to, one would be left to the garbage collector.
    """

    reason: Reason
    detail: str
    field: str | None = None  # the mapped field at fault, if one is
    exits: list[MembershipChange] | None = None  # if the person denies consent: the event is accepted
    audience_id: str | None = None  # of the audience that rejects the event, if it is about one

    @classmethod
    def of(cls, error: RejectedEvent, audience: Audience | None = None) -> Self:
        """Convert an error."""
        return cls(error.reason, error.detail, error.field, audience_id=audience.audience_id if audience else None)


class PartlyRejected(NamedTuple):
    """The changes of an event that some of its audiences accept, and the rejection by each of the others."""

    changes: list[MembershipChange]
    rejections: list[Rejected]


type Outcome = list[MembershipChange] | Rejected | PartlyRejected
"""The outcome of one event."""


def partly_rejected(outcome: list[MembershipChange] | Rejected, by_audience: Mapping[str, Rejected]) -> Outcome:
    """Add the rejections by audiences for which no mapping gives a valid change, if there are others."""
    if isinstance(outcome, Rejected):
        return outcome
    reached = {change.audience_id for change in outcome}
    rejections = [each for audience_id, each in by_audience.items() if audience_id not in reached]
    return PartlyRejected(outcome, rejections) if rejections else outcome
