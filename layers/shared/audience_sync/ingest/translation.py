"""Turns Segment events into the changes they state. Personal data is hashed here.

The events of a body go through each step in groups: the code of one step fits the processor's caches, the code of all
steps does not. This saves a fifth of the time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import batched
from operator import itemgetter
from typing import Any, cast

from audience_sync.amazon_ads.consent import SIGNALS, require_no_denial, user_consent
from audience_sync.amazon_ads.countries import accepted_country
from audience_sync.amazon_ads.destination import MAX_IN_DATASET
from audience_sync.amazon_ads.ids import external_user_id, id_of_person
from audience_sync.amazon_ads.normalize import identifiers_of_all
from audience_sync.errors import OutOfTime, RejectedEvent
from audience_sync.fields import FIELDS, IDENTIFIERS
from audience_sync.ingest.mapped_values import Found, Mapper, Values, valid_members
from audience_sync.ingest.outcome import Denied, Outcome, PartlyRejected, Rejected
from audience_sync.ingest.record_rules import (
    MAX_ENTER_AGE,
    AudienceLookup,
    Policy,
    checked_change,
    erasing_exit,
    find_audiences,
    first_country,
)
from audience_sync.members.membership import Audience, MembershipChange, Version
from audience_sync.reasons import Reason
from audience_sync.segment.compiled_mapping import CompiledMapping
from audience_sync.segment.event import AudienceCall, EventKind, read

TOGETHER = 64  # events or statements in a step: few enough for the caches, and to look at the time between steps


_TOO_OLD = (
    f"an addition from more than {MAX_ENTER_AGE // 86_400_000} days ago: a later exit may have been forgotten; re-sync "
    "the audience, or see the parameter AcceptOldEvents"
)


type _Subject = tuple[Audience, str, str | None]
"""The audience, the external user id and the country of a change."""

_NAMES = [field.name for field in FIELDS]
_EXTERNAL_USER_ID, _AUDIENCE_ID, _COUNTRY = map(_NAMES.index, ("external_user_id", "audience_id", "country"))
_identifiers = itemgetter(*[_NAMES.index(field.name) for field in IDENTIFIERS])
_signals = itemgetter(*map(_NAMES.index, SIGNALS))


class _Event:
    """An event, and what its mappings and audiences have made of it so far."""

    __slots__ = ("by_audience", "call", "changes", "denial", "element", "found", "rejected")

    def __init__(self, element: Any, call: AudienceCall, found: Found) -> None:
        self.element = element
        self.call = call
        self.found = found
        self.changes: list[MembershipChange] = []
        self.rejected: Rejected | None = None  # the first one, which counts if there are no changes
        self.by_audience: dict[str, Rejected] = {}  # the first one by each, which counts beside changes for others
        self.denial: tuple[AudienceCall, Rejected] | None = None  # counts whatever the other mappings make of the event

    def reject(self, rejected: Rejected) -> None:
        self.rejected = self.rejected or rejected
        if rejected.audience_id:
            self.by_audience.setdefault(rejected.audience_id, rejected)

    def outcome(self) -> Outcome:
        if self.denial:
            return self._ended(*self.denial)
        if not (self.changes and self.by_audience):
            return self.changes or self.rejected or []
        reached = {change.audience_id for change in self.changes}
        rejections = [each for audience_id, each in self.by_audience.items() if audience_id not in reached]
        return PartlyRejected(self.changes, rejections) if rejections else self.changes

    def _ended(self, call: AudienceCall, denial: Rejected) -> Outcome:
        """Return the exits from every audience, under the ids of the mappings that apply."""
        mapped = cast("list[tuple[AudienceCall, Values]]", self.found)  # a rejected event has no statements
        members = valid_members((values[_EXTERNAL_USER_ID] for _, values in mapped), id_of_person)
        if isinstance(members, Rejected):
            return members
        exits = [erasing_exit(member, call.at, call.message_id, denies_consent=True) for member in members]
        return Denied(denial._replace(detail=f"{denial.detail}: the person leaves every audience"), exits)


type _Statement = tuple[_Event, AudienceCall, Values, _Subject | Rejected]
"""An event, its call, and the values that one mapping finds in it."""


class Translator:
    """Turns events into changes, with the mappings, audiences, time and policy of one request."""

    def __init__(
        self,
        mappings: Sequence[CompiledMapping],
        audiences: AudienceLookup,
        now: int,
        policy: Policy,
        sent: int | None = None,
    ) -> None:
        self._sent = now if sent is None else sent
        self._mapper = Mapper(mappings, audiences, self._sent, needs_time=policy.needs_time)
        self._audiences = audiences
        self._identities_left_out = 0  # so far, beyond those that Amazon takes of one member
        self._policy = policy
        self._oldest_enter = 0 if policy.max_enter_age is None else now - policy.max_enter_age
        self._known: dict[str, Sequence[Audience]] = {}  # audiences found so far, by the mapped id

    def outcomes(self, elements: Iterable[Any], has_time: Callable[[], bool]) -> Iterator[tuple[Any, Outcome]]:
        """Yield each event with its changes, in order; none if it is not about one of our audiences.

        A rejected event has its rejection instead: a trigger holds but no mapping gives a valid change, or mappings and
        triggers together need more steps than one event may. If only some of its audiences reject an event, it has
        both. An event that denies consent for any mapping has exits.

        Args:
            elements: of a request body.
            has_time: checked before the mappings read an event, and before each later step.

        Raises:
            OutOfTime: there is no time left for the rest.
            TooLarge: mappings take over MAX_WORK steps.
        """
        for some in batched(elements, TOGETHER):
            calls = [self._read(element) for element in some]
            events: list[_Event] = []
            for call, element in zip(calls, some, strict=True):
                _require(has_time)
                events.append(_Event(element, call, self._mapper.values_in(call, element)))
            self._translate(events, has_time)
            for event in events:
                yield event.element, event.outcome()

    @property
    def identities_left_out(self) -> int:
        """The number so far, beyond those that are read or that Amazon takes of one member."""
        return self._identities_left_out + self._mapper.identities_left_out

    def _read(self, element: Any) -> AudienceCall:
        try:
            return read(element, self._sent, needs_time=self._policy.needs_time)
        except RejectedEvent as error:
            return AudienceCall(EventKind.IGNORE, rejection=(error.reason, error.detail))

    def _translate(self, events: Sequence[_Event], has_time: Callable[[], bool]) -> None:
        """Find the changes and rejections of each event."""
        statements = [statement for event in events for statement in self._statements(event)]
        repeats = len(statements) > len(events)  # several mappings or audiences read the same event
        for some in batched(statements, TOGETHER):
            _require(has_time)
            identities = iter(self._identities(some, repeats=repeats))
            for event, call, values, subject in some:
                change = (
                    subject if isinstance(subject, Rejected) else self._change(call, values, subject, next(identities))
                )
                if not isinstance(change, Rejected):
                    event.changes.append(change)
                    continue
                event.reject(change)
                if denial := _denial(change, values):
                    event.denial = call, denial

    def _statements(self, event: _Event) -> Iterator[_Statement]:
        """Yield what each mapping states of each of its audiences. A deletion notice gets its changes at once."""
        if isinstance(event.found, Rejected):
            event.rejected = event.found
        elif event.call.kind is EventKind.ERASE:
            self._erase(event)
        else:
            for call, values in event.found:
                for subject in self._subjects(call, values):
                    yield event, call, values, subject

    def _subjects(self, call: AudienceCall, values: Values) -> Iterator[_Subject | Rejected]:
        """Yield a subject for each audience of an event, or its rejection."""
        if call.at < self._oldest_enter and call.kind is EventKind.ENTER:
            yield Rejected(Reason.TIME_TOO_OLD, _TOO_OLD)
            return
        exits = call.kind is EventKind.EXIT
        try:
            audiences = self._audiences_of(call, values[_AUDIENCE_ID])
            member = (external_user_id if exits else id_of_person)(values[_EXTERNAL_USER_ID])
        except RejectedEvent as error:
            yield Rejected.of(error)
            return
        for audience in audiences:
            try:
                yield audience, member, first_country((values[_COUNTRY], call.country, audience.country), exits=exits)
            except RejectedEvent as error:
                yield Rejected.of(error, audience)
        if len(audiences) > 1:
            self._mapper.add_audiences(len(audiences) - 1, values)

    def _identities(self, statements: Sequence[_Statement], *, repeats: bool) -> list[list[dict[str, str]]]:
        """Return the identities for each statement with a subject."""
        people = [
            (_identifiers(values), subject[2])
            for _, _, values, subject in statements
            if not isinstance(subject, Rejected)
        ]
        if not people:
            return []
        rows, countries = zip(*people, strict=True)
        columns = list(zip(*rows, strict=True))
        return identifiers_of_all(columns, countries, repeats=repeats)

    def _change(
        self, call: AudienceCall, values: Values, subject: _Subject, identities: list[dict[str, str]]
    ) -> MembershipChange | Rejected:
        audience, member, country = subject
        exits, signals = call.kind is EventKind.EXIT, [*_signals(values)]
        try:
            version = Version(call.at, exits, call.message_id)
            change = checked_change(audience, member, version, country, identities, signals, self._policy)
            # Extras may be unsigned, and whoever has captured an event may append them: their country adds to what the
            # audience requires, and replaces nothing.
            if not exits and country != audience.country and call.country and accepted_country(call.country) == country:
                user_consent(signals, audience.country, self._policy.consent)
        except RejectedEvent as error:
            return Rejected.of(error, audience)
        if len(identities) > MAX_IN_DATASET:
            self._identities_left_out += len(identities) - len(change.identities)
        return change

    def _audiences_of(self, call: AudienceCall, mapped: Any) -> Sequence[Audience]:
        if isinstance(mapped, str) and (known := self._known.get(mapped)):
            return known
        audiences = find_audiences(mapped, call.computation_key, self._audiences)
        if isinstance(mapped, str) and mapped:
            self._known[mapped] = audiences
        return audiences

    def _erase(self, event: _Event) -> None:
        """Turn a deletion notice into one change of every audience, under each id of the person.

        The worker finds the audiences that hold the person: here, the work would grow with their number.
        """
        members = self._mapper.members_in(event.element)
        if not isinstance(members, Rejected):
            event.changes = [erasing_exit(member, event.call.at, event.call.message_id) for member in members]
        elif members.reason is Reason.MEMBER_ID_MISSING and event.element.get("groupId"):
            event.rejected = Rejected.of(RejectedEvent(Reason.GROUP_DELETION))
        else:
            event.rejected = members


def _denial(rejected: Rejected, values: Values) -> Rejected | None:
    """Return the denial of consent that a mapping finds in an event, even if that is rejected for another reason."""
    if rejected.reason is Reason.CONSENT_DENIED:
        return rejected
    try:
        require_no_denial([*_signals(values)])
    except RejectedEvent as error:
        return Rejected.of(error)
    return None


def _require(has_time: Callable[[], bool]) -> None:
    if not has_time():
        raise OutOfTime("ran out of time before every event was processed", retry_after=None)
