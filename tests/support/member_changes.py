"""Changes of one member, whose identities are email addresses, and the row after some of them."""

from dataclasses import replace
from typing import Any

from audience_sync.aws.membership_table import MembershipTable
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Member, MembershipChange
from tests.support import builders

NOW = 1_800_000_000  # epoch seconds
TIMING = Timing(effective_after=1020)


def change(at: int, *names: str, id: str = "", **options: Any) -> MembershipChange:  # noqa: A002
    """Return a change of the member, whose identities are email addresses with these names."""
    return builders.change("m1", *names, at=at, message_id=id, **options)


def enter(at: int, *names: str) -> MembershipChange:
    return change(at, *names)


def leave(at: int, *names: str) -> MembershipChange:
    """Return a plain exit."""
    return change(at, *names, exits=True)


def notice(at: int) -> MembershipChange:
    """Return the exit that a deletion notice leads to."""
    return change(at, exits=True, erase=True)


def names(change: MembershipChange) -> list[str]:
    """Return what a change names."""
    return sorted(each.digests["email"] for each in change.identities)


def recorded(*changes: MembershipChange, until: int = NOW) -> MemberState:
    """Return the row after changes that came hours apart, the last one at `until`, each when nothing was in flight."""
    state: MemberState | None = None
    for number, each in enumerate(changes, 1 - len(changes)):
        state = apply_changes(state, [each], now=until + 5_000 * number, timing=TIMING).state
    assert state is not None
    return state


def reject_once(table: MembershipTable, *members: Member) -> None:
    """Write rows as if a job had rejected their newest change, and Amazon had accepted it again since."""
    results = table.write([replace(state, failed_jobs=1) for state in table.read(members).values()])
    assert all(isinstance(result, MemberState) for result in results)


def record_as_sent(table: MembershipTable, *changes: MembershipChange, now: int) -> None:
    """Write the rows of members as if their changes had been sent at some time, when nothing was in flight."""
    states, timing = table.read(change.member for change in changes), Timing(0)
    steps = [apply_changes(states.get(each.member), [each], now=now, timing=timing) for each in changes]
    assert all(isinstance(result, MemberState) for result in table.write([each.state for each in steps]))
