"""Turns Segment events into the changes they state. Personal data is hashed here.

The events of a body go through each step in groups: the code of one step fits the processor's caches, the code of all
steps does not. This saves a fifth of the time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import batched
from operator import itemgetter
from typing import Any, NamedTuple, Self

from audience_sync.amazon_ads.consent import SIGNALS, require_no_denial
from audience_sync.amazon_ads.destination import MAX_IN_DATASET, destination_of_changes
from audience_sync.amazon_ads.ids import external_user_id
from audience_sync.amazon_ads.normalization.phone import MAX_LENGTH as MAX_PHONE
from audience_sync.amazon_ads.normalize import MAX_VALUES, identifiers_of_all
from audience_sync.errors import OutOfTime, RejectedEvent, TooLarge
from audience_sync.fields import FIELDS, IDENTIFIERS, LISTED
from audience_sync.ingest.record_rules import (
    MAX_ENTER_AGE,
    AudienceLookup,
    Policy,
    checked_record,
    erasing_exit,
    find_audiences,
    first_country,
    listed_audiences,
)
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.reasons import Reason
from audience_sync.segment.budget import MAX_STEPS, Budget
from audience_sync.segment.compiled_mapping import CompiledMapping
from audience_sync.segment.event import AudienceCall, EventKind, read, read_row

MAX_WORK = 15_000_000  # steps of all mappings on the events of one request; a step takes a tenth of a microsecond
STEPS_A_CHANGE = 600  # to normalize and hash mapped values and build the record
STEPS_A_LISTED_VALUE = 100  # of a list that makes several identities: to normalize, hash and send it
STEPS_AN_AUDIENCE = 200  # for each further audience of an event: a third, as measured
LONG_PHONE = 20  # characters; for a longer number, the phone library takes a microsecond a character and country
STEPS_A_PHONE_CHARACTER = 10
TOGETHER = 64  # events or statements in a step: few enough for the caches, and to look at the time between steps


_TOO_OLD = (
    f"an addition from more than {MAX_ENTER_AGE // 86_400_000} days ago: a later exit may have been forgotten; re-sync "
    "the audience, or see the parameter AcceptOldEvents"
)


_UNSTATED = (
    "the event names a listed audience, but not who enters or leaves; send track events named Audience Entered or "
    "Audience Exited, add membership to the mapping, or narrow its trigger"
)
_NO_NAMED_VALUE = "membership has none of the values that the mapping names; add the value to enter or exit"
_CONTRADICTS = "membership and the event disagree on who enters or leaves; narrow the mapping's trigger"


class Rejected(NamedTuple):
    """The rejection of an event, or its replacement by the exits of a person who denies consent.

    Not an exception: in a list that its traceback refers to, one would be left to the garbage collector.
    """

    reason: Reason
    detail: str
    field: str | None = None  # the mapped field at fault, if one is
    exits: list[MembershipChange] | None = None  # if the person denies consent: the event is accepted
    audience_id: str | None = None  # of the audience that rejects the event, if it is about one

    @classmethod
    def of(cls, error: RejectedEvent, audience: Audience | None = None) -> Self:
        """Convert an error."""
        return cls(error.reason, error.detail, error.field, audience_id=audience.audience_id if audience else None)


class PartlyRejected(NamedTuple):
    """The changes of an event that some of its audiences accept, and the rejection by each of the others."""

    changes: list[MembershipChange]
    rejections: list[Rejected]


type Outcome = list[MembershipChange] | Rejected | PartlyRejected
"""The outcome of one event."""


type _Values = list[Any]
"""The mapped value of each of FIELDS."""

type _Found = list[tuple[AudienceCall, _Values]] | Rejected
"""The call and the values that each applicable mapping finds in an event."""

type _Subject = tuple[Audience, str, str | None]
"""The audience, the external user id and the country of a change."""

type _Statement = tuple[int, AudienceCall, _Values, _Subject | Rejected]
"""The position of an event in its group, its call, and the values that one mapping finds in it."""


_NAMES = [field.name for field in FIELDS]
_EXTERNAL_USER_ID, _AUDIENCE_ID, _COUNTRY = map(_NAMES.index, ("external_user_id", "audience_id", "country"))
_EMAIL, _PHONE = _LISTED = [_NAMES.index(field.name) for field in LISTED]
_identifiers = itemgetter(*[_NAMES.index(field.name) for field in IDENTIFIERS])
_listed = itemgetter(*_LISTED)
_signals = itemgetter(*map(_NAMES.index, SIGNALS))


class Translator:
    """Turns events into changes, with the mappings, audiences, time and policy of one request."""

    def __init__(
        self, mappings: Sequence[CompiledMapping], audiences: AudienceLookup, now: int, policy: Policy
    ) -> None:
        self._mappings = mappings
        self._audiences = audiences
        self._now = now
        self.identities_left_out = 0  # so far, beyond those that are read or that Amazon takes of one member
        self._policy = policy
        self._oldest_enter = 0 if policy.max_enter_age is None else now - policy.max_enter_age
        self._budget = Budget()  # of the event that is read
        self._work = 0  # steps so far
        self._steps_of_triggers = sum(mapping.steps_of_trigger for mapping in mappings)
        self._enabled = [mapping for mapping in mappings if mapping.is_enabled]
        self._of_rows = [mapping for mapping in self._enabled if mapping.membership]
        self._steps_of_audiences = sum(mapping.steps_of_audience for mapping in self._enabled)
        self._known: dict[str, Sequence[Audience]] = {}  # audiences found so far, by the mapped id

    def outcomes(self, elements: Iterable[Any], has_time: Callable[[], bool]) -> Iterator[tuple[Any, Outcome]]:
        """Yield each event with its changes, in order; none if it is not about one of our audiences.

        A rejected event has its rejection instead: a trigger holds but no mapping gives a valid change, or mappings and
        triggers together need more steps than one event may. So has one that denies consent for any mapping. If only
        some of its audiences reject an event, it has both.

        Args:
            elements: of a request body.
            has_time: checked before the mappings read an event, and before each later step.

        Raises:
            OutOfTime: there is no time left for the rest.
            TooLarge: mappings take over MAX_WORK steps.
        """
        for some in batched(elements, TOGETHER):
            calls = [self._read(element) for element in some]
            found = [self._found(call, element, has_time) for call, element in zip(calls, some, strict=True)]
            yield from zip(some, self._outcomes(some, calls, found, has_time), strict=True)

    def _read(self, element: Any) -> AudienceCall:
        try:
            return read(element, self._now)
        except RejectedEvent as error:
            return AudienceCall(EventKind.IGNORE, rejection=(error.reason, error.detail))

    def _found(self, call: AudienceCall, event: Any, has_time: Callable[[], bool]) -> _Found:
        """Return the values that each applicable mapping finds in the event."""
        _require(has_time)
        budget = self._budget
        self._work += MAX_STEPS - budget.steps_left  # of the event before
        budget.steps_left = MAX_STEPS
        if self._work > MAX_WORK:
            raise TooLarge(f"mappings take over {MAX_WORK} steps on the events; lower the batch size in Segment")
        if call.kind is EventKind.IGNORE:
            return Rejected(*call.rejection) if call.rejection else []
        if call.kind is EventKind.ERASE:
            return []
        try:
            return self._mapped(call, event)
        except RejectedEvent as error:  # a used-up budget rejects the event, whatever its values
            return Rejected.of(error)

    def _mapped(self, call: AudienceCall, event: Any) -> _Found:
        if self._of_rows and (by_mappings := self._decided(call, event)) is not None:
            return by_mappings
        if call.kind is EventKind.UNSTATED:
            return self._unstated(call, event)
        self._work += self._steps_of_triggers
        applying = [each for each in self._mappings if each.applies_to(event, self._budget)]
        if applying and call.rejection:
            return Rejected(*call.rejection)
        return self._values([(call, mapping) for mapping in applying], event)

    def _values(self, applying: Sequence[tuple[AudienceCall, CompiledMapping]], event: Any) -> _Found:
        for _, mapping in applying:
            self._work += STEPS_A_CHANGE + mapping.steps
        found = [(call, mapping.values_of(event, self._budget)) for call, mapping in applying]
        self._spend_on_lists(values for _, values in found)
        if len(found) > 1:
            self._work += sum(_steps_of_phone(values[_PHONE]) for _, values in found)
        return found

    def _spend_on_lists(self, found: Iterable[_Values]) -> None:
        for values in found:
            if type(values[_EMAIL]) is list or type(values[_PHONE]) is list:
                lists = [value for value in _listed(values) if type(value) is list]
                self.identities_left_out += sum(max(0, len(each) - MAX_VALUES) for each in lists)
                self._budget.spend(_steps_of_lists(values))

    def _decided(self, call: AudienceCall, event: Any) -> _Found | None:
        """Let the mappings with `membership` decide an event. None if no such mapping applies, or Engage decides alike.

        Each decides for its own audience, so they may disagree. A mapping without `membership` gives no change.
        """
        budget = self._budget
        self._work += sum(mapping.steps_of_trigger for mapping in self._of_rows)
        applying = [mapping for mapping in self._of_rows if mapping.applies_to(event, budget)]
        decided = [(mapping.membership.kind_of(event, budget), mapping) for mapping in applying if mapping.membership]
        if not decided:
            return None
        if not is_undecided(call):
            contradicts = not call.rejection and any(kind not in (None, call.kind) for kind, _ in decided)
            return Rejected(Reason.MEMBERSHIP_CONTRADICTORY, _CONTRADICTS, "membership") if contradicts else None
        if not any(kind for kind, _ in decided):
            return Rejected(Reason.MEMBERSHIP_UNDECIDED, _NO_NAMED_VALUE, "membership")
        row = read_row(event, self._now)
        return self._values([(replace(row, kind=kind), mapping) for kind, mapping in decided if kind], event)

    def _unstated(self, call: AudienceCall, event: Any) -> _Found:
        """Reject an event in which a mapping finds a listed audience. Any other is ignored, even a costly one."""
        self._work += self._steps_of_audiences
        budget, key = self._budget, call.computation_key
        try:
            for mapping in self._enabled:
                (mapped,) = mapping.read_audience(event, budget)
                if not key and mapped in (None, ""):  # as in nearly every event not about an audience
                    continue
                self._work += mapping.steps_of_trigger
                if mapping.applies_to(event, budget) and listed_audiences(mapped, key, self._audiences):
                    return Rejected(Reason.MEMBERSHIP_UNDECIDED, _UNSTATED)
        except RejectedEvent:  # the budget is used up
            pass
        return []

    def _outcomes(
        self,
        events: Sequence[Any],
        calls: Sequence[AudienceCall],
        found: Sequence[_Found],
        has_time: Callable[[], bool],
    ) -> list[Outcome]:
        outcomes, statements = self._statements(events, calls, found)
        repeats = len(statements) > len(events)  # several mappings or audiences read the same event
        denials: dict[int, tuple[AudienceCall, Rejected]] = {}  # by the position of the event
        partial: dict[int, dict[str, Rejected]] = {}  # by the position of the event and the audience that rejects it
        for some in batched(statements, TOGETHER):
            _require(has_time)
            identities = iter(self._identities(some, repeats=repeats))
            for place, call, values, subject in some:
                change: MembershipChange | Rejected = (
                    subject if isinstance(subject, Rejected) else self._change(call, values, subject, next(identities))
                )
                others = outcomes[place]
                # A rejection counts only if no mapping gives a valid change; then the first one does.
                if not isinstance(change, Rejected):
                    outcomes[place] = [change] if isinstance(others, Rejected) else [*others, change]
                    continue
                if others == []:
                    outcomes[place] = change
                if change.audience_id:  # or if none gives one for this audience
                    partial.setdefault(place, {}).setdefault(change.audience_id, change)
                if self._policy.keeps_rows and (denial := _denial(change, values)):
                    denials[place] = call, denial
        final: list[Outcome] = [*outcomes]
        for place, by_audience in partial.items():
            final[place] = _partly_rejected(outcomes[place], by_audience)
        for place, (call, denial) in denials.items():  # whatever the other mappings make of the event
            final[place] = self._ended(call, events[place], denial)
        return final

    def _statements(
        self, events: Sequence[Any], calls: Sequence[AudienceCall], found: Sequence[_Found]
    ) -> tuple[list[list[MembershipChange] | Rejected], list[_Statement]]:
        """Return the outcome of each event before its statements, and the statements for each of its audiences."""
        outcomes: list[list[MembershipChange] | Rejected] = []
        statements: list[_Statement] = []
        for event, call, each in zip(events, calls, found, strict=True):
            if isinstance(each, Rejected):
                outcomes.append(each)
            elif call.kind is EventKind.ERASE:
                outcomes.append(self._erasure(call, event))
            else:
                for stated, values in each:
                    self._add_statements(statements, len(outcomes), stated, values)
                outcomes.append([])
        return outcomes, statements

    def _add_statements(self, statements: list[_Statement], place: int, call: AudienceCall, values: _Values) -> None:
        """Add a statement for each audience of an event, or its rejection."""
        if call.at < self._oldest_enter and call.kind is EventKind.ENTER:
            statements.append((place, call, values, Rejected(Reason.TIME_TOO_OLD, _TOO_OLD)))
            return
        try:
            audiences = self._audiences_of(call, values[_AUDIENCE_ID])
            member = external_user_id(values[_EXTERNAL_USER_ID])
        except RejectedEvent as error:
            statements.append((place, call, values, Rejected.of(error)))
            return
        exits = call.kind is EventKind.EXIT
        for audience in audiences:
            try:
                country = first_country((values[_COUNTRY], call.country, audience.country), exits=exits)
                statements.append((place, call, values, (audience, member, country)))
            except RejectedEvent as error:
                statements.append((place, call, values, Rejected.of(error, audience)))
        if len(audiences) > 1:
            steps = STEPS_AN_AUDIENCE + _steps_of_phone(values[_PHONE]) + _steps_of_lists(values)
            self._work += (len(audiences) - 1) * steps

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
        return identifiers_of_all(columns, countries, literal_email=self._policy.literal_email, repeats=repeats)

    def _change(
        self, call: AudienceCall, values: _Values, subject: _Subject, identities: list[dict[str, str]]
    ) -> MembershipChange | Rejected:
        audience, member, country = subject
        exits, signals = call.kind is EventKind.EXIT, [*_signals(values)]
        try:
            destination = destination_of_changes(audience)
            record = checked_record(member, country, identities, signals, self._policy, destination, exits=exits)
        except RejectedEvent as error:
            return Rejected.of(error, audience)
        if len(identities) > MAX_IN_DATASET:
            self.identities_left_out += len(identities) - len(record["hashedPII"])
        return MembershipChange(audience.audience_id, destination, call.at, call.message_id, record)

    def _audiences_of(self, call: AudienceCall, mapped: Any) -> Sequence[Audience]:
        if isinstance(mapped, str) and (known := self._known.get(mapped)):
            return known
        audiences = find_audiences(mapped, call.computation_key, self._audiences)
        if isinstance(mapped, str) and mapped:
            self._known[mapped] = audiences
        return audiences

    def _erasure(self, call: AudienceCall, event: Mapping[str, Any]) -> list[MembershipChange] | Rejected:
        """Turn a deletion notice into one change of every audience, under each id of the person.

        The worker finds the audiences that hold the person: here, the work would grow with their number.
        """
        members = self._members(event)
        if isinstance(members, Rejected):
            names_a_group = members.reason is Reason.MEMBER_ID_MISSING and event.get("groupId")
            return Rejected.of(RejectedEvent(Reason.GROUP_DELETION)) if names_a_group else members
        return [erasing_exit(member, call.at, call.message_id) for member in members]

    def _ended(self, call: AudienceCall, event: Mapping[str, Any], denial: Rejected) -> Rejected:
        """Add the exits of a person who denies consent: from every audience, as by a deletion notice."""
        members = self._members(event)
        if isinstance(members, Rejected):
            return members
        exits = [erasing_exit(member, call.at, call.message_id, denies_consent=True) for member in members]
        return denial._replace(detail=f"{denial.detail}: the person leaves every audience", exits=exits)

    def _members(self, event: Mapping[str, Any]) -> Iterable[str] | Rejected:
        """Return each id that the mappings give the person, or the rejection if none is valid.

        Disabled mappings also count: their members are still in the audience. Without mappings, userId counts.
        """
        budget = Budget()
        members: dict[str, None] = {}
        rejected: Rejected | None = None
        self._work += sum(mapping.steps_of_member for mapping in self._mappings)
        try:
            values = [mapping.member_of(event, budget) for mapping in self._mappings]
        except RejectedEvent as error:
            return Rejected.of(error)
        for value in values or [event.get("userId")]:
            try:
                members[external_user_id(value)] = None
            except RejectedEvent as error:
                rejected = Rejected.of(error)
        return rejected if rejected and not members else members


def _partly_rejected(outcome: list[MembershipChange] | Rejected, by_audience: Mapping[str, Rejected]) -> Outcome:
    """Add the rejections by audiences for which no mapping gives a valid change, if there are others."""
    if isinstance(outcome, Rejected):
        return outcome
    reached = {change.audience_id for change in outcome}
    rejections = [each for audience_id, each in by_audience.items() if audience_id not in reached]
    return PartlyRejected(outcome, rejections) if rejections else outcome


def is_undecided(call: AudienceCall) -> bool:
    """Return whether a mapping's `membership` may decide an event, because Engage's part of it does not."""
    why = call.rejection[0] if call.rejection else None
    return call.kind is EventKind.UNSTATED or why is Reason.MEMBERSHIP_UNDECIDED


def _denial(rejected: Rejected, values: _Values) -> Rejected | None:
    """Return the denial of consent that a mapping finds in an event, even if that is rejected for another reason."""
    if rejected.reason is Reason.CONSENT_DENIED:
        return rejected
    try:
        require_no_denial([*_signals(values)])
    except RejectedEvent as error:
        return Rejected.of(error)
    return None


def _steps_of_lists(values: _Values) -> int:
    lists = [value[:MAX_VALUES] for value in _listed(values) if type(value) is list]
    numbers = values[_PHONE] if type(values[_PHONE]) is list else []
    return STEPS_A_LISTED_VALUE * sum(map(len, lists)) + sum(map(_steps_of_phone, numbers[:MAX_VALUES]))


def _steps_of_phone(value: Any) -> int:
    if type(value) is not str or len(value) <= LONG_PHONE:
        return 0
    return STEPS_A_PHONE_CHARACTER * min(len(value), MAX_PHONE)


def _require(has_time: Callable[[], bool]) -> None:
    if not has_time():
        raise OutOfTime("not enough time for every event", retry_after=None)
