"""Segment's side: random members enter and leave audiences, and what each event states is written down."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from audience_sync.members.membership import Audience
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
from tests.soak.profiles import Phase, Profile

if TYPE_CHECKING:
    from tests.soak.held import Identity, Member


APART = 3_000  # milliseconds between two events of one enter, in profiles where they are apart
UNKNOWN = 0.4  # share of the rows of a file
OLDEST_TIE = 31 * 86_400_000  # milliseconds; what is older may be rejected


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
        self.unlisted: Audience | None = None  # events for it are rejected, but those about a person concern it
        self._random = random
        self._profile = profile
        self._audiences = audiences_of(profile.datasets, shared_key=profile.shared_key)
        self._left = self._all = events
        self._number = -1  # of the phase
        self._phase = profile.phases[0]
        of_member = profile.events_of_member * (profile.identities + 1) / 2
        users = max(2, round(events / len(AUDIENCES) / of_member))
        self._users = [f"user_{number}" for number in range(users)]
        self._persons: dict[tuple[str, str], _Person] = {}  # by computation key and user
        self._emails = 0
        self._shared: list[str] = []  # of everybody
        self._requests = 0
        self._pending: list[Event] = []  # each for a request of its own

    def next_phase(self) -> Phase | None:
        """Return the phase that begins with the next request; None within one."""
        phases = self._profile.phases
        number = min((self._all - self._left) * len(phases) // max(1, self._all), len(phases) - 1)
        if number == self._number:
            return None
        self._number, self._phase = number, phases[number]
        return self._phase

    def next_request(self, now: int) -> SegmentRequest | None:
        """Return the next request, None after the last event. `now` in epoch milliseconds."""
        if self._pending:
            event, changes = self._pending.pop(0)
            return self.request([event], changes)
        if self._left <= 0:
            return None
        of_phase = self._all * (self._number + 1) // len(self._profile.phases)
        size = max(1, min(self._random.choice([1, 1, 1, 2, 3, 8, 20]), of_phase - (self._all - self._left)))
        events: list[dict[str, Any]] = []
        stated: list[StatedChange] = []
        rejected = 0
        users = [self._random.choice(self._users) for _ in range(max(1, size // 2))]
        while len(events) < size:
            for event, changes in self._step(self._random.choice(users), now):
                events.append(event)
                stated += changes
                rejected += not changes
        self._random.shuffle(events)
        self._left -= len(events)
        if self._profile.is_apart:
            self._pending = [
                (event, [each for each in stated if each.version.message_id == event["messageId"]]) for event in events
            ]
            return self.next_request(now)
        request = self.request(events, stated)
        request.rejected = rejected
        return request

    def request(self, events: list[dict[str, Any]], stated: list[StatedChange]) -> SegmentRequest:
        """Put events into one request, and write down what they state."""
        self._requests += 1
        self.state(stated)
        return SegmentRequest(self._requests, events, stated)

    def state(self, changes: Iterable[StatedChange]) -> None:
        """Write down what an event or a file states."""
        for change in changes:
            self.stated.setdefault(change.member, []).append(change)

    def rows(self, audience: Audience, size: int, *, is_in: bool) -> Iterator[tuple[str, str]]:
        """Yield rows for a file about an audience: persons who enter, some of them unknown, or leave."""
        key = str(audience.computation_key)
        for _ in range(size):
            users = self._users if is_in else sorted({*self._users, *(user for of, user in self._persons if of == key)})
            user = self._random.choice(users)
            if is_in and self._random.random() < UNKNOWN:
                user = f"imported_{self._emails}"
            person = self._persons.setdefault((key, user), _Person())
            person.is_in = is_in
            for email in self._new_emails(person) if is_in else [""]:
                yield user, email

    def members(self, audience: Audience) -> list[tuple[str, list[str]]]:
        """Return who is in an audience, each with all addresses, as Segment would list them."""
        key = str(audience.computation_key)
        return [(user, each.emails) for (of, user), each in self._persons.items() if of == key and each.is_in]

    def _step(self, user: str, now: int) -> Iterator[Event]:
        """Yield one event, or several of the same moment that belong together."""
        key, user = self._concerned() or (str(self._random.choice(self._audiences).computation_key), user)
        audience = self._random.choice([each for each in self._audiences if each.computation_key == key])
        others = [each for each in self._audiences if each.computation_key == key and each is not audience]
        person = self._persons.setdefault((key, user), _Person())
        if self.unlisted is not None and audience.audience_id == self.unlisted.audience_id:
            if self._random.random() < self._phase.notices:
                yield deletion_notice(user, now, self._message_id())
            else:  # rejected, so nothing is stated
                email = f"rejected{now}@example.com"
                yield membership_event(audience, user, now, email, self._message_id(), is_in=True)[0], []
            return
        at = self._time(person, now)
        chance = self._random.random()
        phase = self._phase
        if chance < phase.notices:
            yield self._notice(user, at, audience)
        elif chance < phase.notices + (phase.exits if person.is_in else phase.exits / 6):
            person.is_in = False
            emails = [self._random.choice(person.emails)] if person.emails and self._random.random() < 0.5 else [""]
            yield membership_event(audience, user, at, emails[0], self._message_id(), is_in=False, others=others)
        else:
            person.is_in = True
            consents = not others or self._random.random() < 0.8  # without consent, a dataset among them rejects it
            emails = self._new_emails(person)
            for number, email in enumerate(reversed(emails)):
                message_id = self._message_id()
                earlier = at - APART * number if self._profile.is_apart else at
                yield membership_event(
                    audience,
                    user,
                    earlier,
                    email,
                    message_id,
                    is_in=True,
                    others=others,
                    consents=consents,
                )

    def _concerned(self) -> tuple[str, str] | None:
        """Return a known person by key and user, if the phase is about those who are in, or about others."""
        if self._phase.exits not in (0.0, 1.0):
            return None
        known = [each for each, person in self._persons.items() if person.is_in == bool(self._phase.exits)]
        return self._random.choice(known) if known else None

    def _time(self, person: _Person, now: int) -> int:
        chance = self._random.random()
        if chance < self._profile.old_events:
            return now - self._random.randint(1_000, 7_200_000)
        if chance < self._profile.old_events + 0.05 and now - person.last_at < OLDEST_TIE:
            return person.last_at  # a tie
        person.last_at = now - self._random.randint(0, 1_500)
        return person.last_at

    def _new_emails(self, person: _Person) -> list[str]:
        """Return the addresses of one profile: mostly one, some known already, and with `identities` many."""
        random = self._random
        if person.emails and random.random() < 0.4:
            return [random.choice(person.emails)]
        if self._shared and random.random() < self._profile.shared:
            person.emails.append(random.choice(self._shared))
            return person.emails[-1:]
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
        self._shared += new
        return new

    def _notice(self, user: str, at: int, event_of: Audience) -> Event:
        for audience in self._audiences:
            self._persons.setdefault((str(audience.computation_key), user), _Person()).is_in = False
        if self._profile.denials and self._random.random() < self._profile.denials:
            return denial(event_of, user, at, self._message_id())
        return deletion_notice(user, at, self._message_id())

    def _message_id(self) -> str:
        return f"event-{self._random.randrange(16**8):08x}"
