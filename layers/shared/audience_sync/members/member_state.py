"""State of one member of one audience: its newest change, and every identity that may be at Amazon. Pure.

A *life* is the time between a member's enter and the exit or deletion notice that ends it. An identity belongs to the
life in which it was named last. Identities named after the last exit are *active*: the member is in the audience with
them. Identities named before are *to remove*, until the job that removes them has ended well.

A state only ever grows in the order of versions, whatever order changes arrive in, and each write of it is conditional
on its revision: so the row of a member alone decides which change is the newest.

Amazon may run two jobs in any order. So a state also records until when sent uploads may still take effect, and from
that the due repetitions: docs/delivery.md, *Uploads that contradict each other*. `member_step.py` applies changes.
"""

from dataclasses import dataclass, replace
from enum import Enum
from itertools import batched
from typing import NamedTuple

from audience_sync.clock import EpochMilliseconds, EpochSeconds
from audience_sync.members.erasure_steps import ErasurePlan, ErasureStep
from audience_sync.members.membership import MAX_IDENTITIES, Consent, Identity, Member, MembershipChange, Version

LONGEST_JOB = 36 * 3600  # seconds; Amazon shows members within 36 hours, so a job still running then will never end
# Seconds; two years. The time to live of a dataset cannot be set; the longest one that Amazon documents is 380 days.
KEEP_IN_DATASET = 730 * 86_400


class LateJob(NamedTuple):
    """A job with a record of this member that had not ended at its first check."""

    job_id: str
    sent_at: EpochSeconds  # of its upload
    at: EpochMilliseconds  # of its change
    removes: bool = False


class Timing(NamedTuple):
    """Limits on Amazon's processing time, in seconds."""

    effective_after: float  # an upload prepared now has taken effect by then, unless its job is late
    longest_job: float = LONGEST_JOB  # a job counts as ended by then, whatever its state
    after_notice: float = 0.0  # enters wait so long after a deletion notice, which also deletes the person by id
    keeps: float = 0.0  # Amazon may keep a member for so long; 0: no longer than a row is kept anyway
    late: float = 120.0  # an upload under way has been dated by then

    @classmethod
    def of_dataset(cls, effective_after: float, longest_job: float, late: float = 120.0) -> "Timing":
        """Return the limits for Ads Data Manager, which reports the end of nothing and may delete people everywhere."""
        return cls(effective_after, longest_job, 2 * effective_after, KEEP_IN_DATASET, late)


class RemovalProgress(NamedTuple):
    """How far a removal in several uploads has got. It holds for just the identities that were to remove then."""

    identities: int  # of those to remove, in their order, the first that Amazon has accepted
    since: EpochSeconds  # at which the first upload was prepared


class Action(Enum):
    """An upload for one member."""

    REMOVAL = "removal"
    ENTER = "enter"


class Due(NamedTuple):
    """A repetition and its time."""

    at: float  # epoch seconds
    action: Action


