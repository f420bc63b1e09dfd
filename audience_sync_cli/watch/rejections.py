"""`audience-sync rejections`: rejected events by reason, each with its remedy."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import typer

from audience_sync.reasons import Reason
from audience_sync_cli.frame.reasons import explained
from audience_sync_cli.frame.screen import counted, iso_time, moment
from audience_sync_cli.frame.session import Session, command
from audience_sync_cli.frame.times import DAY, HOUR, MINUTE, SINCE, read_time
from audience_sync_cli.stack.function_logs import FunctionLogs, LogLine
from audience_sync_cli.stack.stack_metrics import ARRIVALS, StackMetrics, total

app = typer.Typer()
SAMPLES = 3  # message ids of each reason
MINUTES_ARE_KEPT = 15 * DAY  # seconds for which CloudWatch keeps the sums of minutes
EACH, DENIED, SUM = "event rejected", "consent denied", "events rejected"


@dataclass(frozen=True, slots=True)
class Rejections:
    """The events that were rejected for one reason."""

    reason: str
    events: int
    message_ids: tuple[str, ...]  # of some of them, the newest last
    audience_ids: tuple[str, ...] = ()  # audiences that rejected some of them while others accepted them

    def as_json(self, received: int) -> dict[str, Any]:
        """The rejections for scripts; `received` are the events of the same time."""
        return {
            "reason": self.reason,
            "events": self.events,
            "share": _share(self.events, received),
            "remedy": explained(self.reason).remedy,
            "messageIds": list(self.message_ids),
            "audienceIds": list(self.audience_ids),
        }


@command(app, "rejections", "rejections --since 1d")
def rejections(
    session: Session,
    since: SINCE = "1h",
) -> None:
    """Show rejected events by reason, each with its remedy. Segment does not send them again.

    Also shows accepted events that deny consent, as consent_denied: they end the person's memberships. An event that
    only some of its audiences reject is accepted; each of these rejections counts here.

    Shows no values of events: only reason codes, counts and message ids, from the logs of ingest.
    """
    screen, now = session.screen, session.now()
    begin = (read_time(since, now) or now * 1000) / 1000
    with screen.progress("reading the logs of ingest"):
        lines = [*FunctionLogs(session.stack).read(["Ingest"], begin, messages=[EACH, DENIED, SUM])]
        found = by_reason(lines)
        received = _received(session, begin, now)
    denied = sum(each.events for each in found if each.reason == Reason.CONSENT_DENIED)
    partly = sum(line.number("partly_rejected") for line in lines if line.message == SUM)
    also = f", {denied:,} with consent denied" if denied else ""
    also += f", {partly:,} by one of their audiences only" if partly else ""
    rejected = sum(each.events for each in found) - denied - partly
    received = max(received, rejected)  # the metrics may be a minute behind
    screen.say(f"{counted(rejected, 'event')} of {received:,} rejected{also} since {moment(begin * 1000)}.")
    if found:
        screen.table(
            ("reason", "events", "share", "means", "what to do"),
            [
                (each.reason, each.events, f"{_share(each.events, received):.1%}", *explained(each.reason))
                for each in found
            ],
        )
        if samples := [(each.reason, one) for each in found for one in each.message_ids]:
            screen.say("Sample message ids, to find the events in Segment:")
            screen.table(("reason", "message id"), samples)
        for each in found:
            if each.audience_ids:
                others = "the other audiences of the event accepted it"
                screen.say(f"{each.reason}, only by {', '.join(each.audience_ids)}: {others}.")
    screen.result(
        {
            "since": iso_time(begin * 1000),
            "received": received,
            "rejected": rejected,
            "partlyRejected": partly,
            "consentDenied": denied,
            "reasons": [each.as_json(received) for each in found],
        }
    )


def by_reason(lines: Iterable[LogLine]) -> list[Rejections]:
    """Sum up the log lines of ingest, the most frequent reason first."""
    events: Counter[str] = Counter()
    samples: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=SAMPLES))
    audiences: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for line in lines:
        if line.message == SUM:  # of one request
            events.update(line.counts("by_reason"))
        elif line.message in (EACH, DENIED):
            reason = str(line.fields.get("reason"))
            samples[reason].append(str(line.fields.get("message_id")))
            if "audience_id" in line.fields:
                audiences[reason][str(line.fields["audience_id"])] = None
    return [
        Rejections(reason, times, tuple(samples[reason]), tuple(audiences[reason]))
        for reason, times in events.most_common()
    ]


def _received(session: Session, begin: float, now: float) -> int:
    period = MINUTE if now - begin < MINUTES_ARE_KEPT else HOUR
    return sum(map(total, StackMetrics(session.stack).sums(ARRIVALS, period, begin, now + 60).values()))


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
