"""The services in memory behave as AWS documents, as far as the functions depend on it."""

from random import Random
from types import SimpleNamespace

import pytest

from tests.soak import clock, sqs
from tests.soak.amazon import Amazon
from tests.soak.calls import Environment
from tests.soak.clock import SimulatedClock
from tests.soak.datasets import DELETIONS, MEMBERS_TYPE
from tests.soak.profiles import CALM, EFFECTIVE
from tests.soak.schedule import Schedule


def test_visible_in_flight_and_delayed_messages_are_counted_apart() -> None:
    queue = sqs.StoredQueue("queue", SimulatedClock(), visibility=30.0, retention=86_400.0)
    queue.put("in flight")
    queue.receive(Random(1), 10, 0.0)
    for delay in (0.0, 0.0, 5.0, 5.0, 5.0):
        queue.put("body", delay)
    assert [*queue.counts().values()] == [2, 1, 3]


def test_a_duplicate_reaches_two_consumers() -> None:
    queue = sqs.StoredQueue("queue", SimulatedClock(), visibility=30.0, retention=86_400.0)
    queue.put("body")
    assert len(queue.receive(Random(1), 10, 1.0)) == len(queue.receive(Random(1), 10, 1.0)) == 1


def test_copies_are_delivered_although_the_message_was_deleted() -> None:
    clock = SimulatedClock()
    queue = sqs.StoredQueue("queue", clock, visibility=30.0, retention=86_400.0)
    queue.put("body")
    first, second = (queue.receive(Random(1), 10, 1.0, copies=3)[0].handle for _ in range(2))
    queue.change_visibility(first, 600.0)
    queue.delete(second)
    third = queue.receive(Random(1), 10, 0.0)[0]
    assert queue.receive(Random(1), 10, 0.0) == []  # three are all
    queue.delete(third.handle)
    assert not queue.messages


def test_each_environment_has_a_clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = SimulatedClock()
    invocation = SimpleNamespace(environment=Environment(1, "WorkerFunction", clock_offset=-1.5))
    monkeypatch.setattr(clock, "current", lambda: invocation)
    assert simulated.time() == simulated.now - 1.5
    assert simulated.time_ns() == round(simulated.time() * 1e9)
    assert simulated.monotonic() == 0.0  # what has passed is the same everywhere


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        pytest.param("accepted", {"later"}, id="all that was accepted by the request"),
        pytest.param("applied", {"under way", "later"}, id="what had taken effect by the request"),
        pytest.param("later", set(), id="all that was accepted until the deletion takes effect"),
    ],
)
def test_a_deletion_reaches_uploads_according_to_its_reading(reading: str, expected: set[str]) -> None:
    clock = SimulatedClock()
    schedule = Schedule(clock)
    amazon = Amazon(clock, Random(1), schedule.at, 1)
    amazon.profile, amazon.datasets.deletes = CALM, reading

    def enter(dataset: str) -> None:
        member = {
            "externalUserId": "user",
            "action": "CREATE",
            "userIdentity": {"hashedPiis": [{"em": "0" * 64}]},
            "userConsent": {"consent": {"amzn": {"amznUserData": "GRANTED"}}},
        }
        amazon.datasets.answer(f"/adm/datasets/{dataset}/members", MEMBERS_TYPE, {"members": [member]})

    enter("in effect")
    schedule.run_for(EFFECTIVE)
    enter("under way")
    amazon.datasets.answer(DELETIONS, "", {"targetIdentities": [{"externalUserId": "user"}]})
    clock.now += 0.5
    enter("later")
    amazon.datasets.end_deletions()
    schedule.run_for(EFFECTIVE)
    held = {name for name in ("in effect", "under way", "later") if amazon.held_by((name, "user"))}
    assert held == expected
