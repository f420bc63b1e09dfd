"""A change waits for seven days at most, however often its message was sent again."""

import pytest

from audience_sync.delivery.batch import MAX_WAIT
from audience_sync.errors import CircuitOpen
from audience_sync.members.dead_letters import DeadLetter
from audience_sync.members.messages import DeliveryHistory, pack
from tests.support.worker_stack import MemoryStack, change


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()


def deliver(stack: MemoryStack, age: float) -> tuple[int, int]:
    """Deliver a change that was accepted so many seconds ago. Returns how many were parked, and how many stay."""
    first_at = round((stack.now - age) * 1000)
    (body,) = pack([change("a@b.co", at=1), change("b@b.co", at=1, member="m2")], DeliveryHistory(first_at=first_at))
    report = stack.deliver_body(body)
    assert sum(report.completed.values()) == report.delivered + report.superseded + report.parked
    return report.parked, len(report.deferred)


def test_a_change_undelivered_for_seven_days_is_parked(stack: MemoryStack) -> None:
    stack.gate.error = CircuitOpen("open", retry_after=60)
    assert deliver(stack, MAX_WAIT - 1) == (0, 1)
    assert deliver(stack, MAX_WAIT + 1) == (2, 0)
    parked = [DeadLetter.from_body(body) for body in stack.dead_letters.drain()]
    assert [each.failure.reason for each in parked if each.failure] == ["waited_too_long"] * 2
    assert [change.member[1] for each in parked for change in each.changes] == ["m1", "m2"]


def test_a_change_that_waited_too_long_stays_if_it_cannot_be_parked(stack: MemoryStack) -> None:
    stack.gate.error = CircuitOpen("open", retry_after=60)
    stack.dead_letters.down = True
    assert deliver(stack, MAX_WAIT + 1) == (0, 1)


def test_a_change_older_than_seven_days_is_delivered_if_it_can_be(stack: MemoryStack) -> None:
    assert deliver(stack, 2 * MAX_WAIT) == (0, 0)
    assert stack.amazon.active() == {"m1", "m2"}
