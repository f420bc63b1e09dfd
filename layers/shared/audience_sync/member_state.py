"""What is known of one member of one audience: its newest change, and every identity that may be at Amazon. Pure.

A *life* is the time between a member's enter and the exit or deletion notice that ends it. An identity belongs to the
life in which it was named last. Those named after the last exit are *active*: the member is in the audience with them.
Those named before are *to remove*, until the job that removes them has ended well.

A state only ever grows in the order of versions, whatever order changes arrive in, and each write of it is conditional
on its revision: so the row of a member alone decides what is newest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from audience_sync.membership import MAX_IDENTITIES, Member, MembershipChange, Version

KEEP_REMOVED = 172_800  # seconds after which a removal is certain: jobs are tracked for 36 hours
MAX_KEPT = 1_000  # identities; a row takes 400 KB, and each of them at most 300 bytes


class Identity(NamedTuple):
    """One identity, as a record of Amazon holds it."""

    at: int  # epoch milliseconds of the newest change that named it
    digests: dict[str, str]  # Amazon's field name to SHA-256, hex

    def __repr__(self) -> str:
        """Name the identity by its time: a digest of an address is personal data, too."""
        return f"Identity(at={self.at})"

    @property
    def key(self) -> tuple[tuple[str, str], ...]:
        """Equal for equal identities."""
        return tuple(sorted(self.digests.items()))


@dataclass(frozen=True, slots=True)
class MemberState:
    """One row of the membership table."""

    newest: MembershipChange  # its record without identities
    identities: tuple[Identity, ...] = ()  # named last first
    left: Version | None = None  # the newest exit or deletion notice
    erase_until: int = 0  # epoch milliseconds of the newest deletion notice; identities named by then must be erased
    entered: int = 0  # epoch seconds at which an enter was last sent
    exited: int = 0  # epoch seconds at which a removal was last sent
    removal_failed: bool = False  # and that its job rejected it
    outcome_unknown: bool = False  # another attempt at the newest change had no answer, and may take effect later
    late_jobs: tuple[str, ...] = ()  # jobs with an enter of this member that had not ended when first checked
    revision: int = 0  # of the row that this state was read from; 0 where there is none

    @property
    def member(self) -> Member:
        """Audience and external user id."""
        return self.newest.member

    @property
    def version(self) -> Version:
        """Of the newest change."""
        return self.newest.version

    @property
    def active(self) -> tuple[Identity, ...]:
        """The identities of the present life; none where the member has left."""
        return tuple(each for each in self.identities if self.left is None or each.at > self.left.at)

    @property
    def to_remove(self) -> tuple[Identity, ...]:
        """The identities of earlier lives that may be at Amazon."""
        return tuple(each for each in self.identities if self.left is not None and each.at <= self.left.at)

    def follows(self, notice: Version) -> bool:
        """Whether a deletion notice changes nothing here: the life before has ended, and its identities are erased."""
        if self.left is None or self.left < notice:
            return False
        until = self.left.at if self.newest.exits else notice.at  # as _late erases
        return self.erase_until >= notice.at or all(each.at > until for each in self.identities)

    @property
    def must_erase(self) -> bool:
        """Whether a deletion notice concerns identities that are still kept."""
        return any(each.at <= self.erase_until for each in self.to_remove)

    def removal(self) -> MembershipChange:
        """Return the exit that removes what is to be removed. Its record holds any number of identities."""
        left = self.left or self.version
        record = self.newest.record | {
            "action": "DELETE",
            "hashedPII": [each.digests for each in self.to_remove],
            "userConsent": {},
        }
        named_at = tuple(each.at for each in self.to_remove)
        return replace(
            self.newest,
            at=left.at,
            message_id=left.message_id,
            record=record,
            erase=self.erase_until >= left.at,
            named_at=() if set(named_at) <= {left.at} else named_at,
        )

    def change(self) -> MembershipChange:
        """Return the newest change as it should be sent."""
        if self.newest.exits:
            removal = self.removal()
            return replace(removal, record=removal.record | _consent(self.newest))
        active = self.active[:MAX_IDENTITIES]
        record = self.newest.record | {"hashedPII": [each.digests for each in active]}
        named_at = tuple(each.at for each in active)
        return replace(self.newest, record=record, named_at=() if set(named_at) <= {self.newest.at} else named_at)

    def records(self, *, with_removal: bool) -> list[MembershipChange]:
        """Return what has to be sent, one request after the other: removals first, then the enter.

        Args:
            with_removal: whether identities of earlier lives are removed before an enter.
        """
        sent: list[MembershipChange] = []
        if self.newest.exits:
            sent = _parts(self.change())
        elif with_removal:
            active = {each.key for each in self.active}
            stale = tuple(each for each in self.to_remove if each.key not in active)
            sent = _parts(replace(self, identities=stale).removal())
        return sent if self.newest.exits else [*sent, self.change()]

    @property
    def removal_overlaps(self) -> bool:
        """Whether an identity to remove shares a digest with an active one: then the enter has to be applied last."""
        active = {digest for each in self.active for digest in each.digests.items()}
        return any(digest in active for each in self.to_remove for digest in each.digests.items())


def _consent(change: MembershipChange) -> dict[str, Any]:
    return {"userConsent": change.record.get("userConsent", {})}


def _parts(change: MembershipChange) -> list[MembershipChange]:
    """Split a removal into records of at most MAX_IDENTITIES identities; none where there is nothing to remove."""
    identities = change.record["hashedPII"]
    return [
        replace(change, record=change.record | {"hashedPII": identities[start : start + MAX_IDENTITIES]}, named_at=())
        for start in range(0, len(identities), MAX_IDENTITIES)
    ]


class Step(NamedTuple):
    """The effect of one member's changes on its state."""

    state: MemberState  # to send from
    is_superseded: bool  # the newest of the changes is not the newest of the state
    writes: bool = False  # the state has to be written before anything is sent
    sends: bool = True
    with_removal: bool = False  # identities of earlier lives have to be removed first
    repeats: bool = False  # an older upload may take effect after this one: the newest has to be sent once more
    repeats_removal: bool = False  # and so has the removal of earlier lives


