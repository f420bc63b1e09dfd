"""Orders of events that once left the wrong members at Amazon: found by the state machine, shortened."""

from typing import Any

import pytest

from audience_sync.errors import ServiceUnavailable
from audience_sync.members.membership import MembershipChange
from tests.model.amazon import JOB
from tests.model.simulation import AUDIENCE, WINDOW, Simulation, change_of, failing


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


def change(at: int, *, exits: bool = False, name: str = "", email: str = "a") -> MembershipChange:
    return change_of("ann", at, exits=exits, message_id=name or f"id-{at}", emails=[email])


def deliver(simulation: Simulation, *, outcome: Any = None) -> None:
    """Have one worker deliver all that is visible; `outcome` runs instead of each upload where given."""
    worker = simulation.receive(simulation.visible())
    while not worker.task.is_done:
        worker.task.step(outcome if worker.task.about_to == "upload" else None)
    simulation.workers.remove(worker)


def deliver_all(simulation: Simulation) -> None:
    """Let the jobs so far end at once, the last one first; then deliver all messages that wait."""
    for job in simulation.jobs[::-1]:
        simulation.end(job)
    deliver_all_but(simulation, None)
    pass_time(simulation, 2 * JOB)


def deliver_all_but(simulation: Simulation, held_back: object) -> None:
    while [each for each in simulation.queue if each is not held_back]:
        if not simulation.visible():
            pass_time(simulation, min(each.visible_at for each in simulation.queue) - simulation.now)
        deliver(simulation)


def pass_time(simulation: Simulation, seconds: float) -> None:
    simulation.pass_time(seconds, lambda jobs: jobs[::-1])


def is_in(simulation: Simulation) -> bool:
    return bool(simulation.held_by((AUDIENCE.audience_id, "ann")))


def test_an_enter_that_was_sent_long_after_it_was_recorded_counts_as_recent(simulation: Simulation) -> None:
    simulation.accept([change(1)])
    deliver(simulation, outcome=failing(ServiceUnavailable("503")))
    pass_time(simulation, WINDOW + 10)
    deliver(simulation)
    simulation.accept([change(2, exits=True)])
    deliver(simulation)
    deliver_all(simulation)
    assert not is_in(simulation)


def test_an_exit_that_is_sent_again_for_an_older_enter_is_dated_by_the_second_upload(simulation: Simulation) -> None:
    simulation.accept([change(1)])
    deliver(simulation, outcome=failing(ServiceUnavailable("503")))
    simulation.accept([change(2, exits=True)])
    (enter, exit_) = simulation.queue
    enter.visible_at = simulation.now + 4 * JOB
    deliver_all_but(simulation, enter)
    pass_time(simulation, enter.visible_at - simulation.now)
    deliver(simulation)
    simulation.accept([change(3)])
    deliver(simulation)
    deliver_all(simulation)
    assert is_in(simulation)
    assert exit_ not in simulation.queue
