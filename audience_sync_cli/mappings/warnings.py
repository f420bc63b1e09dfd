"""Warnings about mappings that are valid but probably wrong.

They may use a phone number or an e-mail address in plain text as member id, ignore some or all events, or read a field
that no event has.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from audience_sync.segment.compiled_mapping import Mapping
from audience_sync_cli.mappings.contradictions import can_hold
from audience_sync_cli.mappings.roots import unknown_roots

_CONTACT = re.compile(r"phone|mobile|e-?mail", re.IGNORECASE)
_FIELD = "external_user_id"
_NEVER_HOLDS = (
    "its trigger matches no event about an audience. A track event has event and properties, an identify event traits"
)
_REMEDY = f'hash it: {{"{_FIELD}": {{"@sha256": {{"@path": "…"}}}}}}'


def warnings_about(mappings: Sequence[Mapping]) -> list[str]:
    """Return a sentence for each enabled mapping that matches no event or reads a field that no event has.

    Also for each whose member id may be personal data.
    """
    found = []
    for mapping in mappings:
        directive = mapping.fields.get(_FIELD)
        if not mapping.enabled:
            continue
        if not can_hold(mapping.trigger, of_rows=mapping.membership is not None):
            found.append(f"{mapping.name}: {_NEVER_HOLDS}.")
        if any(_CONTACT.search(text) for text in _clear_texts(directive)):
            found.append(f"{mapping.name}: {_FIELD} reads a phone number or e-mail address in plain text; {_REMEDY}.")
        found += [
            f"{mapping.name}: {name}: {sentence}"
            for name, each in {**mapping.fields, "membership": (mapping.membership or {}).get("value")}.items()
            for sentence in unknown_roots(each)
        ]
    return found


def why_all_is_ignored(mappings: Sequence[Mapping]) -> str | None:
    """Return why every event would be ignored; None if some event may be accepted."""
    enabled = [each for each in mappings if each.enabled]
    if not mappings:
        return "There are no mappings."
    if not enabled:
        return "No mapping is enabled."
    if any(can_hold(each.trigger, of_rows=each.membership is not None) for each in enabled):
        return None
    return "\n".join(f"{each.name}: {_NEVER_HOLDS}." for each in enabled)


def id_warning() -> str:
    """Return a warning about a member id that looks like a phone number."""
    sent = "It is stored and sent to Amazon in plain text"
    return f"A member id looks like a phone number. {sent}; if it is one, {_REMEDY}."


def _clear_texts(directive: Any) -> Iterator[str]:
    """Yield the paths and strings of a directive, except hashed ones."""
    match directive:
        case str(text):
            yield text
        case dict(members):
            for name, inner in members.items():
                if name != "@sha256":
                    yield from _clear_texts(inner)
        case list(items):
            for inner in items:
                yield from _clear_texts(inner)
