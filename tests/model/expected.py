"""What the changes of one member say about the result."""

from collections.abc import Iterable, Sequence

from audience_sync.members.membership import MembershipChange


def newest(changes: Iterable[MembershipChange]) -> MembershipChange:
    """Return the change that decides about membership."""
    return max(changes, key=lambda each: each.version)


def erased(changes: Sequence[MembershipChange]) -> set[str]:
    """Return the identities under a deletion notice: named before it, or by exits after it without a new life."""
    notice = max((each.version for each in changes if each.erase), default=None)
    if notice is None:
        return set()
    is_back = any(each.version > notice and not each.exits for each in changes)
    concerned = {name for each in changes if each.version <= notice or not is_back for name in emails(each)}
    return concerned - {name for each in changes if each.version > notice and is_back for name in emails(each)}


def removed(changes: Sequence[MembershipChange]) -> set[str]:
    """Return the identities that were named before the member's newest exit, and by no enter after it."""
    left = max((each.version for each in changes if each.exits), default=None)
    if left is None:
        return set()
    before = {name for each in changes if each.version <= left for name in emails(each)}
    return before - {name for each in changes if each.version > left for name in emails(each)}


def emails(change: MembershipChange) -> list[str]:
    """Return the identities of a change."""
    return [identity["email"] for identity in change.record["hashedPII"]]
