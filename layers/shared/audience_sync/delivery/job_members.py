"""What a job's message says of each record of its upload, so that the job's end can act on it. Pure."""

from audience_sync.member_state import MemberState
from audience_sync.membership import MAX_IDENTITIES, MembershipChange
from audience_sync.messages import JobMember


def member_of_state(change: MembershipChange, state: MemberState, *, repeats: bool, is_replay: bool) -> JobMember:
    """Describe a record that was sent from a state.

    Args:
        change: as it was sent: the newest, or the removal before it.
        state: that it was sent from.
        repeats: whether an older upload may take effect after it, so that it will be sent once more.
        is_replay: whether the change was counted before.
    """
    # Erased when the job has ended well, unless it does not speak for all that was sent: more uploads are to come, or
    # the removal went out in several.
    erases = change.exits and state.must_erase and not repeats and len(state.to_remove) <= MAX_IDENTITIES
    version = state.left if change.exits and state.left else state.version
    return JobMember(change.member[1], version.text, change.exits, erases, is_replay)


def member_of_change(change: MembershipChange, *, is_replay: bool) -> JobMember:
    """Describe a record that was sent without the membership table."""
    return JobMember(change.member[1], change.version.text, removes=change.exits, is_replay=is_replay)
