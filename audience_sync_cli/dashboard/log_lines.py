"""Log lines of the functions for the page. Pure."""

import json
from datetime import datetime
from typing import Any

from audience_sync_cli.dashboard.facts import ShownLine

LONGEST = 500  # characters of a text
_SHOWN_ELSEWHERE = frozenset({"level", "message", "timestamp", "service", "location"})


def log_line(n: str, function: str, text: str, at: float | None = None) -> ShownLine:
    """Parse a line: JSON, or any other output, such as a traceback.

    `n` is its number, or its id at CloudWatch; `at` is in epoch seconds, by default the line's own time.
    """
    try:
        entry = json.loads(text)
        more = {field: _plain(fact) for field, fact in entry.items() if field not in _SHOWN_ELSEWHERE}
        logged_at = datetime.fromisoformat(entry["timestamp"]).timestamp() if at is None else at
        return ShownLine(n, logged_at, function, str(entry["level"]), _cut(str(entry["message"])), more)
    except (ValueError, LookupError, TypeError, AttributeError):
        return ShownLine(n, at, function, "", _cut(text.strip()))


def _plain(fact: Any) -> str:
    return _cut(fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
