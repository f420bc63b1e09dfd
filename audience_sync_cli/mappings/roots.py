"""Finds paths that begin with a name that no event has at its top level, such as `$.propertys.email`."""

import re
from collections.abc import Iterator
from typing import Any

from audience_sync_cli.frame.settings_faults import OPTIONS
from audience_sync_cli.frame.usage import did_you_mean

# Of Segment's events, and of RudderStack's. Webhook Audiences adds the extras of the audience.
ROOTS = frozenset(
    (
        "type event name category userId anonymousId groupId previousId messageId properties traits context "
        "integrations timestamp originalTimestamp sentAt receivedAt version channel projectId writeKey sourceId "
        "_metadata options rudderId request_ip action fields identifiers object recordId api shares idRetention"
    ).split()
).union(OPTIONS)
_NAME = re.compile(r"""[^.\[\]"']+""")
_IN_BRACES = re.compile(r"\{\{\{?([^{}]+)\}\}")


def unknown_roots(directive: Any) -> list[str]:
    """Return a sentence for each name that a directive looks for at the top of an event, where no event has it."""
    return [
        f"no event has {root} at its top level, unless the extras do. {did_you_mean(root, ROOTS)}".strip()
        for root in dict.fromkeys(_roots(directive))
        if root not in ROOTS
    ]


def _first(path: str) -> list[str]:
    return _NAME.findall(path.replace("$.", "", 1))[:1]


def _roots(directive: Any) -> Iterator[str]:
    match directive:
        case {"@path": str(path)}:
            yield from _first(path)
        case {"@template": str(text)}:
            for path in _IN_BRACES.findall(text):
                yield from _first(path.strip())
        case {"@literal": _}:
            pass
        case {"@arrayPath": [source, *_]}:  # what follows reads the items
            yield from _roots({"@path": source} if isinstance(source, str) else source)
        case {"@transform": {"apply": source}}:  # its mapping reads the result
            yield from _roots(source)
        case dict() | list():
            for inner in directive.values() if isinstance(directive, dict) else directive:
                yield from _roots(inner)
