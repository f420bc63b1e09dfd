"""One simulation: Segment, Lambda, AWS, Amazon and an operator on one clock, and faults at any call.

Invocations run at the same time, each up to its next call to the outside. There the seeded schedule decides how long
the call takes, how it ends, and whether the invocation is killed over it; until then the others go on.
"""

import hashlib
import heapq
import json
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from audience_sync.errors import InvalidMessage, TransientError
from audience_sync.membership import EVERY_AUDIENCE
from audience_sync.messages import DeadLetter
from local.template import QueueSource
from tests.aws_fixtures import EVENT_KEY
from tests.soak.amazon import Amazon, Member
from tests.soak.calls import Call, Environment, Invocation, Outcome
from tests.soak.clock import SimulatedClock
from tests.soak.cloudwatch import CloudWatch
from tests.soak.process import Handler, answer_body, api_gateway_event, simulated
from tests.soak.profiles import LATE_ARRIVAL, NONE, Profile, Rates, without_faults
from tests.soak.sqs import StoredMessage, StoredQueue, as_records
from tests.soak.stack import Stack
from tests.soak.traffic import AUDIENCES, SegmentRequest, StatedChange, Traffic

FUNCTIONS = {
    "IngestFunction": "ingest",
    "WorkerFunction": "worker",
    "JobsFunction": "jobs",
    "RenewFunction": "renew",
    "RefreshFunction": "refresh",
}
SCHEDULED = ("RenewFunction", "RefreshFunction")
BETWEEN_EVENTS = 6.0  # seconds, on average
LATE_AT_AWS = 5.0  # seconds after which a request that AWS did not answer may still be applied
LONGEST_DRAIN = 10 * 86_400.0  # seconds in which everything must have ended once nothing fails any more
ROUNDS = 8  # of redriving what lies in the dead letters at the end
LATENCY = {  # seconds, from and to, of most calls
    "sqs": (0.004, 0.03),
    "dynamodb": (0.002, 0.015),
    "secretsmanager": (0.01, 0.05),
    "login": (0.1, 0.5),
    "amazon": (0.1, 2.5),
}
SLOW = 0.03  # share of calls that take up to nine tenths of their timeout


@dataclass(eq=False)
class _Poller:
    """Lambda's poller of one queue."""

    source: QueueSource
    queue: StoredQueue
    planned: float = float("inf")  # when it looks next
    running: int = 0  # invocations


