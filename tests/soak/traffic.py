"""Segment's side: random members enter and leave audiences, and what each event states is written down."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

from audience_sync.membership import Audience
from tests.soak.amazon import Identity, Member, as_identity
from tests.soak.profiles import Profile

AUDIENCES = [
    Audience(
        audience_id=f"41827365091234567{number}",
        name=f"Audience {number}",
        country="US",
        advertiser_id="590071284455661234",
        connection_id=connection,
        computation_key=f"audience_{number}",
        settings={"renew": True, "ttl": 7200} if number == 0 else {},
    )
    for number, connection in enumerate([None, None, "connection-1"])
]
EVENTS_OF_A_MEMBER = 14  # on average


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
    is_accepted: bool = False

    @property
    def body(self) -> str:
        """One event, or an array of them."""
        return json.dumps(self.events[0] if len(self.events) == 1 else self.events)


@dataclass
class _Person:
    """What Segment knows of one person in one audience."""

    emails: list[str] = field(default_factory=list)
    is_in: bool = False
    last_at: int = 0  # epoch milliseconds


class Traffic:
    """Makes requests."""

    def __init__(self, random: Random, profile: Profile, events: int) -> None:
        self.refused_identities: set[Identity] = set()  # that Amazon will refuse
        self.stated: dict[Member, list[StatedChange]] = {}
        self.events = 0
        self._random = random
        self._profile = profile
        self._left = events
        users = max(2, round(events / len(AUDIENCES) / EVENTS_OF_A_MEMBER / ((profile.identities + 1) / 2)))
        self._users = [f"user_{number}" for number in range(users)]
        self._persons: dict[Member, _Person] = {}
        self._emails = 0
        self._requests = 0

    def next_request(self, now: int) -> SegmentRequest | None:
        """Return the next request, None after the last event. `now` in epoch milliseconds."""
        if self._left <= 0:
            return None
        size = self._random.choice([1, 1, 1, 2, 3, 8, 20])
        events: list[dict[str, Any]] = []
        stated: list[StatedChange] = []
        users = [self._random.choice(self._users) for _ in range(max(1, size // 2))]
        while len(events) < size:
            for event, changes in self._step(self._random.choice(users), now):
                events.append(event)
                stated += changes
        self._random.shuffle(events)
        self._left -= len(events)
        self.events += len(events)
        self._requests += 1
        for change in stated:
            self.stated.setdefault(change.member, []).append(change)
        return SegmentRequest(self._requests, events, stated)

    def _step(self, user: str, now: int) -> Iterator[tuple[dict[str, Any], list[StatedChange]]]:
        """Yield one event, or several of the same moment that belong together."""
        audience = self._random.choice(AUDIENCES)
        person = self._persons.setdefault((audience.audience_id, user), _Person())
        at = self._time(person, now)
        chance = self._random.random()
        if chance < 0.08:
            yield self._notice(user, at)
        elif chance < (0.5 if person.is_in else 0.15):
            person.is_in = False
            emails = [self._random.choice(person.emails)] if person.emails and self._random.random() < 0.5 else [""]
            yield self._event(audience, user, at, emails[0], is_in=False)
        else:
            person.is_in = True
            for email in self._new_emails(person):
                yield self._event(audience, user, at, email, is_in=True)

    def _time(self, person: _Person, now: int) -> int:
        chance = self._random.random()
        if chance < self._profile.old_events:
            return now - self._random.randint(1_000, 7_200_000)
        if chance < self._profile.old_events + 0.05 and person.last_at:
            return person.last_at  # a tie
        person.last_at = now - self._random.randint(0, 1_500)
        return person.last_at

    def _new_emails(self, person: _Person) -> list[str]:
        """Return the addresses of one profile: mostly one, some known already, and with `identities` many."""
        random = self._random
        if person.emails and random.random() < 0.4:
            return [random.choice(person.emails)]
        count = (
            random.choice([1, 1, 1, 2, 3])
            if self._profile.identities == 1
            else random.randint(1, self._profile.identities)
        )
        new = []
        for _ in range(count):
            self._emails += 1
            new.append(f"person{self._emails}@example.com")
            if random.random() < self._profile.refusals.record:
                self.refused_identities.add(identity_of(new[-1]))
        person.emails += new
        return new

    def _event(
        self, audience: Audience, user: str, at: int, email: str, *, is_in: bool
    ) -> tuple[dict[str, Any], list[StatedChange]]:
        message_id = self._message_id()
        key = str(audience.computation_key)
        properties: dict[str, Any] = {"audience_key": key, key: is_in}
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
        change = StatedChange((audience.audience_id, user), Version(at, not is_in, message_id), identities)
        return event, [change]

    def _notice(self, user: str, at: int) -> tuple[dict[str, Any], list[StatedChange]]:
        """Ask for the deletion of a person, from all audiences."""
        message_id = self._message_id()
        event = {"type": "delete", "messageId": message_id, "userId": user, "timestamp": _iso(at)}
        changes = []
        for audience in AUDIENCES:
            member = (audience.audience_id, user)
            self._persons.setdefault(member, _Person()).is_in = False
            changes.append(StatedChange(member, Version(at, True, message_id), frozenset(), erase=True))
        return event, changes

    def _message_id(self) -> str:
        return f"event-{self._random.randrange(16**8):08x}"


def identity_of(email: str) -> Identity:
    """Return an address as an identity of Amazon's."""
    return as_identity({"email": hashlib.sha256(email.encode()).hexdigest()})


def _iso(at: int) -> str:
    moment = datetime.fromtimestamp(at // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"
