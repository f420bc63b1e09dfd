"""Repeated records, and enters that wait for a job, by audience, from the log of the worker."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from audience_sync_cli.frame.screen import counted, iso_time, moment
from audience_sync_cli.frame.stacks import Stack
from audience_sync_cli.frame.times import HOUR
from audience_sync_cli.stack.function_logs import FunctionLogs

REPEATED, WAITS = "records repeated", "changes wait for a job"


@dataclass
class ByAudience:
    """A count of the last hour."""

    audiences: Counter[str] = field(default_factory=Counter)  # by audience id
    since: int | None = None  # epoch milliseconds of the first

    def as_json(self) -> dict[str, Any]:
        """The count for scripts."""
        return {"byAudience": dict(self.audiences), "since": iso_time(self.since)}


@dataclass
class Repetitions:
    """Effects of contradicting uploads within the last hour."""

    repeated: ByAudience = field(default_factory=ByAudience)  # records sent again
    waits: ByAudience = field(default_factory=ByAudience)  # enters that waited for a job; one counts each time

    @property
    def lines(self) -> list[str]:
        """Sentences for the operator; none if nothing was repeated and nothing waits."""
        sentences = (
            (self.repeated, "record", "sent again: their job failed, or another upload could take effect later"),
            (self.waits, "time", "an enter waited until an upload that removes the member has taken effect"),
        )
        return [
            f"{counted(each.audiences.total(), noun)} {text} (audience {_listed(each.audiences)}; "
            f"the first at {moment(each.since)})"
            for each, noun, text in sentences
            if each.audiences
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything for scripts."""
        return {"repeated": self.repeated.as_json(), "waits": self.waits.as_json()}


def repetitions(stack: Stack, now: float) -> Repetitions:
    """Read the worker's log of the last hour. Raises Unavailable."""
    found = Repetitions()
    for line in FunctionLogs(stack).read(["Worker"], now - HOUR, messages=[REPEATED, WAITS]):
        into = found.repeated if line.message == REPEATED else found.waits
        into.audiences.update(line.counts("by_audience"))
        into.since = into.since or line.at
    return found


def _listed(audiences: Counter[str]) -> str:
    named = [f"{audience_id}: {count:,}" for audience_id, count in audiences.most_common(3)]
    more = len(audiences) - len(named)
    return ", ".join(named) + (f", and {more} more" if more else "")
