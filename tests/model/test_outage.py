"""Twelve hours without Amazon, in simulated time: nothing is lost or parked, and no operator has to act.

The real Delivery, and a queue that gives a message up after twenty receives.
"""

import heapq
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.backoff import MARK
from audience_sync.delivery.batch import Delivery, Message
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import AudienceSyncError, OutcomeUnknown, ServiceUnavailable, Throttled
from audience_sync.messages import ChangeMessage, pack
from local.template import Template
from tests.doubles.amazon import FakeGate
from tests.doubles.dynamodb import MembershipRows
from tests.doubles.queues import FakeQueue
from tests.model.simulation import change_of

HOUR = 3600.0
OUTAGE = 12 * HOUR
MESSAGES = 100  # of one change each; the worst case for the number of requests
MAX_RECEIVES = 20  # after which the queue gives a message up; fewer are needed, however long the outage
BATCH = 50  # messages of one invocation
TAKES = {"429": 0.1, "503": 0.1, "timeout": 30.0}  # seconds of one failing upload


@dataclass
class Queue:
    """The change queue and its dead letters, by time. A message comes back until it is acknowledged or given up."""

    max_receives: int
    now: float = 0.0
    waiting: list[tuple[float, int, str, int, float]] = field(
        default_factory=list
    )  # when, number, body, receives, sent
    given_up: list[str] = field(default_factory=list)
    most_receives: int = 0
    numbers: int = 0

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        assert attributes is None
        assert deadline > self.now
        assert delay <= 900, "the limit of SQS"
        for body in bodies:
            self.numbers += 1
            heapq.heappush(self.waiting, (self.now + delay, self.numbers, body, 0, self.now))

    def receive(self) -> list[Message]:
        """Move the clock to the next visible message, and receive what is visible then."""
        self.now = max(self.now, self.waiting[0][0])
        batch: list[Message] = []
        while self.waiting and self.waiting[0][0] <= self.now and len(batch) < BATCH:
            _, number, body, receives, sent_at = heapq.heappop(self.waiting)
            if receives >= self.max_receives:
                self.given_up.append(body)
                continue
            self.most_receives = max(self.most_receives, receives + 1)
            batch.append(Message(str(number), "h", body, receives + 1, int(sent_at * 1000)))
        return batch

    def put_back(self, message: Message, delay: float) -> None:
        sent_at = message.sent_at / 1000
        item = (self.now + delay, int(message.message_id), message.body, message.receive_count, sent_at)
        heapq.heappush(self.waiting, item)


@dataclass
class Amazon:
    """Fails in one way until the outage is over."""

    queue: Queue
    error: AudienceSyncError
    takes: float
    requests: list[float] = field(default_factory=list)  # when, in seconds
    members: set[str] = field(default_factory=set)

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        self.requests.append(self.queue.now)
        if self.queue.now < OUTAGE:
            self.queue.now += min(self.takes, timeout)
            raise self.error
        self.members |= {record["externalUserId"] for record in json.loads(upload.body())["records"]}
        return Submission("job")


def context_of(queue: Queue, table: MembershipRows, dead_letters: FakeQueue) -> DeliveryContext:
    client: Any = table
    clock = Clock(lambda: queue.now, lambda: queue.now, lambda _: None)
    members = MembershipTable(client, "members", Sharding(8), clock)
    return DeliveryContext(queue, dead_letters, FakeQueue(), members, list, Limits(), clock, FakeGate())


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Throttled("429"), id="429"),
        pytest.param(ServiceUnavailable("503"), id="503"),
        pytest.param(OutcomeUnknown("timeout"), id="timeout"),
    ],
)
def test_twelve_hours_of_outage_lose_nothing_and_need_no_operator(
    error: AudienceSyncError, request: pytest.FixtureRequest
) -> None:
    redrive = Template.load().resources("AWS::SQS::Queue")["ChangeQueue"]["RedrivePolicy"]
    assert redrive["maxReceiveCount"] >= MAX_RECEIVES
    queue, dead_letters = Queue(MAX_RECEIVES), FakeQueue()
    amazon = Amazon(queue, error, TAKES[request.node.callspec.id])
    chance = random.Random(12)
    table = MembershipRows()
    delivery = Delivery(amazon, context_of(queue, table, dead_letters), jitter=chance.random)
    changes = [change_of(f"m{n}", 1, exits=False, message_id=f"id-{n}", emails=["a"]) for n in range(MESSAGES)]
    for each in changes:
        queue.send(pack([each]), deadline=1.0)

    while queue.waiting:
        batch = queue.receive()
        report = delivery.deliver(batch, deadline=queue.now + 60.0)
        for deferred in report.deferred:
            queue.put_back(deferred.message, deferred.delay)

    during = [moment for moment in amazon.requests if moment < OUTAGE]
    recovery = queue.now - OUTAGE
    assert (queue.given_up, dead_letters.bodies) == ([], [])
    assert table.writes == 2 * MESSAGES, "when it was recorded, and when it was sent"
    assert amazon.members == {f"m{number}" for number in range(MESSAGES)}
    assert recovery <= MARK + 60, "until the next mark, and one upload"
    together = MESSAGES / BATCH * OUTAGE / MARK  # once they come back together, at every mark
    assert len(during) <= 7 * MESSAGES + together, "seven first attempts of each message, before"


def test_a_message_that_was_sent_anew_keeps_its_attempts_and_the_time_of_acceptance() -> None:
    (body,) = pack([change_of("m", 1, exits=False, message_id="id", emails=["a"])])
    queue = Queue(20)
    delivery = Delivery(
        Amazon(queue, ServiceUnavailable("503"), 0.1),
        context_of(queue, MembershipRows(), FakeQueue()),
        jitter=lambda: 1.0,
    )
    delivery.deliver([Message("1", "h", body, 19, 5000)], deadline=60.0)
    ((_, _, renewed, _, _),) = queue.waiting
    history = ChangeMessage.from_body(renewed).history
    assert (history.attempts, history.first_at) == (19, 5000)
