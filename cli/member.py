"""`audience-sync member`: what is known of one person, and forgetting them."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import uuid4

import typer

from audience_sync.amazon_ads.record import audience_record, external_user_id
from audience_sync.errors import RejectedEvent
from audience_sync.membership import Audience, MembershipChange
from audience_sync.messages import DeliveryHistory, pack
from cli.audiences import AUDIENCE, find
from cli.errors import NotThere, WrongUsage
from cli.parked import look
from cli.screen import counted, moment
from cli.session import Session, command

DEADLINE = 30.0  # seconds for the queue to take everything

_MEMBER = Annotated[str, typer.Argument(help="The external user id: what the mapping makes of Segment's userId.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "show")(show)
    command(app, "forget", asks=True)(forget)


def show(session: Session, audience: AUDIENCE, member: _MEMBER) -> None:
    """Show the last change of one member: what, when, what was sent (as hashes), and whether it is parked."""
    known = find(session, audience)
    row = _row(session, known, member)
    letters, _ = look(session, lambda each: each.audience_id == known.audience_id and member in each.members)
    if row is None and not letters:
        raise NotThere(
            "Nothing is known of that member in that audience.", "Give the external user id as the mapping makes it."
        )
    told = _told(row) if row else {}
    fields = Counter(name for identity in told.get("identifiers", []) for name in identity)
    session.screen.facts(
        {
            "audience": f"{known.name} ({known.audience_id})",
            "member": member,
            "newest change": {"CREATE": "entered", "DELETE": "left"}.get(told.get("action", ""), "none recorded"),
            "of": moment(told.get("at")),
            "last sent": moment(told.get("toldAt")),
            "message": told.get("messageId"),
            "identifiers": ", ".join(f"{count} {name}" for name, count in fields.items()),
            "to be forgotten": told.get("forget", False),
            "parked": ", ".join(sorted({each.reason for each in letters})),
        }
    )
    hashes = [(name, value) for each in told.get("identifiers", []) for name, value in each.items()]
    if hashes:
        session.screen.say("")
        session.screen.table(("field", "SHA-256 as sent"), hashes)
    session.screen.result(
        {"audienceId": known.audience_id, "member": member, **told, "parked": [each.as_json() for each in letters]}
    )


def forget(session: Session, member: _MEMBER) -> None:
    """Remove one person from every audience, and then drop the hashes that are kept of them.

    Works through the change queue, as Segment's own deletion notices do; done when the worker has been there.
    """
    try:
        external_user_id(member)
    except RejectedEvent as error:
        raise WrongUsage(f"{error}.", "Give the id as `member show` takes it.") from None
    audiences = session.audiences.all()
    if not audiences:
        raise NotThere("No audience is listed, so nobody is in one.", "`audience-sync audiences list`")
    held: list[Audience] = []
    with session.screen.progress("asking each audience", len(audiences)) as bar:
        for each in audiences:
            held += [each] if _row(session, each, member) else []
            bar.advance()
    names = ", ".join(each.name or each.audience_id for each in held) or "none"
    session.screen.confirm(
        f"Known in {len(held)} of {counted(len(audiences), 'audience')}: {names}. Forget this person?"
    )
    # To all audiences: a change that still waits in the queue has left no trace in the table yet.
    at, message_id = round(session.now() * 1000), f"forget-{uuid4().hex}"
    exits = [_exit(each, member, at, message_id) for each in audiences]
    # Not of an accepted event, so not counted: the sums of `status` would not come out.
    bodies = pack(exits, DeliveryHistory(is_replay=True))
    session.queue("ChangeQueue").send(bodies, deadline=time.monotonic() + DEADLINE)
    if not held:
        session.screen.say("No audience knows this id. Is it the one that the mapping makes?", style="yellow")
    session.screen.say(f"{counted(len(exits), 'exit')} on the way to Amazon; what is kept here goes after that.")
    letters, _ = look(session, lambda each: member in each.members)
    if letters:
        session.screen.say(f"Hashes stay in {counted(len(letters), 'dead letter')}: `parked drop --member` ends that.")
    session.screen.result({"audiences": len(audiences), "knownIn": len(held), "deadLetters": len(letters)})


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


def _row(session: Session, audience: Audience, member: str) -> Mapping[str, Any] | None:
    answer = session.stack.service("dynamodb").get_item(
        TableName=session.stack["MembershipTable"],
        Key={"audienceId": {"S": audience.audience_id}, "externalUserId": {"S": member}},
        ConsistentRead=True,
    )
    row: Mapping[str, Any] | None = answer.get("Item")
    return row


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Read a row of the membership table; its layout is that of aws/membership_rows.py."""
    change = json.loads(row["change"]["S"])
    action = change["record"]["action"]
    return {
        "action": action,
        "at": change["at"],
        "messageId": change["id"],
        "forget": change.get("forget", False),
        "toldAt": int(row["entered" if action == "CREATE" else "exited"]["N"]) * 1000,
        "identifiers": [json.loads(text) for text in sorted(row.get("identities", {}).get("SS", []))],
    }
