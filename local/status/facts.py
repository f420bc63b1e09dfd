"""Facts of the dashboard about a local stack, all at one moment. They hold no key, no token and no trait."""

from typing import Any

from audience_sync.runtime import metric_names
from audience_sync_cli.dashboard.facts import (
    Activity,
    DeadLetterFacts,
    DeadLetterList,
    Facts,
    Place,
    RejectedEvents,
    Warnings,
)
from audience_sync_cli.dashboard.operator import Blockers
from audience_sync_cli.dashboard.ranges import RANGES
from audience_sync_cli.state.counts import Depth, EventQueueDepth, counts_in
from audience_sync_cli.state.in_flight import InFlight
from local.amazon.ledger import RequestEntry
from local.counters import Counters
from local.sqs.message import SqsMessage
from local.stack_view import StackView
from local.status import log
from local.status.requests import UPLOADS, request_line
from local.status.sizes import SizeHistory
from local.template import REGION, STACK

INTERVAL = 1  # seconds between two requests of the page
SPANS = (120, 600, 3_600, 21_600)  # seconds of a plot; the first that covers the first event is used
BARS = 120  # of a plot
SHOWN_REQUESTS = 12
SHOWN_DEAD_LETTERS = 100

_ARRIVALS = (metric_names.EVENTS_ACCEPTED, metric_names.EVENTS_IGNORED, metric_names.EVENTS_REJECTED)
_COMPLETIONS = (metric_names.CHANGES_DELIVERED, metric_names.CHANGES_SUPERSEDED, metric_names.CHANGES_PARKED)


def read_facts(stack: StackView, sizes: SizeHistory, now: float, blockers: Blockers = (), chosen: str = "") -> Facts:
    """Read everything at `now`, in epoch seconds, with the history for one of RANGES. `blockers` were read before."""
    state, totals = stack.state(), stack.counters.totals
    requests = stack.sandbox.requests.since(max(0, stack.sandbox.requests.received - SHOWN_REQUESTS))
    dead_letters = stack.queues.peek(stack.queue("DeadLetterQueue"))
    newest = [DeadLetterFacts.received(_as_received(each)) for each in dead_letters[: -SHOWN_DEAD_LETTERS - 1 : -1]]
    queued = stack.queues.counts(stack.queue("ChangeQueue"))
    times, delivered_at = state["inFlightTimes"], stack.counters.newest(metric_names.UPLOADS_SENT)
    fails = _fails(requests)
    return Facts(
        at=now,
        place=Place("local", STACK, stack.urls["api"], INTERVAL, REGION),
        counts=counts_in(state),
        queue=Depth(queued.visible, queued.in_flight, queued.delayed),
        in_flight=InFlight.at(now, queued.in_flight, times, delivered_at) if times else None,
        dead_letters=len(dead_letters),
        event_queue=EventQueueDepth(*events) if (events := stack.event_queue()) else None,
        jobs_pending=len(stack.sandbox.jobs.pending),
        warnings=Warnings(
            unauthorized=totals[metric_names.REQUESTS_UNAUTHORIZED],
            without_credential=totals[metric_names.REQUESTS_WITHOUT_CREDENTIAL],
            deferred=totals[metric_names.MESSAGES_DEFERRED],
            uploads_failed=totals[metric_names.UPLOADS_FAILED],
        ),
        activity=_activity(stack.counters, now, chosen),
        range=chosen,
        audiences=tuple(each.since(now - RANGES[chosen].history) for each in sizes.audiences(now)),
        rejected=tuple(RejectedEvents(*each) for each in stack.counters.reasons["IngestFunction"].most_common()),
        rejected_events=log.rejected_events(stack.counters),
        uploads=tuple(request_line(entry) for entry in reversed(requests)),
        parked=DeadLetterList(tuple(newest), now, len(newest) == len(dead_letters)),
        log=log.newest_lines(stack.counters),
        is_quiescent=state["quiescent"],
        amazon_fails=fails,
        next_try=_next_try(stack, now) if fails else None,
        blockers=blockers,
    )


def _activity(counters: Counters, now: float, chosen: str = "") -> Activity:
    """Return the activity in a range; without one, since the first event, but at most six hours."""
    first = counters.first_second
    since = now - first if first is not None else 0.0
    span = next((each for each in SPANS if each - each // BARS >= since), SPANS[-1])
    period, bars = (RANGES[chosen].period, RANGES[chosen].bars) if chosen else (span // BARS, BARS)
    until = (int(now) // period + 1) * period  # including the current, incomplete bar
    arrived, completed = (counters.history(names, until, period, bars) for names in (_ARRIVALS, _COMPLETIONS))
    return Activity(period, tuple(arrived), tuple(completed))


def _next_try(stack: StackView, now: float) -> float | None:
    """Return the next try of a waiting change: now, while a function runs and hides its messages."""
    return now if stack.functions.running else stack.queues.find(stack.queue("ChangeQueue")).next_change()


def _fails(requests: list[RequestEntry]) -> bool:
    """Return whether the newest finished upload was rejected, or broken off by a fault rule of the sandbox."""
    uploads = [each for each in requests if UPLOADS.fullmatch(each.path) and (each.status or each.faults)]
    return bool(uploads) and (uploads[-1].status is None or uploads[-1].status >= 400)


def _as_received(message: SqsMessage) -> dict[str, Any]:
    """Format a message as SQS returns it. It is not received, so it has no receipt."""
    return {
        "MessageId": message.id,
        "ReceiptHandle": "",
        "Body": message.body,
        "Attributes": {"SentTimestamp": str(round(message.sent_at * 1000))},
        "MessageAttributes": {name: {"StringValue": value} for name, value in message.attributes.items()},
    }
