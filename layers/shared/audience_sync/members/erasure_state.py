"""State of a person's erasure, judged from the person's rows. Pure.

An erasure begins with a deletion notice or denied consent. Notices that come before it is closed belong to it. It is
closed only if each audience to which an enter was sent before shows a removal that has ended, or, if a dataset accepts
no removal without consent, an accepted deletion whose 30 days are over.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from audience_sync.clock import EpochMilliseconds, to_milliseconds, to_seconds
from audience_sync.members.erasure import ErasureStep, StepKind, notices_in
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import MAX_IDENTITIES, Version
from audience_sync.members.person_deletion import PersonRow, last_accepted, next_request

AMAZON_DELETES_WITHIN = 30 * 86_400_000  # milliseconds; Ads Data Manager, after it has accepted the deletion
CHECK_DELAY = 900  # seconds; the longest time between two checks of an upload


class Progress(StrEnum):
    """The state of the whole erasure."""

    OPEN = "open"
    AMAZON_DELETES = "amazon_deletes"  # nothing is left to do but to wait for Amazon
    CLOSED = "closed"
    UNKNOWN = "unknown_id"  # no audience knew the id when the notice was recorded: nothing is proven


class Outcome(StrEnum):
    """The outcome in one audience."""

    OPEN = "open"
    REMOVED = "removed"  # the jobs have ended
    AMAZON_DELETES = "amazon_deletes"  # it has accepted, has time until then, and reports no end
    AMAZON_TIME_OVER = "amazon_time_over"
    ENTERED_AGAIN = "entered_again"  # nothing was held; the person has entered since the notice
    NOTHING_HELD = "nothing_held"


class Missing(StrEnum):
    """What is missing in one audience."""

    EXIT = "exit_not_recorded"
    REMOVAL = "removal_not_sent"
    LAST_REMOVAL = "last_removal_due"
    JOB = "job_not_ended"
    LATE_JOBS = "jobs_late"
    REJECTED = "removal_rejected"
    TOO_MANY = "too_many_identities"
    DELETION = "deletion_not_accepted"
    NO_DELETION = "deletion_not_asked"  # with a DSP account, or the notice of an older version
    END = "no_end_recorded"
    ROW = "row_missing"


class AudienceErasure(NamedTuple):
    """The judgement of one audience."""

    outcome: Outcome
    steps: tuple[ErasureStep, ...] = ()  # since the notice was recorded
    missing: Missing | None = None  # if it is open
    # When a removal is due or an upload has normally ended; the end of Amazon's time.
    until: EpochMilliseconds | None = None
    late_jobs: tuple[str, ...] = ()
    entered_again: EpochMilliseconds | None = None  # of the newest enter, if it came after the notice


@dataclass(frozen=True, slots=True)
class Erasure:
    """The judgement of a person's newest erasure."""

    notices: tuple[ErasureStep, ...]  # in the order in which they were recorded
    progress: Progress
    since: EpochMilliseconds  # at which it reached this state
    until: EpochMilliseconds | None = None  # the end of Amazon's time
    deletion: EpochMilliseconds | None = None  # at which Amazon is to be asked to delete the person
    audiences: dict[str, AudienceErasure] = field(default_factory=dict, repr=False)  # those with a row, by id

    def is_overdue(self, now: float, days: float) -> bool:
        """Return whether it has been open for longer than some days; `now` in epoch seconds."""
        return self.progress is Progress.OPEN and is_overdue(self.since, now, days)


def is_overdue(since: int, now: float, days: float) -> bool:
    """Return whether more than some days have passed since an epoch millisecond; `now` in epoch seconds."""
    return now - to_seconds(since) > days * 86_400


def is_closed(everywhere: MemberState) -> bool:
    """Return whether the newest erasure was recorded as closed, in the person's row of all audiences."""
    return bool(everywhere.erasure) and everywhere.erasure[-1].kind is StepKind.CLOSED


def is_waiting(everywhere: MemberState, now: float) -> bool:
    """Return whether it was recorded as done but for Amazon's time, and that is not over; `now` in epoch seconds."""
    last = everywhere.erasure[-1] if everywhere.erasure else None
    return last is not None and last.kind is StepKind.WAITING and last.ended > to_milliseconds(now)


def notices_of(everywhere: MemberState) -> tuple[ErasureStep, ...]:
    """Return the notices and denials of the newest erasure, at least one, in the order in which they were recorded."""
    if notices := notices_in(everywhere.erasure):
        return notices
    newest = everywhere.newest  # recorded by an older version, without steps
    kind = StepKind.DENIAL if newest.record.get("userConsent") else StepKind.NOTICE
    return (ErasureStep(kind, newest.message_id, newest.at, to_milliseconds(everywhere.exited)),)


def is_due_later(everywhere: MemberState, now: float) -> bool:
    """Return whether nothing can be done before a known time, `now` in epoch seconds, or ever: nobody knew the id."""
    plan = everywhere.plan
    return plan is not None and (now < plan.done_after or not plan.known_in)


def opened_at(everywhere: MemberState) -> int:
    """Return when the newest erasure became open, in epoch milliseconds: a notice may follow while Amazon deletes."""
    notices = notices_of(everywhere)
    after_waiting = (
        notice.ended
        for step, notice in pairwise(everywhere.erasure)
        if step.kind is StepKind.WAITING and notice in notices
    )
    return max(after_waiting, default=notices[0].ended)


