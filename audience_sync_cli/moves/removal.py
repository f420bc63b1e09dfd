"""How far each member of an ended audience is on the way out, from the member's row. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.data_manager.members import is_granted
from audience_sync.members.erasure_steps import StepKind
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.membership import MAX_IDENTITIES
from audience_sync_cli.frame.screen import counted, moment
from audience_sync_cli.moves.transfer import is_ended

WAITING = 3_600.0  # seconds by which a waiting enter has been delivered, once it waits no longer
CHECKS = 300.0  # seconds after which the end of a job is recorded
GIVEN_UP = 7_200.0  # seconds after the last possible end of a job at which it counts as unknown


class Stage(StrEnum):
    """The stage of one member's removal."""

    IN = "in"  # the exit is still to be applied by the worker
    UNDER_WAY = "under way"  # sent, and not certain to have taken effect
    GONE = "removed"
    UNPROVEN = "not proven"


class Removal(NamedTuple):
    """The removal of one member."""

    stage: Stage
    until: float = 0.0  # epoch seconds by which it should be over, if it is under way
    why: str = ""  # it is not proven


def removal_of(state: MemberState, now: float, timing: Timing, waiting: float = WAITING) -> Removal:
    """Return the removal that one row shows.

    Until a removal has taken effect, an enter may wait in the queue. It must reach the row before the exit of the end:
    then it can go to the audience that this one was moved to. `now` in epoch seconds; `waiting` are the seconds for an
    enter to be delivered.
    """
    if state.last_exit and not is_ended(state) and now < (waits := state.enter_waits_until(timing) + waiting):
        return Removal(Stage.UNDER_WAY, waits)
    if not state.newest.exits:
        return Removal(Stage.IN)
    awaits_job = has_jobs(state.newest.destination) and state.must_erase  # its end erases the hashes
    if why := _unproven(state, now, timing, awaits_job=awaits_job):
        return Removal(Stage.UNPROVEN, why=why)
    if due := state.due(timing):
        return Removal(Stage.UNDER_WAY, due.at + timing.effective_after + CHECKS)
    ended = state.removals_ended(timing)
    if now < ended or awaits_job:
        return Removal(Stage.UNDER_WAY, max(now, ended + CHECKS))
    return Removal(Stage.GONE)


def _unproven(state: MemberState, now: float, timing: Timing, *, awaits_job: bool) -> str:
    """Return why a removal will never be proven; empty if it may be."""
    tried = max(state.removal_sent, state.exit_recorded)
    is_retried = state.removal_retry_at or now < tried + timing.effective_after
    if state.removal_owed and not is_retried:
        return "the last attempt at the removal failed"
    was_in = state.enter_sent and state.to_remove
    if was_in and not (has_jobs(state.newest.destination) or is_granted(state.newest.consent)):
        return "Amazon may ignore a removal without consent to user data"
    if awaits_job and now >= state.removal_sent + timing.longest_job + GIVEN_UP and state.due(timing) is None:
        return "the end of Amazon's job is unknown"
    return ""


class Again(StrEnum):
    """The reason for several uploads of one member's removal."""

    ENTERED = "sent again when an earlier enter could not take effect any more"
    IN_PARTS = f"in parts of {MAX_IDENTITIES} identifiers"
    # A message may come back with removals that Amazon has accepted, as when the worker runs out of time.
    DELIVERED = "sent again when the change queue had delivered the removal again"


class RemovalUpload(NamedTuple):
    """One upload of removals."""

    job_id: str  # empty in Ads Data Manager, which has no jobs
    sent_at: int  # epoch milliseconds
    ended_at: int  # epoch milliseconds; in Ads Data Manager, the time by which it counts as effective


@dataclass
class EndReport:
    """The members of an ended audience."""

    waiting: float = WAITING  # seconds for a waiting enter to be delivered
    stages: Counter[Stage] = field(default_factory=Counter)  # of all rows
    removed: int = 0  # members removed by the end, or on the way out
    until: float = 0.0  # epoch seconds by which the last removal under way should be over
    sent_by: float = 0.0  # epoch seconds; no removal was sent later
    uploads: Counter[RemovalUpload] = field(default_factory=Counter)  # members of each
    again: Counter[Again] = field(default_factory=Counter)  # uploads after the first one of a member
    unproven: dict[str, str] = field(default_factory=dict)  # the reason by member

    def add(self, state: MemberState, now: float, timing: Timing) -> Removal:
        """Add one row."""
        found, member = removal_of(state, now, timing, self.waiting), state.member[1]
        self.stages[found.stage] += 1
        self.until = max(self.until, found.until)
        if found.why:
            self.unproven[member] = found.why
        if is_ended(state):
            self.removed += 1
            self.sent_by = max(self.sent_by, state.removal_sent)
            uploads = _uploads(state, timing)
            self.uploads.update(uploads)
            if len(uploads) > 1:
                first = min(each.sent_at for each in uploads) / 1000
                sent_again = Again.ENTERED if first < state.last_removal(timing) else Again.DELIVERED
                self.again[Again.IN_PARTS if len(state.to_remove) > MAX_IDENTITIES else sent_again] += len(uploads) - 1
        return found

    def add_damaged(self, member: str, why: str) -> None:
        """Add a row that cannot be read: nothing is sent, and its member's removal is not proven."""
        self.stages[Stage.UNPROVEN] += 1
        self.unproven[member] = why

    @property
    def remaining(self) -> int:
        """Number of members who are in or on the way out."""
        return self.stages[Stage.IN] + self.stages[Stage.UNDER_WAY]

    @property
    def progress(self) -> str:
        """The number of members on the way out, and the time by which they should be out, if it is known."""
        by = f", by {moment(self.until * 1000)}" if self.until else ""
        return f"{counted(self.remaining, 'member')} on the way out{by}"


def _uploads(state: MemberState, timing: Timing) -> list[RemovalUpload]:
    if not has_jobs(state.newest.destination):
        return [RemovalUpload("", state.removal_sent * 1000, round(state.removal_sent + timing.effective_after) * 1000)]
    return [
        RemovalUpload(step.id, step.at, step.ended)
        for step in state.erasure
        if step.kind is StepKind.REMOVAL and step.at >= state.exit_recorded * 1000
    ]
