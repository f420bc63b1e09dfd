"""Sample events about a made-up person, as Segment sends them. Pure."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from audience_sync.amazon_ads.countries import CONSENT_REQUIRED
from audience_sync.amazon_ads.destination import needs_consent
from audience_sync.members.membership import Audience

MEMBER = "audience-sync-sample"  # Segment's userId and Amazon's external user id of the made-up person
EMAIL = " Maya.Okafor@Example.com"  # deliberately not normalized, as a shop may store it
TRAITS = {
    "first_name": "Maya",
    "last_name": "Okafor-Lind",
    "phone": "+1 (206) 555-0142",
    "address": "1200 Westlake Avenue North, Suite #400",
    "city": "Seattle",
    "state": "Washington",
    "postal": "98109-4417",
}
CONSENT = {"amznAdStorage": "GRANTED", "amznUserData": "GRANTED"}

type Event = dict[str, Any]


def engage_event(
    *, user_id: str, email: str, message_id: str, at: datetime, key: str, audience_id: str | None
) -> Event:
    """Return the fields that all audience events of Engage have in common.

    `at` is when the member entered or exited; `audience_id` is Amazon's, which Segment knows if it has created it.
    """
    when = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    personas = {
        "computation_class": "audience",
        "computation_id": "aud_sample",
        "computation_key": key,
        "namespace": "spa_sample",
        "space_id": "spa_sample",
    }
    return {
        "messageId": message_id,
        "userId": user_id,
        "timestamp": when,
        "originalTimestamp": when,
        "receivedAt": when,
        "version": 2,
        "channel": "server",
        "integrations": {"All": False, "Webhook": True},
        "context": {
            "personas": personas | ({"external_audience_id": audience_id} if audience_id else {}),
            "traits": {"email": email},
            "library": {"name": "unknown", "version": "unknown"},
        },
    }


def track(event: Event, key: str, traits: dict[str, Any], *, enters: bool) -> Event:
    """Return Engage's track call for an enter or exit."""
    name = "Audience Entered" if enters else "Audience Exited"
    return {"type": "track", "event": name} | event | {"properties": {"audience_key": key, key: enters} | traits}


def identify(event: Event, key: str, traits: dict[str, Any], *, enters: bool) -> Event:
    """Return Engage's identify call; a trait says whether the member enters."""
    context = {name: value for name, value in event["context"].items() if name != "traits"}
    email = event["context"]["traits"]["email"]
    return {"type": "identify"} | event | {"context": context, "traits": {key: enters, "email": email} | traits}


SAMPLES: dict[str, Callable[..., Event]] = {"track": track, "identify": identify}


def sample(
    name: str,
    audience: Audience,
    others: Sequence[Audience] = (),
    *,
    enters: bool,
    at: float,
    message_id: str,
    member: str = MEMBER,
) -> Event:
    """Return one of SAMPLES: the made-up person enters or exits the audience at an epoch second.

    `others` share its computation key, so the event reaches them also.
    """
    key = audience.computation_key or "audience_sync_sample"
    event = engage_event(
        user_id=member,
        email=EMAIL,
        message_id=message_id,
        at=datetime.fromtimestamp(at, UTC),
        key=key,
        audience_id=audience.audience_id,
    )
    asks = [each.country in CONSENT_REQUIRED or needs_consent(each.destination) for each in (audience, *others)]
    consent = CONSENT if any(asks) else {}
    return SAMPLES[name](event, key, TRAITS | consent, enters=enters)
