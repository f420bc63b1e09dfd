"""The status of a person's erasure, from the person's rows. Pure.

An erasure begins with a deletion notice or denied consent. Notices that come before it is closed belong to it. It is
open while a review of the person is due (review.py). It is closed only if each audience that knew
the person still has a row, and each to which an enter was sent before shows a removal that has ended, or, if a dataset
accepts no removal without consent, an accepted deletion whose 30 days are over.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from audience_sync.clock import EpochMilliseconds, to_milliseconds, to_seconds
from audience_sync.members.erasure.review import PersonRow, last_accepted, next_review
from audience_sync.members.erasure_steps import ErasureStep, StepKind, notices_in
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import MAX_IDENTITIES, Version

AMAZON_DELETES_WITHIN = 30 * 86_400_000  # milliseconds; Ads Data Manager, after it has accepted the deletion
# An erasure normally takes a quarter of an hour, and up to two days if the person had entered shortly before; a job at
# Amazon may take 36 hours more.
OVERDUE_AFTER = 4 * 86_400  # seconds
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
    """The status in one audience."""

    outcome: Outcome
    steps: tuple[ErasureStep, ...] = ()  # since the notice was recorded
    missing: Missing | None = None  # if it is open
    # When a removal is due or an upload has normally ended; the end of Amazon's time.
    until: EpochMilliseconds | None = None
    late_jobs: tuple[str, ...] = ()
    entered_again: EpochMilliseconds | None = None  # of the newest enter, if it came after the notice


@dataclass(frozen=True, slots=True)
class Erasure:
    """The status of a person's newest erasure."""

    notices: tuple[ErasureStep, ...]  # in the order in which they were recorded
    progress: Progress
    since: EpochMilliseconds  # at which it reached this state
    until: EpochMilliseconds | None = None  # the end of Amazon's time
    next_review: EpochMilliseconds | None = None  # which decides whether Amazon is asked to delete the person
    audiences: dict[str, AudienceErasure] = field(default_factory=dict, repr=False)  # those with a row, by id

    def is_overdue(self, now: float) -> bool:
        """Return whether it has been open for too long; `now` in epoch seconds."""
        return self.progress is Progress.OPEN and is_overdue(self.since, now)


def is_overdue(since: EpochMilliseconds, now: float) -> bool:
    """Return whether an erasure that is open since then is open for too long; `now` in epoch seconds."""
    return now - to_seconds(since) > OVERDUE_AFTER


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
    kind = StepKind.DENIAL if newest.denies_consent else StepKind.NOTICE
    return (ErasureStep(kind, newest.message_id, newest.at, to_milliseconds(everywhere.removal_sent)),)


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


def erasure_status(
    everywhere: MemberState,
    rows: Iterable[PersonRow],
    audiences: Collection[str],
    now: float,
    unread: Collection[str] = (),
) -> Erasure:
    """Return the status of a person's newest erasure.

    Args:
        everywhere: the person's row of all audiences.
        rows: the person's rows in listed and unlinked audiences.
        audiences: ids of all these audiences, with or without a row.
        now: epoch seconds.
        unread: ids of the audiences in which the person's row cannot be read.
    """
    notices, plan = notices_of(everywhere), everywhere.plan
    known = {row.state.member[0]: row for row in rows}
    accepted = last_accepted([everywhere, *(row.state for row in known.values() if not row.has_jobs)])
    is_asked = next_review(everywhere) > 0
    of = _Person(everywhere.version, notices[0].ended, accepted, is_asked=is_asked, now=now)
    found = {each: _in_one(row, of, was_held=plan is not None and each in plan.held_in) for each, row in known.items()}
    planned = plan.known_in if plan and not is_closed(everywhere) else set()
    lost = {*unread, *(planned & {*audiences})} - known.keys()
    found |= {each: AudienceErasure(Outcome.OPEN, missing=Missing.ROW) for each in lost}
    outcomes = {each.outcome for each in found.values()}
    if Outcome.OPEN in outcomes or is_asked:
        at = to_milliseconds(next_review(everywhere)) if is_asked else None
        return Erasure(notices, Progress.OPEN, opened_at(everywhere), None, at, found)
    until = max((each.until for each in found.values() if each.until is not None), default=None)
    done = max([notices[-1].ended, *(step.ended for each in found.values() for step in each.steps)])
    if plan and not plan.known_in and Outcome.REMOVED not in outcomes:
        return Erasure(notices, Progress.UNKNOWN, notices[-1].ended, audiences=found)
    if Outcome.AMAZON_DELETES in outcomes:
        return Erasure(notices, Progress.AMAZON_DELETES, max(done, accepted), until, None, found)
    return Erasure(notices, Progress.CLOSED, max(done, until or 0), until, None, found)