def step(
    state: MemberState | None,
    changes: Sequence[MembershipChange],
    *,
    now: int,
    effective_after: float,
    attempted_before: bool = False,
    is_replay: bool = False,
) -> Step:
    """Bring changes of one member into its state.

    Args:
        state: as the table holds it, None where it holds none.
        changes: one life's end, if any, and the newest change, as `coalesce` returns them.
        now: epoch seconds.
        effective_after: seconds after which an upload prepared now has taken effect, unless its job is late.
        attempted_before: an upload of these changes may be on its way, without a known outcome.
        is_replay: all of the changes were delivered before.
    """
    newest = changes[-1]
    if state is None or newest.version > state.version:
        return _newer(state, changes, now, effective_after, attempted_before=attempted_before)
    grown = _late(state, changes)
    adds = len(grown.active) > len(state.active)  # identities of the same moment as the newest change
    is_older = newest.version != state.version and not adds
    has_ended = (grown.left, grown.erase_until) != (state.left, state.erase_until)
    ends_a_life = newest.exits or len(changes) > 1
    removes = bool(grown.to_remove) and (grown.newest.exits or ends_a_life or attempted_before)
    removes_late = removes and (has_ended or (ends_a_life and not grown.newest.exits))
    if is_older and not attempted_before and not removes_late:
        return Step(grown, is_superseded=True, writes=grown != state, sends=False)
    repeats = has_ended or _contradicts(state, grown, now, effective_after)
    if is_replay and removes and not has_ended and not grown.newest.exits:
        repeats = grown.removal_overlaps  # the removal that is sent with it does not contradict it otherwise
    sends = not grown.newest.exits or bool(grown.to_remove)
    return Step(
        _dated(grown, now, removes) if grown != state else state,
        is_superseded=is_older or not sends,
        writes=grown != state,
        sends=sends,
        with_removal=removes,
        repeats=is_older or repeats,
        repeats_removal=removes and not grown.newest.exits and (has_ended or not is_replay),
    )


