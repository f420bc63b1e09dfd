"""Log lines of the functions for the page. FilterLogEvents is free, and returns the oldest lines first."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from audience_sync.amazon_ads.data_manager.answers import Share
from audience_sync_cli.dashboard.facts import ShareFacts, ShownLine, UploadFacts
from audience_sync_cli.frame.times import DAY, HOUR, MINUTE

WINDOWS = (5 * MINUTE, HOUR, DAY)  # seconds to look back: the first one with a line suffices
MAX_PAGES = 5  # of one window; a page may be empty although more follow
SHOWN = 40  # lines
UPLOADS = '"upload accepted"'
REJECTED = '{ $.message = "event rejected" || $.message = "consent denied" }'
DATASETS = '"dataset read"'
READ_WITHIN = 3 * HOUR  # seconds; datasets are read every hour
LONGEST = 500  # characters of a text
TROUBLE = '{ $.level = "WARNING" || $.level = "ERROR" }'
_SHOWN_ELSEWHERE = frozenset({"level", "message", "timestamp", "service", "location"})


def newest_lines(logs: Any, function: str, group: str, pattern: str, now: float) -> tuple[ShownLine, ...]:
    """Return the newest lines of a log group that match a pattern, newest first; none older than a day."""
    for window in WINDOWS:
        found = _events(logs, group, pattern, now - window)
        if found:
            return tuple(_line(function, each) for each in found[: -SHOWN - 1 : -1])
    return ()


def uploads(lines: Sequence[ShownLine]) -> tuple[UploadFacts, ...]:
    """Read the uploads that Amazon accepted, from the worker's log."""
    return tuple(
        UploadFacts(
            n=each.n,
            at=each.at,
            job_id=each.more.get("job_id", ""),
            audience_id=each.more.get("audience_id"),
            records=int(each.more["records"]) if each.more.get("records", "").isdigit() else None,
        )
        for each in lines
    )


def shares(logs: Any, group: str, now: float) -> dict[str, tuple[ShareFacts, ...]]:
    """Return the shares of each dataset as last read, from the log of the datasets function."""
    lines = (json.loads(event["message"]) for event in _events(logs, group, DATASETS, now - READ_WITHIN))
    return {line["audience_id"]: shares_of(line) for line in lines if line["shares"] is not None}


def shares_of(line: Mapping[str, Any]) -> tuple[ShareFacts, ...]:
    """Read the shares in one line of the datasets function."""
    return tuple(
        ShareFacts.of(
            Share(
                each["shareId"],
                line["audience_id"],
                each["application"],
                each["account"],
                marketplace_id="",
                status=each["status"],
                revoked_by=each["revokedBy"],
                revoked_at=each["revokedAt"],
            )
        )
        for each in line["shares"]
    )


def _events(logs: Any, group: str, pattern: str, since: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        page = logs.filter_log_events(logGroupName=group, filterPattern=pattern, startTime=round(since * 1000), **more)
        found += page["events"]
        if "nextToken" not in page:
            break
        more = {"nextToken": page["nextToken"]}
    return sorted(found, key=lambda event: (event["timestamp"], event["eventId"]))


def _line(function: str, event: Mapping[str, Any]) -> ShownLine:
    """Parse one event of CloudWatch Logs: JSON, or any other output, such as a traceback."""
    n, at, text = event["eventId"], event["timestamp"] / 1000, event["message"]
    try:
        entry = json.loads(text)
        more = {field: _plain(fact) for field, fact in entry.items() if field not in _SHOWN_ELSEWHERE}
        return ShownLine(n, at, function, str(entry["level"]), _cut(str(entry["message"])), more)
    except (ValueError, LookupError, TypeError, AttributeError):
        return ShownLine(n, at, function, "", _cut(text.strip()))


def _plain(fact: Any) -> str:
    return _cut(fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
