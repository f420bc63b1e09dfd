"""The record of one member, as the queue and the membership table hold it, in the audience API's format. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from audience_sync.amazon_ads.destination import is_of_audience_api
from audience_sync.members.membership import Destination

Action = Literal["CREATE", "DELETE"]


def audience_record(
    member: str, action: Action, identities: Sequence[Mapping[str, str]], country: str | None, consent: dict[str, Any]
) -> dict[str, Any]:
    """Build one record. Field names and order are Amazon's; `identities` are already hashed."""
    who = {"externalUserId": member, "countryCode": country} if country else {"externalUserId": member}
    return {**who, "action": action, "hashedPII": [*identities], "userConsent": consent}


def exit_record(record: dict[str, Any], destination: Destination) -> dict[str, Any]:
    """Return the record of an exit from an audience, given one without consent of its own.

    Ads Data Manager removes a member only with consent. Without `userConsent`, the exit gets the consent under which
    the member was added, once the member's row is read.
    """
    if record.get("userConsent") or "userConsent" not in record or is_of_audience_api(destination):
        return record
    return {name: value for name, value in record.items() if name != "userConsent"}
