"""The row of a member, for people; without identifiers."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Identity
from audience_sync_cli.frame.screen import counted, moment


def state_facts(state: MemberState) -> dict[str, Any]:
    """Return a row for people; the number of hashes instead of the hashes."""
    return {
        "newest change": "left" if state.newest.exits else "entered",
        "event time": moment(state.newest.at),
        "last tried": moment(last_sent(state)),
        "message id": state.newest.message_id,
        "country": state.newest.country or "",
        "consent": json.dumps(state.newest.consent) if state.newest.consent else "",
        "active": _fields(state.active),
        "to remove": _fields(state.to_remove),
        "to be erased": state.must_erase,
        "late jobs": ", ".join(job.job_id for job in state.late_jobs),
        "sent again": _sent_again(state),
    }


def last_sent(state: MemberState) -> int | None:
    """Return the time of the last upload for the member, in epoch milliseconds."""
    return max(state.enter_sent, state.removal_sent) * 1000 or None


def enter_again_at(state: MemberState) -> int | None:
    """Return from when an enter is sent again whose job has failed or is unknown, in epoch milliseconds."""
    return state.enter_retry_at * 1000 or None if state.enter_owed and not state.newest.exits else None


def removal_again_at(state: MemberState) -> int | None:
    """Return from when a removal is sent again, likewise."""
    return state.removal_retry_at * 1000 or None if state.removal_owed and state.to_remove else None


def _sent_again(state: MemberState) -> str:
    times = {"a removal": removal_again_at(state), "an enter": enter_again_at(state)}
    again = " and ".join(f"{upload} from {moment(at)}" for upload, at in times.items() if at)
    return f"{again}, after {counted(state.failed_jobs, 'failed job')}" if again else ""


def _fields(identities: Sequence[Identity]) -> str:
    fields = Counter(name for identity in identities for name in identity.digests)
    return ", ".join(f"{count} {name}" for name, count in sorted(fields.items()))
