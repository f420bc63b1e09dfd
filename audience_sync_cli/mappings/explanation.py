"""Prints the trace of an event, masked unless the operator asks for personal data."""

import json
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from audience_sync.amazon_ads.countries import CONSENT_REQUIRED, accepted_country
from audience_sync.amazon_ads.destination import needs_consent
from audience_sync.amazon_ads.ids import amazon_id
from audience_sync.fields import CONSENT_SIGNALS
from audience_sync.members.membership import EVERY_AUDIENCE
from audience_sync.reasons import Reason
from audience_sync.segment.directives.values import UNDEFINED
from audience_sync.segment.event import EventKind
from audience_sync_cli.frame.screen import Screen, counted, iso_time, moment
from audience_sync_cli.mappings.field_trace import FieldTrace
from audience_sync_cli.mappings.trace import EventTrace, MappingTrace
from audience_sync_cli.stack.presentation import change_json

MAX_SHOWN = 20  # events explained on the screen; the JSON has all
MAX_TEXT = 60  # characters of a value; the JSON has all of it

_SHOWN_DIGEST = 12  # characters; the record below has all of it
_SIGNALS = [field.name for field in CONSENT_SIGNALS if field.name != "ip"]
_ANSWERS = ("GRANTED", "DENIED", "UNKNOWN", "NOT_APPLICABLE")
_STATES = {None: "in neither enter nor exit", EventKind.ENTER: "an enter", EventKind.EXIT: "an exit"}
_DOES = {
    "enter": "the member enters",
    "exit": "the member leaves",
    "deny": "denied consent: the member leaves every audience, whatever other mappings find",
    "erase": "a deletion notice: the member leaves every audience",
    "ignore": "ignored",
    "reject": "rejected",
}


