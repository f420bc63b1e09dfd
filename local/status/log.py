"""Log lines of the functions as the page shows them."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from audience_sync_cli.dashboard.facts import LogLine
from local.counters import Counters

SHOWN = 40  # lines
SHOWN_REJECTED = 20  # events
LONGEST_LINE = 500  # characters
_SHOWN_ELSEWHERE = frozenset({"level", "message", "timestamp", "service", "location"})


def newest_lines(counters: Counters) -> tuple[LogLine, ...]:
    """Return the newest log lines, newest first, each with its number since the start."""
    return tuple(_lines(counters, list(counters.lines)[-SHOWN:]))


def rejected_events(counters: Counters) -> tuple[LogLine, ...]:
    """Return the newest rejected events that have a log line, newest first."""
    rejected = list(counters.rejected)[-SHOWN_REJECTED:]
    return tuple(_line(f"rejected-{n}", function, line) for n, function, line in reversed(rejected))


def _lines(counters: Counters, newest: list[tuple[str, str]]) -> Iterable[LogLine]:
    first = counters.line_count - len(newest) + 1
    return reversed([_line(str(n), function, line) for n, (function, line) in enumerate(newest, first)])


def _line(n: str, function: str, line: str) -> LogLine:
    name = function.removesuffix("Function").lower()
    try:
        entry = json.loads(line)
        more = {field: _plain(fact) for field, fact in entry.items() if field not in _SHOWN_ELSEWHERE}
        at = datetime.fromisoformat(entry["timestamp"]).timestamp()
        return LogLine(n, at, name, str(entry["level"]), _cut(str(entry["message"])), more)
    except (ValueError, LookupError, TypeError, AttributeError):
        return LogLine(n, None, name, "", _cut(line))  # a traceback, or anything else that was printed


def _plain(fact: Any) -> str:
    return _cut(fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"