@dataclass(eq=False)
class Simulation:
    """The state of everything around the functions."""

    seed: int
    profile: Profile
    events: int
    is_traced: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    timeouts: Counter[str] = field(default_factory=Counter)  # by function
    crashes: Counter[str] = field(default_factory=Counter)  # by function and error
    failed_runs: Counter[str] = field(default_factory=Counter)  # of scheduled functions, as crashes
    invocations: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0  # dead letters without a reason
    misparked: list[tuple[Member, str]] = field(default_factory=list)  # member, and why it is wrong
    needless: list[Member] = field(default_factory=list)  # members of exits parked without an identifier
    redriven: int = 0
    is_drained: bool = False

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.clock = SimulatedClock()
        self.amazon = Amazon(self.clock, self.random, self._at)
        self.amazon.profile = self.profile
        self.cloudwatch = CloudWatch()
        token, expires_at = self.amazon.new_token()
        stored = {"accessToken": token, "expiresAt": expires_at}
        self.stack = Stack(self.clock, self.random, self._fails_partly, stored)
        self.traffic = Traffic(self.random, self.profile, self.events)
        self.amazon.refused_identities = self.traffic.refused_identities
        self.accepted_at: dict[StatedChange, float] = {}  # when ingest first answered 200
        self.digest = hashlib.sha256()
        self._handlers: dict[str, Handler] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._steps = 0
        self._in_flight: dict[int, Invocation] = {}
        self._idle: dict[str, list[Environment]] = {name: [] for name in FUNCTIONS}
        self._environments = 0
        self._waiting_requests = 0
        self._outages: dict[str, tuple[float, Rates]] = {}
        self._is_live = True  # events come, and things fail
        self._current_profile = self.profile
        self._pollers = [
            _Poller(source, self.stack.queue(source.queue)) for source in self.stack.sources() if source.enabled
        ]

    def run(self) -> None:
        """Run to the end: events and faults, then a time without faults in which everything must come to rest."""
        jitter = Random(self.seed + 1)
        with simulated(self.clock, self.stack, self.amazon, self.cloudwatch, jitter) as self._handlers:
            try:
                self._begin()
                self._run_while(lambda: self._is_live)
                self.is_drained = self._drain()
                for _ in range(ROUNDS):
                    before = self._dead_letter_bodies()
                    if not before or not self.is_drained:
                        break
                    self._redrive(share=1.0)
                    self.is_drained = self._drain()
            finally:
                for invocation in list(self._in_flight.values()):
                    invocation.kill()

    # The schedule

    def _at(self, moment: float, act: Callable[[], None]) -> None:
        self._steps += 1
        heapq.heappush(self._heap, (moment, self._steps, act))

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._at(self.clock.now + seconds, act)

    def _run_while(self, goes_on: Callable[[], bool]) -> None:
        while self._heap and goes_on():
            moment, _, act = heapq.heappop(self._heap)
            self.clock.now = max(self.clock.now, moment)
            act()

    def _drain(self) -> bool:
        """Go on until nothing is under way any more; return whether that happened in time."""
        limit = self.clock.now + LONGEST_DRAIN
        while self.clock.now < limit:
            self._run_while(lambda: not self._is_at_rest and self.clock.now < limit)
            self._run_for(LATE_ARRIVAL + 1)
            if self._is_at_rest:
                return True
        return False

    def _run_for(self, seconds: float) -> None:
        until = self.clock.now + seconds
        self._at(until, _nothing)
        self._run_while(lambda: self.clock.now < until)

    @property
    def _is_at_rest(self) -> bool:
        return not (
            self._in_flight
            or self._waiting_requests
            or self.amazon.unfinished
            or any(poller.queue.messages for poller in self._pollers)
        )

    def _begin(self) -> None:
        for poller in self._pollers:
            poller.queue.on_put = partial(self._message_put, poller)
        self.stack.queue("DeadLetterQueue").on_put = self._dead_letter_put
        self._after(0.0, self._next_request)
        self._after(600.0, self._repeat_refresh)
        if self.events:
            self._after(1800.0, self._repeat_renewal)
            self._after(1200.0, self._repeat_redrive)
            for kind in self.profile.outages:
                self._after(self.random.expovariate(1 / 1200), partial(self._outage, kind))

    # Segment

    def _next_request(self) -> None:
        request = self.traffic.next_request(self.clock.milliseconds())
        if request is None:
            self._stop_faults()
            return
        self._waiting_requests += 1
        delay = self.random.uniform(0.0, self.profile.delay) ** self.random.choice([1.0, 0.5, 0.2])
        self._after(delay, partial(self._send, request))
        if self.random.random() < self.profile.duplicates:
            self._waiting_requests += 1
            self._after(delay + self.random.uniform(0.0, 1800.0), partial(self._send, request))
        if self.random.random() < self.profile.by_hand:
            self.stack.queue("ChangeQueue").put(self.random.choice(_BY_HAND))
        self._after(self.random.expovariate(1 / (BETWEEN_EVENTS * len(request.events))), self._next_request)

    def _send(self, request: SegmentRequest) -> None:
        event = api_gateway_event(request.body, EVENT_KEY)
        self._invoke("IngestFunction", event, partial(self._answered, request))

    def _answered(self, request: SegmentRequest, invocation: Invocation) -> None:
        answer = invocation.answer
        if answer is None or answer["statusCode"] != 200:
            assert answer is None or answer["statusCode"] == 503, answer
            self._after(self.random.uniform(5.0, 60.0), partial(self._send, request))
            return
        body = answer_body(answer)
        assert body["accepted"] == len(request.events), body
        self._waiting_requests -= 1
        for change in request.stated:
            self.accepted_at.setdefault(change, self.clock.now)

    # Lambda

    def _message_put(self, poller: _Poller, message: StoredMessage) -> None:
        if poller.queue.name == "JobQueue":
            self.amazon.track(message.body)
        self._plan_poll(poller, message.visible_at)

    def _plan_poll(self, poller: _Poller, visible_at: float) -> None:
        moment = max(visible_at, self.clock.now) + self.random.uniform(0.0, poller.source.window + 1.0)
        if moment < poller.planned:
            poller.planned = moment
            self._at(moment, partial(self._poll, poller, moment))

    def _poll(self, poller: _Poller, moment: float) -> None:
        if poller.planned != moment:
            return  # it has looked earlier
        poller.planned = float("inf")
        if poller.running < poller.source.concurrency:
            most = min(poller.source.batch_size, self.random.choice([1, 3, 10, 10, 50]))
            messages = poller.queue.receive(self.random, most, self._current_profile.duplicates)
            if messages:
                poller.running += 1
                records = as_records(poller.queue, messages)
                self._invoke(poller.source.function, {"Records": records}, partial(self._batch_ended, poller))
        self._plan_next(poller)

    def _plan_next(self, poller: _Poller) -> None:
        visible_at = poller.queue.next_visible()
        if visible_at is not None and poller.running < poller.source.concurrency:
            self._plan_poll(poller, visible_at)

    def _batch_ended(self, poller: _Poller, invocation: Invocation) -> None:
        poller.running -= 1
        if invocation.answer is not None:
            back = {failure["itemIdentifier"] for failure in invocation.answer["batchItemFailures"]}
            records = invocation.event["Records"]
            assert back <= {record["messageId"] for record in records}
            for record in records:
                is_kept = self.random.random() < self._current_profile.duplicates / 4
                if record["messageId"] not in back and not is_kept:
                    poller.queue.delete(record["receiptHandle"])
        self._plan_next(poller)

    def _invoke(self, function: str, event: dict[str, Any], on_end: Callable[[Invocation], None]) -> None:
        idle = self._idle[function]
        if idle and self.random.random() > 0.05:
            environment = idle.pop(self.random.randrange(len(idle)))
        else:
            self._environments += 1
            environment = Environment(self._environments, function)
        self.invocations[function] += 1
        number = self.invocations.total()
        deadline = self.clock.now + self.stack.timeout(function)
        handler = self._handlers[FUNCTIONS[function]]
        remaining = partial(self._remaining, deadline)
        invocation = Invocation(number, environment, handler, event, deadline, remaining, on_end)
        self._in_flight[number] = invocation
        invocation.start()
        self._at(deadline, partial(self._time_out, invocation))
        self._step(invocation, None)

    def _remaining(self, deadline: float) -> float:
        return deadline - self.clock.now

    def _step(self, invocation: Invocation, outcome: Outcome | None) -> None:
        """Let an invocation run to its next call, or to its end."""
        if invocation.is_over:
            return
        invocation.task.step(outcome)
        if not invocation.task.is_done:
            self._carry_out(invocation, 1)
            return
        invocation.is_over = True
        del self._in_flight[invocation.number]
        self._idle[invocation.environment.function].append(invocation.environment)
        if invocation.failure is not None:
            function = invocation.environment.function
            # The schedule is the retry of these: where a service does not answer, a run may fail.
            may_fail = function in SCHEDULED and isinstance(invocation.failure, TransientError)
            counter = self.failed_runs if may_fail else self.crashes
            counter[f"{function}: {_place(invocation.failure)}"] += 1
        invocation.on_end(invocation)

    def _kill(self, invocation: Invocation) -> None:
        if invocation.is_over:
            return
        invocation.kill()
        invocation.answer = None
        del self._in_flight[invocation.number]
        invocation.on_end(invocation)

    def _time_out(self, invocation: Invocation) -> None:
        if not invocation.is_over:
            self.timeouts[invocation.environment.function] += 1
            self._kill(invocation)

    # Calls

    def _carry_out(self, invocation: Invocation, attempt: int) -> None:
        """Decide how the call goes that an invocation is about to make."""
        call = invocation.pending
        assert call is not None
        random = self.random
        self.calls[call.service] += 1
        if call.service == "sleep":
            self._after(call.timeout, partial(self._step, invocation, call.act))
            return
        kind = _drawn(self._rates(call), random)
        travel, back = self._latency(call)
        if self.is_traced:
            self._trace(f"{invocation.environment.function} {invocation.number}: {call.operation} {call.target} {kind}")
        self.digest.update(f"{self.clock.now:.6f} {invocation.number} {call.operation} {kind}\n".encode())
        if random.random() < self._current_profile.kills:
            self.kills += 1
            self._after(random.uniform(0.0, travel + back), partial(self._kill, invocation))
        error_kind = (
            "refused" if kind == "refused" else "timeout" if kind == "hang" else random.choice(["timeout", "reset"])
        )
        waited = call.timeout if error_kind == "timeout" else travel + back
        fail = partial(self._fail, invocation, call, error_kind, attempt)
        match kind:
            case "ok":
                self._after(travel, partial(self._apply, invocation, call, back))
            case "lost":
                self._after(min(travel, waited), partial(_apply, call))
                self._after(waited, fail)
            case "late":
                most = LATE_ARRIVAL if call.service == "amazon" else LATE_AT_AWS
                self._after(waited + random.uniform(0.0, most), partial(_apply, call))
                self._after(waited, fail)
            case _:
                self._after(waited, fail)

    def _apply(self, invocation: Invocation, call: Call, back: float) -> None:
        self._after(back, partial(self._step, invocation, _attempt(call)))

    def _fail(self, invocation: Invocation, call: Call, kind: str, attempt: int) -> None:
        if invocation.is_over:
            return
        if attempt < call.attempts:
            self._carry_out(invocation, attempt + 1)  # as the client does by itself
        else:
            self._step(invocation, partial(_raise, call.error(kind)))

    def _latency(self, call: Call) -> tuple[float, float]:
        """Return for how long the request and its answer travel, in seconds."""
        low, high = LATENCY[call.service]
        whole = self.random.uniform(low, high)
        if self.random.random() < SLOW:
            whole = self.random.uniform(0.0, call.timeout * 0.9)
        share = self.random.random()
        return whole * share, whole * (1 - share)

    def _rates(self, call: Call) -> Rates:
        kind = _kind(call)
        until, rates = self._outages.get(kind, (0.0, NONE))
        if self.clock.now < until:
            return rates
        usual: Rates = getattr(self._current_profile, kind)
        return usual

    def _fails_partly(self) -> bool:
        share = self._current_profile.partly
        return share > 0 and self.random.random() < share

    # What happens from time to time

    def _outage(self, kind: str) -> None:
        if not self._is_live:
            return
        rates = self.random.choice([Rates(refused=0.95), Rates(hang=0.7, refused=0.25), Rates(refused=0.5, late=0.2)])
        lasts = self.random.uniform(60.0, self.random.choice([900.0, 900.0, self.profile.longest_outage]))
        self._outages[kind] = (self.clock.now + lasts, rates)
        self._after(lasts + self.random.expovariate(1 / 2400), partial(self._outage, kind))

    def _stop_faults(self) -> None:
        self._is_live = False
        self._outages.clear()
        self._current_profile = self.amazon.profile = without_faults(self.profile)

    def _repeat_refresh(self) -> None:
        self._invoke("RefreshFunction", {}, _ignore)
        self._after(1200.0, self._repeat_refresh)

    def _repeat_renewal(self) -> None:
        if self._is_live:
            self._invoke("RenewFunction", {}, _ignore)
            self._after(self.random.uniform(900.0, 3600.0), self._repeat_renewal)

    def _repeat_redrive(self) -> None:
        if self._is_live:
            self._redrive(share=0.5)
            self._after(self.random.uniform(600.0, 3600.0), self._repeat_redrive)

    def _dead_letter_put(self, message: StoredMessage) -> None:
        if not message.reason and not _failure(message.body).get("reason"):
            self.unexplained += 1
        if _failure(message.body).get("reason") == "no_identifier":
            records = dead_letter_records(message.body)
            self.needless += [member for member, record in records if record["action"] == "DELETE"]
        self._compare_with_job(message.body)

    def _compare_with_job(self, body: str) -> None:
        """Compare what was parked because of a job with what that job has rejected."""
        job = self.amazon.jobs.get(str(_failure(body).get("requestId")))
        if job is None:
            return
        for member, parked in dead_letter_records(body):
            sent = [record for record in job.records if record["externalUserId"] == member[1]]
            if all(record["action"] != parked["action"] for record in sent):
                self.misparked.append((member, f"{job.job_id} did not hold this {parked['action']}"))
            elif parked["action"] == "CREATE" and all(_is_foreign(parked, record) for record in sent):
                self.misparked.append((member, f"{job.job_id} did not hold these identities"))

    def _redrive(self, share: float) -> None:
        """Send dead letters to the change queue, as an operator does. Those that name no known member are deleted."""
        queue = self.stack.queue("DeadLetterQueue")
        for message in list(queue.messages.values()):
            if self.random.random() > share:
                continue
            queue.delete(message.handle)
            bodies = redrive_bodies(message.body)
            members = dead_letter_members(message.body)
            if any(member in self.traffic.stated or member[0] == EVERY_AUDIENCE for member in members):
                self.redriven += 1
                for body in bodies:
                    self.stack.queue("ChangeQueue").put(body)

    def _dead_letter_bodies(self) -> list[str]:
        return [message.body for message in self.stack.queue("DeadLetterQueue").messages.values()]

    def _trace(self, line: str) -> None:
        print(f"{self.clock.monotonic():10.3f} {line}")  # noqa: T201 - asked for on the command line


