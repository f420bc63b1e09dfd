"""CloudWatch Logs: stores lines printed by functions and put by operators, and answers FilterLogEvents.

Not moto's, which keeps every line.
"""

import json
import re
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, NamedTuple
from uuid import uuid4

from aiohttp import web

TARGET = "X-Amz-Target"
SERVICE = "Logs_20140328"  # begins the target of a request
KEPT = 10_000  # lines of one log group
PAGE = 10_000  # lines of one answer; the limit of CloudWatch
_JSON = "application/x-amz-json-1.1"
_TERM = re.compile(r'"([^"]+)"')
_CONDITION = re.compile(r'\(?\$\.(\w+) = "([^"]+)"\)?')  # the value of a field, with * for anything


class InvalidPattern(Exception):
    """A filter pattern of another kind than ours."""


class _Line(NamedTuple):
    at: int  # epoch milliseconds
    event_id: str
    message: str


class LogGroups:
    """The newest lines of each log group."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now` is in epoch seconds."""
        self._now = now
        self._lines: defaultdict[str, deque[_Line]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._streams: set[tuple[str, str]] = set()  # created ones; functions print without one
        self._count = 0

    def create_stream(self, group: str, stream: str) -> bool:
        """Create a log stream. Returns whether it is new."""
        is_new = (group, stream) not in self._streams
        self._streams.add((group, stream))
        return is_new

    def put(self, group: str, stream: str, messages: Iterable[str]) -> bool:
        """Store lines in a stream, as of now. Returns whether the stream exists."""
        if (group, stream) not in self._streams:
            return False
        for message in messages:
            self.add(group, message)
        return True

    def add(self, group: str, message: str) -> None:
        """Store one line, as of now."""
        self._count += 1
        self._lines[group].append(_Line(round(self._now() * 1000), f"{self._count:056d}", message))

    def clear(self) -> None:
        """Delete all lines."""
        self._lines.clear()
        self._streams.clear()

    def filter(
        self, group: str, since: int, until: int | None = None, skipped: int = 0, pattern: str = ""
    ) -> dict[str, Any]:
        """Return one page of matching lines between two times, in epoch milliseconds, both included.

        `skipped` lines come before this page. Raises InvalidPattern.
        """
        matches = matcher(pattern)
        fitting = (
            each
            for each in self._lines[group]
            if each.at >= since and (until is None or each.at <= until) and matches(each.message)
        )
        page = list(islice(fitting, skipped, skipped + PAGE + 1))
        events = [
            {"logStreamName": "local", "timestamp": each.at, "ingestionTime": each.at}
            | {"eventId": each.event_id, "message": each.message}
            for each in page[:PAGE]
        ]
        more = {"nextToken": str(skipped + PAGE)} if len(page) > PAGE else {}
        return {"events": events, "searchedLogStreams": []} | more


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return whether a line matches a filter pattern: a quoted term, or fields compared with strings, joined by `||`.

    Raises InvalidPattern for the rest of CloudWatch's syntax.
    """
    if not pattern:
        return lambda _: True
    if term := _TERM.fullmatch(pattern):
        return lambda message: term[1] in message
    found = [_CONDITION.fullmatch(each.strip()) for each in pattern.removeprefix("{").removesuffix("}").split("||")]
    conditions = [(each[1], each[2]) for each in found if each]
    if not pattern.startswith("{") or len(conditions) < len(found):
        raise InvalidPattern(pattern)

    def matches(message: str) -> bool:
        if not any(value.strip("*") in message for _, value in conditions):  # most lines: these are not parsed
            return False
        try:
            fields = json.loads(message)
        except ValueError:
            return False
        is_object = isinstance(fields, dict)
        return is_object and any(fnmatchcase(str(fields.get(name)), value) for name, value in conditions)

    return matches


def handler(groups: LogGroups) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return an aiohttp handler for requests whose target begins with SERVICE, at any path."""

    async def handle(request: web.Request) -> web.Response:
        headers = {"x-amzn-RequestId": str(uuid4())}
        asked: dict[str, Any] = json.loads(await request.read() or b"{}")
        body = _answered(groups, request.headers.get(TARGET, "").removeprefix(f"{SERVICE}."), asked)
        status = 400 if "__type" in body else 200
        return web.Response(status=status, text=json.dumps(body), headers=headers, content_type=_JSON)

    return handle


def _answered(groups: LogGroups, call: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a call; with `__type` if it is an error."""
    group, stream = str(asked.get("logGroupName", "")), str(asked.get("logStreamName", ""))
    match call:
        case "FilterLogEvents" if group:
            skipped = int(asked.get("nextToken") or 0)
            times = asked.get("startTime", 0), asked.get("endTime")
            try:
                return groups.filter(group, *times, skipped, asked.get("filterPattern", ""))
            except InvalidPattern:
                return {"__type": "InvalidParameterException"}
        case "CreateLogStream" if group:
            return {} if groups.create_stream(group, stream) else {"__type": "ResourceAlreadyExistsException"}
        case "PutLogEvents" if group:
            is_kept = groups.put(group, stream, [each["message"] for each in asked["logEvents"]])
            return {} if is_kept else {"__type": "ResourceNotFoundException"}
        case _:
            return {"__type": "UnknownOperationException"}
