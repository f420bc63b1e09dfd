"""Log lines of the functions for the page."""

from collections.abc import Iterable

from audience_sync_cli.dashboard.facts import ShownLine
from audience_sync_cli.dashboard.logs import log_line
from local.counters import Counters

SHOWN = 40  # lines
SHOWN_REJECTED = 20  # events


def newest_lines(counters: Counters) -> tuple[ShownLine, ...]:
    """Return the newest log lines, newest first, each with its number since the start."""
    return tuple(_lines(counters, list(counters.lines)[-SHOWN:]))


def rejected_events(counters: Counters) -> tuple[ShownLine, ...]:
    """Return the newest rejected events that have a log line, newest first."""
    rejected = list(counters.rejected)[-SHOWN_REJECTED:]
    return tuple(_line(f"rejected-{n}", function, line) for n, function, line in reversed(rejected))


def _lines(counters: Counters, newest: list[tuple[str, str]]) -> Iterable[ShownLine]:
    first = counters.line_count - len(newest) + 1
    return reversed([_line(str(n), function, line) for n, (function, line) in enumerate(newest, first)])


def _line(n: str, function: str, line: str) -> ShownLine:
    return log_line(n, function.removesuffix("Function").lower(), line)
