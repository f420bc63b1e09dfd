"""State of a person's erasure, judged from the person's rows. Pure.

An erasure begins with a deletion notice or denied consent. Notices that come before it is closed belong to it. The rows
decide; steps only prove what they say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from audience_sync.erasure import ErasureStep, StepKind
from audience_sync.member_state import MemberState, Timing
from audience_sync.membership import MAX_IDENTITIES, Version

AMAZON_DELETES_WITHIN = 30 * 86_400_000  # milliseconds; Ads Data Manager, after it has accepted the deletion
CHECK_DELAY = 900  # seconds; the longest time between two checks of an upload


class Progress(StrEnum):
    """The state of the whole erasure."""

    OPEN = "open"
    AMAZON_DELETES = "amazon_deletes"  # nothing is left to do but to wait for Amazon
    CLOSED = "closed"


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
    END = "no_end_recorded"


class PersonRow(NamedTuple):
    """The person's row in one audience."""

    state: MemberState
    timing: Timing
    has_jobs: bool  # of the audience API


class AudienceErasure(NamedTuple):
    """The judgement of one audience."""

    outcome: Outcome
    steps: tuple[ErasureStep, ...] = ()  # since the notice was recorded
    missing: Missing | None = None  # if it is open
    # Epoch milliseconds: when a removal is due or an upload has normally ended; the end of Amazon's time.
    until: int | None = None
    late_jobs: tuple[str, ...] = ()
    entered_again: int | None = None  # epoch milliseconds of the newest enter, if it came after the notice


@dataclass(frozen=True, slots=True)
class Erasure:
    """The judgement of a person's newest erasure."""

    notices: tuple[ErasureStep, ...]  # in the order in which they were recorded
    progress: Progress
    since: int  # epoch milliseconds at which it reached this state
    until: int | None = None  # epoch milliseconds; the end of Amazon's time
    audiences: dict[str, AudienceErasure] = field(default_factory=dict, repr=False)  # those with a row, by id

    def is_overdue(self, now: float, days: float) -> bool:
        """Return whether it has been open for longer than some days; `now` in epoch seconds."""
        return self.progress is Progress.OPEN and now * 1000 - self.since > days * 86_400_000


def is_closed(everywhere: MemberState) -> bool:
    """Return whether the newest erasure was recorded as closed, in the person's row of all audiences."""
    return bool(everywhere.erasure) and everywhere.erasure[-1].kind is StepKind.CLOSED


def is_waiting(everywhere: MemberState, now: float) -> bool:
    """Return whether it was recorded as done but for Amazon's time, and that is not over; `now` in epoch seconds."""
    last = everywhere.erasure[-1] if everywhere.erasure else None
    return last is not None and last.kind is StepKind.WAITING and last.ended > now * 1000


def notices_of(everywhere: MemberState) -> tuple[ErasureStep, ...]:
    """Return the notices and denials of the newest erasure, at least one, in the order in which they were recorded."""
    notices: list[ErasureStep] = []
    was_closed = False
    for step in everywhere.erasure:
        if step.kind in (StepKind.NOTICE, StepKind.DENIAL):
            notices = [] if was_closed else notices
            notices.append(step)
        was_closed = step.kind is StepKind.CLOSED
    if not notices:  # recorded by an older version, without steps
        newest = everywhere.newest
        kind = StepKind.DENIAL if newest.record.get("userConsent") else StepKind.NOTICE
        return (ErasureStep(kind, newest.message_id, newest.at, everywhere.exited * 1000),)
    return tuple(notices)


def judge(everywhere: MemberState, rows: Iterable[PersonRow], now: float) -> Erasure:
    """Judge a person's newest erasure.

    Args:
        everywhere: the person's row of all audiences.
        rows: the person's rows in listed and unlinked audiences.
        now: epoch seconds.
    """
    notices = notices_of(everywhere)
    version, since = everywhere.version, notices[0].ended
    found = {row.state.member[0]: _judge(row, version, since, now) for row in rows}
    outcomes = {each.outcome for each in found.values()}
    if Outcome.OPEN in outcomes:
        return Erasure(notices, Progress.OPEN, _opened(everywhere, notices), None, found)
    until = max((each.until for each in found.values() if each.until is not None), default=None)
    done = max([notices[-1].ended, *(step.ended for each in found.values() for step in each.steps)])
    if Outcome.AMAZON_DELETES in outcomes:
        return Erasure(notices, Progress.AMAZON_DELETES, done, until, found)
    return Erasure(notices, Progress.CLOSED, max(done, until or 0), until, found)


def _opened(everywhere: MemberState, notices: Sequence[ErasureStep]) -> int:
    """Return when an open erasure became open, in epoch milliseconds: a notice may follow while only Amazon deletes."""
    after_waiting = (
        notice.ended
        for step, notice in pairwise(everywhere.erasure)
        if step.kind is StepKind.WAITING and notice in notices
    )
    return max(after_waiting, default=notices[0].ended)


def _judge(row: PersonRow, notice: Version, since: int, now: float) -> AudienceErasure:
    """Judge one row. `notice` is the newest one; `since` is when the first one was recorded, epoch milliseconds."""
    state = row.state
    steps = tuple(step for step in state.erasure if step.at >= since)
    entered = state.newest.at if not state.newest.exits and state.newest.at > notice.at else None
    missing, at = _missing(row, notice, steps, now)
    if missing:
        late = tuple(job.job_id for job in state.late_jobs)
        return AudienceErasure(Outcome.OPEN, steps, missing, None if at is None else round(at * 1000), late, entered)
    accepted = max((step.at for step in steps if step.kind is StepKind.DELETION), default=None)
    if accepted is not None:
        until = accepted + AMAZON_DELETES_WITHIN
        outcome = Outcome.AMAZON_DELETES if now * 1000 < until else Outcome.AMAZON_TIME_OVER
        return AudienceErasure(outcome, steps, until=until, entered_again=entered)
    if steps:
        return AudienceErasure(Outcome.REMOVED, steps, entered_again=entered)
    return AudienceErasure(Outcome.ENTERED_AGAIN if entered else Outcome.NOTHING_HELD, entered_again=entered)


def _missing(
    row: PersonRow, notice: Version, steps: Iterable[ErasureStep], now: float
) -> tuple[Missing | None, float | None]:
    """Return what is missing, with its time in epoch seconds if it has one; None if nothing is."""
    state, timing = row.state, row.timing
    if not state.reflects(notice, deletes_everywhere=not row.has_jobs):
        return Missing.EXIT, None
    if not state.must_erase:
        return None, None
    if state.removal_failed:
        return Missing.REJECTED, None
    if due := state.removal_due(timing):
        last = state.last_removal(timing)
        return (Missing.LAST_REMOVAL, last) if due.at > now else (Missing.REMOVAL, due.at)
    return _unended(row, steps, now)


def _unended(row: PersonRow, steps: Iterable[ErasureStep], now: float) -> tuple[Missing, float | None]:
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
    is_accepted = row.has_jobs or any(step.kind is StepKind.DELETION for step in steps)
    return (Missing.END if is_accepted else Missing.DELETION), None
