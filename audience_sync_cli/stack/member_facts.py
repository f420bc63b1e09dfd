"""The row of a member, for people; without identifiers."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Identity
from audience_sync_cli.frame.screen import moment


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
    }


def last_sent(state: MemberState) -> int | None:
    """Return the time of the last upload for the member, in epoch milliseconds."""
    return max(state.enter_sent, state.removal_sent) * 1000 or None


def _fields(identities: Sequence[Identity]) -> str:
    fields = Counter(name for identity in identities for name in identity.digests)
    return ", ".join(f"{count} {name}" for name, count in sorted(fields.items()))
