"""Progress of changes that are being followed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import MembershipChange
from audience_sync_cli.stack.settling import End


class Posted(NamedTuple):
    """Time of a request, and the uploads before it."""

    at: float  # epoch seconds by the session's clock
    ahead: float = 0.0  # seconds that the stack's clock is ahead of that
    earlier_jobs: Collection[str] = ()  # ids of jobs known to be of other changes


@dataclass
class Way:
    """The changes of one audience, and their progress."""

    audience_id: str
    changes: Sequence[MembershipChange]
    pending: Sequence[MembershipChange]  # those whose rows are not written yet
    row_at: int | None = None  # epoch milliseconds, to the second
    job_id: str | None = None
    end: End | None = None
    known: list[MemberState] = field(default_factory=list)  # rows whose newest change is the followed one
    newer: list[MemberState] = field(default_factory=list)  # rows with a newer one
    seen: set[str] = field(default_factory=set)  # log lines about parked changes, by id
    last_after: float = 0.0  # seconds at which the last hop was reached
