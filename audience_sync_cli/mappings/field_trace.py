"""Follows the value of one field from the event to the record. Holds personal data."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from audience_sync.amazon_ads.countries import accepted_country
from audience_sync.amazon_ads.normalize import MAX_VALUES, identifier, normalize
from audience_sync.fields import CONSENT_SIGNALS, IDENTIFIERS, LISTED
from audience_sync.ingest.outcome import Rejected
from audience_sync.members.membership import MembershipChange
from audience_sync.segment.budget import Budget
from audience_sync.segment.directives.values import UNDEFINED
from audience_sync.segment.event import AudienceCall, EventKind
from audience_sync.segment.mapping import compile_directive
from audience_sync_cli.frame.unusable import why_unusable
from audience_sync_cli.mappings.lookups import Lookup, lookups_of

_IDENTIFIERS = frozenset(field.name for field in IDENTIFIERS)
_LISTED = frozenset(field.name for field in LISTED)
_SIGNALS = {field.name: field.amazon_name for field in CONSENT_SIGNALS}
_NAME = re.compile(r"[^$.\[\]']+")
_NAMED_BY_EVENT = "a place that the event names"
_EMPTY_SIGNAL = {
    "amzn_ad_storage": "it counts as a missing answer",
    "amzn_user_data": "it counts as a missing answer",
    "ip": "not an IP address",
}


@dataclass(frozen=True, slots=True)
class FieldTrace:
    """The path of one field into the record. Holds personal data."""

    name: str
    lookups: tuple[Lookup, ...]  # of the directive, in order
    value: Any = field(repr=False)  # UNDEFINED if there is none
    normalized: str | None = field(default=None, repr=False)  # of an identifier; None also for a SHA-256
    digest: str | None = None  # of an identifier, as Amazon gets it
    left_out: str | None = None  # why it is not sent, in plain words
    values: tuple["FieldTrace", ...] = ()  # of a list of identifiers: each of them

    @property
    def found_at(self) -> list[str]:
        """The places from which the value is built."""
        if self.value is UNDEFINED:
            return []
        filled = [lookup for lookup in self.lookups if lookup.value is not UNDEFINED]
        same = [lookup.path for lookup in filled if lookup.value == self.value]
        return same[-1:] or [lookup.path for lookup in filled]


def follow_field(name: str, directive: Any, event: dict[str, Any], value: Any, country: str | None) -> FieldTrace:
    """Follow a value as ingest finds it, UNDEFINED if there is none; that of an identifier to its digest."""
    lookups = _lookups(directive, event)
    if value is UNDEFINED or (value in (None, "") and name not in _IDENTIFIERS):
        places = ", ".join(lookup.path for lookup in lookups if lookup.value in (UNDEFINED, None, ""))
        return FieldTrace(name, lookups, value, left_out=f"nothing at {places}" if places else "no value")
    if name not in _IDENTIFIERS:
        return FieldTrace(name, lookups, value)
    if name in _LISTED and isinstance(value, list):
        values = tuple([follow_field(name, None, {}, each, country) for each in value])
        is_used = any(each.digest for each in values[:MAX_VALUES])
        return FieldTrace(
            name, lookups, value, left_out=None if is_used else "no usable value in the list", values=values
        )
    normalized, digest = normalize(name, value, country), identifier(name, value, country)
    dropped = why_unusable(name, value, country)
    return FieldTrace(name, lookups, value, normalized, digest, dropped.detail if dropped else None)


def _lookups(directive: Any, event: dict[str, Any]) -> tuple[Lookup, ...]:
    read_field, written = compile_directive(directive), json.dumps(directive, ensure_ascii=False)
    try:
        lookups = lookups_of(lambda copy: read_field(copy, Budget()), event)
    except RecursionError:  # the event is nested deeper than it can be copied
        return ()
    return tuple(
        lookup if _is_written(lookup.path, written) else Lookup(_NAMED_BY_EVENT, lookup.value) for lookup in lookups
    )


def _is_written(path: str, directive: str) -> bool:
    """Return whether the mapping names every step of a path. A path named by the event may be personal data."""
    return all(name in directive for name in _NAME.findall(path) if not name.isdecimal())


def with_outcome(
    field: FieldTrace, call: AudienceCall, changes: Sequence[MembershipChange], rejection: Rejected | None
) -> FieldTrace:
    """Add the reason why a field with a value is not part of the record."""
    why = None
    if field.values:
        return replace(field, values=_with_fates(field.values, changes))
    if field.left_out or field.name in _IDENTIFIERS:
        return field
    if rejection and rejection.field == field.name:
        why = rejection.detail
    elif field.name == "country" and accepted_country(field.value) is None:
        why = "not a country code that Amazon accepts"
    elif field.name in _SIGNALS and call.kind is EventKind.EXIT:
        why = "a removal needs no consent"
    elif field.name in _SIGNALS and changes and not _holds(changes[0].consent, _SIGNALS[field.name]):
        why = _EMPTY_SIGNAL.get(field.name, "empty, or not a string")
    return FieldTrace(field.name, field.lookups, field.value, left_out=why)


def _with_fates(values: Sequence[FieldTrace], changes: Sequence[MembershipChange]) -> tuple[FieldTrace, ...]:
    """Add why usable values of a list make no identity of their own."""
    identities = changes[0].identities if changes else ()
    sent = {digest for identity in identities for digest in identity.digests.values()}
    before: set[str | None] = {None}
    found: list[FieldTrace] = []
    for place, each in enumerate(values):
        why = each.left_out
        if each.digest in before:
            why = why or "the same as an earlier value"
        elif place >= MAX_VALUES:
            why = f"beyond the first {MAX_VALUES} values"
        elif changes and each.digest not in sent:
            why = f"beyond the {len(identities)} identities that Amazon takes of one member"
        found.append(replace(each, left_out=why))
        before.add(each.digest)
    return tuple(found)


def _holds(consent: Any, name: str) -> bool:
    """Return whether a signal is part of consent, at any depth."""
    return isinstance(consent, dict) and (name in consent or any(_holds(inner, name) for inner in consent.values()))
