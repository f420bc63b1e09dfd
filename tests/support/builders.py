"""Changes of members, as ingest makes them, and uploads."""

import hashlib
from typing import Any

from audience_sync.amazon_ads.advertiser_audiences.records import frame_of
from audience_sync.amazon_ads.upload import Target, Upload
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.membership import Destination, Identity, MembershipChange

AUDIENCE = "418273650912345678"


def sha256(text: str) -> str:
    """Return the hash of a string, as Amazon wants it."""
    return hashlib.sha256(text.encode()).hexdigest()


def change(
    member: str = "m1",
    *emails: str,
    at: int = 1,
    exits: bool = False,
    message_id: str = "",
    audience_id: str = AUDIENCE,
    destination: Destination = Destination(),  # noqa: B008
    **fields: Any,
) -> MembershipChange:
    """Return a change whose identities are email addresses, as they are given.

    Args:
        member: the external user id.
        emails: one identity each.
        at: epoch milliseconds.
        exits: whether the member leaves.
        message_id: by default made of the time.
        audience_id: of the audience.
        destination: what the changes of its audience carry.
        fields: further or other ones of the change. Without them it states no consent.
    """
    fields = {"identities": tuple(Identity(at, {"email": email}) for email in emails), "consent": {}} | fields
    return MembershipChange(audience_id, member, destination, at, message_id or f"id-{at}", exits, **fields)


def notice(person: str, at: int) -> MembershipChange:
    """Return the change of every audience that a deletion notice leads to."""
    return erasing_exit(person, at, f"notice-{person}")


def upload_of(target: Target, *encoded: bytes) -> Upload:
    """Return an upload to the audience API."""
    return Upload(target, frame_of(target), encoded)
