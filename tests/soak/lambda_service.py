"""Lambda in memory: pollers that turn messages into invocations, execution environments, timeouts and crashes."""

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import inf
from random import Random
from typing import Any

from audience_sync.errors import TransientError
from local.poller import record_of
from local.sqs.message import Received
from local.template import QueueSource
from tests.soak.calls import Environment, Invocation, Outcome
from tests.soak.clock import SimulatedClock
from tests.soak.faults import Faults
from tests.soak.network import Network
from tests.soak.process import Handler
from tests.soak.schedule import Schedule
from tests.soak.sqs import Queue
from tests.soak.stack import Stack
from tests.soak.trace import MAX_INVOCATIONS, next_invocation

FUNCTIONS = {
    "IngestFunction": "ingest",
    "EventsFunction": "events",
    "WorkerFunction": "worker",
    "JobsFunction": "jobs",
    "RenewFunction": "renew",
    "RefreshFunction": "refresh",
    "AuditFunction": "audit",
}
SCHEDULED = ("RenewFunction", "RefreshFunction", "AuditFunction")
COLD = 0.05  # share of invocations that start in a new environment although one is idle


@dataclass(eq=False)
class _Poller:
    """Lambda's poller of one queue."""

    source: QueueSource
    queue: Queue
    planned: float = float("inf")  # when it polls next
    running: int = 0  # invocations
    is_paused: bool = False


