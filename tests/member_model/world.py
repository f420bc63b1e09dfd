"""The world around one member: the table, the queues and Amazon. Each call may be slow, fail, or not answer.

What runs in it is the product's own: the worker (`Delivery`) and the checks of jobs (`JobTracker`), up to two
invocations of each at a time. Each may be stopped at any call.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import NamedTuple

from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.timings import Timings
from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.clock import Clock, to_milliseconds, to_seconds
from audience_sync.delivery.batch import Delivery
from audience_sync.delivery.context import DeliveryContext, Message
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import (
    MovedOn,
    NotFound,
    OutcomeUnknown,
    OutOfTime,
    RequestRejected,
    RowUnreadable,
    ServiceUnavailable,
    TransientError,
    Unavailable,
)
from audience_sync.members.job_messages import JobMessage
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import Audience, Member
from audience_sync.members.stores import HasTime
from audience_sync.operations.job_tracking import JobContext, JobTracker
from tests.member_model.scheduler import Killed, Scheduler
from tests.support.builders import AUDIENCE
from tests.support.doubles.amazon import FakeGate

NOW = 1_800_000_000.0  # epoch seconds
TIMINGS = Timings(longest_job=7_200.0)  # two hours instead of 36, in which the model would only wait
JOB = TIMINGS.job  # seconds in which an upload has taken effect, unless its job is late
SQS_BATCH, RECEIVED = 10, 10  # messages that SQS takes, and Lambda receives, at once
AT_ONCE = 2  # invocations of one function
STOPPED, HIDDEN = {"worker": 60.0, "jobs": 180.0}, {"worker": 660.0, "jobs": 1_080.0}  # seconds; see template.yaml
ANSWERS = 1_800.0  # seconds after the end of a job at which Amazon answers about it, at the latest
DELAYS = (0.0, 0.0, 0.0, 1.0, 10.0, 28.0)  # seconds of a slow call


class Trouble(NamedTuple):
    """Shares of calls that fail, until the trouble is over."""

    over: float = 0.0  # epoch seconds
    refused_enters: float = 0.0  # for now: 503
    refused_removals: float = 0.0
    silent_enters: float = 0.0  # taken, mostly, and not answered
    silent_removals: float = 0.0
    parked_enters: float = 0.0  # refused for good: 400
    parked_removals: float = 0.0
    slow: float = 0.0  # calls
    stopped: float = 0.0  # calls at which an invocation ends
    table: float = 0.0  # reads and writes that fail; half of these writes are made
    unanswered: float = (
        0.0  # writes that are made and not answered: the client makes them again, and their condition fails
    )
    queues: float = 0.0  # messages that a queue does not take; half of these are stored
    twice: float = 0.0  # messages that are received twice
    long: float = 0.0  # uploads that Amazon answers after five seconds
    late: float = 0.0  # jobs that run for up to two hours
    failed: float = 0.0  # jobs without effect
    forgotten: float = 0.0  # jobs that Amazon does not know once they have ended
    checks: float = 0.0  # checks of jobs that fail


@dataclass(slots=True)
class Job:
    """A job at Amazon."""

    ends: float
    has_failed: bool
    is_forgotten: bool
    is_tracked: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """A message in a queue."""

    number: int
    body: str
    sent_at: float
    receives: int = 1


class World:
    """One clock, what is stored, and what Amazon holds of the member."""

    def __init__(
        self, random: Random, trouble: Trouble, held: Iterable[str], tell: Callable[[str], None] | None
    ) -> None:
        self.random = random
        self.trouble = trouble
        self.scheduler = Scheduler(NOW)
        self.rows: dict[Member, MemberState] = {}
        self.held = {*held}  # digests
        self.dead_letters: list[str] = []
        self.jobs: dict[str, Job] = {}
        self.accepted = self.ended = 0  # changes
        self.removes_whole = not held and random.random() < 0.3  # a removal takes the person out, whatever it names
        self._tell = tell
        self._visible: defaultdict[str, list[Queued]] = defaultdict(list)
        self._running: defaultdict[str, int] = defaultdict(int)
        self._sent = 0

    def happens(self, share: float) -> bool:
        """Draw whether a trouble happens."""
        return share > 0 and self.scheduler.now < self.trouble.over and self.random.random() < share

    def tell(self, who: str, what: Callable[[], str]) -> None:
        """Add a line to the story, if anybody reads it: a million histories have none."""
        if self._tell:
            self._tell(f"{self.scheduler.now - NOW:8.1f}  {who:8}  {what()}")

    def send(self, queue: str, bodies: Iterable[str], delay: float = 0.0) -> None:
        """Put messages into a queue, visible after `delay` seconds."""
        for body in bodies:
            if queue == "parked":
                self.dead_letters.append(body)
                continue
            if queue == "jobs":
                self._track(JobMessage.from_body(body))
            self._sent += 1
            message = Queued(self._sent, body, self.scheduler.now)
            self._show(queue, message, delay)
            if self.happens(self.trouble.twice):
                self._show(queue, message, delay + self.random.choice((0.0, 5.0, 50.0)))

    def _track(self, message: JobMessage) -> None:
        """Have a job that is checked from now on run for up to two hours. One that nobody knows of ends in time."""
        job = self.jobs[message.job_id]
        if not (job.is_tracked or job.has_failed) and self.happens(self.trouble.late):
            job.ends = to_seconds(message.sent_at) + self.random.choice((1_000.0, 1_500.0, 4_000.0, 7_100.0))
        job.is_tracked = True

    def _show(self, queue: str, message: Queued, delay: float) -> None:
        self.scheduler.at(self.scheduler.now + delay, lambda: self._appear(queue, message))

    def _appear(self, queue: str, message: Queued) -> None:
        self._visible[queue].append(message)
        self.scheduler.at(self.scheduler.now + self.random.choice((0.0, 0.0, 10.0)), lambda: self._receive(queue))

    def _receive(self, queue: str) -> None:
        """Start an invocation, unless enough of them run."""
        if self._running[queue] == AT_ONCE or not self._visible[queue]:
            return
        messages = self._visible[queue][:RECEIVED]
        del self._visible[queue][:RECEIVED]
        self._running[queue] += 1
        self.scheduler.start(lambda: self._invoke(queue, messages))

    def _invoke(self, function: str, messages: Sequence[Queued]) -> None:
        calls = Calls(self, f"{function} {self._running[function]}", self.scheduler.now + STOPPED[function])
        stays = {each.number: HIDDEN[function] for each in messages}
        try:
            stays = self._deliver(calls, messages) if function == "worker" else self._check(calls, messages)
        except Killed:
            self.tell(calls.name, lambda: "is stopped")
        self._running[function] -= 1
        for each in messages:
            if each.number in stays:
                self._show(function, replace(each, receives=each.receives + 1), stays[each.number])
        self._receive(function)

    def _deliver(self, calls: "Calls", messages: Sequence[Queued]) -> dict[int, float]:
        """Have the worker deliver messages. Returns those that stay in the queue, each with its delay in seconds."""
        changes, dead_letters, jobs = (Queue(calls, name) for name in ("worker", "parked", "jobs"))
        context = DeliveryContext(
            changes,
            dead_letters,
            jobs,
            Rows(calls),
            lambda: [Audience(AUDIENCE)],
            Limits(timings=TIMINGS),
            calls.clock,
            FakeGate(),
        )
        received = [
            Message(str(each.number), "", each.body, each.receives, to_milliseconds(each.sent_at)) for each in messages
        ]
        report = Delivery(Amazon(calls), context, jitter=self.random.random).deliver(received, deadline=calls.deadline)
        calls.wait()
        self.ended += report.outcomes.total()
        self.accepted += report.accepted.total()
        return {int(each.message.message_id): each.delay for each in report.deferred}

    def _check(self, calls: "Calls", messages: Sequence[Queued]) -> dict[int, float]:
        """Have jobs checked. Returns the messages that come back, each with its delay in seconds."""
        changes, jobs, dead_letters = (Queue(calls, name) for name in ("worker", "jobs", "parked"))
        context = JobContext(Amazon(calls), Rows(calls), changes, jobs, dead_letters, calls.clock, TIMINGS)
        stays: dict[int, float] = {}
        for each in messages:
            message = JobMessage.from_body(each.body)
            try:
                JobTracker(context).check(message, deadline=calls.deadline)
            except (TransientError, RequestRejected):
                stays[each.number] = HIDDEN["jobs"]
        calls.wait()
        return stays


class Calls:
    """The calls of one invocation. Each may be slow, or its last."""

    def __init__(self, world: World, name: str, deadline: float) -> None:
        self.world = world
        self.name = name
        self.deadline = deadline  # on the world's clock, which is also the monotonic one
        self.clock = Clock(lambda: world.scheduler.now, lambda: world.scheduler.now, self._pause)

    def wait(self) -> None:
        """Let time pass before a call. Raises Killed."""
        world = self.world
        self._pause(world.random.choice(DELAYS) if world.happens(world.trouble.slow) else 0.1)
        if world.happens(world.trouble.stopped):
            raise Killed

    def tell(self, what: Callable[[], str]) -> None:
        """Add a line to the story."""
        self.world.tell(self.name, what)

    def _pause(self, seconds: float) -> None:
        left = self.deadline - self.world.scheduler.now
        self.world.scheduler.pause(min(seconds, left))
        if seconds >= left:
            raise Killed


class Rows:
    """The membership table."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._world = calls.world

    def read(self, members: Iterable[Member]) -> dict[Member, MemberState]:
        """Read rows."""
        self._calls.wait()
        if self._world.happens(self._world.trouble.table):
            self._calls.tell(lambda: "cannot read")
            raise Unavailable("the table does not answer")
        found = {each: row for each in members if (row := self._world.rows.get(each))}
        self._calls.tell(lambda: f"reads {', '.join(map(shown, found.values())) or 'no row'}")
        return found

    def readable(self, members: Iterable[Member]) -> tuple[dict[Member, MemberState], dict[Member, RowUnreadable]]:
        """Read rows, none of which is damaged."""
        return self.read(members), {}

    def read_each(
        self, members: Iterable[Member], has_time: HasTime = lambda: True
    ) -> dict[Member, MemberState | RowUnreadable | OutOfTime]:
        """Read rows if there is time."""
        members = [*members]
        if not members or has_time():
            return {**self.read(members)} if members else {}
        return dict.fromkeys(members, OutOfTime("no time left to read the row"))

    def write(
        self, states: Sequence[MemberState], has_time: HasTime = lambda: True
    ) -> list[MemberState | TransientError]:
        """Write rows, each unless it has changed since it was read."""
        return [self._write(each) if has_time() else OutOfTime("no time left to record") for each in states]

    def _write(self, state: MemberState) -> MemberState | TransientError:
        self._calls.wait()
        world, stored = self._world, replace(state, revision=state.revision + 1)
        fails = world.happens(world.trouble.table)
        before = world.rows.get(state.member)
        has_moved = (before.revision if before else 0) != state.revision
        is_made = not has_moved and not (fails and world.random.random() < 0.5)
        if is_made:
            world.rows[state.member] = stored
        is_repeated = is_made and not fails and world.happens(world.trouble.unanswered)
        how = ", without an answer" if fails else ", and made again" if is_repeated else ""
        outcome = "moved on" if has_moved else "written" if is_made else "not written"
        self._calls.tell(lambda: f"writes {shown(stored)}: {outcome}{how}")
        if fails:
            return Unavailable("the table does not answer")
        return MovedOn("the row has changed") if has_moved or is_repeated else stored


