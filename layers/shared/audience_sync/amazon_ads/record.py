"""The record of one member, as the queue and the membership table hold it, in the audience API's format. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Action = Literal["CREATE", "DELETE"]


def audience_record(
    member: str, action: Action, identities: Sequence[Mapping[str, str]], country: str | None, consent: dict[str, Any]
) -> dict[str, Any]:
    """Build one record. Field names and order are Amazon's; `identities` are already hashed."""
    who = {"externalUserId": member, "countryCode": country} if country else {"externalUserId": member}
    return {**who, "action": action, "hashedPII": [*identities], "userConsent": consent}
