"""Former versions of the mappings: the last few, in one small binary value."""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from audience_sync.segment.default_mapping import DEFAULT_MAPPING

BUILT_IN: list[Any] = [asdict(DEFAULT_MAPPING)]

MAX_VERSIONS = 20
MAX_BYTES = 32_000
"""Of all versions together. Ingest reads them with the rest of the table, once a minute, and needs none. This is four
read units. Twenty versions of the default mapping take 1.3 KB, of fifty mappings like it 2.7 KB."""

_MAX_UNPACKED = 16_000_000  # bytes; twenty versions of the largest document, with room to spare


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """One version."""

    number: int
    applied_at: int | None  # epoch milliseconds; None if stored by hand
    mappings: list[Any] | None  # as they were applied; None for the built-in mapping

    @property
    def listed(self) -> list[Any]:
        """The mappings; for the built-in mapping, as in this release."""
        return BUILT_IN if self.mappings is None else self.mappings


def packed(versions: Sequence[KeptVersion]) -> bytes:
    """Pack versions, the newest first: at most MAX_VERSIONS, and at most MAX_BYTES.

    A mapping shared by several versions is written once, since most versions change one mapping.
    """
    keep = min(len(versions), MAX_VERSIONS)
    while len(content := _packed(versions[:keep])) > MAX_BYTES:
        keep = min(keep - 1, keep * MAX_BYTES // len(content))
    return content


def _packed(versions: Iterable[KeptVersion]) -> bytes:
    known: dict[str, int] = {}
    listed = [
        {
            "version": each.number,
            "appliedAt": each.applied_at,
            "mappings": None
            if each.mappings is None
            else [known.setdefault(json.dumps(mapping), len(known)) for mapping in each.mappings],
        }
        for each in versions
    ]
    document = {"versions": listed, "mappings": [json.loads(text) for text in known]}
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)


def unpacked(attribute: Mapping[str, Any] | None) -> tuple[KeptVersion, ...]:
    """Unpack the stored versions, the newest first; none if there are none, or if another program wrote them."""
    try:
        content = zlib.decompressobj().decompress(attribute["B"], _MAX_UNPACKED) if attribute else b""
        document = json.loads(content)
        mappings = document["mappings"]
        return tuple(_version(each, mappings) for each in document["versions"])
    except (zlib.error, ValueError, LookupError, TypeError, RecursionError):
        return ()


def _version(entry: Mapping[str, Any], mappings: Sequence[Any]) -> KeptVersion:
    held = entry["mappings"]
    listed = None if held is None else [mappings[position] for position in held]
    return KeptVersion(int(entry["version"]), entry["appliedAt"], listed)