def judge(everywhere: MemberState, rows: Iterable[PersonRow], audiences: Collection[str], now: float) -> Erasure:
    """Judge a person's newest erasure.

    Args:
        everywhere: the person's row of all audiences.
        rows: the person's rows in listed and unlinked audiences.
        audiences: ids of all these audiences, with or without a row.
        now: epoch seconds.
    """
    notices, plan = notices_of(everywhere), everywhere.plan
    version, since = everywhere.version, notices[0].ended
    known = {row.state.member[0]: row for row in rows}
    in_datasets = [row.state for row in known.values() if not row.has_jobs]
    planned = [state for state in in_datasets if plan and state.member[0] in plan.known_in]
    due = next_request(everywhere, planned, now)
    deletion = _Deletion(last_accepted([everywhere, *in_datasets]), is_due=due is not None)
    held_in = plan.held_in if plan else ()
    found = {each: _judge(row, version, since, deletion, each in held_in, now) for each, row in known.items()}
    lost = {*held_in} & {*audiences} - known.keys() if not is_closed(everywhere) else set()
    found |= {each: AudienceErasure(Outcome.OPEN, missing=Missing.ROW) for each in lost}
    outcomes = {each.outcome for each in found.values()}
    if Outcome.OPEN in outcomes or due is not None:
        at = None if due is None else to_milliseconds(due)
        return Erasure(notices, Progress.OPEN, opened_at(everywhere), None, at, found)
    until = max((each.until for each in found.values() if each.until is not None), default=None)
    done = max([notices[-1].ended, *(step.ended for each in found.values() for step in each.steps)])
    if plan and not plan.known_in:
        return Erasure(notices, Progress.UNKNOWN, notices[-1].ended, audiences=found)
    if Outcome.AMAZON_DELETES in outcomes:
        return Erasure(notices, Progress.AMAZON_DELETES, max(done, deletion.accepted), until, None, found)
    return Erasure(notices, Progress.CLOSED, max(done, until or 0), until, None, found)


class _Deletion(NamedTuple):
    """The person's deletion from all datasets."""

    accepted: EpochMilliseconds  # at which it was last asked for and accepted; 0 if never
    is_due: bool  # or will be


def _judge(
    row: PersonRow, notice: Version, since: int, deletion: _Deletion, was_held: bool, now: float
) -> AudienceErasure:
    """Judge one row. `notice` is the newest one; `since` is when the first one was recorded, epoch milliseconds."""
    state = row.state
    steps = tuple(step for step in state.erasure if step.at >= since)
    entered = state.newest.at if not state.newest.exits and state.newest.at > notice.at else None

    def is_open(missing: Missing, at: float | None = None) -> AudienceErasure:
        until, late = None if at is None else to_milliseconds(at), tuple(job.job_id for job in state.late_jobs)
        return AudienceErasure(Outcome.OPEN, steps, missing, until, late, entered)

    if missing := _missing(row, notice, now):
        return is_open(*missing)
    if any(step.kind is StepKind.REMOVAL for step in steps):
        return AudienceErasure(Outcome.REMOVED, steps, entered_again=entered)
    if not row.has_jobs and deletion.accepted >= since:
        until = deletion.accepted + AMAZON_DELETES_WITHIN
        outcome = Outcome.AMAZON_DELETES if to_milliseconds(now) < until else Outcome.AMAZON_TIME_OVER
        return AudienceErasure(outcome, steps, until=until, entered_again=entered)
    if was_held:
        asked_for = Missing.DELETION if deletion.is_due else Missing.NO_DELETION
        return is_open(Missing.END if row.has_jobs else asked_for)
    return AudienceErasure(Outcome.ENTERED_AGAIN if entered else Outcome.NOTHING_HELD, entered_again=entered)


def _missing(row: PersonRow, notice: Version, now: float) -> tuple[Missing, float | None] | None:
    """Return what a row lacks, with its time in epoch seconds if it has one; None if it has no identities to erase."""
    state, timing = row.state, row.timing
    # A later exit has also ended the life. The row of a dataset must record the notice even if the person is back.
    if not (state.has_ended(notice) if row.has_jobs else state.reflects(notice, is_dataset=True)):
        return Missing.EXIT, None
    if not state.must_erase:
        return None
    if state.removal_failed:
        return Missing.REJECTED, None
    if due := state.removal_due(timing):
        last = state.last_removal(timing)
        return (Missing.LAST_REMOVAL, last) if due.at > now else (Missing.REMOVAL, due.at)
    return _unended(row, now)


def _unended(row: PersonRow, now: float) -> tuple[Missing, float | None]:
    """Return why the end of the last removal is not recorded, as `_missing` does."""
    state, timing = row.state, row.timing
    lapses = [job.sent_at + timing.longest_job for job in state.late_jobs if job.removes]
    if any(each > now for each in lapses):
        return Missing.LATE_JOBS, max(lapses)
    ends = state.exited + timing.effective_after
    if now < ends + CHECK_DELAY:
        return Missing.JOB, ends
    if row.has_jobs and len(state.to_remove) > MAX_IDENTITIES:
        return Missing.TOO_MANY, None
    return Missing.END, None
