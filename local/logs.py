"""CloudWatch Logs: keeps what the functions print, and answers FilterLogEvents. Not moto's, which keeps every line."""

import json
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, NamedTuple
from uuid import uuid4

from aiohttp import web

TARGET = "X-Amz-Target"
SERVICE = "Logs_20140328"  # begins the target of a request
KEPT = 10_000  # lines of one log group
PAGE = 10_000  # lines of one answer; the limit of CloudWatch
_JSON = "application/x-amz-json-1.1"


class _Line(NamedTuple):
    at: int  # epoch milliseconds
    event_id: str
    message: str


class LogGroups:
    """The newest lines of each log group."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """Take the clock, in epoch seconds."""
        self._now = now
        self._lines: defaultdict[str, deque[_Line]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._count = 0

    def add(self, group: str, message: str) -> None:
        """Keep one line, as of now."""
        self._count += 1
        self._lines[group].append(_Line(round(self._now() * 1000), f"{self._count:056d}", message))

    def clear(self) -> None:
        """Forget all lines."""
        self._lines.clear()

    def filter(self, group: str, since: int, until: int | None, skipped: int = 0) -> dict[str, Any]:
        """Return one page of the lines between two times, in epoch milliseconds; both are included.

        `skipped` lines come before this page. Filter patterns are not implemented: all lines are returned.
        """
        fitting = (each for each in self._lines[group] if each.at >= since and (until is None or each.at <= until))
        page = list(islice(fitting, skipped, skipped + PAGE + 1))
        events = [
            {"logStreamName": "local", "timestamp": each.at, "ingestionTime": each.at}
            | {"eventId": each.event_id, "message": each.message}
            for each in page[:PAGE]
        ]
        more = {"nextToken": str(skipped + PAGE)} if len(page) > PAGE else {}
        return {"events": events, "searchedLogStreams": []} | more


def handler(groups: LogGroups) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return an aiohttp handler for requests whose target begins with SERVICE, at any path."""

    async def handle(request: web.Request) -> web.Response:
        headers = {"x-amzn-RequestId": str(uuid4())}
        asked: dict[str, Any] = json.loads(await request.read() or b"{}")
        if request.headers.get(TARGET) != f"{SERVICE}.FilterLogEvents" or "logGroupName" not in asked:
            body, status = {"__type": "UnknownOperationException"}, 400
        else:
            skipped = int(asked.get("nextToken") or 0)
            body = groups.filter(asked["logGroupName"], asked.get("startTime", 0), asked.get("endTime"), skipped)
            status = 200
        return web.Response(status=status, text=json.dumps(body), headers=headers, content_type=_JSON)

    return handle
