"""The delivery protocol against every order of events that hypothesis can think of.

Workers overlap, crash and are delivered the same message twice; uploads fail in every way, are applied late, and their
jobs end in any order. When all faults have stopped and everything has drained, membership at Amazon must be what the
newest change of each member says, and nothing may have got lost on the way.
"""

import json
import os
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from audience_sync.errors import (
    OutcomeUnknown,
    RequestTooLarge,
    ServiceUnavailable,
    Throttled,
    TokenUnavailable,
    Unavailable,
)
from tests.model.world import SETTLE, InTurn, Job, Worker, World, change_of, failing, version_of

if TYPE_CHECKING:
    from audience_sync.membership import MembershipChange

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
STEPS = 40  # of one example, before its faults stop
MEMBERS = ["ann", "Ann"]
THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "any")
ROUNDS = 60  # of the drain; who needs more goes round in circles

TROUBLE: dict[str, dict[str, Callable[[], Any]]] = {
    "upload": {
        "429": failing(Throttled("429", retry_after=5)),
        "503": failing(ServiceUnavailable("503")),
        "413": failing(RequestTooLarge("413", status=413)),
        "reset": failing(OutcomeUnknown("reset")),
        "no token": failing(TokenUnavailable("no token")),
    },
    "write": {"throttled": failing(THROTTLED)},
    "read": {"throttled": failing(THROTTLED)},
    "queue": {"down": failing(Unavailable("down"))},
    "park": {"down": failing(Unavailable("down"))},
    "postpone": {"down": lambda: None},
}

type Order = Callable[[list[Job]], list[Job]]

WHICH = st.integers(0, 5)
RARELY = st.sampled_from([False, False, False, True])
ORDERS: list[Order] = [lambda jobs: jobs, lambda jobs: jobs[::-1], lambda jobs: jobs[1:] + jobs[:1]]


def pick[T](some: Sequence[T], which: int) -> T:
    """Choose one, whatever the number."""
    return some[which % len(some)]


