"""Segment's events and requests, each with what it states: about which member, when, and with which identities."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from audience_sync.amazon_ads.destination import Api, ads_data_manager, amc_connection, api_of, dsp_advertiser
from audience_sync.members.membership import Audience
from tests.soak.held import Identity, Member, as_identity

AUDIENCES = [
    Audience(
        audience_id=f"41827365091234567{number}",
        name=f"Audience {number}",
        country="US",
        destination=amc_connection(connection) if connection else dsp_advertiser("590071284455661234"),
        computation_key=f"audience_{number}",
        settings={"renew": True, "ttl": 7200} if number == 0 else {},
    )
    for number, connection in enumerate([None, None, "connection-1"])
]


CONSENT = {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"}


def audiences_of(datasets: int, *, shared_key: bool = False) -> list[Audience]:
    """Return the audiences, the last ones as datasets of Ads Data Manager."""
    first = len(AUDIENCES) - datasets
    as_datasets = (replace(each, destination=ads_data_manager(), settings={}) for each in AUDIENCES[first:])
    audiences = [*AUDIENCES[:first], *as_datasets]
    if shared_key:
        audiences[-1] = replace(audiences[-1], computation_key=audiences[0].computation_key, also=True)
    return audiences


class Version(NamedTuple):
    """Orders the changes of one member; the largest is the newest."""

    at: int  # epoch milliseconds
    exits: bool
    message_id: str


@dataclass(frozen=True, slots=True)
class StatedChange:
    """What one event says about one member of one audience."""

    member: Member
    version: Version
    identities: frozenset[Identity]
    erase: bool = False

    @property
    def exits(self) -> bool:
        """Whether the member leaves."""
        return self.version.exits


@dataclass(eq=False)
class SegmentRequest:
    """One request, which Segment sends until it is accepted."""

    number: int
    events: list[dict[str, Any]]
    stated: list[StatedChange]
    rejected: int = 0  # of the events: those for an audience that is not listed
    is_accepted: bool = False

    @property
    def body(self) -> str:
        """One event, or an array of them."""
        return json.dumps(self.events[0] if len(self.events) == 1 else self.events)


type Event = tuple[dict[str, Any], list[StatedChange]]  # as Segment sends it, and what it states


def membership_event(
    audience: Audience,
    user: str,
    at: int,
    email: str,
    message_id: str,
    *,
    is_in: bool,
    others: Sequence[Audience] = (),
    consents: bool = True,
) -> Event:
    """Build the event of a member who enters or leaves. `at` in epoch milliseconds; no email where it is empty.

    `others` have the same computation key. Without consent, a member enters no dataset.
    """
    key = str(audience.computation_key)
    properties: dict[str, Any] = {"audience_key": key, key: is_in}
    reached = [audience, *others]
    needing = [each for each in reached if is_in and api_of(each.destination) is Api.DATA_MANAGER]
    if needing and consents:
        properties |= CONSENT
    elif needing:
        reached = [each for each in reached if each not in needing]
    event = {
        "type": "track",
        "event": "Audience Entered" if is_in else "Audience Exited",
        "messageId": message_id,
        "userId": user,
        "timestamp": _iso(at),
        "context": {
            "personas": {
                "computation_class": "audience",
                "computation_key": key,
                "external_audience_id": audience.audience_id,
            }
        },
        "properties": properties | ({"email": email} if email else {}),
    }
    identities = frozenset([identity_of(email)] if email else [])
    version = Version(at, not is_in, message_id)
    return event, [StatedChange((each.audience_id, user), version, identities) for each in reached]


def deletion_notice(user: str, at: int, message_id: str) -> Event:
    """Build the request to delete a person, from all audiences. `at` in epoch milliseconds."""
    event = {"type": "delete", "messageId": message_id, "userId": user, "timestamp": _iso(at)}
    version = Version(at, True, message_id)
    members = [(audience.audience_id, user) for audience in AUDIENCES]
    return event, [StatedChange(member, version, frozenset(), erase=True) for member in members]


def denial(audience: Audience, user: str, at: int, message_id: str) -> Event:
    """Build the event of a person who denies consent, and so leaves every audience. `at` in epoch milliseconds."""
    event, _ = membership_event(audience, user, at, "", message_id, is_in=True)
    _, stated = deletion_notice(user, at, message_id)
    return event | {"properties": event["properties"] | {"amznUserData": "DENIED"}}, stated


def identity_of(email: str) -> Identity:
    """Return an address as an identity of Amazon's."""
    return as_identity({"email": hashlib.sha256(email.encode()).hexdigest()})


def _iso(at: int) -> str:
    moment = datetime.fromtimestamp(at // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"
