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
from tests.model.simulation import SETTLE, InTurn, Job, Simulation, Worker, change_of, failing, version_of

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
        self.simulation = Simulation()
        self.sent: list[MembershipChange] = []
        self.down: set[str] = set()

    @initialize(max_records=st.sampled_from([1, 3]))
    def begin(self, max_records: int) -> None:
        self.simulation.max_records = max_records

    # Segment

    @rule(
        members=st.sampled_from([MEMBERS[:1], MEMBERS[1:], MEMBERS, MEMBERS[:1] * 2]),
        at=st.integers(1, 6),
        exits=st.booleans(),
        emails=st.sets(st.sampled_from("ab")),
        erase=RARELY,
        refused=RARELY,
    )
    def webhook(self, members: list[str], at: int, exits: bool, emails: set[str], erase: bool, refused: bool) -> None:
        """Events at any time, in any order; an exit may come without identifiers, an entry never does.

        Amazon answers 400 to some of them, for as long as there are faults.
        """
        changes = []
        for offset, member in enumerate(members):
            message_id = f"id-{len(self.sent)}"
            leaves = exits if offset != 1 else not exits
            named = sorted(emails) if leaves else sorted(emails) or ["a"]
            change = change_of(member, at, exits=leaves, message_id=message_id, emails=named, erase=leaves and erase)
            changes.append(change)
            if refused and offset == 0:
                self.simulation.refused.add(message_id)
            self.sent.append(change)
        self.simulation.accept(changes)

    @precondition(lambda self: self.sent)
    @rule(which=WHICH)
    def webhook_again(self, which: int) -> None:
        """Segment repeats itself."""
        self.simulation.accept([pick(self.sent, which)])

    @precondition(lambda self: self.simulation.rows.kept)
    @rule()
    def renew(self) -> None:
        """Whoever is in by the table is told again, whenever that may be."""
        self.simulation.renew()

    # The queue

    @precondition(lambda self: self.simulation.visible() and len(self.simulation.workers) < 3)
    @rule(which=WHICH, count=st.integers(1, 3))
    def receive(self, which: int, count: int) -> None:
        visible = self.simulation.visible()
        start = which % len(visible)
        self.simulation.receive((visible[start:] + visible[:start])[:count])

    @precondition(lambda self: self.simulation.queue and len(self.simulation.workers) < 3)
    @rule(which=WHICH)
    def receive_twice(self, which: int) -> None:
        """A message that somebody else may hold, or that is not due yet."""
        self.simulation.counts_are_exact = False
        self.simulation.receive([pick(self.simulation.queue, which)])

    @precondition(lambda self: self.simulation.letters)
    @rule(which=WHICH)
    def redrive(self, which: int) -> None:
        self.simulation.redrive(pick(self.simulation.letters, which))

    # The workers

    @precondition(lambda self: self.simulation.workers)
    @rule(which=WHICH, calls=st.integers(1, 6))
    def go_on(self, which: int, calls: int) -> None:
        worker = self._worker(which)
        for _ in range(calls):
            if not worker.task.is_done:
                self._step(worker)

    @precondition(lambda self: self.simulation.workers)
    @rule(which=WHICH, kind=st.integers(0, 4))
    def go_wrong(self, which: int, kind: int) -> None:
        worker = self._worker(which)
        kinds = [*TROUBLE.get(worker.task.about_to, {}).values()]
        self._step(worker, kinds[kind % len(kinds)] if kinds else None)

    @precondition(lambda self: any(worker.task.about_to == "upload" for worker in self.simulation.workers))
    @rule(how=st.sampled_from(["late", "applied"]), which=WHICH)
    def lose_the_answer(self, how: str, which: int) -> None:
        """Amazon takes the upload, now or later; its sender never learns."""
        worker = self._worker(which, about_to="upload")
        records = worker.upload
        if self.simulation.refuses(records):
            self._step(worker)
            return
        self.simulation.is_sure = False
        self.simulation.late.append(Job(records, self.simulation.now + SETTLE))
        if how == "applied":
            self.simulation.arrive(self.simulation.late[-1])
        self._step(worker, TROUBLE["upload"]["reset"])

    @rule(services=st.sets(st.sampled_from(sorted(TROUBLE)), max_size=2))
    def be_down(self, services: set[str]) -> None:
        """These fail at every call, from now on until others do."""
        self.down = services

    @precondition(lambda self: self.simulation.workers)
    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        self.simulation.crash(self._worker(which))

    # Amazon and the clock

    @precondition(lambda self: self.simulation.late)
    @rule(which=WHICH)
    def take_late(self, which: int) -> None:
        self.simulation.arrive(pick(self.simulation.late, which))

    @precondition(lambda self: self.simulation.jobs)
    @rule(which=WHICH)
    def end_job(self, which: int) -> None:
        self.simulation.end(pick(self.simulation.jobs, which))

    @rule(seconds=st.sampled_from([1, 10, 45, 70, 400, 720, 905, 5000]), order=st.sampled_from(ORDERS))
    def pass_time(self, seconds: int, order: Order) -> None:
        self.simulation.pass_time(seconds, order)

    # What must hold

    @invariant()
    def nothing_is_lost(self) -> None:
        """D1 and D7, at every moment: who is neither at Amazon nor parked is in the queue, or a newer version is."""
        known = self.simulation.accounted()
        for change in self.simulation.accepted:
            assert known.get(change.record["externalUserId"], (-1,)) >= version_of(change.record), "lost"

    @invariant()
    def the_last_word_is_the_newest(self) -> None:
        """O1 as far as Amazon keeps the order, at once: with nothing under way, the last record sent is the newest."""
        simulation = self.simulation
        at_rest = not simulation.workers and all(json.loads(each.body).get("replay") for each in simulation.queue)
        if at_rest and simulation.is_sure:
            for member, newest in simulation.newest().items():
                version = version_of(newest.record)
                if (
                    member in simulation.last_told
                    and simulation.parked.get(member, (-1,)) < version
                    and not simulation.may_be_moot(newest)
                ):
                    assert simulation.last_told[member] == version, "an older record was sent last"

    def teardown(self) -> None:
        try:
            self._drain()
            self._check_the_end()
            self.simulation.renew()  # once everything has come to rest, it changes nothing
            self._drain()
            self._check_the_end()
        finally:
            for worker in self.simulation.workers:
                worker.task.kill()

    def _drain(self) -> None:
        """Let all faults stop and everything come to rest."""
        simulation = self.simulation
        simulation.refused.clear()
        self.down.clear()
        for _ in range(ROUNDS):
            for worker in reversed(simulation.workers[:]):  # who came last goes first
                while not worker.task.is_done:
                    self._step(worker)
            self.the_last_word_is_the_newest()
            for body in [
                body for body in simulation.letters if json.loads(body)["failure"]["reason"] != "no_identifier"
            ]:
                simulation.redrive(body)
            if not simulation.queue:
                break
            if not simulation.visible():
                simulation.pass_time(min(each.visible_at for each in simulation.queue) - simulation.now, ORDERS[1])
            simulation.receive(simulation.visible()[:3])
            self.nothing_is_lost()
        else:
            raise AssertionError("it does not come to rest")
        simulation.pass_time(5000.0, ORDERS[1])

    def _check_the_end(self) -> None:
        simulation = self.simulation
        for member, newest in simulation.newest().items():
            held = simulation.held.get(member, set())
            if newest.exits:
                assert held == set(), "O2: the newest change is an exit, and the person is in"
            else:
                named = {identity["email"] for identity in newest.record["hashedPII"]}
                assert named <= held, "O1: the newest change is an entry, and the person is out"
        for member in simulation.forgotten():
            assert simulation.identities_of(member) == [], "P: asked to be forgotten, and is remembered"
        counted = sum(simulation.counts.values())
        accepted = len(simulation.accepted) + simulation.redriven
        assert counted >= accepted, "D6: changes without a verdict"
        if simulation.counts_are_exact:
            assert counted == accepted, "D6: changes counted twice"
        for moment, changes in simulation.accepted_at.items():
            assert simulation.ended[moment] >= changes, "D6: a gap in the books where nothing is lost"

    def _worker(self, which: int, about_to: str | None = None) -> Worker:
        workers = [each for each in self.simulation.workers if about_to in (None, each.task.about_to)]
        return pick(workers, which)

    def _step(self, worker: Worker, outcome: Callable[[], Any] | None = None) -> None:
        if outcome is None and worker.task.about_to in self.down:
            outcome = next(iter(TROUBLE[worker.task.about_to].values()))
        worker.task.step(outcome)
        if worker.task.is_done:
            self.simulation.workers.remove(worker)


@pytest.fixture(autouse=True)
def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_sync.aws.membership_table.ThreadPoolExecutor", InTurn)


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
