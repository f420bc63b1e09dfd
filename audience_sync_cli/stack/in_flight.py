"""Messages of the change queue in flight: received by the worker, and neither deleted nor visible again.

SQS reports their number, but no times. Lambda's log has the start of the oldest unfinished invocation, whose messages
come back after the visibility timeout.
"""

from collections.abc import Iterable

from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.frame.times import MINUTE
from audience_sync_cli.stack.function_logs import FunctionLogs, LogLine

VISIBILITY = 660.0  # seconds; VisibilityTimeout of the change queue in template.yaml
STALLED = 3 * MINUTE  # seconds without a delivery; an invocation runs up to one minute, and may have waited for one
ACCEPTED = "upload accepted"


def standstill(stack: Stack, now: float) -> tuple[float, float] | None:
    """Return since when the worker has its oldest messages, and nothing was delivered; None if that is normal.

    In epoch seconds. Raises Unavailable.
    """
    logs = FunctionLogs(stack)
    since = begun(logs.invocations("Worker", now - VISIBILITY))
    uploads = logs.read(["Worker"], now - VISIBILITY, messages=[ACCEPTED])
    idle_since = stalled_since(now, since, uploads[-1].at / 1000 if uploads else 0.0)
    return (since, idle_since) if since and idle_since else None


def stalled_since(now: float, since: float | None, delivered_at: float) -> float | None:
    """Return since when nothing was delivered, while the worker has messages since a time; None if that is normal."""
    idle_since = now if since is None else max(since, delivered_at)
    return idle_since if now - idle_since >= STALLED else None


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
