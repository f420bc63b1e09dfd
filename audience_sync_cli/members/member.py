"""`audience-sync member show`: the stored data of one person in an audience."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from audience_sync.members.member_state import Identity, MemberState
from audience_sync.members.membership import EVERY_AUDIENCE
from audience_sync_cli.audiences.listed import AUDIENCE, find
from audience_sync_cli.errors import NotThere
from audience_sync_cli.parked.peeking import peek, with_erased
from audience_sync_cli.screen import iso_time, moment
from audience_sync_cli.session import Session, command

app = typer.Typer()
_MEMBER = Annotated[str, typer.Argument(help="External user id, as the mapping derives it from Segment's userId.")]


@command(app, "show", "member show lapsed_premium_buyers cust_1001")
def show(session: Session, audience: AUDIENCE, member: _MEMBER) -> None:
    """Show the stored data of one member: newest change, consent, identifiers as hashes, and dead letters.

    Active identifiers are the member's at Amazon. Identifiers to remove may remain at Amazon from before the member
    left.
    """
    known = find(session, audience, with_unlinked=True)
    rows = session.members.read([(known.audience_id, member), (EVERY_AUDIENCE, member)])
    state, notice = rows.get((known.audience_id, member)), rows.get((EVERY_AUDIENCE, member))
    denied = bool(notice and notice.newest.record.get("userConsent"))
    peeked, _ = peek(session, lambda each: each.audience_id == known.audience_id and member in each.members)
    parked = with_erased(session, peeked)
    if state is None and notice is None and not parked:
        raise NotThere(
            "Nothing is stored for that member in that audience.",
            "Use the external user id as the mapping derives it from Segment's userId.",
        )
    facts = {
        "audience": f"{known.name} ({known.audience_id})"
        + ("" if known.unlinked_at is None else f", unlinked {moment(known.unlinked_at)}"),
        "member": member,
        **(state_facts(state) if state else {"newest change": "none recorded"}),
        "consent denied at" if denied else "deletion notice of": moment(notice.newest.at) if notice else "",
        "parked": ", ".join(sorted({each.reason for each in parked})),
    }
    session.screen.facts({name: value for name, value in facts.items() if value})
    for label, identities in (("active", state.active), ("to remove", state.to_remove)) if state else ():
        if identities:
            session.screen.say("")
            hashes = [pair for identity in identities for pair in sorted(identity.digests.items())]
            session.screen.table((label, "SHA-256 as sent"), hashes)  # fits 80 columns, as it must
    session.screen.result(
        {
            "audienceId": known.audience_id,
            "unlinkedAt": iso_time(known.unlinked_at),
            "member": member,
            **(_state_json(state) if state else {}),
            "deletionNoticeAt": iso_time(notice.newest.at) if notice and not denied else None,
            "consentDeniedAt": iso_time(notice.newest.at) if notice and denied else None,
            "parked": [each.as_json() for each in parked],
        }
    )


def state_facts(state: MemberState) -> dict[str, Any]:
    """Return a row for people; the number of hashes instead of the hashes."""
    return {
        "newest change": "left" if state.newest.exits else "entered",
        "event time": moment(state.newest.at),
        "last tried": moment(_last_sent(state)),
        "message id": state.newest.message_id,
        "country": state.newest.record.get("countryCode", ""),
        "consent": json.dumps(_consent(state)) if _consent(state) else "",
        "active": _fields(state.active),
        "to remove": _fields(state.to_remove),
        "to be erased": state.must_erase,
        "late jobs": ", ".join(job.job_id for job in state.late_jobs),
    }


def _state_json(state: MemberState) -> dict[str, Any]:
    return {
        "action": state.newest.record["action"],
        "at": iso_time(state.newest.at),
        "messageId": state.newest.message_id,
        "countryCode": state.newest.record.get("countryCode"),
        "userConsent": _consent(state),
        "lastSentAt": iso_time(_last_sent(state)),
        "active": [each.digests for each in state.active],
        "toRemove": [each.digests for each in state.to_remove],
        "erase": state.must_erase,
        "lateJobs": [job.job_id for job in state.late_jobs],
    }


def _consent(state: MemberState) -> dict[str, Any]:
    """Return the consent signals and, if a mapping sends it, the IP address."""
    return dict(state.newest.record.get("userConsent", {}))


def _last_sent(state: MemberState) -> int | None:
    """Return the time of the last upload for the member, in epoch milliseconds."""
    return max(state.enter_sent, state.removal_sent) * 1000 or None


def _fields(identities: Sequence[Identity]) -> str:
    fields = Counter(name for identity in identities for name in identity.digests)
    return ", ".join(f"{count} {name}" for name, count in sorted(fields.items()))
