"""`audience-sync member`: show what is known about one person, and erase them."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import uuid4

import typer

from audience_sync.amazon_ads.record import external_user_id
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import RejectedEvent
from audience_sync.member_state import Identity, MemberState
from audience_sync.member_step import step
from audience_sync.membership import EVERY_AUDIENCE, Audience, MembershipChange
from audience_sync.messages import DeliveryHistory, pack
from audience_sync.record_rules import erasing_exit
from audience_sync_cli.audiences.listed import AUDIENCE, find
from audience_sync_cli.errors import NotThere, OperatorError, ReportedAsNotThere, WrongUsage
from audience_sync_cli.parked.peeking import peek, with_erased
from audience_sync_cli.screen import counted, iso_time, moment
from audience_sync_cli.session import Session, command

app = typer.Typer()
SEND_TIMEOUT = 30.0  # seconds for the change queue to accept everything

_MEMBER = Annotated[str, typer.Argument(help="The external user id, as the mapping derives it from Segment's userId.")]


@command(app, "show", "member show lapsed_premium_buyers cust_1001")
def show(session: Session, audience: AUDIENCE, member: _MEMBER) -> None:
    """Show what is stored of one member: the newest change, consent, the identities as hashes, and what is parked.

    Active identities are those with which the member is in the audience. Those to remove may still be at Amazon from
    before the member left.
    """
    known = find(session, audience, with_unlinked=True)
    rows = session.members.read([(known.audience_id, member), (EVERY_AUDIENCE, member)])
    state, notice = rows.get((known.audience_id, member)), rows.get((EVERY_AUDIENCE, member))
    peeked, _ = peek(session, lambda each: each.audience_id == known.audience_id and member in each.members)
    parked = with_erased(session, peeked)
    if state is None and notice is None and not parked:
        raise NotThere(
            "Nothing is known about that member in that audience.",
            "Give the external user id as the mapping derives it from Segment's userId.",
        )
    session.screen.facts(
        {
            "audience": f"{known.name} ({known.audience_id})"
            + ("" if known.unlinked_at is None else f", unlinked {moment(known.unlinked_at)}"),
            "member": member,
            **(state_facts(state) if state else {"newest change": "none recorded"}),
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
            "unlinkedAt": iso_time(known.unlinked_at),
            "member": member,
            **(_state_json(state) if state else {}),
            "deletionNoticeAt": iso_time(notice.newest.at) if notice else None,
            "parked": [each.as_json() for each in parked],
        }
    )


@command(app, "erase", "member erase cust_1001", asks=True)
def erase(session: Session, member: _MEMBER) -> None:
    """Remove one person from every audience, then delete the hashes that are stored of them.

    Does what Segment's deletion notices do: the worker removes the person from each audience that knows them, unlinked
    ones also, and events from before now are ignored from then on. The hashes are deleted when Amazon's job with the
    last removal has ended well: up to 36 hours later, if the person entered lately. Exit code 3 if no audience and no
    dead letter knows the id.
    """
    try:
        external_user_id(member)
    except RejectedEvent:
        raise WrongUsage(
            "MEMBER takes 1 to 128 letters, digits, - and _.",
            "Give the external user id as the mapping derives it; `audience-sync member show` takes the same.",
        ) from None
    if not session.stack.keeps_rows:
        raise OperatorError(
            "This stack keeps no rows of members: OrderingGuard is no. Nothing knows which identifiers to remove.",
            "Remove the person from the audiences at Amazon by hand.",
        )
    audiences = session.audiences.with_unlinked()
    states = session.members.read((each.audience_id, member) for each in audiences)
    known_in = [each for each in audiences if (each.audience_id, member) in states]
    names = ", ".join(map(_label, known_in)) or "none"
    session.screen.confirm(
        f"Known in {len(known_in)} of {counted(len(audiences), 'audience')}: {names}. Erase this person?"
    )
    with session.log.line("member erase", audiences=len(known_in)):
        notice = queue_deletion_notice(session, member)
    last_removal = _last_removal(states.values(), notice)
    if not known_in:
        session.screen.say(
            "The id is in no audience, so nothing is removed. Events about it from before now are ignored from now on. "
            "Is it the external user id of the mapping?",
            style="yellow",
        )
    elif last_removal is None:
        session.screen.say(
            "The deletion is queued. Stored hashes are deleted when Amazon's job with the removal has ended well."
        )
    else:
        session.screen.say(
            f"The deletion is queued. The hashes stay until a last removal at {moment(last_removal * 1000)}, up to 36 "
            "hours from now: an upload from when the person entered may take effect until then."
        )
    parked, _ = peek(session, lambda each: member in each.members)
    if parked:
        session.screen.say(
            f"Hashes remain in {counted(len(parked), 'dead letter')}. Once the worker has recorded the deletion, "
            "usually within a minute, `audience-sync parked drop --erased` deletes them."
        )
    session.screen.result(
        {
            "audiences": len(audiences),
            "knownIn": len(known_in),
            "deadLetters": len(parked),
            "lastRemovalAt": None if last_removal is None else iso_time(last_removal * 1000),
        }
    )
    if not known_in and not parked:
        raise ReportedAsNotThere


def queue_deletion_notice(session: Session, member: str) -> MembershipChange:
    """Have the worker remove a person from every audience and delete what is stored of them. Raises Unavailable."""
    notice = erasing_exit(member, round(session.now() * 1000), f"erase-{uuid4().hex}")
    # No accepted event has led to it. If it was counted, the sums of `status` would be wrong.
    bodies = pack([notice], DeliveryHistory(is_replay=True))
    session.queue("ChangeQueue").send(bodies, deadline=time.monotonic() + SEND_TIMEOUT)
    return notice


def _last_removal(states: Iterable[MemberState], notice: MembershipChange) -> float | None:
    """Return when the last removal is due after which hashes are deleted, epoch seconds; None where the first one is.

    It takes the steps that the worker will take, with the times of the template.
    """
    timing, now = Limits().timing, notice.at // 1000
    after = (step(each, [replace(notice, audience_id=each.member[0])], now=now, timing=timing).state for each in states)
    return max((due.at for each in after if (due := each.due(timing)) and due.removes), default=None)


def _label(audience: Audience) -> str:
    return (audience.name or audience.audience_id) + ("" if audience.unlinked_at is None else " (unlinked)")


def state_facts(state: MemberState) -> dict[str, Any]:
    """Return what a row holds, for people; of the hashes only how many there are."""
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
