"""`audience-sync member`: show what is known about one person, and erase them."""

import time
from collections import Counter
from typing import Annotated, Any
from uuid import uuid4

import typer

from audience_sync.amazon_ads.record import audience_record, external_user_id
from audience_sync.aws.membership_rows import MemberRow
from audience_sync.errors import RejectedEvent
from audience_sync.membership import Audience, MembershipChange
from audience_sync.messages import DeliveryHistory, pack
from cli.audiences import AUDIENCE, find
from cli.errors import NotThere, WrongUsage
from cli.parked import peek
from cli.screen import counted, moment
from cli.session import Session, command

SEND_TIMEOUT = 30.0  # seconds for the change queue to accept everything

_MEMBER = Annotated[str, typer.Argument(help="The external user id, as the mapping derives it from Segment's userId.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "show")(show)
    command(app, "erase", asks=True)(erase)


def show(session: Session, audience: AUDIENCE, member: _MEMBER) -> None:
    """Show the last change of one member: what, when, what was sent (as hashes), and whether it is parked."""
    known = find(session, audience)
    row = session.members.read((known.audience_id, member))
    parked, _ = peek(session, lambda each: each.audience_id == known.audience_id and member in each.members)
    if row is None and not parked:
        raise NotThere(
            "Nothing is known about that member in that audience.",
            "Give the external user id as the mapping derives it from Segment's userId.",
        )
    identities = row.identities if row else ()
    fields = Counter(name for identity in identities for name in identity)
    session.screen.facts(
        {
            "audience": f"{known.name} ({known.audience_id})",
            "member": member,
            "last change": {"CREATE": "entered", "DELETE": "left"}[row.action] if row else "none recorded",
            "event time": moment(row.at if row else None),
            "last sent": moment(row.last_sent * 1000 if row else None),
            "message id": row.message_id if row else None,
            "identifiers": ", ".join(f"{count} {name}" for name, count in fields.items()),
            "to be erased": row.erase if row else False,
            "parked": ", ".join(sorted({each.reason for each in parked})),
        }
    )
    hashes = [(name, value) for identity in identities for name, value in identity.items()]
    if hashes:
        session.screen.say("")
        session.screen.table(("field", "SHA-256 as sent"), hashes)
    session.screen.result(
        {
            "audienceId": known.audience_id,
            "member": member,
            **(_row_json(row) if row else {}),
            "parked": [each.as_json() for each in parked],
        }
    )


def erase(session: Session, member: _MEMBER) -> None:
    """Remove one person from every audience, then delete the hashes that are stored of them.

    Sends an exit for each audience to the change queue, as Segment's deletion notices do. The hashes are deleted once
    the worker has delivered the exits.
    """
    try:
        external_user_id(member)
    except RejectedEvent as error:
        raise WrongUsage(f"{error}.", "Give the id as `member show` takes it.") from None
    audiences = session.audiences.all()
    if not audiences:
        raise NotThere("No audience is listed, so there is nothing to erase.", "See `audience-sync audiences list`.")
    known_in: list[Audience] = []
    with session.screen.progress("reading each audience", len(audiences)) as bar:
        for each in audiences:
            known_in += [each] if session.members.read((each.audience_id, member)) else []
            bar.advance()
    names = ", ".join(each.name or each.audience_id for each in known_in) or "none"
    session.screen.confirm(
        f"Known in {len(known_in)} of {counted(len(audiences), 'audience')}: {names}. Erase this person?"
    )
    # An exit for every audience: a change that is still in the queue is not in the table yet.
    at, message_id = round(session.now() * 1000), f"erase-{uuid4().hex}"
    exits = [_exit(each, member, at, message_id) for each in audiences]
    # No accepted event has led to these exits. If they were counted, the sums of `status` would be wrong.
    bodies = pack(exits, DeliveryHistory(is_replay=True))
    session.queue("ChangeQueue").send(bodies, deadline=time.monotonic() + SEND_TIMEOUT)
    if not known_in:
        session.screen.say("The id is in no audience. Is it the external user id of the mapping?", style="yellow")
    session.screen.say(
        f"{counted(len(exits), 'exit')} queued for Amazon. The stored hashes are deleted after delivery."
    )
    parked, _ = peek(session, lambda each: member in each.members)
    if parked:
        session.screen.say(
            f"Hashes remain in {counted(len(parked), 'dead letter')}; delete them with `parked drop --member`."
        )
    session.screen.result({"audiences": len(audiences), "knownIn": len(known_in), "deadLetters": len(parked)})


def _exit(audience: Audience, member: str, at: int, message_id: str) -> MembershipChange:
    record = audience_record(member, "DELETE", [], None, {})
    return MembershipChange(
        audience.audience_id,
        audience.connection_id,
        at,
        message_id,
        record,
        erase=True,
        target_types=audience.target_types,
    )


def _row_json(row: MemberRow) -> dict[str, Any]:
    return {
        "action": row.action,
        "at": row.at,
        "messageId": row.message_id,
        "erase": row.erase,
        "lastSentAt": row.last_sent * 1000,
        "identifiers": row.identities,
    }