def _newer(
    state: MemberState | None,
    changes: Sequence[MembershipChange],
    now: int,
    effective_after: float,
    *,
    attempted_before: bool,
) -> Step:
    newest = changes[-1]
    grown = _grown(state, changes, now)
    with_removal = bool(grown.to_remove) and (newest.exits or len(changes) > 1 or attempted_before)
    # An enter of the life before may take effect after the removal.
    entered = state is not None and bool(state.entered) and now - state.entered < effective_after
    repeats_removal = with_removal and not newest.exits and entered
    repeats = state is not None and _contradicts(state, grown, now, effective_after)
    sends = not newest.exits or bool(grown.to_remove)
    return Step(
        _dated(grown, now, with_removal),
        is_superseded=not sends,
        writes=True,
        sends=sends,
        with_removal=with_removal,
        repeats=repeats or repeats_removal or (with_removal and not newest.exits and grown.removal_overlaps),
        repeats_removal=repeats_removal,
    )


def touched(state: MemberState, now: int, *, with_removal: bool) -> MemberState:
    """Record that a state which was written before has been sent now, in epoch seconds."""
    return _dated(state, now, with_removal)


def removed(state: MemberState, until: int) -> MemberState:
    """Drop the identities that were to be removed and were named by `until`, epoch milliseconds."""
    gone = {each.key for each in state.to_remove if each.at <= until}
    return replace(state, identities=tuple(each for each in state.identities if each.key not in gone))


def _grown(state: MemberState | None, changes: Sequence[MembershipChange], now: int) -> MemberState:
    """Make the newest of the changes the newest of the state."""
    newest = changes[-1]
    bare = replace(newest, record=newest.record | {"hashedPII": []}, erase=False, named_at=())
    known = state or MemberState(bare)
    exits = [change for change in changes if change.exits]
    left = max([*(change.version for change in exits), *([known.left] if known.left else [])], default=None)
    erase_until = max([known.erase_until, *(change.at for change in exits if change.erase)])
    if newest.exits and known.newest.exits and known.left and known.erase_until >= known.left.at:
        erase_until = max(erase_until, newest.at)  # there was no new life since the notice: this exit's traits go, too
    kept = known.identities
    if not (newest.exits or exits or known.removal_failed) and known.exited and now - known.exited > KEEP_REMOVED:
        kept = known.active  # what an earlier life named is gone for certain
    grown = replace(known, newest=bare, left=left, erase_until=erase_until, identities=kept)
    return _named(grown, [pair for change in changes if change.exits or change is newest for pair in change.identities])


def _late(state: MemberState, changes: Sequence[MembershipChange]) -> MemberState:
    """Bring changes that are not newer into a state, as far as they still matter; the state itself where they do not.

    A late exit ends the life that was before it; a late deletion notice erases what was known before it; an enter of
    the same moment as the newest adds its identities.
    """
    grown = state
    for change in changes:
        if change.exits:
            left = max(change.version, grown.left or change.version)
            until = left.at if state.newest.exits else change.at  # traits of exits since the notice go, too
            erase_until = max(grown.erase_until, until if change.erase else 0)
            grown = replace(grown, left=left, erase_until=erase_until)
        elif not change.exits and change.at == state.newest.at and not state.newest.exits:
            known = {each.key for each in grown.active}
            new = [pair for pair in change.identities if Identity(*pair).key not in known]
            grown = _named(grown, new) if new else grown
    return grown


def _named(state: MemberState, named: Sequence[tuple[int, dict[str, str]]]) -> MemberState:
    """Add identities, each at the latest time it was named."""
    known = {each.key: each for each in state.identities}
    for at, digests in named:
        identity = Identity(at, digests)
        if identity.key not in known or known[identity.key].at < at:
            known[identity.key] = identity
    newest_first = sorted(known.values(), key=lambda each: (-each.at, each.key))
    return replace(state, identities=tuple(newest_first[:MAX_KEPT]))


def _dated(state: MemberState, now: int, with_removal: bool) -> MemberState:
    entered = state.entered if state.newest.exits else now
    if state.newest.exits or with_removal:
        return replace(state, entered=entered, exited=now, removal_failed=False, outcome_unknown=False)
    return replace(state, entered=entered, outcome_unknown=False)


def _contradicts(before: MemberState, after: MemberState, now: int, effective_after: float) -> bool:
    """Return whether the opposite of the newest change was sent so recently that its job may still be running."""
    if before.outcome_unknown and before.newest.exits != after.newest.exits:
        return True
    opposite = before.entered if after.newest.exits else before.exited
    return bool(opposite) and now - opposite < effective_after
