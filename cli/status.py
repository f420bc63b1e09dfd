"""`audience-sync status`: what waits where, and whether every accepted change is accounted for."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import requests
import typer

from audience_sync.telemetry import (
    CHANGES_ACCEPTED,
    CHANGES_DELIVERED,
    CHANGES_PARKED,
    CHANGES_SUPERSEDED,
    EVENTS_ACCEPTED,
    EVENTS_IGNORED,
    EVENTS_REJECTED,
    NAMESPACE,
    UPLOADS_SENT,
)
from cli.errors import TryLater
from cli.screen import counted
from cli.session import Session, command
from cli.stack import Stack

LONGEST = 455 * 86_400  # seconds; how long CloudWatch keeps sums
DAY, HOUR = 86_400, 3_600  # seconds of one sum
_COUNTS = {
    "events_accepted": EVENTS_ACCEPTED,
    "events_ignored": EVENTS_IGNORED,
    "events_rejected": EVENTS_REJECTED,
    "accepted": CHANGES_ACCEPTED,
    "delivered": CHANGES_DELIVERED,
    "superseded": CHANGES_SUPERSEDED,
    "parked": CHANGES_PARKED,
    "uploads": UPLOADS_SENT,
}
_DEPTHS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


@dataclass(frozen=True, slots=True)
class Depth:
    """Messages in one queue, about."""

    visible: int
    in_work: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_work + self.delayed


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals since the stack exists, or of the last hours. Changes, where not said otherwise."""

    events_accepted: int = 0
    events_ignored: int = 0
    events_rejected: int = 0
    accepted: int = 0
    delivered: int = 0
    superseded: int = 0
    parked: int = 0
    uploads: int = 0

    @property
    def waiting(self) -> int:
        """Accepted changes without an end so far."""
        return self.accepted - self.delivered - self.superseded - self.parked


def register(app: typer.Typer, *, panel: str) -> None:
    """Add the command."""
    command(app, "status", panel=panel)(status)


def status(
    session: Session,
    hours: Annotated[int | None, typer.Option(help="Count the last hours instead of all time.", min=1)] = None,
) -> None:
    """Show queue depths, counts, and whether they add up: accepted = delivered + superseded + parked + waiting.

    Counts of a deployed stack come from CloudWatch and are a few minutes old.
    """
    stack = session.stack
    changes, letters = depth(stack, "ChangeQueue"), depth(stack, "DeadLetterQueue")
    counts = local_counts(stack) if stack.local else cloud_counts(stack, session.now(), hours)
    verdict = judged(counts, changes)
    session.screen.facts(
        {
            "events": f"{counts.events_accepted:,} accepted, {counts.events_ignored:,} ignored, "
            f"{counts.events_rejected:,} rejected",
            "change queue": f"{changes.visible:,} messages waiting, {changes.in_work:,} in work, "
            f"{changes.delayed:,} delayed",
            "dead letters": f"{letters.total:,}",
            "uploads": f"{counts.uploads:,}",
            "changes": f"{counts.accepted:,} accepted = {counts.delivered:,} delivered + {counts.superseded:,} "
            f"superseded + {counts.parked:,} parked + {counts.waiting:,} waiting",
        }
    )
    session.screen.say(verdict, style="green" if verdict.startswith("Every") else "yellow")
    session.screen.result(
        {
            "changeQueue": _as_json(changes),
            "deadLetters": _as_json(letters),
            "counts": _as_json(counts) | {"waiting": counts.waiting},
            "hours": hours,
            "verdict": verdict,
        }
    )


def _as_json(numbers: Depth | Counts) -> dict[str, int]:
    """Name the fields as all JSON here is named: in camel case."""
    return {re.sub(r"_(.)", lambda found: found[1].upper(), name): value for name, value in asdict(numbers).items()}


def judged(counts: Counts, changes: Depth) -> str:
    """Say whether what is not settled is really waiting in the queue."""
    if counts.waiting == 0:
        return "Every accepted change has reached its end."
    if counts.waiting > 0 and changes.total:
        return f"{counted(counts.waiting, 'change')} in {counted(changes.total, 'message')} of the change queue."
    if counts.waiting > 0:
        return f"{counted(counts.waiting, 'change')} without an end, and an empty queue: counts may lag; look again."
    return "More changes ended than were accepted: some were sent twice, or accepted before the time that is counted."


def depth(stack: Stack, logical_id: str) -> Depth:
    """Ask a queue how many messages it holds."""
    answer = stack.service("sqs").get_queue_attributes(QueueUrl=stack[logical_id], AttributeNames=list(_DEPTHS))
    return Depth(*(int(answer["Attributes"][name]) for name in _DEPTHS))


def local_counts(stack: Stack) -> Counts:
    """Ask a local stack."""
    try:
        state = requests.get(f"{stack.local}/local/state", timeout=10).json()
    except requests.RequestException:
        raise TryLater("The local stack does not answer.", "Start it: `.venv/bin/python -m local`.") from None
    return Counts(
        events_accepted=state.get("eventsAccepted", 0),
        events_ignored=state["ignored"],
        events_rejected=state["rejected"],
        accepted=state["accepted"],
        delivered=state["delivered"],
        superseded=state["superseded"],
        parked=state["parked"],
        uploads=state["uploads"],
    )


def cloud_counts(stack: Stack, now: float, hours: int | None) -> Counts:
    """Sum the stack's metrics, since it was created or over the last hours."""
    period = HOUR if hours else DAY
    begin = now - hours * HOUR if hours else max(stack.created, now - LONGEST)
    queries = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": metric,
                    "Dimensions": [{"Name": "service", "Value": stack.name}],
                },
                "Period": period,
                "Stat": "Sum",
            },
        }
        for name, metric in _COUNTS.items()
    ]
    pages = (
        stack.service("cloudwatch")
        .get_paginator("get_metric_data")
        .paginate(
            MetricDataQueries=queries,
            StartTime=datetime.fromtimestamp(begin // period * period, UTC),
            EndTime=datetime.fromtimestamp(now + 60, UTC),
        )
    )
    sums: dict[str, Any] = dict.fromkeys(_COUNTS, 0)
    for page in pages:
        for result in page["MetricDataResults"]:
            sums[result["Id"]] += round(sum(result["Values"]))
    return Counts(**sums)
