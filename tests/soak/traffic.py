"""Segment's side: random members enter and leave audiences, and what each event states is written down."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from audience_sync.membership import Audience
from tests.soak.events import (
    AUDIENCES,
    Event,
    SegmentRequest,
    StatedChange,
    audiences_of,
    deletion_notice,
    denial,
    identity_of,
    membership_event,
)
from tests.soak.profiles import Profile

if TYPE_CHECKING:
    from tests.soak.held import Identity, Member

EVENTS_OF_A_MEMBER = 14  # on average


@dataclass
class _Person:
    """What Segment knows of one person in one of its audiences."""

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
        self._audiences = audiences_of(profile.datasets, shared_key=profile.shared_key)
        self._left = events
        users = max(2, round(events / len(AUDIENCES) / EVENTS_OF_A_MEMBER / ((profile.identities + 1) / 2)))
        self._users = [f"user_{number}" for number in range(users)]
        self._persons: dict[tuple[str, str], _Person] = {}  # by computation key and user
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
        return self.request(events, stated)

    def request(self, events: list[dict[str, Any]], stated: list[StatedChange]) -> SegmentRequest:
        """Put events into one request, and write down what they state."""
        self.events += len(events)
        self._requests += 1
        for change in stated:
            self.stated.setdefault(change.member, []).append(change)
        return SegmentRequest(self._requests, events, stated)

    def _step(self, user: str, now: int) -> Iterator[Event]:
        """Yield one event, or several of the same moment that belong together."""
        audience = self._random.choice(self._audiences)
        key = str(audience.computation_key)
        others = [each for each in self._audiences if each.computation_key == key and each is not audience]
        person = self._persons.setdefault((key, user), _Person())
        at = self._time(person, now)
        chance = self._random.random()
        if chance < 0.08:
            yield self._notice(user, at, audience)
        elif chance < (0.5 if person.is_in else 0.15):
            person.is_in = False
            emails = [self._random.choice(person.emails)] if person.emails and self._random.random() < 0.5 else [""]
            yield membership_event(audience, user, at, emails[0], self._message_id(), is_in=False, others=others)
        else:
            person.is_in = True
            consents = not others or self._random.random() < 0.8  # without consent, a dataset among them rejects it
            for email in self._new_emails(person):
                message_id, moves = self._message_id(), self._profile.moves
                yield membership_event(
                    audience, user, at, email, message_id, is_in=True, others=others, consents=consents, moves=moves
                )

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

    def _notice(self, user: str, at: int, event_of: Audience) -> Event:
        for audience in self._audiences:
            self._persons.setdefault((str(audience.computation_key), user), _Person()).is_in = False
        if self._profile.denials and self._random.random() < self._profile.denials:
            return denial(event_of, user, at, self._message_id())
        return deletion_notice(user, at, self._message_id())

    def _message_id(self) -> str:
        return f"event-{self._random.randrange(16**8):08x}"
