"""One simulation: Segment, Lambda, AWS, Amazon and an operator on one clock, and faults at any call.

Invocations run at the same time, each up to its next call to the outside. There the seeded schedule decides how long
the call takes, how it ends, and whether the invocation is killed over it; until then the others go on.
"""

import json
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import inf
from random import Random
from typing import TYPE_CHECKING

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.members.membership import Audience
from tests.soak.amazon import Amazon
from tests.soak.calls import Invocation
from tests.soak.clock import EPOCH, SimulatedClock
from tests.soak.cloudwatch import CloudWatch
from tests.soak.dead_letters import DeadLetters
from tests.soak.events import AUDIENCES, SegmentRequest, StatedChange, audiences_of
from tests.soak.faults import Faults
from tests.soak.lambda_service import Lambda
from tests.soak.network import Network
from tests.soak.operator import Operator
from tests.soak.process import answer_body, api_gateway_event, simulated
from tests.soak.profiles import LATE_ARRIVAL, Phase, Profile, Rates
from tests.soak.schedule import Schedule
from tests.soak.stack import Stack
from tests.soak.traffic import Traffic
from tests.support.aws_fixtures import EVENT_KEY

if TYPE_CHECKING:
    from tests.soak.held import Member

DAY = 86_400.0  # seconds
BETWEEN_EVENTS = 6.0  # seconds, on average
LONGEST_DRAIN = 10 * 86_400.0  # seconds in which everything must have ended once nothing fails any more
SETTLED = 7 * 3_600.0  # seconds of rest in which a check of erasures asks for what it finds missing
QUIET = 12 * 3_600.0  # seconds of rest in which nothing may be sent
STORM = 50  # records for each member while nothing fails any more, after which it is no use to go on
ROUNDS = 8  # of redriving what lies in the dead letters at the end