class Queue:
    """A queue: of changes for the worker, of jobs, or of dead letters."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        """Store messages. If one batch fails, those before it are stored, and perhaps those in it."""
        del deadline, attributes
        world = self._calls.world
        for start in range(0, len(bodies), SQS_BATCH):
            batch = bodies[start : start + SQS_BATCH]
            self._calls.wait()
            fails = world.happens(world.trouble.queues)
            is_stored = not (fails and world.random.random() < 0.5)
            how = "stored, without an answer" if fails and is_stored else "stored" if is_stored else "not stored"
            self._calls.tell(partial("sends {} to {} in {:.0f} s: {}".format, len(batch), self._name, delay, how))
            if is_stored:
                world.send(self._name, batch, delay)
            if fails:
                raise Unavailable("the queue does not answer")


class Amazon:
    """Amazon: takes uploads, applies each at some moment, and answers about their jobs."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._world = calls.world

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        """Take one record, or refuse it, or do not answer."""
        del timeout
        world, trouble = self._world, self._world.trouble
        (record,) = json.loads(upload.body())["records"]
        digests = [each["email"] for each in record["hashedPII"]]
        self._calls.wait()
        if world.happens(trouble.long):
            self._calls.clock.sleep(5.0)
        kind = record["action"]
        what = f"{kind} {named(digests)}"
        refused, parked, silent = (
            (trouble.refused_removals, trouble.parked_removals, trouble.silent_removals)
            if kind == "DELETE"
            else (trouble.refused_enters, trouble.parked_enters, trouble.silent_enters)
        )
        if world.happens(refused):
            self._calls.tell(lambda: f"{what}: 503")
            raise ServiceUnavailable("503")
        if world.happens(parked):
            self._calls.tell(lambda: f"{what}: 400")
            raise RequestRejected("refused", status=400)
        is_silent = world.happens(silent)
        has_failed = world.happens(trouble.failed) or (is_silent and world.random.random() < 0.3)
        ends = world.scheduler.now + world.random.choice((5.0, 300.0, JOB))
        job = Job(ends, has_failed, not has_failed and world.happens(trouble.forgotten))
        if not has_failed:
            world.scheduler.at(ends, lambda: self._apply(job, kind, digests))
        self._calls.tell(
            lambda: f"{what}: {'no answer' if is_silent else 'accepted'}{', no effect' if has_failed else ''}"
        )
        if is_silent:
            raise OutcomeUnknown("no answer")
        job_id = f"job-{len(world.jobs)}"
        world.jobs[job_id] = job
        return Submission(job_id)

    def _apply(self, job: Job, kind: str, digests: Sequence[str]) -> None:
        if self._world.scheduler.now < job.ends:
            self._world.scheduler.at(job.ends, lambda: self._apply(job, kind, digests))
            return
        held = self._world.held
        if kind == "DELETE" and self._world.removes_whole:
            held.clear()
        (held.difference_update if kind == "DELETE" else held.update)(digests)
        self._world.tell("Amazon", lambda: f"applies {kind} {named(digests)}; holds {named(held) or 'nobody'}")

    def job(self, job_id: str) -> JobReport:
        """Answer about a job."""
        self._calls.wait()
        world, job = self._world, self._world.jobs[job_id]
        if world.scheduler.now < job.ends + ANSWERS and world.happens(world.trouble.checks):
            self._calls.tell(lambda: f"asks about {job_id}: 503")
            raise ServiceUnavailable("503")
        has_ended = job.ends <= world.scheduler.now
        if has_ended and job.is_forgotten:
            self._calls.tell(lambda: f"asks about {job_id}: 404")
            raise NotFound("unknown", status=404)
        state = "FAILED" if job.has_failed else "SUCCEEDED"
        self._calls.tell(lambda: f"asks about {job_id}: {state if has_ended else 'running'}")
        return JobReport(state if has_ended else "IN_PROGRESS")


def named(digests: Iterable[str]) -> str:
    """Return the addresses behind digests, each of which begins with its letter."""
    return " ".join(sorted({each[0] for each in digests}))


def shown(state: MemberState) -> str:
    """Return what a row says, in a line."""
    at = "".join(f" {name}={value}" for name, value in _marks(state) if value)
    return f"[{'out' if state.newest.exits else 'in'} {state.version.message_id}{at}]"


def _marks(state: MemberState) -> Iterable[tuple[str, object]]:
    yield "active", named(digest for each in state.active for digest in each.digests.values())
    yield "remove", named(digest for each in state.to_remove for digest in each.digests.values())
    for name in ("enter_sent", "removal_sent", "enters_effective_by", "removals_effective_by"):
        yield name, round(max(0.0, getattr(state, name) - NOW))
    for name in ("enter_owed", "removal_owed"):
        yield name, getattr(state, name)
    yield "late", " ".join(each.job_id for each in state.late_jobs)
