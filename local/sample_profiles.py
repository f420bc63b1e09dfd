"""Sample profiles, and the Segment events about them. The same number gives the same person every time."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audience_sync_cli.frame.samples import CONSENT, engage_event, track

_FIRST = ("Maya", "Tobi", "Élodie", "Jürgen", "Ana", "Wei", "Olu", "Priya", "Søren", "Lucía", "Kenji", "Zoë")
_LAST = ("Okafor-Lind", "Müller", "O'Brien", "Nguyễn", "García", "Sato", "Weiß", "Rossi", "da Silva", "Novák")
_CITIES = (("Seattle", "Washington", "98109-4417"), ("New York", "New York", "10001"), ("Austin", "TX", "78701"))


@dataclass(frozen=True, slots=True)
class Person:
    """A profile that can be in an audience."""

    number: int

    @property
    def user_id(self) -> str:
        """Segment's userId and Amazon's externalUserId."""
        return f"cust_{self.number:06d}"

    @property
    def email(self) -> str:
        """As stored by a shop: not normalized."""
        return f" Shopper.{self.number}@Example.com"

    @property
    def email_digest(self) -> str:
        """The digest that Amazon must receive, computed without the product's code."""
        return hashlib.sha256(f"shopper.{self.number}@example.com".encode()).hexdigest()

    @property
    def traits(self) -> dict[str, str]:
        """Traits added by trait enrichment."""
        city, state, postal = _CITIES[self.number % len(_CITIES)]
        return {
            "first_name": _FIRST[self.number % len(_FIRST)],
            "last_name": _LAST[self.number % len(_LAST)],
            "phone": f"(206) 555-{self.number % 10_000:04d}",
            "address": f"{self.number} Pacific Avenue North, Apt #{self.number % 90 + 1}",
            "city": city,
            "state": state,
            "postal": postal,
        }


def audience_event(
    person: Person, *, enters: bool, at: datetime, audience_id: str, key: str, consent: str = ""
) -> dict[str, Any]:
    """Return Engage's track call for an enter or exit of an audience. `consent` is the value of both Amazon signals."""
    event = engage_event(
        user_id=person.user_id,
        email=person.email,
        message_id=f"personas_{'in' if enters else 'out'}{person.number:020d}",
        at=at,
        key=key,
        audience_id=audience_id,
    )
    signals = dict.fromkeys(CONSENT, consent) if consent else {}
    return track(event, key, person.traits | signals, enters=enters)


def segment_request(
    events: Sequence[dict[str, Any]], event_key: str, signing_secret: str
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a batched delivery, exactly as Segment's Webhooks (Actions) destination sends it.

    The signature covers the first event alone; the event key is a header of the mapping.
    """
    texts = [json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() for event in events]
    signature = hmac.new(signing_secret.encode(), texts[0], hashlib.sha1).hexdigest()
    headers = {
        "user-agent": "Segment (Actions)",
        "x-signature": signature,
        "authorization": f"Bearer {event_key}",
        "content-type": "application/json",
    }
    return b"[" + b",".join(texts) + b"]", headers
