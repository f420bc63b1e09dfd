"""Twelve hours without Amazon, in simulated time: nothing is lost or parked, and no operator has to act.

The real Delivery, and a queue that gives a message up after twenty receives.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.backoff import MARK, SPREAD
from audience_sync.delivery.batch import Delivery
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import AudienceSyncError, OutcomeUnknown, ServiceUnavailable, Throttled
from audience_sync.members.messages import pack
from local.template import Template
from tests.support import builders
from tests.support.doubles.amazon import FakeGate, members_of
from tests.support.doubles.clocks import ManualClock
from tests.support.doubles.dynamodb import MembershipRows
from tests.support.doubles.queues import FakeQueue

HOUR = 3600.0
OUTAGE = 12 * HOUR
MESSAGES = 40  # of one change each; the worst case for the number of requests
MAX_RECEIVES = 20  # after which the queue gives a message up; fewer are needed, however long the outage
BATCH = 20  # messages of one invocation
TAKES = {"429": 0.1, "503": 0.1, "timeout": 30.0}  # seconds of one failing upload


@dataclass
class Amazon:
    """Fails in one way until the outage is over."""

    clock: ManualClock
    error: AudienceSyncError
    takes: float
    requests: int = 0  # during the outage
    members: set[str] = field(default_factory=set)

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        if self.clock.now < OUTAGE:
            self.requests += 1
            self.clock.sleep(min(self.takes, timeout))
            raise self.error
        self.members |= members_of(json.loads(upload.body()))
        return Submission("job")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Throttled("429"), id="429"),
        pytest.param(ServiceUnavailable("503"), id="503"),
        pytest.param(OutcomeUnknown("timeout"), id="timeout"),
    ],
)
def test_an_outage_of_twelve_hours_loses_and_parks_nothing(
    error: AudienceSyncError, request: pytest.FixtureRequest
) -> None:
    redrive = Template.load().resources("AWS::SQS::Queue")["ChangeQueue"]["RedrivePolicy"]
    assert redrive["maxReceiveCount"] >= MAX_RECEIVES
    clock, dead_letters, rows = ManualClock(), FakeQueue(), MembershipRows()
    queue, amazon = FakeQueue(clock), Amazon(clock, error, TAKES[request.node.callspec.id])
    client: Any = rows
    times = Clock(clock, clock, clock.sleep)
    table = MembershipTable(client, "members", Sharding(8), times)
    context = DeliveryContext(queue, dead_letters, FakeQueue(), table, list, Limits(), times, FakeGate())
    delivery = Delivery(amazon, context, jitter=random.Random(12).random)
    for number in range(MESSAGES):
        queue.send(pack([builders.change(f"m{number}", "a")]), deadline=1.0)

    invocations = 0
    while queue.messages:
        clock.now = max(clock.now, min(each.due for each in queue.messages))
        messages = queue.receive()
        assert max(each.receive_count for each in messages) <= MAX_RECEIVES, "the queue gives it up"
        for start in range(0, len(messages), BATCH):
            invocations += 1
            report = delivery.deliver(messages[start : start + BATCH], deadline=clock.now + 60.0)
            for deferred in report.deferred:
                queue.put_back(deferred.message, deferred.delay)

    assert dead_letters.bodies == []
    assert rows.writes == 3 * MESSAGES, "when it was recorded, had failed once, and was accepted"
    assert amazon.members == {f"m{number}" for number in range(MESSAGES)}
    assert clock.now - OUTAGE <= MARK + 60, "until the next mark, and one upload"
    together = MESSAGES / BATCH * OUTAGE / MARK  # once they come back together, at every mark
    assert amazon.requests <= invocations <= SPREAD * MESSAGES + 2 * BATCH + together, "the first ones, before"
