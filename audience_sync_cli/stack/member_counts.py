"""Counts current and former members of audiences in the membership table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.members.membership import Audience


@dataclass(frozen=True, slots=True)
class MemberCount:
    """The members of one audience."""

    audience: Audience
    inside: int  # their newest change is an entry
    outside: int  # their newest change is an exit, at most 40 days ago; older rows are deleted
    newest_enter: int | None = field(default=None, compare=False)  # epoch milliseconds, of those inside

    def as_json(self) -> dict[str, object]:
        """The numbers for scripts."""
        return {
            "audienceId": self.audience.audience_id,
            "name": self.audience.name,
            "in": self.inside,
            "out": self.outside,
        }


def member_counts(
    scan: MembershipScan, audiences: Sequence[Audience], on_rows: Callable[[int], None]
) -> list[MemberCount]:
    """Count members by reading every row, at half a read unit for 4 KB. Raises Unavailable.

    `on_rows` gets the number of rows of each page.
    """
    counts = []
    for audience in audiences:
        inside = outside = 0
        entered: list[int] = []
        for page in scan.counts(audience.audience_id):
            inside += page.inside
            outside += page.outside
            entered += [] if page.newest_enter is None else [page.newest_enter]
            on_rows(page.inside + page.outside)
        counts.append(MemberCount(audience, inside, outside, max(entered, default=None)))
    return counts
