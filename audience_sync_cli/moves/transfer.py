"""The changes that bring one member of an audience into the audience that it moves to. Pure.

During a move, live events reach both audiences, in any order. So a change keeps the version of the row it is made from:
the worker applies it only if nothing newer has arrived, and a repeated run finds what is already there.
"""

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.consent import consent_of_exit
from audience_sync.amazon_ads.data_manager.members import is_stated
from audience_sync.amazon_ads.destination import destination_of_changes, needs_consent
from audience_sync.ingest.record_rules import Policy
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import MAX_IDENTITIES, Audience, Identity, MembershipChange, Version

ENDED = "audience-sync-end"  # message id of the exits with which an audience ends: nobody has left


class Effect(StrEnum):
    """The effect of a move on one member of the source."""

    ENTERS = "to enter"
    COMPLETED = "to complete"  # in both, with identities that the target lacks
    THERE = "already there"
    LEAVES = "to remove"  # in the target only: left the source later
    LEFT = "left before"  # the exit is remembered in the target, where older events may still arrive
    FORGOTTEN = "already left"
    LEFT_OUT = "left out"


class LeftOut(StrEnum):
    """The reason for which an active member stays out of the target."""

    CONSENT_MISSING = "no consent"
    NO_IDENTIFIER = "no identifier"
    LAPSED = "time to live has ended"
    ENDED = "removed when the target was ended"
    ROW_UNREADABLE = "their stored row is damaged: see A damaged row in docs/runbook.md"


class Transfer(NamedTuple):
    """The outcome for one member, and the changes to send, the older one first."""

    outcome: Effect
    changes: tuple[MembershipChange, ...] = ()
    left_out: LeftOut | None = None


def transfer(
    source: MemberState,
    target: MemberState | None,
    into: Audience,
    policy: Policy,
    *,
    lapsed_by: float,
    notice: Version | None = None,
) -> Transfer:
    """Decide about one member, from the rows in the audience that moves and, if there is one, in its target.

    Amazon has dropped members who were last sent by `lapsed_by`, in epoch seconds. The worker applies `notice`, the
    person's deletion notice, to members without a row.
    """
    exits = tuple(_exit(source, target.last_exit if target else notice, into))
    if source.newest.exits:
        is_in = target is not None and not target.newest.exits and target.version < source.version
        return Transfer((Effect.LEAVES if is_in else Effect.LEFT) if exits else Effect.FORGOTTEN, exits)
    if target is None or target.version < source.version:
        reason = _left_out(source, into, policy, lapsed_by)
        if reason:
            return Transfer(Effect.LEFT_OUT, exits, reason)
        return Transfer(Effect.ENTERS, (*exits, _into(into, source.enter())))
    if target.newest.exits:
        ended = LeftOut.ENDED if is_ended(target) else None
        return Transfer(Effect.LEFT_OUT if ended else Effect.THERE, exits, ended)
    missing = [each for each in source.active if _is_missing(target, each)][:MAX_IDENTITIES]
    if not missing:
        return Transfer(Effect.THERE, exits)
    return Transfer(Effect.COMPLETED, (*exits, _into(into, replace(target.newest, identities=tuple(missing)))))


def is_ended(state: MemberState) -> bool:
    """Return whether a member was removed by the end of the audience, and nothing newer is known."""
    return state.newest.exits and state.newest.message_id == ENDED


def ending_exit(state: MemberState, audience: Audience, ended_at: int) -> MembershipChange:
    """Return the exit with which a member's audience ends. The same each time, so that it can be sent again.

    In the audience API, it also erases the hashes once Amazon's job has ended, which proves the removal. In Ads Data
    Manager, an erasure would delete the person's identities in every dataset.
    """
    destination = destination_of_changes(audience)
    version = Version(max(ended_at, state.version.at), True, ENDED)
    return replace(_exit_at(version, state, audience), erase=has_jobs(destination))


def _exit(source: MemberState, known: Version | None, into: Audience) -> Iterator[MembershipChange]:
    """Yield the newest exit of the source, unless the target has it, or knows a newer one."""
    left = source.last_exit
    if left is not None and left.message_id != ENDED and (known is None or known < left):
        yield _exit_at(left, source, into)


def _exit_at(version: Version, state: MemberState, audience: Audience) -> MembershipChange:
    """Return an exit without identities: the worker adds those of the row. To a dataset, it adds the row's consent."""
    country, destination = state.newest.country, destination_of_changes(audience)
    return MembershipChange(
        audience.audience_id,
        state.member[1],
        destination,
        version.at,
        version.message_id,
        exits=True,
        country=country or None,
        consent=consent_of_exit({}, destination),
    )


def _left_out(source: MemberState, into: Audience, policy: Policy, lapsed_by: float) -> LeftOut | None:
    if 0 < source.enter_sent <= lapsed_by:
        return LeftOut.LAPSED
    must_consent = policy.consent == "require" and needs_consent(into.destination)
    if must_consent and not is_stated(source.newest.consent):
        return LeftOut.CONSENT_MISSING
    return None if source.active else LeftOut.NO_IDENTIFIER


def _is_missing(target: MemberState, identity: Identity) -> bool:
    """Return whether an active member of the target lacks an identity that its newest life may have."""
    if target.last_exit is not None and identity.at <= target.last_exit.at:
        return False
    return all(each.key != identity.key or each.at < identity.at for each in target.identities)


def _into(into: Audience, change: MembershipChange) -> MembershipChange:
    return replace(change, audience_id=into.audience_id, destination=destination_of_changes(into))
