"""Log lines of the functions, from CloudWatch Logs. They hold ids, counts and reason codes, no traits."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from audience_sync.aws.client_errors import unavailable
from audience_sync_cli.frame.stacks import Stack

FUNCTIONS = ("Ingest", "Worker", "Jobs", "Refresh")  # their logs follow events
LATE = 30  # seconds; CloudWatch may show a line this much later than others of the same time
_LARGEST = 2**53  # beyond it, a number in JSON is not exact, and may be infinite
_METRICS = "_aws"  # begins a line that holds metrics, in CloudWatch's embedded format


class LogLine(NamedTuple):
    """One line that a function has logged."""

    at: int  # epoch milliseconds
    function: str  # such as Worker
    fields: dict[str, Any]
    event_id: str = ""  # CloudWatch's

    @property
    def message(self) -> str:
        """The message; empty if the line holds metrics."""
        message = self.fields.get("message")
        return message if isinstance(message, str) else ""

    @property
    def request_id(self) -> str:
        """Of the invocation."""
        return str(self.fields.get("request_id") or "")

    def count(self, metric: str) -> int:
        """Return the sum of a metric in this line; 0 if it is missing."""
        if _METRICS not in self.fields:
            return 0
        values = self.fields.get(metric, 0)
        return sum(_number(each) for each in (values if isinstance(values, list) else [values]))

    def counts(self, field: str) -> dict[str, int]:
        """Return a field of counts by reason; empty if it is missing."""
        value = self.fields.get(field)
        return {reason: _number(times) for reason, times in value.items()} if isinstance(value, dict) else {}

    def number(self, field: str) -> int:
        """Return a number field; 0 if it is missing."""
        return _number(self.fields.get(field))

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a field that is a list of strings; empty if it is missing."""
        value = self.fields.get(field)
        return tuple(map(str, value)) if isinstance(value, list) else ()


def _number(value: Any) -> int:
    """Return a number as an integer; 0 for anything else: a newer function may log different fields."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    return round(value) if is_number else 0


class FunctionLogs:
    """Reads the lines of a stack's functions."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client = stack.service("logs")

    def read(
        self, functions: Iterable[str], since: float, until: float | None = None, messages: Sequence[str] = ()
    ) -> list[LogLine]:
        """Read the lines of some functions, oldest first. Skips lines that are not JSON.

        `since` and `until` are epoch seconds. With `messages`, returns only lines with one of them, and no metrics.

        Raises:
            Unavailable: CloudWatch Logs does not answer.
            NotThere: the stack has no such function.
        """
        lines = [line for function in functions for line in self._lines(function, since, until, messages)]
        return sorted(lines, key=lambda line: line.at)

    def invocations(self, function: str, since: float) -> list[LogLine]:
        """Read Lambda's own lines about the start and end of invocations. Raises as `read`."""
        pattern = '{ $.type = "platform.start" || $.type = "platform.report" }'
        return sorted(self.matching(function, pattern, since), key=lambda line: line.at)

    def _lines(self, function: str, since: float, until: float | None, messages: Sequence[str]) -> Iterator[LogLine]:
        for line in self.matching(function, _pattern(messages) if messages else "", since, until):
            if not messages or line.message in messages:
                yield line

    def matching(self, function: str, pattern: str, since: float, until: float | None = None) -> Iterator[LogLine]:
        """Yield the lines that match a filter pattern of CloudWatch Logs; all if it is empty. Raises as `read`."""
        arguments: dict[str, Any] = {
            "logGroupName": self._stack[f"{function}LogGroup"],
            "startTime": round(since * 1000),
        }
        if until is not None:
            arguments["endTime"] = round(until * 1000)
        if pattern:
            arguments["filterPattern"] = pattern
        with unavailable("CloudWatch Logs does not answer"):
            for page in self._client.get_paginator("filter_log_events").paginate(**arguments):
                for event in page["events"]:
                    line = parsed(function, event)
                    if line:
                        yield line


class Follower:
    """Reads new lines since the last time, although CloudWatch shows some lines late."""

    def __init__(self, logs: FunctionLogs, functions: Sequence[str], since: float) -> None:
        """Start at `since`, in epoch seconds."""
        self._logs = logs
        self._functions = functions
        self._since = since
        self._seen: dict[str, int] = {}  # epoch milliseconds by CloudWatch's id, of the lines that are read again

    def new(self, messages: Sequence[str] = ()) -> list[LogLine]:
        """Return new lines, oldest first. Raises as FunctionLogs.read."""
        lines = [
            line
            for line in self._logs.read(self._functions, self._since, messages=messages)
            if line.event_id not in self._seen
        ]
        self._seen |= {line.event_id: line.at for line in lines}
        if self._seen:
            self._since = max(self._since, max(self._seen.values()) / 1000 - LATE)
            self._seen = {event: at for event, at in self._seen.items() if at >= self._since * 1000}
        return lines


def parsed(function: str, event: dict[str, Any]) -> LogLine | None:
    """Parse one event of CloudWatch Logs; None if it is not a JSON object, such as a traceback."""
    try:
        fields = json.loads(event["message"])
    except ValueError:
        return None
    return LogLine(event["timestamp"], function, fields, event["eventId"]) if isinstance(fields, dict) else None


def _pattern(messages: Sequence[str]) -> str:
    """Return a filter pattern of CloudWatch Logs for lines with one of some messages."""
    conditions = [f'($.message = "{message}")' for message in messages]
    return f"{{ {' || '.join(conditions)} }}"
