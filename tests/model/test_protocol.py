"""The delivery protocol, in random orders of events that hypothesis generates.

Workers overlap, crash and receive the same message twice; uploads fail in every way, are applied late, and their jobs
end in any order. When all faults have stopped and the queue is empty, membership at Amazon must be what the newest
change of each member says, and no change may be lost.

The same rules run on an audience of each of Amazon's APIs, and on several at once: a deletion notice reaches them all.
"""

import os
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

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
    AccessDenied,
    OutcomeUnknown,
    RequestTooLarge,
    ServiceUnavailable,
    Throttled,
    TokenUnavailable,
    Unavailable,
)
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, MembershipChange
from tests.model.amazon import EFFECTIVE, JOB, MONTH, Job
from tests.model.expected import emails, erased, newest, removed
from tests.model.simulation import (
    AUDIENCE,
    DATASET,
    SECOND_DATASET,
    SETTLE,
    Check,
    Simulation,
    Worker,
    change_of,
    failing,
)

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
STEPS = 40  # of one example, before its faults stop
MEMBERS = ["ann", "Ann"]
THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "any")
ROUNDS = 200  # of the drain; if more are needed, it never ends
CHECK_OF_ERASURES = 6 * 3600  # seconds until the next one
# Records that follow from one delivery of a change: a removal, the same once more, and the enter that it contradicts.
RECORDS_OF_A_DELIVERY = 3
RECORDS_OF_A_NOTICE = 2  # the last removal, and the enter after it

FAULTS: dict[str, dict[str, Callable[[], Any]]] = {
    "upload": {
        "429": failing(Throttled("429", retry_after=5)),
        "503": failing(ServiceUnavailable("503")),
        "413": failing(RequestTooLarge("413", status=413)),
        "reset": failing(OutcomeUnknown("reset")),
        "no token": failing(TokenUnavailable("no token")),
        "403": failing(AccessDenied("403", status=403)),
    },
    "write": {"throttled": failing(THROTTLED)},
    "read": {"throttled": failing(THROTTLED)},
    "queue": {"down": failing(Unavailable("down"))},
    "park": {"down": failing(Unavailable("down"))},
    "postpone": {"down": lambda: None},
    "job queue": {"down": failing(Unavailable("down"))},
    "job": {"503": failing(ServiceUnavailable("503"))},
    "deletion": {"503": failing(ServiceUnavailable("503"))},
}

type Order = Callable[[list[Job]], list[Job]]

WHICH = st.integers(0, 5)
RARELY = st.sampled_from([False, False, False, True])
ORDERS: list[Order] = [lambda jobs: jobs, lambda jobs: jobs[::-1], lambda jobs: jobs[1:] + jobs[:1]]


def pick[T](some: Sequence[T], which: int) -> T:
    """Choose one; any number is valid."""
    return some[which % len(some)]


