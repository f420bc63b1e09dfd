"""The digest by which a report that was handed on can be checked."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(report: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a report as `jq -cjS 'del(.digest)'` writes it."""
    rest = {name: value for name, value in report.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
