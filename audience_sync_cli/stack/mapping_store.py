"""The stored mappings and their versions, for reading and replacing.

They may have been written by hand.
"""

import json
from dataclasses import dataclass
from typing import Any

from audience_sync_cli.frame.errors import OperatorError
from audience_sync_cli.frame.session import Session
from audience_sync_cli.stack.mapping_history import BUILT_IN, KeptVersion, packed, unpacked
from audience_sync_cli.stack.mapping_rows import MAX_DOCUMENT, MappingsRows, MappingsStore


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored mappings, as far as they are readable."""

    rows: MappingsRows  # as DynamoDB has them, whatever they hold
    mappings: Any = None  # unchecked; parse_mappings checks them
    version: int = 0
    is_readable: bool = True  # JSON that may hold mappings
    is_versioned: bool = True  # the version is a number, or left out
    history: tuple[KeptVersion, ...] = ()  # the newest first; the first is the one in force, if that is readable

    @property
    def is_built_in(self) -> bool:
        """Whether nothing is stored, so that the built-in mapping is in force."""
        return self.rows.document is None

    @property
    def document(self) -> dict[str, Any]:
        """The document as accepted by `mappings apply`, valid or not."""
        return {"version": self.version, "mappings": self.mappings}

    @property
    def next_version(self) -> int:
        """The number of the next version, not in the history yet."""
        return max(self.version, *(each.number for each in self.history), 0) + 1


def read(session: Session) -> Stored:
    """Read the stored mappings without the cache and consistently: a write will depend on it. Raises Unavailable."""
    rows = _store(session).read()
    kept = unpacked(rows.history)
    if rows.document is None:
        is_reset = bool(kept) and kept[0].mappings is None
        current = kept[0] if is_reset else KeptVersion(0, None, None)
        return Stored(rows, BUILT_IN, current.number, history=kept if is_reset else (current, *kept))
    try:
        document = json.loads(rows.document.get("S", ""))
    except (ValueError, RecursionError):
        document = None
    match document:
        case list():
            return _with_history(rows, document, 0, kept)
        case dict():
            version = document.get("version", 0)
            is_versioned = type(version) is int and version >= 0
            number = version if is_versioned else 0
            return _with_history(rows, document.get("mappings"), number, kept, is_versioned=is_versioned)
    return Stored(rows, is_readable=False, history=kept)


def _with_history(
    rows: MappingsRows, mappings: Any, number: int, kept: tuple[KeptVersion, ...], *, is_versioned: bool = True
) -> Stored:
    """Put the version in force in front of the history, unless it is there; a hand-written one is not."""
    if isinstance(mappings, list) and not (kept and (kept[0].number, kept[0].mappings) == (number, mappings)):
        kept = (KeptVersion(number, None, mappings), *kept)
    return Stored(rows, mappings, number, is_versioned=is_versioned, history=kept)


def replace(session: Session, stored: Stored, mappings: list[Any] | None) -> int:
    """Replace the stored mappings, and return the new version. None is the built-in mapping.

    Raises:
        OperatorError: the document is too large, or a newer one has been stored.
        Unavailable: the table does not answer.
    """
    number = stored.next_version
    text = None if mappings is None else json.dumps({"version": number, "mappings": mappings}, ensure_ascii=False)
    if text and len(text.encode()) > MAX_DOCUMENT:
        raise OperatorError("The mappings are too large to store.", f"Keep them below {MAX_DOCUMENT // 1000} KB.")
    applied = KeptVersion(number, round(session.now() * 1000), mappings)
    if not _store(session).replace(stored.rows, text, packed([applied, *stored.history])):
        raise OperatorError(
            f"Another version was applied since version {stored.version} was read. Nothing was changed.",
            "Run the command again to compare with the new version.",
        )
    return number


def _store(session: Session) -> MappingsStore:
    return MappingsStore(session.stack.service("dynamodb"), session.stack["AudienceTable"])