class Protocol(RuleBasedStateMachine):
    """Two persons in an audience, and up to three workers."""

    audiences: ClassVar[Sequence[Audience]] = (AUDIENCE,)

    def __init__(self) -> None:
        super().__init__()
        self.simulation = Simulation(self.audiences)
        self.sent: list[MembershipChange] = []
        self.down: set[str] = set()

    @initialize(
        max_records=st.sampled_from([1, 3]), finds_by_id=st.booleans(), takes=st.sampled_from([EFFECTIVE, MONTH])
    )
    def begin(self, max_records: int, finds_by_id: bool, takes: float) -> None:
        self.simulation.max_records = max_records
        self.simulation.datasets.finds_by_id = finds_by_id
        self.simulation.datasets.deletion_takes = takes

    # Segment

    @rule(
        members=st.sampled_from([MEMBERS[:1], MEMBERS[1:], MEMBERS, MEMBERS[:1] * 2]),
        where=WHICH,
        at=st.integers(1, 6),
        exits=st.booleans(),
        named=st.sets(st.sampled_from("ab")),
        erase=st.sampled_from(["", "", "", "notice", "denial"]),
        refused=RARELY,
    )
    def webhook(
        self, members: list[str], where: int, at: int, exits: bool, named: set[str], erase: str, refused: bool
    ) -> None:
        """Events at any time, in any order; an exit may come without identifiers, an enter never does.

        Amazon refuses some of them, for as long as there are faults.
        """
        audiences = self.simulation.audiences
        reached = audiences if where % (len(audiences) + 1) == len(audiences) else [pick(audiences, where)]
        changes = []
        for offset, member in enumerate(members):
            message_id = f"id-{len(self.sent)}-{offset}"
            leaves = exits if offset != 1 else not exits
            identities = [f"{name} of {member}" for name in sorted(named or ("" if leaves else "a"))]
            if leaves and erase:
                changes.append(erasing_exit(member, at, message_id, denies_consent=erase == "denial"))
                continue
            stated = [
                change_of(member, at, exits=leaves, message_id=message_id, emails=identities, audience=audience)
                for audience in reached
            ]
            changes += stated if len(stated) > 1 else self.simulation.reaching(*stated)
            if refused and offset == 0:
                self.simulation.refused |= {each.member if leaves else each.version for each in stated}
        self.sent += changes
        self.simulation.accept(changes)

    @precondition(lambda self: self.sent)
    @rule(which=WHICH)
    def webhook_duplicate(self, which: int) -> None:
        """Segment sends an event twice."""
        self.simulation.accept(self.simulation.reaching(pick(self.sent, which)))

    @precondition(lambda self: self.simulation.table.rows)
    @rule()
    def renew(self) -> None:
        """All members that are active in the table are re-sent, at any time."""
        self.simulation.renew()

    # The queue

    @precondition(lambda self: self.simulation.visible() and len(self.simulation.workers) < 3)
    @rule(which=WHICH, count=st.integers(1, 3))
    def receive(self, which: int, count: int) -> None:
        visible = self.simulation.visible()
        start = which % len(visible)
        self.simulation.receive((visible[start:] + visible[:start])[:count])

    @precondition(lambda self: self.simulation.visible() and len(self.simulation.workers) < 3)
    @rule(which=WHICH, count=st.integers(1, 3))
    def deliver(self, which: int, count: int) -> None:
        """As it happens most of the time: one worker begins and ends."""
        self.receive(which, count)
        self._finish(self.simulation.workers[-1])

    @precondition(lambda self: self.simulation.queue and len(self.simulation.workers) < 3)
    @rule(which=WHICH)
    def receive_twice(self, which: int) -> None:
        """A message that another worker may hold, or that is not visible yet."""
        self.simulation.counts_are_exact = False
        self.simulation.receive([pick(self.simulation.queue, which)])

    @precondition(lambda self: self.simulation.dead_letters)
    @rule(which=WHICH)
    def redrive(self, which: int) -> None:
        self.simulation.redrive(pick(self.simulation.dead_letters, which))

    # The workers

    @precondition(lambda self: self.simulation.workers)
    @rule(which=WHICH, calls=st.integers(1, 6))
    def let_calls_succeed(self, which: int, calls: int) -> None:
        worker = self._worker(which)
        for _ in range(calls):
            if not worker.task.is_done:
                self._step(worker)

    @precondition(lambda self: self.simulation.workers)
    @rule(which=WHICH, kind=st.integers(0, 4))
    def let_one_call_fail(self, which: int, kind: int) -> None:
        worker = self._worker(which)
        kinds = [*FAULTS.get(worker.task.about_to, {}).values()]
        self._step(worker, kinds[kind % len(kinds)] if kinds else None)

    @precondition(lambda self: self._sending())
    @rule(how=st.sampled_from(["late", "applied"]), which=WHICH)
    def lose_the_answer(self, how: str, which: int) -> None:
        """Amazon takes the upload or deletion, now or later; the worker gets no answer."""
        worker = pick(self._sending(), which)
        job = worker.upload
        if job is None or self.simulation.is_refused(job):
            self._step(worker)
            return
        self.simulation.order_is_kept = False
        job.ends_by = self.simulation.now + SETTLE
        self.simulation.in_transit.append(job)
        if how == "applied":
            self.simulation.accept_late(job)
        self._step(worker, FAULTS["upload"]["reset"])

    @rule(services=st.sets(st.sampled_from(sorted(FAULTS)), max_size=2))
    def break_services(self, services: set[str]) -> None:
        """These services fail at every call, until this rule chooses others."""
        self.down = services

    @precondition(lambda self: self.simulation.workers)
    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        self.simulation.crash(self._worker(which))

    # Jobs, and their checks

    @precondition(lambda self: self.simulation.tracked())
    @rule(which=WHICH, how=st.sampled_from(["late", "fails", "rejects"]))
    def go_wrong_at_amazon(self, which: int, how: str) -> None:
        """A job whose message is stored takes three times as long, fails, or rejects a record."""
        job = pick(self.simulation.tracked(), which)
        if how == "late":
            job.ends_by = job.taken_at + 3 * JOB
        elif how == "fails":
            job.fails = True
        else:
            job.rejects.add(job.records[0].member)

    @precondition(lambda self: self.simulation.visible_jobs())
    @rule(which=WHICH)
    def begin_check(self, which: int) -> None:
        self.simulation.check(pick(self.simulation.visible_jobs(), which))

    @precondition(lambda self: self.simulation.checks)
    @rule(which=WHICH, calls=st.integers(1, 6), fails=RARELY)
    def continue_check(self, which: int, calls: int, fails: bool) -> None:
        check = pick(self.simulation.checks, which)
        for _ in range(calls):
            if not check.task.is_done:
                self._step(
                    check, next(iter(FAULTS[check.task.about_to].values())) if self._breaks(check, fails) else None
                )

    def _breaks(self, check: Check, fails: bool) -> bool:
        return fails and check.task.about_to in FAULTS

    # Amazon and the clock

    @precondition(lambda self: self.simulation.in_transit)
    @rule(which=WHICH)
    def take_late_upload(self, which: int) -> None:
        self.simulation.accept_late(pick(self.simulation.in_transit, which))

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
        """D1 and D7, at every moment: each change, or a newer one, was sent, is parked, or is in the queue."""
        known = self.simulation.newest_known()
        for change in self.simulation.accepted:
            for member in self.simulation.members_of(change):
                assert known.get(member, (-1,)) >= change.version, "lost"

    @invariant()
    def the_last_upload_is_the_newest(self) -> None:
        """O1 as far as Amazon keeps the order: with nothing queued or due, the last record sent is the newest."""
        simulation = self.simulation
        is_idle = not simulation.workers and not simulation.queue
        if is_idle and simulation.order_is_kept:
            for member, changes in simulation.stated().items():
                change = newest(changes)
                version = change.version
                if (
                    member in simulation.last_sent
                    and simulation.parked.get(member, (-1,)) < version
                    and not simulation.may_be_moot(change)
                ):
                    assert simulation.last_sent[member] == version, "an older record was sent last"

    def teardown(self) -> None:
        try:
            self._drain()
            self._check_result()
            for person in MEMBERS if self.simulation.is_shared else ():
                self.simulation.move(person)
            self.simulation.renew()  # when nothing else happens, it changes no membership
            self._drain()
            self._check_result()
        finally:
            running: list[Worker | Check] = [*self.simulation.workers, *self.simulation.checks]
            for each in running:
                each.task.kill()

    def _drain(self) -> None:
        """Stop all faults, and run workers until the queue is empty and all jobs have ended."""
        simulation = self.simulation
        simulation.refused.clear()
        self.down.clear()
        for _ in range(ROUNDS):
            running: list[Worker | Check] = [
                *reversed(simulation.workers),
                *simulation.checks,
            ]  # the newest worker first
            for each in running:
                self._finish(each)
            self.the_last_upload_is_the_newest()
            for body in simulation.dead_letters[:]:
                simulation.redrive(body)
            waiting = [*simulation.queue, *simulation.job_messages]
            if not waiting:
                simulation.pass_time(CHECK_OF_ERASURES, ORDERS[1])
                if not simulation.check_erasures():
                    break
                continue
            if not simulation.visible() and not simulation.visible_jobs():
                simulation.pass_time(min(message.visible_at for message in waiting) - simulation.now, ORDERS[1])
            for message in simulation.visible_jobs():
                simulation.check(message)
            if simulation.visible():
                simulation.receive(simulation.visible()[:3])
            self.nothing_is_lost()
        else:
            raise AssertionError("the queues do not become empty")
        last = max((job.ends_by - simulation.now for job in simulation.jobs), default=0.0)
        simulation.pass_time(max(5000.0, last), ORDERS[1])

    def _check_result(self) -> None:
        simulation = self.simulation
        for member, changes in simulation.stated().items():
            held, decides = simulation.held_by(member), newest(changes)
            if decides.exits:
                assert held == set(), "O2: the newest change is an exit, and the member is in"
            else:
                assert held.issuperset(emails(decides)), "O1: the newest change is an enter, and the member is out"
            assert not held & removed(changes), "an identity of an earlier life is in"
            kept = erased(changes) & simulation.identities_of(member)
            assert not kept, "P: a deletion was requested, and identifiers of before are kept"
            entered = max((simulation.noticed[each.version] for each in changes if each.erase), default=0)
            deleted = simulation.datasets.deleted.get(member[1], 0)
            assert deleted >= entered, "P: a deletion was requested, and Amazon was not asked for it"
            bound = RECORDS_OF_A_DELIVERY * simulation.deliveries[member] + RECORDS_OF_A_NOTICE
            assert simulation.records[member] <= bound, "R: uploads go on after the changes"
        for person in MEMBERS:
            member = EVERY_AUDIENCE, person
            assert simulation.records[member] <= simulation.deliveries[member], "R: people are deleted on and on"
        counted = sum(simulation.counts.values())
        accepted = sum(simulation.accepted_at.values())
        assert counted >= accepted, "D6: changes without an outcome"
        if simulation.counts_are_exact:
            assert counted == accepted, "D6: changes counted twice"
        for moment, number in simulation.accepted_at.items():
            assert simulation.completed[moment] >= number, "D6: a gap in the audit where nothing is lost"

    def _worker(self, which: int) -> Worker:
        return pick(self.simulation.workers, which)

    def _sending(self) -> list[Worker | Check]:
        running: list[Worker | Check] = [*self.simulation.workers, *self.simulation.checks]
        return [each for each in running if each.task.about_to in ("upload", "deletion")]

    def _finish(self, worker: Worker | Check) -> None:
        while not worker.task.is_done:
            self._step(worker)

    def _step(self, worker: Worker | Check, outcome: Callable[[], Any] | None = None) -> None:
        if outcome is None and worker.task.about_to in self.down:
            outcome = next(iter(FAULTS[worker.task.about_to].values()))
        worker.task.step(outcome)
        if worker.task.is_done:
            running: list[Any] = self.simulation.workers if isinstance(worker, Worker) else self.simulation.checks
            running.remove(worker)


