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
    """The changes since the last check, by audience id."""

    worse: Mapping[str, Trend]  # to a more urgent state
    notified: Mapping[str, str]  # the states to store: the most urgent one of each audience until it is over

    @property
    def alarm(self) -> tuple[Literal["INSUFFICIENT_DATA", "ALARM", "OK"], ...]:
        """The states to set the alarm to, one after the other: it notifies of a change, even while it is on."""
        if self.worse:
            return "INSUFFICIENT_DATA", "ALARM"
        return () if self.notified else ("OK",)

    def reason(self, audiences: Iterable[Audience]) -> str:
        """Say what has changed, as the alarm's reason."""
        if not self.worse:
            return "No audience is below its own last weeks. After eight of them a low size counts as usual."
        names = {each.audience_id: each.name for each in audiences}
        text, end = "", "To find the cause: audience-sync diagnose AUDIENCE_ID"
        urgent = sorted(self.worse.items(), key=lambda each: -each[1].state.urgency)
        for number, (audience_id, trend) in enumerate(urgent):
            line = f'"{_ascii(names[audience_id])}" ({audience_id}): {trend.sentence}\n'
            more = f"{len(urgent) - number} more: see the audit log.\n"
            if len(text) + len(line) + len(more) + len(end) > MAX_REASON:
                return text + more + end
            text += line
        return text + end


def changes(trends: Mapping[str, Trend], notified: Mapping[str, str]) -> Changes:
    """Compare the states of the listed audiences with those notified before, by audience id.

    A history that has become too short ends nothing, and neither does a milder state.
    """
    # A newer version may have stored others.
    known = {each: State(state) for each, state in notified.items() if state in State}
    before = {each: known.get(each, State.USUAL) for each in trends}
    worst = {each: max(before[each], trend.state, key=lambda state: state.urgency) for each, trend in trends.items()}
    return Changes(
        {each: trend for each, trend in trends.items() if trend.state.urgency > before[each].urgency},
        {each: state for each, state in worst.items() if state.urgency and trends[each].state is not State.USUAL},
    )


def _ascii(name: str) -> str:
    """Shorten a name. A message to a phone or pager may show nothing but ASCII."""
    return name.encode("ascii", "replace").decode()[:MAX_NAME]
