"""What a notification says about audiences that shrink: each change of an audience's state once. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from audience_sync.members.membership import Audience
from audience_sync.operations.audience_trends import State, Trend

MAX_REASON = 1_023  # characters of an alarm's reason; CloudWatch's limit
MAX_NAME = 40  # characters of an audience's name


@dataclass(frozen=True, slots=True, repr=False)
class Changes:
    """The changes since the last check."""

    worse: Mapping[str, Trend]  # to a more urgent state; by audience id
    over: Mapping[str, Trend]
    told: Mapping[str, str]  # the states to store: by audience id, of audiences that need somebody

    @property
    def alarm(self) -> tuple[Literal["INSUFFICIENT_DATA", "ALARM", "OK"], ...]:
        """The states to set the alarm to, one after the other: it notifies of a change, even while it is on."""
        if self.worse:
            return "INSUFFICIENT_DATA", "ALARM"
        return () if self.told else ("OK",)

    def reason(self, audiences: Iterable[Audience]) -> str:
        """Say what has changed, as the alarm's reason."""
        if not self.worse:
            return "No audience has shrunk against its own last weeks."
        names = {each.audience_id: each.name for each in audiences}
        text = ""
        urgent = sorted(self.worse.items(), key=lambda each: -each[1].state.urgency)
        for number, (audience_id, trend) in enumerate(urgent):
            line = f'"{_ascii(names[audience_id])}" ({audience_id}): {trend.sentence}\n'
            left = len(urgent) - number
            end = "To find the cause: audience-sync diagnose AUDIENCE_ID"
            more = f"{left} more: see the log of the audit.\n"
            if len(text) + len(line) + len(more) + len(end) > MAX_REASON:
                return text + more + end
            text += line
        return text + end


def changes(trends: Mapping[str, Trend], told: Mapping[str, str]) -> Changes:
    """Compare the states of the listed audiences with those told before, by audience id.

    A state that is less urgent than the one told is not told, and one that no history shows any more is not over.
    """
    urgency = {state.value: state.urgency for state in State}
    bad = {audience_id: trend for audience_id, trend in trends.items() if trend.state.urgency}
    return Changes(
        {each: trend for each, trend in bad.items() if trend.state.urgency > urgency.get(told.get(each, ""), 0)},
        {each: trend for each, trend in trends.items() if each in told and trend.state is State.USUAL},
        {each: trend.state.value for each, trend in bad.items()},
    )


def _ascii(name: str) -> str:
    """Shorten a name. A message to a phone or pager may show nothing but ASCII."""
    return name.encode("ascii", "replace").decode()[:MAX_NAME]
