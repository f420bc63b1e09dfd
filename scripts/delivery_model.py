"""How many changes one stack delivers, and how often it starts a worker for them: the model of docs/scaling.md.

Limits of others and what is assumed are below; limits of ours come from the code and the template.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple, Self

from audience_sync.delivery.sending import SHUTDOWN_RESERVE
from audience_sync.delivery.uploads import Limits
from audience_sync.members.envelope import MAX_MESSAGE_BYTES
from local.template import Template

HOUR, DAY, MONTH = 3600, 86_400, 30 * 86_400  # seconds

TEMPLATE, LIMITS = Template.load(), Limits()
WITH_EVENT_QUEUE = Template.load({"EventQueue": "yes"})
FUNCTIONS = TEMPLATE.resources("AWS::Serverless::Function")
WORKER, JOBS = TEMPLATE.queue_sources()
(EVENTS,) = [each for each in WITH_EVENT_QUEUE.queue_sources() if each.function == "EventsFunction"]
API_GATEWAY = TEMPLATE.resources("AWS::Serverless::HttpApi")["Api"]["DefaultRouteSettings"]["ThrottlingRateLimit"]
LAST_UPLOAD = FUNCTIONS["WorkerFunction"]["Timeout"] - LIMITS.timeout - SHUTDOWN_RESERVE  # seconds; later none begins

# Limits of others, a second unless they say otherwise.
AMAZON = 15_000_000 / HOUR  # records of one connection
ENGAGE = 1_000  # events of Segment
NEW_WRITES, NEW_READS = 4_000, 12_000  # units of a new on-demand table
TABLE = 40_000  # units of each kind; the quota of a table
IN_FLIGHT = 120_000  # messages of one queue that are received and not yet deleted
LAMBDA_EVENT = 6_000_000  # bytes of the messages that start a worker
# Each has its own batch and window. With `MaximumConcurrency` they stay five, the Lambda guide says under "Configuring
# scaling behavior for SQS event source mappings". Not measured in an account.
POLLERS = 5

CHANGE, RECORD = 780, 690  # bytes, with all eight identifiers, in the message and in the upload
ESCAPED, ENVELOPE = 870, 1_000  # bytes of a change in the event that starts a worker, and of a message beside its body
UPLOAD = min(LIMITS.max_records, LIMITS.max_bytes // RECORD)  # members
# Assumed: seconds of ingest (a request, an event) and of a worker (a start, a change).
INGEST, INGEST_EVENT, START, DELIVER = 0.015, 0.0003, 0.3, 0.001
READS = 1.25  # of a change: its row, and the deletion notice of a member who is new, as one in four is
PEAK = 3  # the busiest minutes, against the average of the day, of requests: the change queue evens out what follows


class Starts(NamedTuple):
    """Invocations of the worker, and their sums."""

    number: float
    uploads: float
    seconds: float
    receives: float  # of each message: what a start has no time for goes back


@dataclass(frozen=True, slots=True)
class Traffic:
    """A month of events, each one change, spread evenly over the time and over audiences."""

    events: float
    batch: int = 1_000  # events of one request
    audiences: int = 1
    window: float = WORKER.window
    batch_size: int = WORKER.batch_size
    answer: float = 2.0  # seconds of Amazon

    @property
    def messages(self) -> float:
        """Messages that ingest makes of a request. Each holds changes of one audience."""
        audiences = self._distinct(self.batch)
        return audiences * ceil(self.batch / audiences * CHANGE / MAX_MESSAGE_BYTES)

    @property
    def full(self) -> float:
        """Messages with which Lambda starts a worker before its window ends."""
        size = self.batch / self.messages * ESCAPED + ENVELOPE
        return max(1.0, min(self.batch_size, LAMBDA_EVENT / size))

    def behind_event_queue(self) -> Self:
        """Return the same events as the event queue hands them over: those that arrive in a window are one request."""
        arrived = self.events / self.batch / MONTH * EVENTS.window / POLLERS  # at each poller, after the first message
        return replace(self, batch=round(self.batch * min(EVENTS.batch_size, 1 + arrived)))

    def starts(self) -> Starts:
        """Return the starts of the month. While all workers are busy, messages wait, and the next start gets more."""
        # A window begins with the first message that a poller receives, and those of a request arrive together.
        first = MONTH / (self.events / self.batch) / min(self.messages, POLLERS) * POLLERS
        received = max(1.0, self.events / self.batch * self.messages * (first + self.window) / POLLERS / MONTH)
        while self.starts_with(min(received, self.full)).seconds > WORKER.concurrency * MONTH and received < self.full:
            received *= 1.02
        return self.starts_with(min(received, self.full))

    def starts_with(self, messages: float) -> Starts:
        """Return the starts, each with so many messages of any audience: each audience needs an upload of its own."""
        changes, audiences = messages * self.batch / self.messages, self._distinct(messages)
        uploads = audiences * ceil(changes / audiences / UPLOAD)
        seconds = self.answer + changes / uploads * DELIVER  # of an upload
        made = min(uploads, (LAST_UPLOAD - START) // seconds + 1)
        number = self.events / changes * uploads / made
        return Starts(number, number * made, number * (START + made * seconds), uploads / made)

    def _distinct(self, count: float) -> float:
        unseen: float = (1 - 1 / self.audiences) ** count
        return self.audiences * (1 - unseen)


def worker(answer: float, audiences: int = 1, batch: int = 1_000) -> float:
    """Return the changes a second of one worker that is always busy, with as many messages as Lambda gives it."""
    traffic = Traffic(1.0, batch, audiences, answer=answer)
    return 1 / traffic.starts_with(traffic.full).seconds


def needs(a_day: float, batch: int) -> dict[str, float]:
    """Return what changes need, spread over as few connections as Amazon allows, with a stack for each."""
    stacks = ceil(a_day / DAY / AMAZON)
    a_second = a_day / stacks / DAY
    requests = PEAK * a_second / batch
    return {
        "connections, and a stack for each": stacks,
        "requests a second, at the peak; `ThrottlingRateLimit` is 2,000": requests,
        "concurrent ingest, at the peak": ceil(requests * (INGEST + batch * INGEST_EVENT)),
        "changes and write units a second": a_second,
        "`MaximumConcurrency`, if Amazon answers in 0.5 s": ceil(a_second / worker(0.5, 1, batch)),
        "`MaximumConcurrency`, in 2 s": ceil(a_second / worker(2, 1, batch)),
        "`MaximumConcurrency`, in 10 s": ceil(a_second / worker(10, 1, batch)),
        "`MaximumConcurrency`, in 2 s, with 20 audiences": ceil(a_second / worker(2, 20, batch)),
        "minutes of an outage to the limit in flight": IN_FLIGHT / (a_second * Traffic(1, batch).messages / batch) / 60,
    }


def limits() -> dict[str, float]:
    """Return the changes a second at which each limit is reached, the lowest first."""
    workers = WORKER.concurrency
    a_second = {
        "Segment: Engage, 1,000 events a second": ENGAGE,
        "API Gateway: one event a request": API_GATEWAY,
        f"{workers} workers, Amazon answers in 0.5 s": workers * worker(0.5),
        f"{workers} workers, Amazon answers in 2 s": workers * worker(2),
        f"{workers} workers, Amazon answers in 10 s": workers * worker(10),
        f"{workers} workers, 20 audiences": workers * worker(2, 20),
        f"{workers} workers, one event a request": workers * worker(2, 1, 1),
        f"{workers} workers, one event a request, 20 audiences": workers * worker(2, 20, 1),
        "DynamoDB: writes to a new table": NEW_WRITES,
        "DynamoDB: reads of a new table": NEW_READS / READS,
        "DynamoDB: reads, quota of a table": TABLE / READS,
        "Amazon: one connection": AMAZON,
    }
    return dict(sorted(a_second.items(), key=lambda limit: limit[1]))
