"""A simulation of one scenario: what Segment sends when, how long Amazon's jobs take, and what fails."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Literal

from tests.soak.clock import EPOCH
from tests.soak.events import Event, audiences_of, deletion_notice, denial, membership_event
from tests.soak.faults import PlannedFault
from tests.soak.profiles import CALM
from tests.soak.simulation import Simulation

MINUTE = 60.0  # seconds
HOUR = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Sent:
    """One event. Consecutive ones of the same moment are in one request."""

    at: float  # seconds of the simulation
    kind: Literal["enter", "exit", "notice", "denial"]
    email: str = ""
    user: str = "user"
    dated: float | None = None  # seconds; the event's own time, if it differs
    ahead: float = 0.0  # seconds by which the sender's clock is fast; the change counts as of `at`
    times: int = 1  # requests
    to: int = 1  # of audiences_of; the first one is renewed

    def event(self, number: int, datasets: int) -> Event:
        """Build the event, with an id of its own."""
        audience = audiences_of(datasets)[self.to]
        at = round((EPOCH + (self.at if self.dated is None else self.dated)) * 1000)
        message_id = f"event-{number:04d}"
        if self.kind == "notice":
            return deletion_notice(self.user, at, message_id)
        if self.kind == "denial":
            return denial(audience, self.user, at, message_id)
        dated = at + round(self.ahead * 1000)
        event, stated = membership_event(audience, self.user, dated, self.email, message_id, is_in=self.kind == "enter")
        return event, [replace(each, version=each.version._replace(at=at)) for each in stated]


@dataclass(frozen=True, slots=True)
class Outage:
    """All calls of one kind are refused for some time."""

    kind: str  # see Simulation.fail
    begins: float  # seconds of the simulation
    ends: float


@dataclass(frozen=True, slots=True)
class Copies:
    """A message that is delivered more than once, whatever is done with it."""

    queue: str  # logical id
    after: float  # seconds of the simulation; the next message that is received then
    gaps: tuple[float, ...]  # seconds until each of the further deliveries


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that happens from outside."""

    name: str
    sent: tuple[Sent, ...]
    job_seconds: Callable[[int], float]  # of each upload, by its number, from 1
    batch_size: int = 0  # of the worker; 0: as in the template
    faults: tuple[PlannedFault, ...] = ()
    outages: tuple[Outage, ...] = ()
    copies: tuple[Copies, ...] = ()
    datasets: int = 0  # as in a profile
    deletes: str = ""
    event_queue: float = 0.0


class ScriptedSimulation(Simulation):
    """A simulation in which only what the scenario says happens."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int = 1,
        recursive_loop: str | None = None,
        is_traced: bool = False,
    ) -> None:
        profile = replace(
            CALM,
            name=scenario.name,
            batch_size=scenario.batch_size,
            datasets=scenario.datasets,
            deletes=scenario.deletes,
            event_queue=scenario.event_queue,
        )
        super().__init__(seed, profile, 0, is_traced=is_traced, recursive_loop=recursive_loop)
        self.scenario = scenario
        self.amazon.job_seconds = scenario.job_seconds

    def _begin(self) -> None:
        scenario = self.scenario
        numbered = enumerate(scenario.sent)
        for (at, times), together in groupby(numbered, key=lambda pair: (pair[1].at, pair[1].times)):
            events = [sent.event(number, scenario.datasets) for number, sent in together]
            stated = [change for _, changes in events for change in changes]
            request = self.traffic.request([event for event, _ in events], stated)
            for _ in range(times):
                self.waiting_requests += 1
                self.schedule.at(EPOCH + at, partial(self._send, request))
        for fault in scenario.faults:
            self.faults.plan(fault)
        for outage in scenario.outages:
            self.schedule.at(EPOCH + outage.begins, partial(self.fail, outage.kind, EPOCH + outage.ends))
        for copies in scenario.copies:
            queue = self.stack.queue(copies.queue)
            self.schedule.at(EPOCH + copies.after, partial(setattr, queue, "next_copies", [*copies.gaps]))
        last = max([*(sent.at for sent in scenario.sent), *(outage.ends for outage in scenario.outages)])
        self.schedule.at(EPOCH + last, self._stop_faults)
        self._begin_schedules()
