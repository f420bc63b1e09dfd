"""The digest of a proof, by which a copy can be compared with a new one."""

import hashlib
from typing import Any

from audience_sync.membership import canonical_json


def digest(document: Any) -> str:
    """Return the SHA-256 of a document's canonical JSON: names sorted, no spaces, ASCII."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()