def redrive_bodies(body: str) -> list[str]:
    """Return what redriving a dead letter sends; nothing for one that cannot be read."""
    try:
        return DeadLetter.from_body(body).redrive_bodies()
    except InvalidMessage:
        return []


def dead_letter_records(body: str) -> list[tuple[Member, dict[str, Any]]]:
    """Return the records that a dead parked holds, with their members; none for one that cannot be read."""
    try:
        parked = json.loads(body)
        records = [change["record"] for change in parked["changes"]]
        return [((parked["audienceId"], record["externalUserId"]), record) for record in records]
    except (ValueError, KeyError, TypeError):
        return []


def dead_letter_members(body: str) -> set[Member]:
    """Return the members that a dead letter is about."""
    return {member for member, _ in dead_letter_records(body)}


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
            is_job = call.target == "JobQueue" and call.operation.startswith("SendMessage")
            return "job_queue" if is_job else "queues"
    return "secrets"


def _drawn(rates: Rates, random: Random) -> str:
    if not rates.total:
        return "ok"
    chance = random.random()
    for kind in ("refused", "lost", "late", "hang"):
        chance -= getattr(rates, kind)
        if chance < 0:
            return kind
    return "ok"


def _attempt(call: Call) -> Outcome:
    """Have the service act, and return what its client returns or raises then."""
    try:
        answer = call.act()
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - handed to the invocation
        return partial(_raise, error)
    return partial(_return, answer)


