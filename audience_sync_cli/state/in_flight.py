"""Messages of the change queue that are in flight: received by the worker, and neither deleted nor visible again.

SQS reports how many they are, and no time. A local stack knows both times; of a deployed one, Lambda's log says when an
invocation began that has not ended well, and the visibility timeout says by when each message is back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from audience_sync_cli.screen import counted, iso_time, moment
from audience_sync_cli.stack import Stack
from audience_sync_cli.state.counts import local_state
from audience_sync_cli.state.function_logs import FunctionLogs, LogLine
from audience_sync_cli.times import MINUTE

VISIBILITY = 660.0  # seconds; VisibilityTimeout of the change queue in template.yaml
STALLED = 3 * MINUTE  # seconds without a delivery; an invocation takes one minute at most, and may have waited for one
ACCEPTED = "upload accepted"


@dataclass(frozen=True, slots=True)
class InFlight:
    """The messages in flight. Times are epoch seconds."""

    messages: int
    since: float | None  # the worker has had the oldest of them since then; None if it is not known
    until: float  # by then, each is deleted or visible again
    stalled_since: float | None  # nothing was delivered since; None as long as that is no reason to worry

    @classmethod
    def at(cls, now: float, messages: int, times: tuple[float | None, float], delivered_at: float | None) -> "InFlight":
        """Judge whether delivery stands still.

        Args:
            now: epoch seconds.
            messages: in flight.
            times: `since` and `until`.
            delivered_at: the newest upload that Amazon has accepted; None where there was none for long.
        """
        since, until = times
        idle_since = None if since is None else max(since, delivered_at or 0.0)
        is_stalled = idle_since is not None and now - idle_since >= STALLED
        return cls(messages, since, until, idle_since if is_stalled else None)

    @property
    def text(self) -> str:
        """Both times in one line."""
        since = f"since {moment(self.since * 1000)}, " if self.since is not None else ""
        return f"{since}back by {moment(self.until * 1000)} at the latest"

    def stall(self, now: float) -> str:
        """Return the sentence about delivery that stands still; empty if it does not."""
        if self.stalled_since is None or self.since is None:
            return ""
        minutes = counted(int((now - self.stalled_since) // MINUTE), "minute")
        messages = counted(self.messages, "message")
        return f"Nothing was delivered for {minutes}; the worker has had {messages} since {moment(self.since * 1000)}."

    def as_json(self) -> dict[str, Any]:
        """The times for scripts."""
        times = {"since": self.since, "until": self.until, "stalledSince": self.stalled_since}
        known = {name: None if time is None else iso_time(time * 1000) for name, time in times.items()}
        return {"messages": self.messages} | known


def in_flight(stack: Stack, messages: int, now: float) -> InFlight | None:
    """Read since when that many messages are in flight; None if none is. Raises Unavailable, TryLater."""
    if not messages:
        return None
    logs = FunctionLogs(stack)
    if stack.local:
        times = local_state(stack).get("inFlightTimes")
        if not times:
            return None
    else:
        times = begun(logs.invocations("Worker", now - VISIBILITY)), now + VISIBILITY
    uploads = logs.read(["Worker"], now - VISIBILITY, messages=[ACCEPTED])
    return InFlight.at(now, messages, times, uploads[-1].at / 1000 if uploads else None)


def begun(lines: Iterable[LogLine]) -> float | None:
    """Return when the first of the invocations began that are running, or ended otherwise than well."""
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
