"""The outcome of one event: its changes, its rejection, or both."""

from typing import NamedTuple, Self

from audience_sync.errors import RejectedEvent
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.reasons import Reason


class Rejected(NamedTuple):
    """The rejection of an event, by all its audiences or by one.

    Not an exception: in a list that its traceback refers to, one would be left to the garbage collector.
    """

    reason: Reason
    detail: str
    field: str | None = None  # the mapped field at fault, if one is
    audience_id: str | None = None  # of the audience that rejects the event, if it is about one

    @classmethod
    def of(cls, error: RejectedEvent, audience: Audience | None = None) -> Self:
        """Convert an error."""
        return cls(error.reason, error.detail, error.field, audience_id=audience.audience_id if audience else None)


class PartlyRejected(NamedTuple):
    """The changes of an event that some of its audiences accept, and the rejection by each of the others."""

    changes: list[MembershipChange]
    rejections: list[Rejected]


class Denied(NamedTuple):
    """A denial of consent. The event is accepted: the person leaves every audience."""

    rejection: Rejected
    exits: list[MembershipChange]


type Outcome = list[MembershipChange] | Rejected | PartlyRejected | Denied
"""The outcome of one event. It is ignored if the list is empty."""
