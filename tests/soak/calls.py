"""Invocations of the functions, and the calls that they make to the outside: each call lets other invocations go on."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.soak.scheduler import Killed, Task

type Outcome = Callable[[], Any]  # returns the answer of a call, or raises its error


@dataclass(frozen=True, slots=True)
class Call:
    """One call to an outside service that an invocation is about to make."""

    service: str  # "sqs", "dynamodb", "secretsmanager", "amazon", "login" or "sleep"
    operation: str
    target: str  # queue, table, partition, secret or path
    act: Outcome  # what the service does, at one moment
    error: Callable[[str], Exception]  # "refused", "timeout" or "reset": the error that the client raises then
    timeout: float  # seconds; of one attempt
    attempts: int = 1  # in all, as the client makes them by itself


@dataclass(eq=False)
class Environment:
    """One execution environment of one function: what it keeps between invocations."""

    number: int
    function: str
    clock_offset: float = 0.0  # seconds by which its clock is fast
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Invocation:
    """One invocation, in a thread of its own that runs only between two of its calls."""

    number: int
    environment: Environment
    handler: Callable[[dict[str, Any], Any], Any]
    event: dict[str, Any]
    deadline: float  # epoch seconds
    remaining: Callable[[], float]  # seconds until the deadline
    on_end: Callable[["Invocation"], None]
    trace: str = ""  # the header that Lambda hands over, and that messages keep
    pending: Call | None = None
    answer: Any = None
    failure: BaseException | None = None  # what the handler raised
    is_killed: bool = False
    is_over: bool = False
    stored: dict[str, list[str]] = field(default_factory=dict)  # bodies that SQS has confirmed, by queue
    metrics: dict[str, float] = field(default_factory=dict)  # added and not yet printed
    metrics_at: int = 0  # epoch milliseconds
    task: Task = field(init=False)

    def start(self) -> None:
        """Start the thread, which waits for its first step."""
        self.task = Task(self._run)

    @property
    def aws_request_id(self) -> str:
        """As Lambda's context has it."""
        return f"request-{self.number}"

    def get_remaining_time_in_millis(self) -> int:
        """As Lambda's context has it."""
        return round(self.remaining() * 1000)

    def call(self, call: Call) -> Any:
        """Make a call: wait, on this invocation's thread, until the simulation has decided how it ends."""
        if self.is_killed:  # what runs in a `finally` block would not run in a process that has ended
            raise Killed
        self.pending = call
        return self.task.call(call.operation, _not_decided)

    def kill(self) -> None:
        """End the process where it is."""
        self.is_killed = self.is_over = True
        self.task.kill()

    def _run(self, _task: Task) -> None:
        _current.invocation = self
        try:
            self.answer = self.handler(self.event, self)
        except Exception as failure:  # noqa: BLE001 - counted as a crash
            self.failure = failure
        finally:
            _current.invocation = None


_current = threading.local()


def current() -> Invocation | None:
    """Return the invocation that runs on this thread; None on the simulation's own."""
    invocation: Invocation | None = getattr(_current, "invocation", None)
    return invocation


def make(call: Call) -> Any:
    """Make a call from within an invocation."""
    invocation = current()
    assert invocation is not None, f"{call.operation} outside of an invocation"
    return invocation.call(call)


def _not_decided() -> Any:
    raise AssertionError("the simulation decides how each call ends")
