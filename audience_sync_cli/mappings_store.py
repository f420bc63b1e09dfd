"""The stored mappings document, as an operator reads and replaces it. It may have been written by hand."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from audience_sync.aws.mappings_store import MAX_DOCUMENT, MappingsStore
from audience_sync.segment.mapping_config import DEFAULT_MAPPING
from audience_sync_cli.errors import OperatorError
from audience_sync_cli.session import Session


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored, read as far as it can be read."""

    attribute: Mapping[str, Any] | None  # as DynamoDB has it, whatever it holds; None where nothing is stored
    mappings: Any = None  # unchecked; parse_mappings checks them
    version: int = 0
    is_readable: bool = True  # JSON that may hold mappings
    is_versioned: bool = True  # the version is a number, or left out

    @property
    def document(self) -> dict[str, Any]:
        """The document in the form that `mappings apply` takes, valid or not."""
        return {"version": self.version, "mappings": self.mappings}


def read(session: Session) -> Stored:
    """Read what is stored, without the cache and consistently: a write will depend on it. Raises Unavailable."""
    attribute = _store(session).read()
    return Stored(None, [asdict(DEFAULT_MAPPING)]) if attribute is None else _parsed(attribute)


def _parsed(attribute: Mapping[str, Any]) -> Stored:
    try:
        document = json.loads(attribute.get("S", ""))
    except (ValueError, RecursionError):
        document = None
    match document:
        case list():
            return Stored(attribute, document)
        case dict():
            version = document.get("version", 0)
            is_versioned = type(version) is int and version >= 0
            number = version if is_versioned else 0
            return Stored(attribute, document.get("mappings"), number, is_versioned=is_versioned)
    return Stored(attribute, is_readable=False)


def replace(session: Session, stored: Stored, text: str) -> None:
    """Store a document in place of what was read.

    Raises:
        OperatorError: the document is too large, or another one has been stored since.
        Unavailable: the table does not answer.
    """
    if len(text.encode()) > MAX_DOCUMENT:
        raise OperatorError("The mappings are too large to store.", f"Keep them below {MAX_DOCUMENT // 1000} KB.")
    if not _store(session).replace(stored.attribute, text):
        raise version_conflict(stored.version, "another version")


def version_conflict(made_from: Any, version: Any) -> OperatorError:
    """Return the error for a file that was made from a version which is no longer the stored one."""
    return OperatorError(
        f"The file was made from version {made_from}, and {version} is in force.",
        "Copy your changes into what `mappings show --json` prints now, and apply that.",
    )


def _store(session: Session) -> MappingsStore:
    return MappingsStore(session.stack.service("dynamodb"), session.stack["AudienceTable"])