class OnDataset(Protocol):
    """The same on a dataset."""

    audiences = (DATASET,)


class OnBoth(Protocol):
    """The same on an audience of each API. A deletion notice reaches both, other events one or both."""

    audiences = (AUDIENCE, DATASET)

    @rule(which=WHICH)
    def move(self, which: int) -> None:
        """The last audience gets the first one's events, and then those members whose rows are up to date."""
        self.simulation.share()
        person = pick(MEMBERS, which)
        if self.simulation.may_move(person):
            self.simulation.move(person)


class OnTwoDatasets(OnBoth):
    """The same on two datasets: a person's identities are deleted in both."""

    audiences = (DATASET, SECOND_DATASET)


def search(
    machine: type[Protocol],
    examples: int,
    *,
    phases: Collection[Phase] = tuple(Phase),
    derandomize: bool = True,
) -> None:
    """Run this many examples. Raises the first assertion or error that one of them raises."""
    found = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        phases=phases,
        derandomize=derandomize,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=found)


@pytest.mark.parametrize(
    ("machine", "examples"), [(Protocol, 200), (OnDataset, 100), (OnBoth, 100), (OnTwoDatasets, 100)]
)
def test_the_newest_change_wins_and_none_is_lost_whatever_happens(machine: type[Protocol], examples: int) -> None:
    search(machine, 3000 if NIGHTLY else examples, derandomize=not NIGHTLY)