def _apply(call: Call) -> None:
    """Have the service act on a call whose answer its client does not get."""
    _attempt(call)


def _return(answer: Any) -> Any:
    return answer


def _raise(error: Exception) -> Any:
    raise error


def _nothing() -> None:
    return None


def _ignore(_invocation: Invocation) -> None:
    return None


def _failure(body: str) -> dict[str, Any]:
    """Return why a dead letter was parked; empty where it does not say."""
    try:
        failure = json.loads(body)["failure"]
    except (ValueError, KeyError, TypeError):
        return {}
    return failure if isinstance(failure, dict) else {}


def _is_foreign(parked: dict[str, Any], sent: dict[str, Any]) -> bool:
    """Return whether two records have no identity in common."""
    return not any(identity in sent["hashedPII"] for identity in parked["hashedPII"])


def _place(failure: BaseException) -> str:
    """Name an error and the line that raised it."""
    frames = traceback.extract_tb(failure.__traceback__)
    ours = [frame for frame in frames if "audience_sync" in frame.filename or "functions" in frame.filename]
    place = ours[-1] if ours else frames[-1]
    # Errors of programming, of which an assertion of a service in memory is one, say what is wrong in their text.
    text = f" ({failure})"[:160] if isinstance(failure, (AssertionError, AttributeError, TypeError, KeyError)) else ""
    return f"{type(failure).__name__} at {place.filename.rsplit('/', 2)[-1]}:{place.lineno}{text}"


_BY_HAND = [
    "not JSON",
    '{"v": 99}',
    json.dumps(
        {
            "v": 1,
            "audienceId": AUDIENCES[0].audience_id,
            "connectionId": None,
            "changes": [
                {
                    "at": 1_800_000_000_000,
                    "id": "by-hand",
                    "record": {
                        "externalUserId": "by_hand",
                        "action": "CREATE",
                        "hashedPII": [{"email": "\ud800"}],
                        "userConsent": {},
                    },
                }
            ],
        }
    ),
]