class Lambda:
    """All functions of the stack."""

    def __init__(
        self,
        clock: SimulatedClock,
        schedule: Schedule,
        random: Random,
        faults: Faults,
        network: Network,
        stack: Stack,
    ) -> None:
        self.invocations: Counter[str] = Counter()  # by function
        self.timeouts: Counter[str] = Counter()  # by function
        self.crashes: Counter[str] = Counter()  # by function and error
        self.failed_runs: Counter[str] = Counter()  # of scheduled functions, as crashes
        self.dropped: Counter[str] = Counter()  # by function: invocations refused as part of a recursive loop
        self._clock = clock
        self._schedule = schedule
        self._random = random
        self._faults = faults
        self._network = network
        network.connect(self._step, self._kill)
        self._stack = stack
        self._in_flight: dict[int, Invocation] = {}
        self._idle: dict[str, list[Environment]] = {name: [] for name in FUNCTIONS}
        self._environments = 0
        self._pollers = [
            _Poller(source, stack.queue(source.queue))
            for source in stack.sources(worker_batch_size=faults.profile.batch_size)
            if source.enabled
        ]
        for poller in self._pollers:
            poller.queue.on_change.append(partial(self._plan_poll, poller))

    def deploy(self, handlers: dict[str, Handler]) -> None:
        """Set the functions' code, by the names in FUNCTIONS."""
        self._handlers = handlers

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, and no queue that triggers a function holds a message."""
        return not (self._in_flight or any(not poller.queue.is_empty for poller in self._pollers))

    def invoke(
        self,
        function: str,
        event: dict[str, Any],
        on_end: Callable[[Invocation], None] | None = None,
        trace: str = "",
    ) -> None:
        """Start a function. `on_end` is called when it has ended, however it ended."""
        idle = self._idle[function]
        if idle and self._random.random() > COLD:
            environment = idle.pop(self._random.randrange(len(idle)))
        else:
            self._environments += 1
            offset = self._faults.profile.clock_offset
            slowest = -offset
            if function == "IngestFunction":
                # It counts a time ahead of its clock as now, where an exit beats an enter. A clock that is slow by
                # seconds, as no clock of AWS is, would make one moment of an exit and the enter after it.
                offset, slowest = min(offset, 2.0), 0.0
            drift = self._random.uniform(slowest, offset) if offset else 0.0
            environment = Environment(self._environments, function, drift)
        self.invocations[function] += 1
        number = self.invocations.total()
        deadline = self._clock.now + self._stack.timeout(function)
        handler = self._handlers[FUNCTIONS[function]]
        remaining = partial(self._remaining, deadline)
        invocation = Invocation(number, environment, handler, event, deadline, remaining, on_end or _ignore, trace)
        self._in_flight[number] = invocation
        invocation.start()
        self._schedule.at(deadline, partial(self._time_out, invocation))
        self._step(invocation, None)

    def run(self, name: str, command: Handler, on_end: Callable[[Invocation], None]) -> None:
        """Run something else that makes calls, such as an operator's command: like a function, without a timeout."""
        self._environments += 1
        self.invocations[name] += 1
        number, environment = self.invocations.total(), Environment(self._environments, name)
        invocation = Invocation(number, environment, command, {}, inf, partial(self._remaining, inf), on_end)
        self._in_flight[number] = invocation
        invocation.start()
        self._step(invocation, None)

    def stop(self) -> None:
        """Kill what still runs."""
        for invocation in list(self._in_flight.values()):
            invocation.kill()

    # Pollers

    def _plan_poll(self, poller: _Poller, visible_at: float) -> None:
        moment = max(visible_at, self._clock.now) + self._random.uniform(0.0, poller.source.window + 1.0)
        if moment < poller.planned:
            poller.planned = moment
            self._schedule.at(moment, partial(self._poll, poller, moment))

    def _poll(self, poller: _Poller, moment: float) -> None:
        if poller.planned != moment:
            return  # it has polled earlier
        poller.planned = float("inf")
        if poller.running < poller.source.concurrency and not poller.is_paused:
            most = min(poller.source.batch_size, self._random.choice([1, 3, 10, 10, 50]))
            profile = self._faults.profile
            poller.queue.duplicates, poller.queue.copies = profile.duplicates, profile.copies
            if received := self._stack.queues.receive_now(poller.queue.name, most):
                self._start_batch(poller, received)
        self._plan_next(poller)

    def _start_batch(self, poller: _Poller, received: list[Received]) -> None:
        function = poller.source.function
        trace, invocations = next_invocation((each.message.trace for each in received), function)
        if invocations > MAX_INVOCATIONS and not poller.source.may_loop:
            self.dropped[function] += 1
            return
        poller.running += 1
        records = [record_of(each, self._stack.arn(poller.source.queue)) for each in received]
        self.invoke(function, {"Records": records}, partial(self._batch_ended, poller), trace)

    def _plan_next(self, poller: _Poller) -> None:
        visible_at = poller.queue.next_visible(self._clock.now)
        if visible_at is not None and poller.running < poller.source.concurrency and not poller.is_paused:
            self._plan_poll(poller, visible_at)

    def _batch_ended(self, poller: _Poller, invocation: Invocation) -> None:
        poller.running -= 1
        if invocation.answer is not None:
            back = {failure["itemIdentifier"] for failure in invocation.answer["batchItemFailures"]}
            records = invocation.event["Records"]
            assert back <= {record["messageId"] for record in records}
            for record in records:
                for act in poller.queue.on_end:
                    act(record["body"], record["messageId"] not in back)
                is_kept = self._random.random() < self._faults.profile.duplicates / 4
                if record["messageId"] not in back and not is_kept:
                    poller.queue.delete(record["receiptHandle"], now=self._clock.now)
                elif record["messageId"] not in back:
                    poller.queue.recounts.add([record["body"]])
        else:  # it may have put changes back and queued exits, before it was stopped, and not counted them
            for act, record in product(poller.queue.on_end, invocation.event["Records"]):
                act(record["body"], False)
            poller.queue.recounts.add(record["body"] for record in invocation.event["Records"])
            poller.queue.recounts.add(invocation.stored.get(poller.queue.name, []))
        self._plan_next(poller)

    def pause(self, function: str, *, is_paused: bool) -> None:
        """Disable the trigger of a function, or enable it: what runs goes on, and messages stay in its queue."""
        for poller in self._pollers:
            if poller.source.function == function:
                poller.is_paused = is_paused
                self._plan_next(poller)

    def is_running(self, function: str) -> bool:
        """Return whether a function runs."""
        return any(each.environment.function == function for each in self._in_flight.values())

    # Invocations

    def _remaining(self, deadline: float) -> float:
        return deadline - self._clock.now

    def _step(self, invocation: Invocation, outcome: Outcome | None) -> None:
        """Let an invocation run to its next call, or to its end."""
        if invocation.is_over:
            return
        invocation.task.step(outcome)
        if not invocation.task.is_done:
            self._network.carry_out(invocation)
            return
        invocation.is_over = True
        del self._in_flight[invocation.number]
        self._idle.setdefault(invocation.environment.function, []).append(invocation.environment)
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


def _ignore(_invocation: Invocation) -> None:
    return None


def _place(failure: BaseException) -> str:
    """Name an error and the line that raised it."""
    frames = traceback.extract_tb(failure.__traceback__)
    ours = [frame for frame in frames if "audience_sync" in frame.filename or "functions" in frame.filename]
    place = ours[-1] if ours else frames[-1]
    # Errors of programming, of which an assertion of a service in memory is one, say what is wrong in their text.
    text = f" ({failure})"[:160] if isinstance(failure, (AssertionError, AttributeError, TypeError, KeyError)) else ""
    return f"{type(failure).__name__} at {place.filename.rsplit('/', 2)[-1]}:{place.lineno}{text}"
