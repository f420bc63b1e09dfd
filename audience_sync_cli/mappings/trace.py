"""Traces one event to its changes: triggers, places of the fields, and reasons for leaving something out.

Every step is ingest's own: its code reads, maps, normalizes and translates the event, and this module records the
input and output. It does no I/O of its own; the lookup of audiences may do some.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from audience_sync.amazon_ads.countries import accepted_country
from audience_sync.errors import RejectedEvent
from audience_sync.fields import FIELDS
from audience_sync.ingest.mapped_values import is_undecided
from audience_sync.ingest.outcome import Denied, Rejected
from audience_sync.ingest.record_rules import AudienceLookup, Policy, find_audiences, first_country
from audience_sync.ingest.translation import Translator
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.segment.budget import Budget
from audience_sync.segment.compiled_mapping import CompiledMapping, compile_mappings
from audience_sync.segment.compiled_mapping import Mapping as EventMapping
from audience_sync.segment.directives.values import UNDEFINED, materialize
from audience_sync.segment.event import AudienceCall, EventKind, read, read_row, safe_id, why_ignored
from audience_sync.segment.trigger import compile_trigger
from audience_sync_cli.mappings.field_trace import FieldTrace, follow_field, with_outcome
from audience_sync_cli.mappings.trigger_conditions import failing_conditions


@dataclass(frozen=True, slots=True)
class MappingTrace:
    """The outcome of one mapping for one event, and for one audience if it is about one."""

    name: str
    why_not: str | None  # why it does not apply; None if it does
    fields: tuple[FieldTrace, ...] = ()
    audience: Audience | None = None
    audience_by: str = ""  # how it was found
    country: str | None = None
    country_by: str = ""  # its source
    changes: tuple[MembershipChange, ...] = ()
    rejection: Rejected | None = None
    membership: FieldTrace | None = None  # what states it, if the mapping says so
    states: EventKind | None = None  # by that; None if the mapping does not name its value


@dataclass(frozen=True, slots=True)
class EventTrace:
    """The outcome of one event."""

    index: int
    message_id: str
    call: AudienceCall | None  # None if it is not an event
    why_not: str | None = None  # why no mapping is applied
    mappings: tuple[MappingTrace, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of change it asks for: enter, exit, deny, erase, ignore or reject."""
        if self.call is None or self.call.rejection:
            return "reject"
        if any(each.rejection and each.changes for each in self.mappings):
            return "deny"
        if self.call.kind is EventKind.UNSTATED:
            return "reject" if self.mappings else "ignore"
        return str(self.call.kind)


