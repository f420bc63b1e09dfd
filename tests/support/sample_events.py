"""Events as Segment sends them, with all eight identifiers, in the 21 countries where Amazon matches them.

The same number gives the same event every time. The shape is that of events/segment/01-track-entered-full-pii.json.
A third of the values of some countries are beyond ASCII. None consists of such letters only: Segment's code, which
drops them, raises an error about the whole upload then.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from audience_sync.members.membership import Audience

KEY = "lapsed_premium_buyers"
START = datetime(2026, 3, 4, 9, 15, tzinfo=UTC)
NOW = int(datetime(2026, 3, 5, tzinfo=UTC).timestamp() * 1000)  # epoch milliseconds
_EEA = ("BE", "DE", "ES", "FR", "IT", "NL", "PL", "SE")


class Country(NamedTuple):
    """What people of one country are called, where they live, and how they write it; # is a digit."""

    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    address: str
    cities: tuple[tuple[str, str], ...]  # city and state
    postal: str
    phones: tuple[str, ...]


def _country(line: str) -> tuple[str, Country]:
    code, first, last, address, cities, postal, phones = line.split("|")
    pairs = tuple((city, state) for city, _, state in (each.partition("/") for each in cities.split(";")))
    split = first.split(";"), last.split(";"), phones.split(";")
    return code, Country(tuple(split[0]), tuple(split[1]), address, pairs, postal, tuple(split[2]))


_PEOPLE = Path(__file__).with_name("sample_people.txt").read_text()
COUNTRIES = dict(map(_country, _PEOPLE.splitlines()[1:]))
AUDIENCES = {code: str(418_273_650_912_345_600 + place) for place, code in enumerate(COUNTRIES)}


class Audiences:
    """The audiences of the events, one for each country, in memory."""

    def __init__(self) -> None:
        self._by_id = {ours: [Audience(ours, country=code, computation_key=KEY)] for code, ours in AUDIENCES.items()}

    def by_id(self, audience_id: str) -> Sequence[Audience]:
        return self._by_id.get(audience_id, ())

    def by_computation_key(self, _: str) -> Sequence[Audience]:
        return ()


def event(number: int, code: str) -> dict[str, Any]:
    """Return one event. Of ten, nine are about people who enter."""
    country, enters = COUNTRIES[code], number % 10 != 9
    when = (START + timedelta(milliseconds=number * 37)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    city, state = country.cities[number % len(country.cities)]
    first_name, last_name = (names[number // 3 % len(names)] for names in (country.first_names, country.last_names))
    extras = {"advertiserId": "590071284455661234", "countryCode": code, "externalAudienceId": f"lapsed-{code}"}
    consent = {"amznAdStorage": "GRANTED", "amznUserData": "GRANTED"} if code in (*_EEA, "GB") else {}
    return {
        "type": "track",
        "event": "Audience Entered" if enters else "Audience Exited",
        "messageId": f"personas_2nF7aKq0VxLw9Tb{number:08d}",
        "userId": f"cust_{number:08d}",
        "timestamp": when,
        "originalTimestamp": when,
        "receivedAt": when,
        "version": 2,
        "channel": "server",
        "projectId": "p7RtWq4ZxYbN2mKc",
        "integrations": {"All": False, "Webhook": True},
        "context": {
            "personas": {
                "computation_class": "audience",
                "computation_id": "aud_3mQzVt8KpRwXyLbNcHdF5gSjTaE",
                "computation_key": KEY,
                "namespace": "spa_9kXw2TqLmVbYrNcDfHgJ4e",
                "space_id": "spa_9kXw2TqLmVbYrNcDfHgJ4e",
                "external_audience_id": AUDIENCES[code],
                "audience_settings": {"extras": json.dumps(extras)},
            },
            "traits": {"email": f"Shopper.{number}@Example.com"},
            "library": {"name": "unknown", "version": "unknown"},
        },
        "properties": {
            "audience_key": KEY,
            KEY: enters,
            "email": f"Shopper.{number}@Example.com",
            "first_name": first_name,
            "last_name": last_name,
            "phone": _filled(country.phones[number % len(country.phones)], number),
            "address": _filled(country.address, number),
            "city": city,
            "state": state,
            "postal": _filled(country.postal, number),
        }
        | consent,
        **extras,
    }


def events(count: int, codes: Sequence[str] = tuple(COUNTRIES)) -> list[dict[str, Any]]:
    """Return so many events, the countries by turns."""
    return [event(number, codes[number % len(codes)]) for number in range(count)]


def body(some: Sequence[dict[str, Any]]) -> bytes:
    """Return a request body as JavaScript writes it."""
    return json.dumps(some, separators=(",", ":"), ensure_ascii=False).encode()


def _filled(pattern: str, number: int) -> str:
    """Put digits in place of #: different ones for different numbers, and none of them 0."""
    digits = iter(f"{(number * 7_919 + 1_234_567) % 10**9:09d}".replace("0", "7") * 2)
    return "".join(next(digits) if char == "#" else char for char in pattern)