class Protocol(RuleBasedStateMachine):
    """Two members of one audience, and up to three workers."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.sent: list[MembershipChange] = []
        self.down: set[str] = set()

    @initialize(max_records=st.sampled_from([1, 3]))
    def begin(self, max_records: int) -> None:
        self.world.max_records = max_records

    # Segment

    @rule(
        members=st.sampled_from([MEMBERS[:1], MEMBERS[1:], MEMBERS, MEMBERS[:1] * 2]),
        at=st.integers(1, 6),
        exits=st.booleans(),
        emails=st.sets(st.sampled_from("ab")),
        forget=RARELY,
        refused=RARELY,
    )
    def webhook(self, members: list[str], at: int, exits: bool, emails: set[str], forget: bool, refused: bool) -> None:
        """Events at any time, in any order; an exit may come without identifiers, an entry never does.

        Amazon answers 400 to some of them, for as long as there are faults.
        """
        changes = []
        for offset, member in enumerate(members):
            message_id = f"id-{len(self.sent)}"
            leaves = exits if offset != 1 else not exits
            named = sorted(emails) if leaves else sorted(emails) or ["a"]
            change = change_of(member, at, exits=leaves, message_id=message_id, emails=named, forget=leaves and forget)
            changes.append(change)
            if refused and offset == 0:
                self.world.refused.add(message_id)
            self.sent.append(change)
        self.world.accept(changes)

    @precondition(lambda self: self.sent)
    @rule(which=WHICH)
    def webhook_again(self, which: int) -> None:
        """Segment repeats itself."""
        self.world.accept([pick(self.sent, which)])

    @precondition(lambda self: self.world.rows.kept)
    @rule()
    def renew(self) -> None:
        """Whoever is in by the table is told again, whenever that may be."""
        self.world.renew()

    # The queue

    @precondition(lambda self: self.world.visible() and len(self.world.workers) < 3)
    @rule(which=WHICH, count=st.integers(1, 3))
    def receive(self, which: int, count: int) -> None:
        visible = self.world.visible()
        start = which % len(visible)
        self.world.receive((visible[start:] + visible[:start])[:count])

    @precondition(lambda self: self.world.queue and len(self.world.workers) < 3)
    @rule(which=WHICH)
    def receive_twice(self, which: int) -> None:
        """A message that somebody else may hold, or that is not due yet."""
        self.world.counts_are_exact = False
        self.world.receive([pick(self.world.queue, which)])

    @precondition(lambda self: self.world.letters)
    @rule(which=WHICH)
    def redrive(self, which: int) -> None:
        self.world.redrive(pick(self.world.letters, which))

    # The workers

    @precondition(lambda self: self.world.workers)
    @rule(which=WHICH, calls=st.integers(1, 6))
    def go_on(self, which: int, calls: int) -> None:
        worker = self._worker(which)
        for _ in range(calls):
            if not worker.actor.is_done:
                self._step(worker)

    @precondition(lambda self: self.world.workers)
    @rule(which=WHICH, kind=st.integers(0, 4))
    def go_wrong(self, which: int, kind: int) -> None:
        worker = self._worker(which)
        kinds = [*TROUBLE.get(worker.actor.about_to, {}).values()]
        self._step(worker, kinds[kind % len(kinds)] if kinds else None)

    @precondition(lambda self: any(worker.actor.about_to == "upload" for worker in self.world.workers))
    @rule(how=st.sampled_from(["late", "applied"]), which=WHICH)
    def lose_the_answer(self, how: str, which: int) -> None:
        """Amazon takes the upload, now or later; its sender never learns."""
        worker = self._worker(which, about_to="upload")
        records = worker.upload
        if self.world.refuses(records):
            self._step(worker)
            return
        self.world.is_sure = False
        self.world.late.append(Job(records, self.world.now + SETTLE))
        if how == "applied":
            self.world.arrive(self.world.late[-1])
        self._step(worker, TROUBLE["upload"]["reset"])

    @rule(services=st.sets(st.sampled_from(sorted(TROUBLE)), max_size=2))
    def be_down(self, services: set[str]) -> None:
        """These fail at every call, from now on until others do."""
        self.down = services

    @precondition(lambda self: self.world.workers)
    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        self.world.crash(self._worker(which))

    # Amazon and the clock

    @precondition(lambda self: self.world.late)
    @rule(which=WHICH)
    def take_late(self, which: int) -> None:
        self.world.arrive(pick(self.world.late, which))

    @precondition(lambda self: self.world.jobs)
    @rule(which=WHICH)
    def end_job(self, which: int) -> None:
        self.world.end(pick(self.world.jobs, which))

    @rule(seconds=st.sampled_from([1, 10, 45, 70, 400, 720, 905, 5000]), order=st.sampled_from(ORDERS))
    def pass_time(self, seconds: int, order: Order) -> None:
        self.world.pass_time(seconds, order)

    # What must hold

    @invariant()
    def nothing_is_lost(self) -> None:
        """D1 and D7, at every moment: who is neither at Amazon nor parked is in the queue, or a newer version is."""
        known = self.world.accounted()
        for change in self.world.accepted:
            assert known.get(change.record["externalUserId"], (-1,)) >= version_of(change.record), "lost"

    @invariant()
    def the_last_word_is_the_newest(self) -> None:
        """O1 as far as Amazon keeps the order, at once: with nothing under way, the last record sent is the newest."""
        world = self.world
        at_rest = not world.workers and all(json.loads(each.body).get("again") for each in world.queue)
        if at_rest and world.is_sure:
            for member, newest in world.newest().items():
                version = version_of(newest.record)
                if (
                    member in world.last_told
                    and world.parked.get(member, (-1,)) < version
                    and not world.may_be_moot(newest)
                ):
                    assert world.last_told[member] == version, "an older record was sent last"

    def teardown(self) -> None:
        try:
            self._drain()
            self._check_the_end()
            self.world.renew()  # once everything has come to rest, it changes nothing
            self._drain()
            self._check_the_end()
        finally:
            for worker in self.world.workers:
                worker.actor.kill()

    def _drain(self) -> None:
        """Let all faults stop and everything come to rest."""
        world = self.world
        world.refused.clear()
        self.down.clear()
        for _ in range(ROUNDS):
            for worker in reversed(world.workers[:]):  # who came last goes first
                while not worker.actor.is_done:
                    self._step(worker)
            self.the_last_word_is_the_newest()
            for body in [body for body in world.letters if json.loads(body)["parked"]["reason"] != "no_identifier"]:
                world.redrive(body)
            if not world.queue:
                break
            if not world.visible():
                world.pass_time(min(each.visible_at for each in world.queue) - world.now, ORDERS[1])
            world.receive(world.visible()[:3])
            self.nothing_is_lost()
        else:
            raise AssertionError("it does not come to rest")
        world.pass_time(5000.0, ORDERS[1])

    def _check_the_end(self) -> None:
        world = self.world
        for member, newest in world.newest().items():
            held = world.held.get(member, set())
            if newest.exits:
                assert held == set(), "O2: the newest change is an exit, and the person is in"
            else:
                named = {identity["email"] for identity in newest.record["hashedPII"]}
                assert named <= held, "O1: the newest change is an entry, and the person is out"
        for member in world.forgotten():
            assert world.identities_of(member) == [], "P: asked to be forgotten, and is remembered"
        counted = sum(world.counts.values())
        accepted = len(world.accepted) + world.redriven
        assert counted >= accepted, "D6: changes without a verdict"
        if world.counts_are_exact:
            assert counted == accepted, "D6: changes counted twice"
        for moment, changes in world.accepted_at.items():
            assert world.ended[moment] >= changes, "D6: a gap in the books where nothing is lost"

    def _worker(self, which: int, about_to: str | None = None) -> Worker:
        workers = [each for each in self.world.workers if about_to in (None, each.actor.about_to)]
        return pick(workers, which)

    def _step(self, worker: Worker, fate: Callable[[], Any] | None = None) -> None:
        if fate is None and worker.actor.about_to in self.down:
            fate = next(iter(TROUBLE[worker.actor.about_to].values()))
        worker.actor.step(fate)
        if worker.actor.is_done:
            self.world.workers.remove(worker)


@pytest.fixture(autouse=True)
def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync.aws.members.ThreadPoolExecutor", InTurn)


def search(examples: int, *, phases: Collection[Phase] = tuple(Phase), derandomize: bool = True) -> None:
    """Try so many examples. Raises what the first broken promise raises."""
    found = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        phases=phases,
        derandomize=derandomize,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Protocol, settings=found)


def test_the_newest_change_wins_and_none_is_lost_whatever_happens() -> None:
    search(3000 if NIGHTLY else 200, derandomize=not NIGHTLY)