@dataclass(frozen=True, slots=True)
class MemberState:
    """One row of the membership table."""

    newest: MembershipChange  # without identities
    identities: tuple[Identity, ...] = ()  # named last first
    last_exit: Version | None = None  # the newest exit or deletion notice
    erase_until: EpochMilliseconds = 0  # of the newest deletion notice; identities named by then must be erased
    enter_sent: EpochSeconds = 0  # of the last enter that was dated before it was sent, or accepted
    enter_owed: bool = False  # of this life: an attempt has failed, and Amazon has accepted none since
    removal_sent: EpochSeconds = 0  # of the last removal, likewise; of an exit with nothing to remove
    removal_owed: bool = False  # an attempt at a removal has failed, and Amazon has accepted none since
    # From when an enter, or a removal, is sent again whose job has failed or is unknown; 0: if another message asks.
    enter_retry_at: EpochSeconds = 0
    removal_retry_at: EpochSeconds = 0
    failed_jobs: int = 0  # of uploads since the newest change was recorded
    exit_recorded: EpochSeconds = 0  # at which the newest exit was recorded
    # By which enters with identities to remove, and removals, take effect unless their job is late.
    enters_effective_by: EpochSeconds = 0
    removals_effective_by: EpochSeconds = 0
    late_jobs: tuple[LateJob, ...] = ()  # not known to have ended
    erasure: tuple[ErasureStep, ...] = ()  # in the order in which they were recorded
    plan: ErasurePlan | None = None  # of the erasure; in the row of all audiences, unless an older version wrote it
    keep_until: EpochSeconds = 0  # the row is kept until then, even if it would expire before
    removal_grew: int = 0  # the revision in which an identity was last added to those to remove
    removing: RemovalProgress | None = None  # of a removal that is owed, of which Amazon has accepted a part
    revision: int = 0  # of the row that was read; 0 without a row

    @property
    def member(self) -> Member:
        """The audience and external user id."""
        return self.newest.member

    @property
    def version(self) -> Version:
        """The version of the newest change."""
        return self.newest.version

    @property
    def active(self) -> tuple[Identity, ...]:
        """The identities of the current life; none if the member has left."""
        return tuple(each for each in self.identities if self.last_exit is None or each.at > self.last_exit.at)

    @property
    def to_remove(self) -> tuple[Identity, ...]:
        """The identities of earlier lives that may be at Amazon."""
        return tuple(each for each in self.identities if self.last_exit is not None and each.at <= self.last_exit.at)

    def has_ended(self, notice: Version) -> bool:
        """Return whether the life before a deletion notice has ended, and its identities are erased or must be."""
        if self.last_exit is None or self.last_exit < notice:
            return False
        return self.erase_until >= notice.at or all(each.at > notice.at for each in self.identities)

    def reflects(self, notice: Version, *, is_dataset: bool) -> bool:
        """Return whether the exit that a deletion notice leads to would change nothing here.

        Args:
            notice: the version of the notice.
            is_dataset: the notice also deletes the person from datasets entered since, and enters wait for that.
        """
        # A row without identities must also record the notice: the next exit may name some.
        is_back = not is_dataset and not self.newest.exits
        return self.has_ended(notice) and (is_back or self.erase_until >= notice.at)

    def covers(self, later: "MemberState", upload: Action) -> bool:
        """Return whether a removal, or an enter, sent from this state has named everything that a later one has to."""
        named, to_name = (state.to_remove if upload is Action.REMOVAL else state.active for state in (self, later))
        return {each.key for each in to_name} <= {each.key for each in named}

    @property
    def must_erase(self) -> bool:
        """Whether a deletion notice covers identities that are still kept."""
        return any(each.at <= self.erase_until for each in self.to_remove)

    # Repetitions

    def carried(self, job: LateJob, timing: Timing) -> bool:
        """Return whether an enter's job may have carried identities to remove: it was sent before its life had ended.

        It may be newer than the exit if the exit arrived late. An enter of the current life waits until the first
        removal has taken effect.
        """
        if self.last_exit is None:
            return False
        return job.at <= self.last_exit.at or job.sent_at < self.exit_recorded + timing.effective_after

    def enters_ended(self, timing: Timing) -> float:
        """Return the epoch second by which enters with identities to remove have taken effect; 0 if none was sent."""
        late = (job for job in self.late_jobs if not job.removes and self.carried(job, timing))
        return max([self.enters_effective_by, *(job.sent_at + timing.longest_job for job in late)])

    def removals_ended(self, timing: Timing) -> float:
        """Return the epoch second by which removals have taken effect; 0 if none was sent."""
        late = (job.sent_at + timing.longest_job for job in self.late_jobs if job.removes)
        return max([self.removals_effective_by, *late])

    def must_remove_again(self, timing: Timing) -> bool:
        """Return whether an enter may take effect after the last removal."""
        return bool(self.to_remove) and self.removal_sent < self.enters_ended(timing)

    def due(self, timing: Timing) -> Due | None:
        """Return the repetition that is due and its time, None if nothing is due.

        A removal is due if an enter may have taken effect after it. Identities under a deletion notice are removed for
        the last time when even an enter of an unknown job has taken effect. An enter is due if it has failed or a
        removal may have taken effect after it; it waits for removals that are themselves due.
        """
        if self.last_exit is None and not self.enter_owed:
            return None  # as for most members: nothing was ever removed
        removal = self.removal_due(timing)
        enter = None if self.must_remove_again(timing) else self.enter_due(timing)
        return min(enter, removal, key=lambda each: each.at) if removal and enter else removal or enter

    def enter_due(self, timing: Timing) -> Due | None:
        """Return the time from which the newest enter is owed, if it has failed or a removal may undo it, or None."""
        ended = self.removals_ended(timing)
        is_due = not self.newest.exits and (self.enter_owed or self.enter_sent < ended)
        return Due(max(ended, self.enter_retry_at), Action.ENTER) if is_due else None

    def removal_due(self, timing: Timing) -> Due | None:
        """Return the time of the next removal; None if none is due."""
        ended = self.enters_ended(timing)
        if self.must_remove_again(timing):
            return Due(ended, Action.REMOVAL)
        if self.must_erase and ended and self.removal_sent < (last := self.last_removal(timing)):
            return Due(last, Action.REMOVAL)
        if self.removal_owed and self.removal_retry_at and self.to_remove:
            return Due(self.removal_retry_at, Action.REMOVAL)
        return None

    def owes(self, upload: Action, now: float, timing: Timing) -> bool:
        """Return whether a removal, or an enter, is owed: an attempt has failed, or one is due by now (epoch s)."""
        if upload is Action.REMOVAL:
            failed, due = self.removal_owed and bool(self.to_remove), self.removal_due(timing)
        else:
            failed, due = self.enter_owed and not self.newest.exits, self.enter_due(timing)
        return failed or (due is not None and due.at <= now)

    def removed_so_far(self, now: float, timing: Timing) -> int:
        """Return how many identities to remove need not be sent again: no enter may have followed their removal."""
        due = self.removal_due(timing)
        if self.removing is None or (due is not None and self.removing.since < due.at <= now):
            return 0
        return self.removing.identities

    def last_removal(self, timing: Timing) -> float:
        """Return the epoch second of the last removal before an erasure, if one is due."""
        return self.enters_ended(timing) + timing.longest_job

    def enter_waits_until(self, timing: Timing) -> float:
        """Return the epoch second at which an enter may be sent: removals have taken effect, and none must follow."""
        if self.must_remove_again(timing):
            return self.enters_ended(timing) + timing.effective_after
        return self.removals_ended(timing)

    # Changes to send

    def removal(self) -> MembershipChange:
        """Return the exit for the identities to remove, any number of them."""
        ended, newest = self.last_exit or self.version, self.newest
        return replace(
            newest,
            at=ended.at,
            message_id=ended.message_id,
            exits=True,
            identities=self.to_remove,
            consent=(newest.consent or {}) if newest.exits else _without_place(newest.consent),
            erase=self.erase_until >= ended.at,
        )

    def enter(self) -> MembershipChange:
        """Return the newest change, an enter, with the most recently named active identities."""
        return replace(self.newest, identities=self.active[:MAX_IDENTITIES])

    def change(self) -> MembershipChange:
        """Return the newest change as it should be sent."""
        return self.removal() if self.newest.exits else self.enter()

    def records(self, upload: Action | None, at_most: int = MAX_IDENTITIES, done: int = 0) -> list[MembershipChange]:
        """Return the changes to send, one request after the other: a large removal needs several, an empty one none.

        Args:
            upload: the removal, the enter or none.
            at_most: identities of one record.
            done: identities to remove that are left out, from `removed_so_far`.
        """
        if upload is not Action.REMOVAL:
            return [self.enter()] if upload else []
        removal = self.removal()
        return [replace(removal, identities=some) for some in batched(removal.identities[done:], at_most)]

    def bare(self) -> MembershipChange:
        """Return the newest change without identities: a repetition is sent from the row."""
        return replace(self.newest, consent={})


def removed(state: MemberState, until: int) -> MemberState:
    """Drop the identities to remove that were named by `until`, epoch milliseconds."""
    gone = {each.key for each in state.to_remove if each.at <= until}
    return replace(state, identities=tuple(each for each in state.identities if each.key not in gone), removing=None)


def with_known_consent(change: MembershipChange, known: MembershipChange) -> MembershipChange:
    """Return an exit with the consent under which its member is `known`, unless it states its own.

    Some of Amazon's APIs remove a member only with consent.
    """
    return change if change.consent is not None else replace(change, consent=_without_place(known.consent))


def _without_place(consent: Consent | None) -> Consent:
    """Return consent without an IP address, which a removal does not need."""
    return {name: value for name, value in (consent or {}).items() if name != "geo"}