@dataclass(eq=False)
class Simulation:
    """The state of everything around the functions."""

    seed: int
    profile: Profile
    events: int
    is_traced: bool = False
    recursive_loop: str | None = None  # replaces the template's RecursiveLoop
    is_drained: bool = False
    rest: float = 0.0  # seconds from the last fault, change or redrive until nothing was sent, queued or pending
    sent_at_rest: int = 0  # uploads after that

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.clock = SimulatedClock()
        self.schedule = Schedule(self.clock)
        self.faults = Faults(self.profile, self.clock, self.schedule, self.random)
        self.network = Network(self.clock, self.schedule, self.random, self.faults)
        self.network.is_traced = self.is_traced
        self.amazon = Amazon(self.clock, self.random, self.schedule.at, self.seed)
        self.amazon.profile = self.profile
        self.cloudwatch = CloudWatch()
        token, expires_at = self.amazon.new_token()
        stored = {"accessToken": token, "expiresAt": expires_at}
        self.listed = self._audiences()
        self.stack = Stack(self.clock, self.random, self.faults.fails_partly, stored, self.recursive_loop, self.listed)
        self.network.recounts = self.stack.queue("ChangeQueue").recounts
        self._in_event_queue: dict[str, list[SegmentRequest]] = {}  # by body
        self.stack.queue("EventsQueue").on_end.append(self._event_message_ended)
        self.stack.queue("JobQueue").on_put.append(lambda message: self.amazon.track(message.body))
        self.functions = Lambda(self.clock, self.schedule, self.random, self.faults, self.network, self.stack)
        self.dead_letters = DeadLetters(self.stack, self.amazon, self.clock, self.random)
        self.traffic = Traffic(self.random, self.profile, round(self.events * self.profile.share))
        self.amazon.refused_identities = self.traffic.refused_identities
        self.amazon.datasets.deletes = self.profile.deletes or self.amazon.datasets.deletes
        self.accepted_at: dict[StatedChange, float] = {}  # when ingest first answered 200
        self.last_accepted: dict[Member, float] = {}  # when ingest last did so for a change of a member
        self.renewals: list[float] = []  # when the renewal ran
        acts = any(phase.acts for phase in self.profile.phases)
        self.operator = Operator(self, Random(self.seed + 3)) if self.profile.commands or acts else None
        self._failing: list[str] = []
        self._failed_renewals = 0  # in a row, that are still to come
        self.waiting_requests = 0

    def run(self) -> None:
        """Run to the end: events and faults, then a time without faults in which everything must come to rest."""
        jitter = Random(self.seed + 1)
        amazon, cloudwatch = self.amazon, self.cloudwatch
        with simulated(self.clock, self.stack, amazon, cloudwatch, jitter) as handlers, self.operator or nullcontext():
            try:
                self.functions.deploy(handlers)
                self._begin()
                self.schedule.run_while(lambda: not self.faults.have_ended)
                self.is_drained = self._drain()
                for _ in range(ROUNDS):
                    if not self.dead_letters.bodies() or not self.is_drained:
                        break
                    self.dead_letters.redrive(self.traffic.stated)
                    self.is_drained = self._drain()
                if self.is_drained:
                    before = self.amazon.uploads
                    self.schedule.run_for(QUIET)
                    self.sent_at_rest = self.amazon.uploads - before
                else:  # given up: some requests may never have been accepted
                    for change in chain.from_iterable(self.traffic.stated.values()):
                        self.accepted_at.setdefault(change, inf)
                self.amazon.datasets.end_deletions()
            finally:
                self.functions.stop()

    def _drain(self) -> bool:
        """Go on until nothing is under way any more; return whether that happened in time, and without a storm."""
        begun, records = self.clock.now, self.amazon.records
        limit = begun + LONGEST_DRAIN
        most = records + STORM * len(self.traffic.stated)
        while self.clock.now < limit and self.amazon.records < most:
            self.schedule.run_while(
                lambda: not self._is_at_rest and self.clock.now < limit and self.amazon.records < most
            )
            rested, uploads = self.clock.now, self.amazon.uploads
            self.schedule.run_for(SETTLED if self.profile.datasets else LATE_ARRIVAL + 1)
            if self._is_at_rest and self.amazon.uploads == uploads:
                self.rest = max(self.rest, rested - max([begun, *self.last_accepted.values()]))
                return True
        return False

    @property
    def _is_at_rest(self) -> bool:
        is_alone = self.operator is None or self.operator.is_over
        is_idle = self.functions.is_idle and not (self.waiting_requests or self.amazon.unfinished)
        return is_alone and is_idle

    def _audiences(self) -> list[Audience]:
        """Return the audiences that are listed, with the ttl of the profile."""
        profile = self.profile
        audiences = audiences_of(profile.datasets, shared_key=profile.shared_key)
        if not profile.ttls:
            return audiences
        ttl = profile.ttls[self.seed % len(profile.ttls)]
        self.amazon.ttls = {each.audience_id: ttl for each in audiences if has_jobs(each.destination)}
        settings = {"renew": True, "ttl": round(ttl)}
        return [replace(each, settings=settings if each.audience_id in self.amazon.ttls else {}) for each in audiences]

    def _begin(self) -> None:
        self.schedule.after(0.0, self._next_request)
        self._begin_schedules()
        if self.events:
            if self.profile.ttls:
                self.schedule.after(self.random.uniform(0.0, DAY), self._renew_daily)
            elif len(self.profile.phases) == 1:  # one an hour would be most of the traffic of days
                self.schedule.after(1800.0, self._repeat_renewal)
            self.schedule.after(1200.0, self._repeat_redrive)
            self.faults.begin_outages()

    # Segment

    def _next_request(self) -> None:
        if phase := self.traffic.next_phase():
            self.schedule.after(phase.pause, partial(self._begin_phase, phase))
            return
        request = self.traffic.next_request(self.clock.milliseconds())
        if request is None:
            self.schedule.after(self.profile.lasts, self._stop_faults)
            return
        self.waiting_requests += 1
        delay = self.random.uniform(0.0, self.profile.delay) ** self.random.choice([1.0, 0.5, 0.2])
        self.schedule.after(delay, partial(self._send, request))
        if self.random.random() < self.profile.duplicates:
            self.waiting_requests += 1
            self.schedule.after(delay + self.random.uniform(0.0, 1800.0), partial(self._send, request))
        if self.operator:
            self.operator.may_run()
        if self.random.random() < self.profile.by_hand:
            self.stack.send("ChangeQueue", self.random.choice(_BY_HAND))
        self.schedule.after(self.random.expovariate(1 / (BETWEEN_EVENTS * len(request.events))), self._next_request)

    def _begin_phase(self, phase: Phase) -> None:
        for kind in self._failing:
            self.fail(kind, 0.0)
        self._failing = [phase.fails[self.seed % len(phase.fails)]] if phase.fails else []
        for kind in self._failing:
            self.fail(kind, inf)
        if self.operator:
            self.operator.perform(phase.acts, self._next_request)
        else:
            self._next_request()

    def fail(self, kind: str, until: float) -> None:
        """Let all calls of a kind, a field of Profile, fail until an epoch second; or Amazon's refusals of a kind."""
        if kind == "removals" or kind.startswith("deletions"):
            self.amazon.refused_until[kind] = until
        else:
            self.faults.set_outage(kind, until, Rates(refused=1.0))
            if kind == "checks":
                self.amazon.revoke_tokens()  # without a login, the last one would be good for an hour

    def _send(self, request: SegmentRequest) -> None:
        if self.profile.event_queue and self.random.random() < self.profile.event_queue:
            self._in_event_queue.setdefault(request.body, []).append(request)
            self.stack.send("EventsQueue", request.body)
            return
        event = api_gateway_event(request.body, EVENT_KEY)
        self.functions.invoke("IngestFunction", event, partial(self._answered, request))

    def _event_message_ended(self, body: str, is_done: bool) -> None:
        waiting = self._in_event_queue[body]
        if not waiting:  # another copy
            return
        if is_done:
            self._accepted(waiting.pop())
        else:
            self.network.recounts.changes += len(waiting[0].stated)  # some may be in the change queue

    def _answered(self, request: SegmentRequest, invocation: Invocation) -> None:
        answer = invocation.answer
        is_answered = answer is not None and answer["statusCode"] in (200, 400 if request.rejected else 200)
        if answer is None or not is_answered:
            assert answer is None or answer["statusCode"] == 503, answer
            self.network.recounts.changes += len(request.stated)  # some may be in the queue
            self.schedule.after(self.random.uniform(5.0, 60.0), partial(self._send, request))
            return
        body = answer_body(answer)
        assert (body["accepted"], body["rejected"]) == (len(request.events) - request.rejected, request.rejected), body
        self._accepted(request)

    def _accepted(self, request: SegmentRequest) -> None:
        self.waiting_requests -= 1
        for change in request.stated:
            self.accepted_at.setdefault(change, self.clock.now)
            self.last_accepted[change.member] = self.clock.now

    # What happens from time to time

    def _begin_schedules(self) -> None:
        self.schedule.after(600.0, self._repeat_refresh)
        self.schedule.after(1500.0, self._repeat_audit)

    def _stop_faults(self) -> None:
        self.faults.end()
        self.amazon.profile = self.faults.profile
        self.amazon.refused_until.clear()
        self.amazon.ttls.clear()  # since nothing is renewed any more

    def _repeat_refresh(self) -> None:
        self.functions.invoke("RefreshFunction", {})
        self.schedule.after(self._every(1200.0), self._repeat_refresh)

    def _repeat_audit(self) -> None:
        """Every six hours it also checks the erasures."""
        self.functions.invoke("AuditFunction", {})
        self.schedule.after(self._every(3600.0), self._repeat_audit)

    def _every(self, seconds: float) -> float:
        """Return the seconds until the next run: in the months after the first days, most would find nothing new."""
        checks_erasures = 6 * 3600.0  # the audit, in the first hour of these
        return seconds if self.clock.now < EPOCH + 2 * DAY else checks_erasures - self.clock.now % checks_erasures + 60

    def _repeat_renewal(self) -> None:
        if not self.faults.have_ended:
            self.renewals.append(self.clock.now)
            self.functions.invoke("RenewFunction", {})
            self.schedule.after(self.random.uniform(900.0, 3600.0), self._repeat_renewal)

    def _renew_daily(self) -> None:
        """Renew once a day, but let some runs fail, and rows that have expired be deleted."""
        if self.faults.have_ended:
            return
        self.stack.members.expire()
        most = min(14, round(min(self.amazon.ttls.values()) / DAY) // 2) - 1  # fewer than the runbook says
        if self._failed_renewals < 0 and self.random.random() < 0.4:  # not twice in a row
            self._failed_renewals = self.random.randint(0, most)
        self._failed_renewals -= 1
        if self._failed_renewals < 0:
            self.renewals.append(self.clock.now)
            self.functions.invoke("RenewFunction", {})
        self.schedule.after(DAY, self._renew_daily)

    def _repeat_redrive(self) -> None:
        if self.profile.is_redriven and not self.faults.have_ended:
            self.dead_letters.redrive(self.traffic.stated, share=0.5)
            self.schedule.after(self.random.uniform(600.0, 3600.0), self._repeat_redrive)


_RECORD = {"externalUserId": "by_hand", "action": "CREATE", "hashedPII": [{"email": "\ud800"}], "userConsent": {}}
_CHANGE = {"at": 1_800_000_000_000, "id": "by-hand", "record": _RECORD}
_BY_HAND = [
    "not JSON",
    '{"v": 99}',
    json.dumps({"v": 1, "audienceId": AUDIENCES[0].audience_id, "connectionId": None, "changes": [_CHANGE]}),
]
