"""`audience-sync member`: show the stored data of one person, and erase it."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import uuid4

import typer

from audience_sync.amazon_ads.ids import external_user_id
from audience_sync.amazon_ads.timings import Timings
from audience_sync.errors import RejectedEvent
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.member_state import LONGEST_JOB, Identity, MemberState
from audience_sync.members.member_step import step
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, MembershipChange
from audience_sync.members.messages import DeliveryHistory, pack
from audience_sync_cli.audiences.listed import AUDIENCE, find
from audience_sync_cli.errors import NotThere, OperatorError, ReportedAsNotThere, WrongUsage
from audience_sync_cli.parked.peeking import peek, with_erased
from audience_sync_cli.screen import counted, iso_time, moment
from audience_sync_cli.session import Session, command

app = typer.Typer()
SEND_TIMEOUT = 30.0  # seconds for the change queue to accept everything

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
    session.screen.facts(
        {
            "audience": f"{known.name} ({known.audience_id})"
            + ("" if known.unlinked_at is None else f", unlinked {moment(known.unlinked_at)}"),
            "member": member,
            **(state_facts(state) if state else {"newest change": "none recorded"}),
            "deletion notice of": moment(notice.newest.at) if notice and not denied else "",
            **({"consent denied at": moment(notice.newest.at)} if notice and denied else {}),
            "parked": ", ".join(sorted({each.reason for each in parked})),
        }
    )
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


@command(app, "erase", "member erase cust_1001", asks=True)
def erase(session: Session, member: _MEMBER) -> None:
    """Remove one person from every audience, then delete the person's stored hashes.

    Equivalent to Segment's deletion notice: the worker removes the person from each audience that has a row for them,
    unlinked ones included, and older events are ignored from then on. Hashes are deleted when the Amazon job of the
    last removal has succeeded: up to 36 hours later if the person entered recently. Exit code 3 if the id is in no
    audience and no dead letter.
    """
    try:
        external_user_id(member)
    except RejectedEvent:
        raise WrongUsage(
            "MEMBER must be 1 to 128 letters, digits, - and _.",
            "Use the external user id as the mapping derives it, as for `audience-sync member show`.",
        ) from None
    if not session.stack.keeps_rows:
        raise OperatorError(
            "This stack does not store member rows (OrderingGuard=no), so the identifiers to remove are unknown.",
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
    last_removal = _last_removal(states.values(), notice, session.timings)
    if not known_in:
        session.screen.say(
            "The id is in no audience, so nothing is removed. Older events about it are ignored from now on. "
            "Check that it is the external user id of the mapping.",
            style="yellow",
        )
    elif last_removal is None:
        session.screen.say(
            "The deletion is queued. Stored hashes are deleted when Amazon's job with the removal has succeeded."
        )
    else:
        session.screen.say(
            f"The deletion is queued. The hashes stay until a last removal at {moment(last_removal * 1000)} at the "
            "latest: an upload from the person's enter may take effect until then."
        )
    parked, _ = peek(session, lambda each: member in each.members)
    if parked:
        session.screen.say(
            f"Hashes remain in {counted(len(parked), 'dead letter')}. After the worker has recorded the deletion, "
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
    """Queue a removal from every audience and the deletion of the person's stored data. Raises Unavailable."""
    notice = erasing_exit(member, round(session.now() * 1000), f"erase-{uuid4().hex}")
    # No accepted event has caused it; counting it would unbalance the sums of `status`.
    bodies = pack([notice], DeliveryHistory(is_replay=True))
    session.queue("ChangeQueue").send(bodies, deadline=time.monotonic() + SEND_TIMEOUT)
    return notice


def _last_removal(states: Iterable[MemberState], notice: MembershipChange, timings: Timings) -> float | None:
    """Return the time of the last removal before hashes are deleted, in epoch seconds; None if it is the first one.

    Simulates the worker's steps. The jobs of a local stack end sooner.
    """
    last = None
    for each in states:
        timing = timings.of(each.newest.destination)._replace(longest_job=LONGEST_JOB)
        exit_ = replace(notice, audience_id=each.member[0])
        after = step(each, [exit_], now=notice.at // 1000, timing=timing).state
        if after.removal_due(timing):
            last = max(last or 0.0, after.last_removal(timing))
    return last


def _label(audience: Audience) -> str:
    return (audience.name or audience.audience_id) + ("" if audience.unlinked_at is None else " (unlinked)")


def state_facts(state: MemberState) -> dict[str, Any]:
    """Return a row for people; the number of hashes instead of the hashes."""
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
    """Return the consent signals and, if a mapping sends it, the IP address."""
    return dict(state.newest.record.get("userConsent", {}))


def _last_sent(state: MemberState) -> int | None:
    """Return the time of the last upload for the member, in epoch milliseconds."""
    return max(state.entered, state.exited) * 1000 or None


def _fields(identities: Sequence[Identity]) -> str:
    fields = Counter(name for identity in identities for name in identity.digests)
    return ", ".join(f"{count} {name}" for name, count in sorted(fields.items()))