class Explanation:
    """Prints traces, or returns them for scripts."""

    def __init__(self, *, reveal: bool, consent_required: bool) -> None:
        self._reveal = reveal
        self._consent_required = consent_required

    def print(self, screen: Screen, traces: Sequence[EventTrace], events: int) -> None:
        """Print the outcome of each event, and the number of further ones."""
        for each in traces:
            why = f": {each.why_not}" if each.why_not else ""
            screen.say(f"\nevent {each.index}  {each.message_id}  {_DOES[each.kind]}{why}", style="bold")
            for mapping in each.mappings:
                self._print_mapping(screen, each, mapping)
        if events > len(traces):
            screen.say(f"\n{counted(events - len(traces), 'more event')}; --json explains all.")

    def as_json(self, trace: EventTrace) -> dict[str, Any]:
        """Return a trace for scripts."""
        return {
            "index": trace.index,
            "messageId": trace.message_id,
            "kind": trace.kind,
            "at": iso_time(trace.call.at) if trace.call and trace.call.at else None,
            "whyNot": trace.why_not,
            "mappings": [self._mapping_json(trace, each) for each in trace.mappings],
        }

    def _print_mapping(self, screen: Screen, event: EventTrace, mapping: MappingTrace) -> None:
        if mapping.why_not:
            screen.say(f"mapping {mapping.name} does not apply: {mapping.why_not}")
            return
        screen.say(f"mapping {mapping.name} applies")
        screen.facts(
            {f"  {name}": value for name, value in self._facts(event, mapping).items()}
            | {f"  {each.name}": self._line(each) for each in mapping.fields}
        )

    def _line(self, field: FieldTrace) -> Text:
        """Return where a field was found, and below it the value, or why it is left out."""
        if not field.found_at and field.left_out:
            return Text(field.left_out, style="dim")
        where = ", ".join(field.found_at) or "the same for every event"
        more = len(field.values) - MAX_SHOWN
        rest = [Text(f"{counted(more, 'more value')}; --json explains all", style="dim")] if more > 0 else []
        return Text("\n").join([Text(where), *map(self._value, field.values[:MAX_SHOWN] or [field]), *rest])

    def _value(self, field: FieldTrace) -> Text:
        value = _shortened(self._shown(field.name, field.value))
        if field.left_out:
            return Text(f"{value}: left out, {field.left_out}", style="yellow")
        if field.normalized:
            value = f"{value} → {_shortened(self._masked(field.normalized))}"
        if field.digest:
            value += f" → {field.digest[:_SHOWN_DIGEST]}…" if field.normalized else ", a SHA-256 already"
        return Text(value)

    def _facts(self, event: EventTrace, mapping: MappingTrace) -> dict[str, Any]:
        facts: dict[str, Any] = {"event time": moment(event.call.at) if event.call and event.call.at else "-"}
        if mapping.membership:
            facts["membership"] = self._membership(mapping.membership, mapping.states)
        if mapping.audience:
            name = mapping.audience.name or "without a name"
            facts["audience"] = f"{name} ({mapping.audience.audience_id}), found by {mapping.audience_by}"
        if event.kind != "erase":
            unknown = "none" if mapping.audience else "not known without the audience"
            facts["country"] = f"{mapping.country}, from {mapping.country_by}" if mapping.country else unknown
            facts["consent"] = self._consent(event, mapping)
        facts["result"] = _result(mapping)
        return facts

    def _membership(self, field: FieldTrace, states: EventKind | None) -> str:
        if field.left_out:
            return field.left_out
        value = self._shown(field.name, field.value) if states is None else _text(field.value)
        return f"{_shortened(value)}, {_STATES[states]}, from {', '.join(field.found_at)}"

    def _consent(self, event: EventTrace, mapping: MappingTrace) -> str:
        if event.kind == "exit":
            return "a removal needs none"
        given = [each.name for each in mapping.fields if each.name in _SIGNALS and each.left_out is None]
        rejection = mapping.rejection
        if rejection and rejection.field in _SIGNALS:
            given.append(
                f"{rejection.field} {'says no' if rejection.reason is Reason.CONSENT_DENIED else 'is invalid'}"
            )
        signals = ", ".join(given) or "no signal"
        if mapping.country is None and not mapping.audience:
            return signals
        is_dataset = mapping.audience is not None and needs_consent(mapping.audience.destination)
        if mapping.country not in CONSENT_REQUIRED and not is_dataset:
            return f"{signals}; not needed{f' in {mapping.country}' if mapping.country else ''}"
        needed = "needed" if self._consent_required else "left to Amazon (ConsentPolicy is pass)"
        return f"{signals}; {needed} {'by every dataset' if is_dataset else f'in {mapping.country}'}"

    def _mapping_json(self, event: EventTrace, mapping: MappingTrace) -> dict[str, Any]:
        if mapping.why_not:
            return {"mapping": mapping.name, "applies": False, "whyNot": mapping.why_not}
        audience, rejection = mapping.audience, mapping.rejection
        return {
            "mapping": mapping.name,
            "applies": True,
            "membership": self._membership(mapping.membership, mapping.states) if mapping.membership else None,
            "audience": {"audienceId": audience.audience_id, "name": audience.name} if audience else None,
            "audienceBy": mapping.audience_by if audience else None,
            "country": mapping.country,
            "countryBy": mapping.country_by or None,
            "consent": self._consent(event, mapping) if event.kind != "erase" else None,
            "fields": [self._field_json(each) for each in mapping.fields],
            "changes": [change_json(each) for each in mapping.changes],
            "rejection": {"reason": rejection.reason, "detail": rejection.detail} if rejection else None,
        }

    def _field_json(self, field: FieldTrace) -> dict[str, Any]:
        return {
            "field": field.name,
            "lookedAt": [each.path for each in field.lookups],
            "foundAt": field.found_at,
            "value": None if field.value is UNDEFINED else self._shown(field.name, field.value),
            "normalized": None if field.normalized is None else self._masked(field.normalized),
            "digest": field.digest,
            "leftOut": field.left_out,
            **({"values": [self._listed_json(each) for each in field.values]} if field.values else {}),
        }

    def _listed_json(self, value: FieldTrace) -> dict[str, Any]:
        fields = self._field_json(value)
        return {name: fields[name] for name in ("value", "normalized", "digest", "leftOut")}

    def _shown(self, name: str, value: Any) -> str:
        """Return a value as text: unmasked only if it certainly is not personal data."""
        text = _text(value)
        is_known = (
            (name == "audience_id" and amazon_id(value) is not None)
            or (name == "country" and accepted_country(value) is not None)
            or value is None
            or isinstance(value, bool)
            or value in _ANSWERS
        )
        return text if is_known else self._masked(text)

    def _masked(self, text: str) -> str:
        return text if self._reveal else masked(text)


def masked(text: str) -> str:
    """Replace each character by its kind: x for lowercase, X for uppercase, 9 for a digit, * beyond ASCII.

    This shows the shape, which decides about a phone number or a postal code, but not the person.
    """
    return "".join(map(_kind, text))


def _kind(character: str) -> str:
    if not character.isascii():
        return "*"
    if character.isdecimal():
        return "9"
    return ("X" if character.isupper() else "x") if character.isalpha() else character


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _result(mapping: MappingTrace) -> str:
    if rejection := mapping.rejection:
        return f"{'accepted' if mapping.changes else 'rejected'}, {rejection.reason}: {rejection.detail}"
    if any(each.audience_id == EVERY_AUDIENCE for each in mapping.changes):
        return "erased from every audience"
    return "accepted" if mapping.changes else "nothing"