@dataclass(frozen=True, slots=True)
class Only:
    """The lookup of an audience that an event is known to reach."""

    audience: Audience

    def by_id(self, _: str) -> Sequence[Audience]:
        """Return the audience."""
        return [self.audience]

    by_computation_key = by_id


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The inputs other than the event."""

    mappings: Sequence[EventMapping]
    audiences: AudienceLookup
    now: int  # epoch milliseconds
    policy: Policy


def trace(element: Any, index: int, around: Surroundings) -> EventTrace:
    """Follow one event of a request body. Each mapping and audience is followed as if it were the only one."""
    message_id = safe_id(element.get("messageId") if isinstance(element, dict) else None, element)
    try:
        call, why_not = read(element, around.now, needs_time=around.policy.needs_time), why_ignored(element)
    except RejectedEvent as error:
        return EventTrace(index, message_id, None, f"{error.detail} ({error.reason})")
    if why_not and not _is_used(element, around):
        return EventTrace(index, message_id, call, why_not)
    by_mapping = (_call(each, call, element, around) for each in compile_mappings(around.mappings, compile_trigger))
    call = next((each for each in by_mapping if each is not call), call)
    traces = (each for mapping in around.mappings for each in _follow(mapping, call, element, around))
    return EventTrace(index, message_id, call, None, tuple(traces))


def _is_used(event: dict[str, Any], around: Surroundings) -> bool:
    """Return whether an event without a membership names a listed audience, or a mapping decides it."""
    translator = Translator(
        compile_mappings(around.mappings, compile_trigger), around.audiences, around.now, around.policy
    )
    ((_, outcome),) = translator.outcomes([event], lambda: True)
    return outcome != []


def _call(mapping: CompiledMapping, call: AudienceCall, event: dict[str, Any], around: Surroundings) -> AudienceCall:
    """Return the call with the membership that the mapping states; as it is, if that does not decide."""
    try:
        if mapping.membership and is_undecided(call) and mapping.applies_to(event, Budget()):
            kind = mapping.membership.kind_of(event, Budget())
            row = read_row(event, around.now, needs_time=around.policy.needs_time)
            return replace(row, kind=kind) if kind else call
    except RejectedEvent:  # the mapping's own outcome says why
        pass
    return call


def _follow(
    mapping: EventMapping, call: AudienceCall, event: dict[str, Any], around: Surroundings
) -> list[MappingTrace]:
    (compiled,) = compile_mappings([mapping], compile_trigger)
    try:
        if call.kind is not EventKind.ERASE and not compiled.applies_to(event, Budget()):
            return [MappingTrace(mapping.name, _why_not(mapping, event))]
        values = _values(compiled, event)
    except RejectedEvent as error:
        return [MappingTrace(mapping.name, None, rejection=Rejected.of(error))]
    call = _call(compiled, call, event, around)
    # Deletion notices and events without a membership are not about an audience.
    is_about_one = call.kind is not EventKind.ERASE and not call.rejection
    audiences = _audiences(call, values.get("audience_id"), around) if is_about_one else []
    found: list[MappingTrace] = []
    for audience in audiences or (None,):
        lookup = Only(audience) if audience else around.audiences
        ((_, outcome),) = Translator([compiled], lookup, around.now, around.policy).outcomes([event], lambda: True)
        one = cast("list[MembershipChange] | Rejected | Denied", outcome)  # of one audience, so never partly rejected
        traced = _traced(mapping, call, event, values, audience, one, is_about_one=is_about_one)
        found.append(_with_membership(traced, mapping, compiled, event))
    return found


def _with_membership(
    traced: MappingTrace, mapping: EventMapping, compiled: CompiledMapping, event: dict[str, Any]
) -> MappingTrace:
    if not compiled.membership or not mapping.membership:
        return traced
    value, kind = (each(event, Budget()) for each in (compiled.membership.read, compiled.membership.kind_of))
    followed = follow_field("membership", mapping.membership["value"], event, materialize(value), None)
    return replace(traced, membership=followed, states=kind)


def _traced(
    mapping: EventMapping,
    call: AudienceCall,
    event: dict[str, Any],
    values: Mapping[str, Any],
    audience: Audience | None,
    outcome: list[MembershipChange] | Rejected | Denied,
    *,
    is_about_one: bool,
) -> MappingTrace:
    changes, rejection = _changes_and_rejection(outcome)
    country = _country(call, values, audience) if is_about_one else None
    names = ["external_user_id"] if call.kind is EventKind.ERASE else list(mapping.fields)
    fields = [follow_field(name, mapping.fields[name], event, values.get(name, UNDEFINED), country) for name in names]
    return MappingTrace(
        mapping.name,
        None,
        tuple(with_outcome(each, call, () if rejection else changes, rejection) for each in fields),
        audience,
        "audience_id" if values.get("audience_id") not in (None, "") else "the computation key",
        country,
        _country_by(country, values, call) if country else "",
        tuple(changes),
        rejection,
    )


def _changes_and_rejection(
    outcome: list[MembershipChange] | Rejected | Denied,
) -> tuple[Sequence[MembershipChange], Rejected | None]:
    match outcome:
        case Denied(rejection, exits):  # it stops the event, and has exits in its place
            return exits, rejection
        case Rejected():
            return (), outcome
        case changes:
            return changes, None


def _values(mapping: CompiledMapping, event: dict[str, Any]) -> Mapping[str, Any]:
    """Return the values that ingest finds, and null if the event has null. Raises RejectedEvent."""
    found = zip(FIELDS, mapping.values_of(event, Budget()), strict=True)
    values = {field.name: value for field, value in found if value is not None}
    return mapping.fields_of(event, Budget()) | values


def _audiences(call: AudienceCall, mapped: Any, around: Surroundings) -> Sequence[Audience]:
    """Return the audiences, even if the event is then rejected for another reason."""
    try:
        return find_audiences(mapped, call.computation_key, around.audiences)
    except RejectedEvent:  # the event's own outcome says why
        return []


def _country(call: AudienceCall, values: Mapping[str, Any], audience: Audience | None) -> str | None:
    """Return the country. An exit's country is never rejected, so it is known whatever the event lacks."""
    return first_country((values.get("country"), call.country, audience.country if audience else None), exits=True)


def _why_not(mapping: EventMapping, event: dict[str, Any]) -> str:
    if not mapping.enabled:
        return "it is disabled"
    failing = failing_conditions(mapping.trigger, event)
    return f"its trigger does not match: not {', not '.join(failing)}"


def _country_by(country: str, values: Mapping[str, Any], call: AudienceCall) -> str:
    if accepted_country(values.get("country")) == country:
        return "the mapping"
    return "countryCode in the event" if accepted_country(call.country) == country else "the audience"