class _Person(NamedTuple):
    """The facts about the person that the status in each audience depends on."""

    notice: Version  # the newest one
    since: EpochMilliseconds  # at which the first one was recorded
    accepted: EpochMilliseconds  # at which the deletion from all datasets was last asked for; 0 if none was accepted
    is_asked: bool  # whether Amazon may still be asked for it
    now: float


def _in_one(row: PersonRow, of: _Person, *, was_held: bool) -> AudienceErasure:
    state, now = row.state, of.now
    steps = tuple(step for step in state.erasure if step.at >= of.since)
    entered = state.newest.at if not state.newest.exits and state.newest.at > of.notice.at else None

    def is_open(missing: Missing, at: float | None = None) -> AudienceErasure:
        until, late = None if at is None else to_milliseconds(at), tuple(job.job_id for job in state.late_jobs)
        return AudienceErasure(Outcome.OPEN, steps, missing, until, late, entered)

    if missing := _missing(row, of.notice, now):
        return is_open(*missing)
    if any(step.kind is StepKind.REMOVAL for step in steps):
        return AudienceErasure(Outcome.REMOVED, steps, entered_again=entered)
    if not row.has_jobs and of.accepted >= of.since:
        until = of.accepted + AMAZON_DELETES_WITHIN
        outcome = Outcome.AMAZON_DELETES if to_milliseconds(now) < until else Outcome.AMAZON_TIME_OVER
        return AudienceErasure(outcome, steps, until=until, entered_again=entered)
    if was_held and not _is_back_at_once(row, of.notice):
        asked_for = Missing.DELETION if of.is_asked else Missing.NO_DELETION
        return is_open(Missing.END if row.has_jobs else asked_for)
    return AudienceErasure(Outcome.ENTERED_AGAIN if entered else Outcome.NOTHING_HELD, entered_again=entered)


def _is_back_at_once(row: PersonRow, notice: Version) -> bool:
    """Return whether the person came back with the same identities before their removal was sent, so that none was.

    Then the row knows of the enters before. One that was lost, and inserted when the person came back, does not. In a
    dataset that proves nothing: a deletion reaches the person at any time.
    """
    return row.has_jobs and row.state.version > notice and row.state.enters_effective_by > 0


def _missing(row: PersonRow, notice: Version, now: float) -> tuple[Missing, float | None] | None:
    """Return what a row lacks, with its time in epoch seconds if it has one; None if it has no identities to erase."""
    state, timing = row.state, row.timing
    # A later exit has also ended the life. The row of a dataset must record the notice even if the person is back.
    if not (state.has_ended(notice) if row.has_jobs else state.reflects(notice, is_dataset=True)):
        return Missing.EXIT, None
    if not state.must_erase:
        return None
    if state.removal_owed and not state.removal_retry_at:
        return Missing.REJECTED, None
    if due := state.removal_due(timing):
        last = due.at if state.removal_owed else state.last_removal(timing)
        return (Missing.LAST_REMOVAL, last) if due.at > now else (Missing.REMOVAL, due.at)
    return _unended(row, now)


def _unended(row: PersonRow, now: float) -> tuple[Missing, float | None]:
    """Return why the end of the last removal is not recorded, as `_missing` does."""
    state, timing = row.state, row.timing
    lapses = [job.sent_at + timing.longest_job for job in state.late_jobs if job.removes]
    if any(each > now for each in lapses):
        return Missing.LATE_JOBS, max(lapses)
    ends = state.removal_sent + timing.effective_after
    if now < ends + CHECK_DELAY:
        return Missing.JOB, ends
    if row.has_jobs and len(state.to_remove) > MAX_IDENTITIES:
        return Missing.TOO_MANY, None
    return Missing.END, None
