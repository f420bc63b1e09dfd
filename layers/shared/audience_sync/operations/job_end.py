"""Effect of a job's end on each of its members: whether the upload took effect, and the new row. Pure."""

from dataclasses import replace

from audience_sync.amazon_ads.job import JobReport
from audience_sync.clock import CLOCKS_APART, to_milliseconds, to_seconds
from audience_sync.members.erasure_steps import ErasureStep, StepKind, with_step
from audience_sync.members.job_messages import JobMember, JobMessage
from audience_sync.members.member_state import Action, LateJob, MemberState, Timing, removed
from audience_sync.members.member_step import after_failed_job, without_late_job
from audience_sync.members.membership import MembershipChange, Version


def is_concerned(message: JobMessage, report: JobReport | None, member: JobMember) -> bool:
    """Return whether the end of the job may affect a member. Costs nothing if jobs end well, in time."""
    if message.is_late or member.erases or member.proves:
        return True
    return _is_owed(report, member)


def _took_no_effect(report: JobReport | None, member: JobMember) -> bool:
    return report is not None and (report.has_failed or member.member in report.rejected)


def _is_owed(report: JobReport | None, member: JobMember) -> bool:
    """Return whether a record is to be sent again: it took no effect, or nobody knows."""
    return report is None or _took_no_effect(report, member)


def is_refused(report: JobReport | None, member: JobMember, state: MemberState) -> bool:
    """Return whether Amazon refuses a record for itself: by name, and not for the first time."""
    is_retried = state.removal_retry_at if member.removes else state.enter_retry_at
    return report is not None and member.member in report.rejected and state.failed_jobs > 0 and not is_retried


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
    Either way, a removal that carries out an erasure becomes a step of it. What took no effect, or may
    have taken none, is owed again, unless Amazon refuses the record for itself.

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
    is_current = rejected_change(member, state) is not None and (is_last or not member.removes)
    if _is_owed(report, member) and is_current:
        if not is_refused(report, member, state):
            state = after_failed_job(state, Action.REMOVAL if member.removes else Action.ENTER, now)
        elif member.removes:
            state = replace(state, removal_owed=True)
    if _took_no_effect(report, member):
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
