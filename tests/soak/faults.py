"""Which calls fail at this moment, and how: by the profile's rates, and in outages."""

from dataclasses import dataclass
from functools import partial
from random import Random

from tests.soak.calls import Call
from tests.soak.clock import EPOCH, SimulatedClock
from tests.soak.profiles import NONE, Profile, Rates, without_faults
from tests.soak.schedule import Schedule


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """The next calls of one kind fail."""

    kind: str  # a field of Profile that holds Rates
    ending: str  # a field of Rates
    after: float = 0.0  # seconds of the simulation
    times: int = 1  # calls; a client's own attempts are calls


class Faults:
    """The state of everything that may fail."""

    def __init__(self, profile: Profile, clock: SimulatedClock, schedule: Schedule, random: Random) -> None:
        self.profile = profile  # without faults, once they have ended
        self.have_ended = False
        self._whole = profile
        self._clock = clock
        self._schedule = schedule
        self._random = random
        self._outages: dict[str, tuple[float, Rates]] = {}
        self._planned: list[tuple[str, str]] = []  # kind and ending of each call that is planned to fail next

    def begin_outages(self) -> None:
        """Plan the first outage of each kind."""
        for kind in self.profile.outages:
            self._schedule.after(self._random.expovariate(1 / 1200), partial(self._outage, kind))

    def set_outage(self, kind: str, until: float, rates: Rates) -> None:
        """Have the calls of one kind fail until an epoch second."""
        self._outages[kind] = (until, rates)

    def plan(self, fault: PlannedFault) -> None:
        """Have the next calls of one kind fail, once that is due."""
        self._schedule.at(EPOCH + fault.after, lambda: self._planned.extend([(fault.kind, fault.ending)] * fault.times))

    def end(self) -> None:
        """Let nothing fail any more."""
        self.have_ended = True
        self._outages.clear()
        self.profile = without_faults(self._whole)

    def ending(self, call: Call) -> str:
        """Draw how a call ends: "ok", or a field of Rates."""
        kind = _kind(call)
        for planned in self._planned:
            if planned[0] == kind:
                self._planned.remove(planned)
                return planned[1]
        rates = self._rates(kind)
        if not rates.total:
            return "ok"
        chance = self._random.random()
        for ending in ("refused", "lost", "late", "hang"):
            chance -= getattr(rates, ending)
            if chance < 0:
                return ending
        return "ok"

    def fails_partly(self) -> bool:
        """Draw whether one entry, statement or key of a batch fails by itself."""
        share = self.profile.partly
        return share > 0 and self._random.random() < share

    def _rates(self, kind: str) -> Rates:
        until, rates = self._outages.get(kind, (0.0, NONE))
        if self._clock.now < until:
            return rates
        usual: Rates = getattr(self.profile, kind)
        return usual

    def _outage(self, kind: str) -> None:
        if self.have_ended:
            return
        rates = self._random.choice([Rates(refused=0.95), Rates(hang=0.7, refused=0.25), Rates(refused=0.5, late=0.2)])
        lasts = self._random.uniform(60.0, self._random.choice([900.0, 900.0, self._whole.longest_outage]))
        self.set_outage(kind, self._clock.now + lasts, rates)
        self._schedule.after(lasts + self._random.expovariate(1 / 2400), partial(self._outage, kind))


def _kind(call: Call) -> str:
    """Return the field of Profile that says how often a call fails."""
    match call.service:
        case "amazon" if call.target == "upload":
            return "uploads"
        case "amazon" | "login":
            return "checks"
        case "dynamodb":
            is_write = call.operation in ("PutItem", "UpdateItem", "DeleteItem")
            return "circuit_store" if call.target.startswith("#circuit") and is_write else "tables"
        case "sqs":
            is_job = call.target.endswith("-jobs") and call.operation.startswith("SendMessage")
            return "job_queue" if is_job else "queues"
    return "secrets"
