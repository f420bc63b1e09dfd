"""Orders of events that once left Amazon with the wrong members, as the state machine found them, at their shortest."""

from typing import Any

import pytest

from audience_sync.errors import ServiceUnavailable
from audience_sync.membership import MembershipChange
from tests.model.simulation import JOB, WINDOW, InTurn, Simulation, change_of, failing


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Simulation:
    monkeypatch.setattr("audience_sync.aws.membership_table.ThreadPoolExecutor", InTurn)
    return Simulation()


def change(at: int, *, exits: bool = False, name: str = "", email: str = "a") -> MembershipChange:
    return change_of("ann", at, exits=exits, message_id=name or f"id-{at}", emails=[email])


def deliver(simulation: Simulation, *, outcome: Any = None) -> None:
    """Have one worker deliver all that is visible; its uploads meet with `outcome`."""
    worker = simulation.receive(simulation.visible())
    while not worker.task.is_done:
        worker.task.step(outcome if worker.task.about_to == "upload" else None)
    simulation.workers.remove(worker)


def come_to_rest(simulation: Simulation) -> None:
    """Let the jobs so far end at once, the last one first; then have all that waits delivered."""
    for job in simulation.jobs[::-1]:
        simulation.end(job)
    while simulation.queue:
        if not simulation.visible():
            pass_time(simulation, min(each.visible_at for each in simulation.queue) - simulation.now)
        deliver(simulation)
    pass_time(simulation, 2 * JOB)


def pass_time(simulation: Simulation, seconds: float) -> None:
    simulation.pass_time(seconds, lambda jobs: jobs[::-1])


def is_in(simulation: Simulation) -> bool:
    return bool(simulation.held.get("ann"))


def test_a_second_exit_does_not_stand_in_for_the_repetition_of_the_first(simulation: Simulation) -> None:
    for at, exits in ((1, False), (2, True), (3, True)):
        simulation.accept([change(at, exits=exits)])
        deliver(simulation)
        pass_time(simulation, 10)
    come_to_rest(simulation)
    assert not is_in(simulation)


def test_an_entry_that_was_sent_long_after_it_was_recorded_is_young_all_the_same(simulation: Simulation) -> None:
    simulation.accept([change(1)])
    deliver(simulation, outcome=failing(ServiceUnavailable("503")))
    pass_time(simulation, WINDOW + 10)
    deliver(simulation)
    simulation.accept([change(2, exits=True)])
    deliver(simulation)
    come_to_rest(simulation)
    assert not is_in(simulation)


def test_an_entry_right_after_an_exit_was_repeated_waits_for_that_repetition_too(simulation: Simulation) -> None:
    for at, exits in ((1, False), (2, True)):
        simulation.accept([change(at, exits=exits)])
        deliver(simulation)
    for _ in range(2):  # the first repetition comes too early to be the last
        pass_time(simulation, JOB)
        deliver(simulation)
    simulation.accept([change(3)])
    deliver(simulation)
    come_to_rest(simulation)
    assert is_in(simulation)


def test_the_second_identity_of_an_entry_is_repeated_as_the_first_one_is(simulation: Simulation) -> None:
    simulation.accept([change(1)])
    deliver(simulation)
    come_to_rest(simulation)
    simulation.accept([change(2, exits=True)])
    deliver(simulation)
    for name, email in (("x", "a"), ("y", "b")):
        simulation.accept([change(3, name=name, email=email)])
        deliver(simulation)
    come_to_rest(simulation)
    assert simulation.held["ann"] == {"a", "b"}


def test_an_exit_sent_once_more_for_an_older_entry_dates_from_then(simulation: Simulation) -> None:
    simulation.accept([change(1)])
    deliver(simulation, outcome=failing(ServiceUnavailable("503")))
    simulation.accept([change(2, exits=True)])
    (entry, exit_) = simulation.queue
    entry.visible_at = simulation.now + 4 * JOB
    come_to_rest_without(simulation, entry)
    pass_time(simulation, entry.visible_at - simulation.now)
    deliver(simulation)
    simulation.accept([change(3)])
    deliver(simulation)
    come_to_rest(simulation)
    assert is_in(simulation)
    assert exit_ not in simulation.queue


def come_to_rest_without(simulation: Simulation, held_back: object) -> None:
    while [each for each in simulation.queue if each is not held_back]:
        if not simulation.visible():
            pass_time(simulation, min(each.visible_at for each in simulation.queue) - simulation.now)
        deliver(simulation)
