"""Orders of events that once left Amazon with the wrong members, as the state machine found them, at their shortest."""

from typing import Any

import pytest

from audience_sync.errors import ServiceUnavailable
from audience_sync.membership import MembershipChange
from tests.model.world import JOB, WINDOW, InTurn, World, change_of, failing


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("audience_sync.aws.members.ThreadPoolExecutor", InTurn)
    return World()


def change(at: int, *, exits: bool = False, name: str = "", email: str = "a") -> MembershipChange:
    return change_of("ann", at, exits=exits, message_id=name or f"id-{at}", emails=[email])


def deliver(world: World, *, fate: Any = None) -> None:
    """Have one worker deliver all that is visible; its uploads meet with `fate`."""
    worker = world.receive(world.visible())
    while not worker.actor.is_done:
        worker.actor.step(fate if worker.actor.about_to == "upload" else None)
    world.workers.remove(worker)


def come_to_rest(world: World) -> None:
    """Let the jobs so far end at once, the last one first; then have all that waits delivered."""
    for job in world.jobs[::-1]:
        world.end(job)
    while world.queue:
        if not world.visible():
            pass_time(world, min(each.visible_at for each in world.queue) - world.now)
        deliver(world)
    pass_time(world, 2 * JOB)


def pass_time(world: World, seconds: float) -> None:
    world.pass_time(seconds, lambda jobs: jobs[::-1])


def is_in(world: World) -> bool:
    return bool(world.held.get("ann"))


def test_a_second_exit_does_not_stand_in_for_the_repetition_of_the_first(world: World) -> None:
    for at, exits in ((1, False), (2, True), (3, True)):
        world.accept([change(at, exits=exits)])
        deliver(world)
        pass_time(world, 10)
    come_to_rest(world)
    assert not is_in(world)


def test_an_entry_that_was_sent_long_after_it_was_recorded_is_young_all_the_same(world: World) -> None:
    world.accept([change(1)])
    deliver(world, fate=failing(ServiceUnavailable("503")))
    pass_time(world, WINDOW + 10)
    deliver(world)
    world.accept([change(2, exits=True)])
    deliver(world)
    come_to_rest(world)
    assert not is_in(world)


def test_an_entry_right_after_an_exit_was_repeated_waits_for_that_repetition_too(world: World) -> None:
    for at, exits in ((1, False), (2, True)):
        world.accept([change(at, exits=exits)])
        deliver(world)
    for _ in range(2):  # the first repetition comes too early to be the last
        pass_time(world, JOB)
        deliver(world)
    world.accept([change(3)])
    deliver(world)
    come_to_rest(world)
    assert is_in(world)


def test_the_second_identity_of_an_entry_is_repeated_as_the_first_one_is(world: World) -> None:
    world.accept([change(1)])
    deliver(world)
    come_to_rest(world)
    world.accept([change(2, exits=True)])
    deliver(world)
    for name, email in (("x", "a"), ("y", "b")):
        world.accept([change(3, name=name, email=email)])
        deliver(world)
    come_to_rest(world)
    assert world.held["ann"] == {"a", "b"}


def test_an_exit_sent_once_more_for_an_older_entry_dates_from_then(world: World) -> None:
    world.accept([change(1)])
    deliver(world, fate=failing(ServiceUnavailable("503")))
    world.accept([change(2, exits=True)])
    (entry, exit_) = world.queue
    entry.visible_at = world.now + 4 * JOB
    come_to_rest_without(world, entry)
    pass_time(world, entry.visible_at - world.now)
    deliver(world)
    world.accept([change(3)])
    deliver(world)
    come_to_rest(world)
    assert is_in(world)
    assert exit_ not in world.queue


def come_to_rest_without(world: World, held_back: object) -> None:
    while [each for each in world.queue if each is not held_back]:
        if not world.visible():
            pass_time(world, min(each.visible_at for each in world.queue) - world.now)
        deliver(world)
