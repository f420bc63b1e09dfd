"""What the end of a job means for each of its members: whether it took effect, and what has to be sent again. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from audience_sync.amazon_ads.job import JobReport
from audience_sync.member_state import MemberState
from audience_sync.membership import MembershipChange, Version
from audience_sync.messages import JobMember, JobMessage


class Rejection(NamedTuple):
    """One record that took no effect."""

    member: JobMember
    reason: str
    detail: str


def is_concerned(message: JobMessage, report: JobReport | None, member: JobMember) -> bool:
    """Return whether the end of the job may mean anything for a member. Costs nothing where jobs end well, in time."""
    if message.is_late or member.erases:
        return True
    return report is not None and (report.has_failed or member.member in report.rejected)


def rejected_change(member: JobMember, state: MemberState) -> MembershipChange | None:
    """Return the change that a rejected record was about, None where a newer one has made it moot."""
    version = Version.from_text(member.version)
    if member.removes:
        # A removal is not moot while what it was to remove is still known.
        return state.removal() if state.to_remove and state.left and state.left.at <= version.at else None
    return state.change() if state.version == version and not state.newest.exits else None


def contradicting(member: JobMember, state: MemberState, sent_at: int) -> MembershipChange | None:
    """Return what to send once more after a late job, None where the newest change says the same as the job.

    Args:
        member: as the job's message lists it.
        state: as the table holds it now.
        sent_at: epoch milliseconds of the job's upload.
    """
    if member.removes:
        return None if state.newest.exits else state.change()
    if state.newest.exits:
        return state.change() if state.to_remove else None
    if state.to_remove and sent_at < state.exited * 1000:
        return state.removal()  # the job may have added again what was removed since
    return None


def rejections(message: JobMessage, report: JobReport | None) -> Iterator[Rejection]:
    """Yield those of a message whose records took no effect; other members of the job are in messages of their own."""
    for each in message.members:
        if report is None:
            if each.erases:  # they may not have been removed: an operator has to try again
                yield Rejection(each, reason="job_unknown", detail="how the job ended is not known")
        elif each.member in report.rejected:
            yield Rejection(each, reason="job_rejected", detail=report.rejected[each.member])
        elif report.has_failed:
            yield Rejection(each, reason="job_failed", detail="Amazon's job failed")
