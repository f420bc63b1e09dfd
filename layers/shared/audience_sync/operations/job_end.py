"""Effect of a job's end on each of its members: whether the upload took effect, and the new row. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from audience_sync.amazon_ads.job import JobReport
from audience_sync.clock import CLOCKS_APART, to_milliseconds, to_seconds
from audience_sync.members.erasure_steps import ErasureStep, StepKind, with_step
from audience_sync.members.job_messages import JobMember, JobMessage
from audience_sync.members.member_state import LateJob, MemberState, Timing, removed
from audience_sync.members.member_step import without_late_job
from audience_sync.members.membership import MembershipChange, Version
from audience_sync.reasons import Reason


class RecordToPark(NamedTuple):
    """One record that has to be tried again by an operator."""

    member: JobMember
    reason: Reason
    detail: str


def is_concerned(message: JobMessage, report: JobReport | None, member: JobMember) -> bool:
    """Return whether the end of the job may affect a member. Costs nothing if jobs end well, in time."""
    if message.is_late or member.erases or member.proves:
        return True
    if report is None:  # a removal is not certain
        return member.removes
    return _took_no_effect(report, member)


def _took_no_effect(report: JobReport | None, member: JobMember) -> bool:
    return report is not None and (report.has_failed or member.member in report.rejected)


def rejected_change(member: JobMember, state: MemberState) -> MembershipChange | None:
    """Return the change behind a rejected record, None if a newer one has replaced it."""
    version = Version.from_text(member.version)
    if member.removes:
        # A removal still matters while the identities it was to remove are known.
        return state.removal() if state.to_remove and state.last_exit and state.last_exit.at <= version.at else None
    return state.change() if state.version == version and not state.newest.exits else None


def late_job(message: JobMessage, member: JobMember) -> LateJob:
    """Return the mark that a late job leaves in the row of a member."""
    return LateJob(
        message.job_id, int(to_seconds(message.sent_at)), Version.from_text(member.version).at, member.removes
    )


def after_end(
    state: MemberState,
    message: JobMessage,
    report: JobReport | None,
    member: JobMember,
    *,
    now: int,
    timing: Timing,
) -> MemberState:
    """Apply the end of a job to the state of one of its members.

    A late job may have undone later uploads, which are then due again. The last due removal erases the identities under
    a deletion notice if its job has ended well, unless the row has got more to remove since the removal was claimed.
    Either way, a removal that carries out an erasure becomes a step of it. A removal of unknown outcome marks the row
    like one that was rejected.

    Args:
        state: as the table holds it now.
        message: of the job.
        report: Amazon's; None if the outcome is unknown.
        member: as the message lists it.
        now: epoch seconds.
        timing: how long Amazon may take.
    """
    job = late_job(message, member)
    is_last = to_seconds(message.sent_at) >= state.removal_sent - CLOCKS_APART  # of the removals
    is_rejected = _took_no_effect(report, member)
    if member.removes and (is_rejected or report is None) and is_last and rejected_change(member, state) is not None:
        state = replace(state, removal_owed=True)
    if is_rejected:
        return replace(state, late_jobs=tuple(each for each in state.late_jobs if each.job_id != job.job_id))
    if message.is_late:
        state = without_late_job(state, job, now, timing)
    if member.proves and report is not None:
        ended = ErasureStep(StepKind.REMOVAL, message.job_id, message.sent_at, to_milliseconds(now))
        state = replace(state, erasure=with_step(state.erasure, ended))
    names_all = not member.claim or member.claim >= state.removal_grew
    if member.erases and report is not None and is_last and names_all and state.removal_due(timing) is None:
        return removed(state, min(state.erase_until, Version.from_text(member.version).at))
    return state


def records_to_park(message: JobMessage, report: JobReport | None) -> Iterator[RecordToPark]:
    """Yield the records of a message that took no effect, and those of an erasure whose outcome is unknown.

    The job's other records have their own messages.
    """
    for each in message.members:
        if report is None:
            if each.erases:  # they may not have been removed: an operator has to try again
                yield RecordToPark(each, Reason.JOB_UNKNOWN, "the outcome of the job is unknown")
        elif each.member in report.rejected:
            yield RecordToPark(each, Reason.JOB_REJECTED, report.rejected[each.member])
        elif report.has_failed:
            yield RecordToPark(each, Reason.JOB_FAILED, "Amazon's job failed")
