"""Carries calls from invocations to services: how long each takes, how it ends, and whether its caller is killed."""

import hashlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from tests.soak.calls import Call, Invocation, Outcome
from tests.soak.clock import SimulatedClock
from tests.soak.faults import Faults
from tests.soak.profiles import LATE_ARRIVAL
from tests.soak.recounts import Recounts
from tests.soak.schedule import Schedule

LATE_AT_AWS = 5.0  # seconds after which a request that AWS did not answer may still be applied
LATENCY = {  # seconds, from and to, of most calls
    "sqs": (0.004, 0.03),
    "dynamodb": (0.002, 0.015),
    "secretsmanager": (0.01, 0.05),
    "login": (0.1, 0.5),
    "amazon": (0.1, 2.5),
}


class Network:
    """Everything between the functions and the services that they call."""

    def __init__(self, clock: SimulatedClock, schedule: Schedule, random: Random, faults: Faults) -> None:
        self.calls: Counter[str] = Counter()  # by service
        self.digest = hashlib.sha256()
        self.is_traced = False
        self.recounts = Recounts()
        self._clock = clock
        self._schedule = schedule
        self._random = random
        self._faults = faults

    def connect(self, resume: Callable[[Invocation, Outcome], None], kill: Callable[[Invocation], None]) -> None:
        """Set how Lambda resumes an invocation that has made a call, and how it kills one."""
        self._resume, self._kill = resume, kill

    def carry_out(self, invocation: Invocation, attempt: int = 1) -> None:
        """Decide how the call goes that an invocation is about to make."""
        call = invocation.pending
        assert call is not None
        self.calls[call.service] += 1
        if call.service == "sleep":
            self._schedule.after(call.timeout, partial(self._resume, invocation, call.act))
            return
        ending = self._faults.ending(call)
        travel, back = self._latency(call)
        if self.is_traced:
            self._trace(
                f"{invocation.environment.function} {invocation.number}: {call.operation} {call.target} {ending}"
            )
        self.digest.update(f"{self._clock.now:.6f} {invocation.number} {call.operation} {ending}\n".encode())
        if self._random.random() < self._faults.profile.kills:
            self._schedule.after(self._random.uniform(0.0, travel + back), partial(self._kill, invocation))
        error = (
            "refused"
            if ending == "refused"
            else "timeout"
            if ending == "hang"
            else self._random.choice(["timeout", "reset"])
        )
        waited = call.timeout if error == "timeout" else travel + back
        fail = partial(self._fail, invocation, call, error, attempt)
        match ending:
            case "ok":
                self._schedule.after(travel, partial(self._apply, invocation, call, back))
            case "lost":
                self._schedule.after(min(travel, waited), partial(self._apply_unanswered, call))
                self._schedule.after(waited, fail)
            case "late":
                most = LATE_ARRIVAL if call.service == "amazon" else LATE_AT_AWS
                self._schedule.after(waited + self._random.uniform(0.0, most), partial(self._apply_unanswered, call))
                self._schedule.after(waited, fail)
            case _:
                self._schedule.after(waited, fail)

    def _apply(self, invocation: Invocation, call: Call, back: float) -> None:
        self._schedule.after(back, partial(self._resume, invocation, _attempt(call)))

    def _fail(self, invocation: Invocation, call: Call, error: str, attempt: int) -> None:
        if invocation.is_over:
            return
        if attempt < call.attempts:
            self.carry_out(invocation, attempt + 1)  # as the client does by itself
        else:
            self._resume(invocation, partial(_raise, call.error(error)))

    def _latency(self, call: Call) -> tuple[float, float]:
        """Return for how long the request and its answer travel, in seconds."""
        low, high = LATENCY[call.service]
        whole = self._random.uniform(low, high)
        if self._random.random() < self._faults.profile.slow:
            whole = self._random.uniform(0.0, call.timeout * 0.9)
        share = self._random.random()
        return whole * share, whole * (1 - share)

    def _apply_unanswered(self, call: Call) -> None:
        """Have the service act on a call whose answer its client does not get."""
        self.recounts.is_unanswered = True
        _attempt(call)
        self.recounts.is_unanswered = False

    def _trace(self, line: str) -> None:
        print(f"{self._clock.monotonic():10.3f} {line}")  # noqa: T201 - asked for on the command line


def _attempt(call: Call) -> Outcome:
    """Have the service act, and return what its client returns or raises then."""
    try:
        answer = call.act()
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - handed to the invocation
        return partial(_raise, error)
    return partial(_return, answer)


def _return(answer: Any) -> Any:
    return answer


def _raise(error: Exception) -> Any:
    raise error
