"""Messages of the change queue in flight: received by the worker, and neither deleted nor visible again.

SQS reports their number, but no times. Lambda's log has the start of the oldest unfinished invocation, whose messages
come back after the visibility timeout.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from audience_sync_cli.screen import counted
from audience_sync_cli.stack import Stack
from audience_sync_cli.state.function_logs import FunctionLogs, LogLine
from audience_sync_cli.times import MINUTE

VISIBILITY = 660.0  # seconds; VisibilityTimeout of the change queue in template.yaml
STALLED = 3 * MINUTE  # seconds without a delivery; an invocation runs up to one minute, and may have waited for one
ACCEPTED = "upload accepted"


@dataclass(frozen=True, slots=True)
class InFlight:
    """The messages in flight. Times are epoch seconds."""

    messages: int
    since: float | None  # the worker received the oldest of them then; None if unknown
    stalled_since: float | None  # no delivery since; None while that is normal

    @classmethod
    def at(cls, now: float, messages: int, since: float | None, delivered_at: float | None) -> "InFlight":
        """Decide whether delivery stands still; `delivered_at` is the newest accepted upload, if one was recently."""
        idle_since = None if since is None else max(since, delivered_at or 0.0)
        is_stalled = idle_since is not None and now - idle_since >= STALLED
        return cls(messages, since, idle_since if is_stalled else None)

    def stall(self, now: float) -> str:
        """Return a sentence if delivery stands still, otherwise an empty string."""
        if self.stalled_since is None or self.since is None:
            return ""
        minutes = counted(int((now - self.stalled_since) // MINUTE), "minute")
        return f"Nothing was delivered for {minutes}, and the worker holds {counted(self.messages, 'message')}."


def in_flight(stack: Stack, messages: int, now: float) -> InFlight | None:
    """Read the times of messages in flight; None if there are none. Raises Unavailable."""
    if not messages:
        return None
    logs = FunctionLogs(stack)
    since = begun(logs.invocations("Worker", now - VISIBILITY))
    uploads = logs.read(["Worker"], now - VISIBILITY, messages=[ACCEPTED])
    return InFlight.at(now, messages, since, uploads[-1].at / 1000 if uploads else None)


def begun(lines: Iterable[LogLine]) -> float | None:
    """Return the start of the first invocation that is still running, or did not end well."""
    begins: dict[str, float] = {}
    for line in lines:
        record = line.fields.get("record")
        if not isinstance(record, dict):
            continue
        request_id = str(record.get("requestId"))
        if line.fields.get("type") == "platform.start":
            begins[request_id] = line.at / 1000
        elif record.get("status") == "success":
            begins.pop(request_id, None)
    return min(begins.values(), default=None)
