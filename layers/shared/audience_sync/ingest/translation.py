"""Turns Segment events into the changes they state. Personal data is hashed here.

The events of a body go through each step in groups: the code of one step fits the processor's caches, the code of all
steps does not. This saves a fifth of the time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import batched
from operator import itemgetter
from typing import Any, cast

from audience_sync.amazon_ads.consent import SIGNALS, require_no_denial
from audience_sync.amazon_ads.destination import MAX_IN_DATASET, destination_of_changes
from audience_sync.amazon_ads.ids import external_user_id
from audience_sync.amazon_ads.normalize import identifiers_of_all
from audience_sync.errors import OutOfTime, RejectedEvent
from audience_sync.fields import FIELDS, IDENTIFIERS
from audience_sync.ingest.mapped_values import Found, Mapper, Values, valid_members
from audience_sync.ingest.outcome import Outcome, Rejected, partly_rejected
from audience_sync.ingest.record_rules import (
    MAX_ENTER_AGE,
    AudienceLookup,
    Policy,
    checked_record,
    erasing_exit,
    find_audiences,
    first_country,
)
from audience_sync.members.membership import Audience, MembershipChange
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

type _Statement = tuple[int, AudienceCall, Values, _Subject | Rejected]
"""The position of an event in its group, its call, and the values that one mapping finds in it."""


_NAMES = [field.name for field in FIELDS]
_EXTERNAL_USER_ID, _AUDIENCE_ID, _COUNTRY = map(_NAMES.index, ("external_user_id", "audience_id", "country"))
_identifiers = itemgetter(*[_NAMES.index(field.name) for field in IDENTIFIERS])
_signals = itemgetter(*map(_NAMES.index, SIGNALS))


class Translator:
    """Turns events into changes, with the mappings, audiences, time and policy of one request."""

    def __init__(
        self, mappings: Sequence[CompiledMapping], audiences: AudienceLookup, now: int, policy: Policy
    ) -> None:
        self._mapper = Mapper(mappings, audiences, now, needs_time=policy.needs_time)
        self._audiences = audiences
        self._now = now
        self._identities_left_out = 0  # so far, beyond those that Amazon takes of one member
        self._policy = policy
        self._oldest_enter = 0 if policy.max_enter_age is None else now - policy.max_enter_age
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
            found: list[Found] = []
            for call, element in zip(calls, some, strict=True):
                _require(has_time)
                found.append(self._mapper.values_in(call, element))
            yield from zip(some, self._outcomes(some, calls, found, has_time), strict=True)

    @property
    def identities_left_out(self) -> int:
        """The number so far, beyond those that are read or that Amazon takes of one member."""
        return self._identities_left_out + self._mapper.identities_left_out

    def _read(self, element: Any) -> AudienceCall:
        try:
            return read(element, self._now, needs_time=self._policy.needs_time)
        except RejectedEvent as error:
            return AudienceCall(EventKind.IGNORE, rejection=(error.reason, error.detail))

    def _outcomes(
        self,
        events: Sequence[Any],
        calls: Sequence[AudienceCall],
        found: Sequence[Found],
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
            final[place] = partly_rejected(outcomes[place], by_audience)
        for place, (call, denial) in denials.items():  # whatever the other mappings make of the event
            mapped = cast("list[tuple[AudienceCall, Values]]", found[place])  # a rejected event has no statements
            final[place] = _ended(call, mapped, denial)
        return final

    def _statements(
        self, events: Sequence[Any], calls: Sequence[AudienceCall], found: Sequence[Found]
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

    def _add_statements(self, statements: list[_Statement], place: int, call: AudienceCall, values: Values) -> None:
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
            destination = destination_of_changes(audience)
            record = checked_record(member, country, identities, signals, self._policy, destination, exits=exits)
        except RejectedEvent as error:
            return Rejected.of(error, audience)
        if len(identities) > MAX_IN_DATASET:
            self._identities_left_out += len(identities) - len(record["hashedPII"])
        return MembershipChange(audience.audience_id, destination, call.at, call.message_id, record)

    def _audiences_of(self, call: AudienceCall, mapped: Any) -> Sequence[Audience]:
        if isinstance(mapped, str) and (known := self._known.get(mapped)):
            return known
        audiences = find_audiences(mapped, call.computation_key, self._audiences)
        if isinstance(mapped, str) and mapped:
            self._known[mapped] = audiences
        return audiences

    def _erasure(self, call: AudienceCall, event: dict[str, Any]) -> list[MembershipChange] | Rejected:
        """Turn a deletion notice into one change of every audience, under each id of the person.

        The worker finds the audiences that hold the person: here, the work would grow with their number.
        """
        members = self._mapper.members_in(event)
        if isinstance(members, Rejected):
            names_a_group = members.reason is Reason.MEMBER_ID_MISSING and event.get("groupId")
            return Rejected.of(RejectedEvent(Reason.GROUP_DELETION)) if names_a_group else members
        return [erasing_exit(member, call.at, call.message_id) for member in members]


def _ended(call: AudienceCall, found: list[tuple[AudienceCall, Values]], denial: Rejected) -> Rejected:
    """Add the exits of a person who denies consent from every audience, under the ids of the mappings that apply."""
    members = valid_members(values[_EXTERNAL_USER_ID] for _, values in found)
    if isinstance(members, Rejected):
        return members
    exits = [erasing_exit(member, call.at, call.message_id, denies_consent=True) for member in members]
    return denial._replace(detail=f"{denial.detail}: the person leaves every audience", exits=exits)


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
        raise OutOfTime("not enough time for every event", retry_after=None)
