"""Twelve hours without Amazon, in simulated time: nothing is lost or parked, and no operator has to act.

The real Delivery, and a queue that gives a message up after twenty receives.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from audience_sync.amazon_ads.upload import Submission, Target, Upload
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.backoff import MARK, SPREAD
from audience_sync.delivery.batch import Delivery
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.gates.circuit_breaker import FAILURES
from audience_sync.delivery.gates.gate import Gate
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import AudienceSyncError, CircuitOpen, OutcomeUnknown, ServiceUnavailable, Throttled
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
RECOVERY = 60.0  # seconds for which a circuit breaker stays open
TAKES = {"429": 0.1, "503": 0.1, "timeout": 30.0}  # seconds of one failing upload


@dataclass
class Amazon:
    """Fails in one way until the outage is over."""

    clock: ManualClock
    error: AudienceSyncError
    takes: float
    requests: int = 0  # during the outage
    failed_at: float = 0.0
    taken: Counter[str] = field(default_factory=Counter)  # records by member, during the outage
    members: set[str] = field(default_factory=set)

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        if self.clock.now < OUTAGE:
            self.requests += 1
            self.taken.update(members_of(json.loads(upload.body())))
            self.clock.sleep(min(self.takes, timeout))
            self.failed_at = self.clock.now
            raise self.error
        self.members |= members_of(json.loads(upload.body()))
        return Submission("job")


@dataclass
class OneCircuit:
    """Opens as a circuit breaker does, and lets one upload through to test Amazon when its time is over."""

    amazon: Amazon

    def check(self, target: Target) -> bool:
        assert target.audience_id
        amazon = self.amazon
        is_open = amazon.requests >= FAILURES and not amazon.members
        if is_open and (wait := amazon.failed_at + RECOVERY - amazon.clock.now) > 0:
            raise CircuitOpen("open", retry_after=wait)
        return is_open


class Outage:
    """Forty messages of one member each, delivered until no message is left."""

    def __init__(self, amazon: Amazon, gate: Gate) -> None:
        self.clock = amazon.clock
        self.rows = MembershipRows()
        self.dead_letters = FakeQueue()
        self.queue = FakeQueue(self.clock)
        self.invocations = 0
        client: Any = self.rows
        times = Clock(self.clock, self.clock, self.clock.sleep)
        table = MembershipTable(client, "members", Sharding(8), times)
        context = DeliveryContext(self.queue, self.dead_letters, FakeQueue(), table, list, Limits(), times, gate)
        self._delivery = Delivery(amazon, context, jitter=random.Random(12).random)
        for number in range(MESSAGES):
            self.queue.send(pack([builders.change(f"m{number}", "a")]), deadline=1.0)

    def pass_by(self) -> None:
        while self.queue.messages:
            self.clock.now = max(self.clock.now, min(each.due for each in self.queue.messages))
            messages = self.queue.receive()
            assert max(each.receive_count for each in messages) <= MAX_RECEIVES, "the queue gives it up"
            for start in range(0, len(messages), BATCH):
                self.invocations += 1
                report = self._delivery.deliver(messages[start : start + BATCH], deadline=self.clock.now + 60.0)
                for deferred in report.deferred:
                    self.queue.put_back(deferred.message, deferred.delay)


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
    amazon = Amazon(ManualClock(), error, TAKES[request.node.callspec.id])
    outage = Outage(amazon, FakeGate())
    outage.pass_by()

    assert outage.dead_letters.bodies == []
    assert outage.rows.writes == 3 * MESSAGES, "when it was recorded, had failed once, and was accepted"
    assert amazon.members == {f"m{number}" for number in range(MESSAGES)}
    assert amazon.clock.now - OUTAGE <= MARK + 60, "until the next mark, and one upload"
    together = MESSAGES / BATCH * OUTAGE / MARK  # once they come back together, at every mark
    most = SPREAD * MESSAGES + 2 * BATCH + together  # the first ones, before
    assert amazon.requests <= outage.invocations <= most


def test_each_test_of_a_circuit_takes_the_record_of_one_member() -> None:
    """For twelve hours, Amazon takes what it does not answer."""
    amazon = Amazon(ManualClock(), OutcomeUnknown("timeout"), TAKES["timeout"])
    outage = Outage(amazon, OneCircuit(amazon))
    outage.pass_by()

    assert amazon.members == {f"m{number}" for number in range(MESSAGES)}
    assert amazon.taken.total() <= FAILURES * BATCH + OUTAGE / RECOVERY, "of all members together"
    assert outage.rows.writes <= 3 * MESSAGES
