"""`audience-sync member`: show what is known about one person, and erase them."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import uuid4

import typer

from audience_sync.amazon_ads.record import external_user_id
from audience_sync.errors import RejectedEvent
from audience_sync.member_state import Identity, MemberState
from audience_sync.membership import EVERY_AUDIENCE
from audience_sync.messages import DeliveryHistory, pack
from audience_sync.record_rules import erasing_exit
from audience_sync_cli.audiences.listed import AUDIENCE, find
from audience_sync_cli.errors import NotThere, WrongUsage
from audience_sync_cli.parked.peeking import peek
from audience_sync_cli.screen import counted, iso_time, moment
from audience_sync_cli.session import Session, command

SEND_TIMEOUT = 30.0  # seconds for the change queue to accept everything

_MEMBER = Annotated[str, typer.Argument(help="The external user id, as the mapping derives it from Segment's userId.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "show")(show)
    command(app, "erase", asks=True)(erase)


def show(session: Session, audience: AUDIENCE, member: _MEMBER) -> None:
    """Show what is stored of one member: the newest change, consent, the identities as hashes, and what is parked.

    Active identities are those with which the member is in the audience. Those to remove may still be at Amazon from
    before the member left.
    """
    known = find(session, audience)
    rows = session.members.read([(known.audience_id, member), (EVERY_AUDIENCE, member)])
    state, notice = rows.get((known.audience_id, member)), rows.get((EVERY_AUDIENCE, member))
    parked, _ = peek(session, lambda each: each.audience_id == known.audience_id and member in each.members)
    if state is None and notice is None and not parked:
        raise NotThere(
            "Nothing is known about that member in that audience.",
            "Give the external user id as the mapping derives it from Segment's userId.",
        )
    session.screen.facts(
        {
            "audience": f"{known.name} ({known.audience_id})",
            "member": member,
            **(_facts(state) if state else {"newest change": "none recorded"}),
            "deletion notice of": moment(notice.newest.at) if notice else "",
            "parked": ", ".join(sorted({each.reason for each in parked})),
        }
    )
    for label, identities in (("active", state.active), ("to remove", state.to_remove)) if state else ():
        if identities:
            session.screen.say("")
            session.screen.table((label, "SHA-256 as sent"), _hashes(identities))  # fits 80 columns, as it must
    session.screen.result(
        {
            "audienceId": known.audience_id,
            "member": member,
            **(_state_json(state) if state else {}),
            "deletionNoticeAt": iso_time(notice.newest.at) if notice else None,
            "parked": [each.as_json() for each in parked],
        }
    )


def erase(session: Session, member: _MEMBER) -> None:
    """Remove one person from every audience, then delete the hashes that are stored of them.

    Does what Segment's deletion notices do: the worker removes the person from each audience that knows them, and
    events from before now are ignored from then on. The hashes are deleted once Amazon's jobs have ended.
    """
    try:
        external_user_id(member)
    except RejectedEvent:
        raise WrongUsage(
            "MEMBER takes 1 to 128 letters, digits, - and _.",
            "Give the external user id as the mapping derives it; `audience-sync member show` takes the same.",
        ) from None
    audiences = session.audiences.all()
    states = session.members.read((each.audience_id, member) for each in audiences)
    known_in = [each for each in audiences if (each.audience_id, member) in states]
    names = ", ".join(each.name or each.audience_id for each in known_in) or "none"
    session.screen.confirm(
        f"Known in {len(known_in)} of {counted(len(audiences), 'audience')}: {names}. Erase this person?"
    )
    with session.log.line("member erase", audiences=len(known_in)):
        queue_deletion_notice(session, member)
    if not known_in:
        session.screen.say("The id is in no audience. Is it the external user id of the mapping?", style="yellow")
    session.screen.say("The deletion is queued. The stored hashes are deleted once Amazon has removed the person.")
    parked, _ = peek(session, lambda each: member in each.members)
    if parked:
        session.screen.say(
            f"Hashes remain in {counted(len(parked), 'dead letter')}; delete them with "
            "`audience-sync parked drop --member`."
        )
    session.screen.result({"audiences": len(audiences), "knownIn": len(known_in), "deadLetters": len(parked)})


def queue_deletion_notice(session: Session, member: str) -> None:
    """Have the worker remove a person from every audience and delete what is stored of them. Raises Unavailable."""
    notice = erasing_exit(member, round(session.now() * 1000), f"erase-{uuid4().hex}")
    # No accepted event has led to it. If it was counted, the sums of `status` would be wrong.
    bodies = pack([notice], DeliveryHistory(is_replay=True))
    session.queue("ChangeQueue").send(bodies, deadline=time.monotonic() + SEND_TIMEOUT)


def _facts(state: MemberState) -> dict[str, Any]:
    return {
        "newest change": "left" if state.newest.exits else "entered",
        "event time": moment(state.newest.at),
        "last sent": moment(_last_sent(state)),
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
    """Return the consent signals and, where a mapping sends it, the IP address."""
    return dict(state.newest.record.get("userConsent", {}))


def _last_sent(state: MemberState) -> int | None:
    """Return when anything was last sent for the member, in epoch milliseconds."""
    return max(state.entered, state.exited) * 1000 or None


def _fields(identities: Sequence[Identity]) -> str:
    fields = Counter(name for identity in identities for name in identity.digests)
    return ", ".join(f"{count} {name}" for name, count in sorted(fields.items()))


def _hashes(identities: Sequence[Identity]) -> list[tuple[str, str]]:
    return [(name, value) for identity in identities for name, value in sorted(identity.digests.items())]
