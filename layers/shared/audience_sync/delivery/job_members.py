"""Builds the per-record entries of a job message. Pure."""

from collections.abc import Iterable

from audience_sync.amazon_ads.apis import has_jobs, is_proof, upload_rules
from audience_sync.members.job_messages import JobMember
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import MembershipChange


def job_member(change: MembershipChange, state: MemberState, *, was_counted: bool) -> JobMember:
    """Describe a record that was sent.

    Args:
        change: as sent: the newest, or a removal of earlier lives.
        state: the source of the record.
        was_counted: whether the change was counted before.
    """
    is_part = change.exits and state.must_erase
    erases = is_part and _completes_removal(change, state)
    version = state.last_exit if change.exits and state.last_exit else state.version
    proves, claim = is_part and is_proof(change), state.revision if erases else 0
    return JobMember(change.member[1], version.text, change.exits, erases, was_counted, proves, claim)


def _completes_removal(change: MembershipChange, state: MemberState) -> bool:
    """Return whether no other record of the removal can still fail: it is the only one, or the last, without jobs."""
    whole, destination = state.to_remove, change.destination
    if len(whole) <= upload_rules(destination).max_identities:
        return True
    return not has_jobs(destination) and change.identities[-1] == whole[-1]


def members_of_upload(changes: Iterable[MembershipChange], *, removes: bool) -> list[JobMember]:
    """Describe the records of an earlier upload, one for each member. The repeated upload counts.

    Args:
        changes: in the upload; an exit and the enter behind it come back together.
        removes: whether the records were removals.
    """
    by_likeness = sorted(changes, key=lambda each: (each.exits == removes, each.version))
    newest = {change.member[1]: change for change in by_likeness}
    return [JobMember(member, change.version.text, removes, was_counted=True) for member, change in newest.items()]
