"""From one Segment event to the changes it states, with everything personal hashed on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from audience_sync.amazon_ads.consent import SIGNALS, ConsentPolicy, user_consent
from audience_sync.amazon_ads.countries import NO_COUNTRY, accepted_country
from audience_sync.amazon_ads.normalize import identifiers
from audience_sync.amazon_ads.record import amazon_id, audience_record, external_user_id
from audience_sync.errors import RejectedEvent
from audience_sync.fields import IDENTIFIERS
from audience_sync.membership import Audience, MembershipChange
from audience_sync.segment.event import (
    SegmentEvent,
    extras,
    is_about_an_audience,
    is_test,
    membership,
    occurred_at,
)

_TRAITS = tuple(identifier.name for identifier in IDENTIFIERS)


class AudienceLookup(Protocol):
    """The audiences that events may reach."""

    def by_id(self, audience_id: str) -> Audience | None:
        """Return the audience with Amazon's id, if it is listed."""

    def by_computation_key(self, key: str) -> Sequence[Audience]:
        """Return the audiences linked to Segment's computation key; there should be one."""

    def all(self) -> Sequence[Audience]:
        """Return every listed audience."""


class EventMapping(Protocol):
    """One mapping, compiled. A disabled one applies to no event, but still tells whom a deletion notice means."""

    def applies_to(self, event: Mapping[str, Any]) -> bool:
        """Tell whether the trigger holds."""

    def fields_of(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Resolve the mapped fields."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's choices that shape records."""

    consent: ConsentPolicy = "require"
    literal_email: bool = False


class Translator:
    """Turns single events into changes, under one request's mappings, audiences, clock and policy."""

    def __init__(self, mappings: Sequence[EventMapping], audiences: AudienceLookup, now: int, policy: Policy) -> None:
        self._mappings = mappings
        self._audiences = audiences
        self._now = now
        self._policy = policy

    def changes(self, element: Any) -> list[MembershipChange]:
        """Return the changes that one event states; none where it concerns no audience of ours.

        Raises:
            RejectedEvent: a trigger holds but no mapping gives a valid change.
        """
        event = SegmentEvent.parse(element)
        if is_test(event):
            return []
        if event.type == "delete":
            return self._deletion(event)
        if not is_about_an_audience(event):
            return []
        found: list[MembershipChange] = []
        rejected: RejectedEvent | None = None
        for mapping in self._mappings:
            if not mapping.applies_to(event.raw):
                continue
            try:
                found.append(self._change(event, mapping.fields_of(event.raw)))
            except RejectedEvent as error:
                rejected = rejected or error
        if rejected and not found:
            raise rejected
        return found

    def _change(self, event: SegmentEvent, fields: Mapping[str, Any]) -> MembershipChange:
        exits = membership(event) == "exit"
        at = occurred_at(event, self._now)
        audience = self._audience(event, fields)
        member = external_user_id(_scalar(fields.get("external_user_id")))
        country = self._country(event, fields, audience, exits=exits)
        traits = {name: _scalar(fields.get(name)) for name in _TRAITS}
        identities = identifiers(traits, country, literal_email=self._policy.literal_email)
        if not exits and not identities:
            raise RejectedEvent(
                "no_identifier", "no mapped trait is usable as an identifier; map at least email or phone"
            )
        # A removal carries no consent: whoever withdraws it is exactly who must leave.
        signals = {name: _scalar(fields.get(name)) for name in SIGNALS}
        consent = {} if exits else user_consent(signals, country, self._policy.consent)
        record = audience_record(member, "DELETE" if exits else "CREATE", identities, country, consent)
        return MembershipChange(
            audience.audience_id,
            audience.connection_id,
            at,
            event.safe_message_id,
            record,
            target_types=audience.target_types,
        )

    def _audience(self, event: SegmentEvent, fields: Mapping[str, Any]) -> Audience:
        told = _scalar(fields.get("audience_id"))
        key = event.personas.computation_key if event.personas else (event.properties or {}).get("audience_key")
        if told not in (None, ""):
            audience_id = amazon_id(told)
            named = self._audiences.by_id(audience_id) if audience_id else None
            found = [named] if named else []
        elif isinstance(key, str) and key:
            found = list(self._audiences.by_computation_key(key))
        else:
            raise RejectedEvent("audience_missing", "neither an audience id nor a computation key; map audience_id")
        if not found:
            raise RejectedEvent(
                "audience_unknown",
                "the audience is not listed here; create it through Segment or link it to its computation key",
            )
        if len(found) > 1:  # to take one of them would be to guess
            raise RejectedEvent(
                "audience_ambiguous",
                "several audiences are linked to this computation key; give the event an audience id, or unlink one",
            )
        return found[0]

    def _country(
        self, event: SegmentEvent, fields: Mapping[str, Any], audience: Audience, *, exits: bool
    ) -> str | None:
        for told in (_scalar(fields.get("country")), extras(event).get("countryCode"), audience.country):
            if told in (None, ""):
                continue
            code = accepted_country(told)
            if code is None and not exits:
                raise RejectedEvent(
                    "country_invalid",
                    "country is not an ISO 3166-1 alpha-2 code that Amazon accepts; correct the mapping of country, "
                    "or countryCode in the extras",
                )
            if code and code not in NO_COUNTRY:
                return code
        return None

    def _deletion(self, event: SegmentEvent) -> list[MembershipChange]:
        """Turn a privacy deletion notice into an exit from every audience, under every id the mappings give it.

        Disabled mappings, too: what they let in before is still there. Where there is no mapping, by userId.
        """
        at = occurred_at(event, self._now)
        named = [mapping.fields_of(event.raw).get("external_user_id") for mapping in self._mappings]
        members: dict[str, None] = {}
        rejected: RejectedEvent | None = None
        for told in named or [event.raw.get("userId")]:
            try:
                members[external_user_id(_scalar(told))] = None
            except RejectedEvent as error:
                rejected = error
        if rejected and not members:
            raise rejected
        return [
            MembershipChange(
                audience.audience_id,
                audience.connection_id,
                at,
                event.safe_message_id,
                audience_record(member, "DELETE", [], None, {}),
                forget=True,
                target_types=audience.target_types,
            )
            for audience in self._audiences.all()
            for member in members
        ]


def _scalar(value: Any) -> Any:
    """Unwrap a list of one, as Segment does before it applies an action's schema."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
