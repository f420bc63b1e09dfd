"""Changes of members, as ingest makes them, and uploads."""

import hashlib
from collections.abc import Mapping
from typing import Any

from audience_sync.amazon_ads.advertiser_audiences.records import frame_of
from audience_sync.amazon_ads.upload import Target, Upload
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.membership import Destination, MembershipChange

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
    record: Mapping[str, Any] | None = None,
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
        record: further or other fields of the record.
        fields: further ones of the change.
    """
    whole: dict[str, Any] = {
        "externalUserId": member,
        "action": "DELETE" if exits else "CREATE",
        "hashedPII": [{"email": email} for email in emails],
        "userConsent": {},
    }
    whole |= record or {}
    return MembershipChange(audience_id, destination, at, message_id or f"id-{at}", whole, **fields)


def notice(person: str, at: int) -> MembershipChange:
    """Return the change of every audience that a deletion notice leads to."""
    return erasing_exit(person, at, f"notice-{person}")


def upload_of(target: Target, *encoded: bytes) -> Upload:
    """Return an upload to the audience API."""
    return Upload(target, frame_of(target), encoded)
