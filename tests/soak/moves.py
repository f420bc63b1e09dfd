"""An operator who moves an audience while traffic goes on, ends the old one, and moves it back.

Uses the parts of the commands `audiences move` and `audiences end`, on the tables and queues of the simulation. Their
own calls do not fail: a repeated run is the same as a first one. They read some rows at a time, and what they read is
sent a while later.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import batched
from random import Random
from typing import TYPE_CHECKING

from audience_sync.amazon_ads.destination import of_advertiser, of_data_manager
from audience_sync.amazon_ads.timings import Timings
from audience_sync.aws.audience_table import AudienceTable
from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.ingest.record_rules import Policy
from audience_sync.members.membership import Audience, MembershipChange
from audience_sync.members.messages import DeliveryHistory, pack
from audience_sync.runtime.metric_names import CHANGES_ACCEPTED, CHANGES_COMPLETED
from audience_sync_cli.moves.emptying import Emptying
from audience_sync_cli.moves.end_plan import EndPlan
from audience_sync_cli.moves.filling import Filling
from audience_sync_cli.moves.waiting import LISTING
from tests.doubles.dynamodb import DynamoDb
from tests.soak.events import MOVED
from tests.soak.profiles import EFFECTIVE, JOB_SECONDS

if TYPE_CHECKING:
    from tests.soak.held import Member
    from tests.soak.simulation import Simulation

MOVES = (  # the audience, and epoch seconds from the beginning at which it is moved and the old one ended
    (Audience("dataset-moved-1", "Moved", "US", of_data_manager()), 400.0, 700.0),
    (Audience("900000000000000002", "Moved back", "US", of_advertiser("590071284455661234")), 900.0, 1300.0),
)
READ = 7  # rows at a time
LONGEST_READ = 60.0  # seconds from reading some rows until their changes are in the queue
BETWEEN_SWEEPS = (300.0, 3600.0)  # seconds
POLL_INTERVAL = 60.0  # seconds


@dataclass
class _Held:
    """Receives changes, and keeps them."""

    changes: list[MembershipChange] = field(default_factory=list)

    def take(self, row: int, change: MembershipChange | None) -> None:
        """Keep a change."""
        del row
        if change is not None:
            self.changes.append(change)


class Moves:
    """Moves one audience, and knows where its members belong."""

    def __init__(self, simulation: "Simulation", random: Random) -> None:
        self.current = MOVED  # that events reach at the end
        self.former: list[Audience] = []  # ended, or to be ended
        self._simulation = simulation
        self._random = random
        self._unfinished = 0
        self._ended: list[EndPlan] = []
        dynamodb = DynamoDb(*simulation.stack.tables)
        environment = simulation.stack.environment()
        table, sharding = environment["MEMBERSHIP_TABLE"], Sharding(int(environment["MEMBERSHIP_SHARDS"]))
        clock = Clock(simulation.clock.time, simulation.clock.monotonic, lambda _: None)
        self._members = MembershipTable(dynamodb, table, sharding, clock)  # type: ignore[arg-type]
        self._scan = MembershipScan(dynamodb, table, sharding)  # type: ignore[arg-type]
        self._table = AudienceTable(dynamodb, environment["AUDIENCE_TABLE"])  # type: ignore[arg-type]
        for target, moved_at, ended_at in MOVES:
            self._unfinished += 2
            simulation.schedule.after(moved_at, partial(self._move, target))
            simulation.schedule.after(ended_at, self._end)

    @property
    def is_over(self) -> bool:
        """Whether every move has ended."""
        return not self._unfinished

    def of(self, member: "Member") -> "Member":
        """Return the member of the audience that holds the members of a stated one at the end."""
        return (self.current.audience_id, member[1]) if member[0] == MOVED.audience_id else member

    def formerly(self, member: "Member") -> "list[Member]":
        """Return the member of each audience from which everybody must be gone."""
        return [(each.audience_id, member[1]) for each in self.former] if member[0] == MOVED.audience_id else []

    def repeat(self) -> None:
        """Repeat the command for the ended audiences, as after redriving dead letters about them."""
        ended, self._ended = self._ended, []
        for plan in ended:
            self._unfinished += 1
            self._simulation.schedule.after(POLL_INTERVAL, partial(self._sweep, plan))

    # Moving

    def _move(self, target: Audience) -> None:
        source, self.current = self.current, replace(target, computation_key=MOVED.computation_key, also=True)
        self.former.append(source)
        self._table.put(self.current, created=0)
        self._simulation.schedule.after(LISTING, partial(self._fill, source))

    def _fill(self, source: Audience) -> None:
        filling = Filling(self._scan, self._members, source, self.current, Policy(), lapsed_by=0)
        for page in filling.transfers():
            for some in batched(page, READ, strict=False):
                self._send([change for _, found in some for change in found.changes])
        self._table.mark(source.audience_id, also=True, moved_to=self.current.audience_id)
        self._table.mark(self.current.audience_id, also=False, moved_to=None)
        self._unfinished -= 1

    def _end(self) -> None:
        now = self._simulation.clock.milliseconds()
        known = self._table.stored(self.former[-1].audience_id)
        assert known is not None
        self._table.unlink(known.audience_id, at=now)
        ended = replace(known, unlinked_at=now)
        plan = EndPlan(ended, self.current, takes_back=False, others=())
        self._simulation.schedule.after(LISTING, partial(self._await, plan, self._simulation.clock.now + LISTING))

    def _await(self, plan: EndPlan, until: float) -> None:
        """Sweep once the changes accepted before are completed."""
        if self._outstanding(until):
            self._simulation.schedule.after(POLL_INTERVAL, partial(self._await, plan, until))
        else:
            self._sweep(plan)

    def _sweep(self, plan: EndPlan) -> None:
        assert plan.target is not None
        simulation, held = self._simulation, _Held()
        target = self._reached(plan.target)
        filling = Filling(self._scan, self._members, plan.audience, target, Policy(), lapsed_by=0)
        timings = Timings(JOB_SECONDS, EFFECTIVE)
        emptying = Emptying(self._scan, plan.audience, filling, timings.of(plan.audience.destination))
        report = emptying.sweep(held, simulation.clock.time, lambda _: None)
        for some in batched(held.changes, READ, strict=False):
            self._send(some)
        if not report.remaining and not self._outstanding(report.sent_by):
            self._unfinished -= 1
            self._ended.append(plan)
        else:
            again = self._random.uniform(*BETWEEN_SWEEPS)
            simulation.schedule.after(again, partial(self._sweep, plan))

    def _reached(self, target: Audience) -> Audience:
        """Follow the moves to the audience that events reach now."""
        while (stored := self._table.stored(target.audience_id)) and stored.moved_to and stored.unlinked_at:
            following = self._table.stored(stored.moved_to)
            assert following is not None
            target = following
        return target

    def _send(self, changes: Sequence[MembershipChange]) -> None:
        """Put changes into the queue some time later, and count them as accepted then."""
        if changes:
            self._unfinished += 1
            self._simulation.schedule.after(self._random.uniform(0.0, LONGEST_READ), partial(self._put, tuple(changes)))

    def _put(self, changes: tuple[MembershipChange, ...]) -> None:
        simulation = self._simulation
        now = simulation.clock.milliseconds()
        simulation.cloudwatch.add(CHANGES_ACCEPTED, now, len(changes))
        for body in pack(changes, DeliveryHistory(first_at=now)):
            simulation.stack.queue("ChangeQueue").put(body)
        self._unfinished -= 1

    def _outstanding(self, until: float) -> int:
        """Return how many changes accepted by an epoch second are not completed."""
        cloudwatch = self._simulation.cloudwatch
        completed = cloudwatch.by_minute(CHANGES_COMPLETED)
        accepted = cloudwatch.by_minute(CHANGES_ACCEPTED).items()
        return sum(max(0, count - completed[minute]) for minute, count in accepted if minute <= until * 1000)
