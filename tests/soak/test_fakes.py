"""The services in memory behave as AWS documents, as far as the functions depend on it."""

from functools import partial
from random import Random
from types import SimpleNamespace

import pytest

from local.sqs.queues import SqsQueues
from tests.soak import clock, sqs
from tests.soak.amazon import Amazon
from tests.soak.calls import Environment
from tests.soak.clock import SimulatedClock
from tests.soak.datasets import DELETIONS, MEMBERS_TYPE
from tests.soak.profiles import CALM, EFFECTIVE
from tests.soak.schedule import Schedule


def test_copies_are_delivered_although_the_message_was_deleted() -> None:
    queues = SqsQueues(lambda: 0.0, partial(sqs.Queue, duplicates=1.0, copies=3))
    queue = queues.create("queue")
    assert isinstance(queue, sqs.Queue)
    queues.send("queue", "body")
    first, second = (queues.receive_now("queue", 10)[0].receipt_handle for _ in range(2))
    queues.change_visibility("queue", first, 600)
    queues.delete("queue", second)
    queue.duplicates = 0.0
    (third,) = queues.receive_now("queue", 10)
    assert queues.receive_now("queue", 10) == [], "three are all"
    queues.delete("queue", third.receipt_handle)
    assert queue.is_empty


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
