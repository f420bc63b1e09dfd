"""Everything around the worker, in memory and on one clock: the change queue, the dead letters, the table and Amazon.

The code under test is the real one: Delivery, MemberDelivery, Uploads and MembershipTable.

Amazon behaves as we assume: it takes an upload within SETTLE seconds of the request or never, and a job ends within JOB
seconds of that, in any order. A worker is stopped after TIMEOUT seconds.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from audience_sync.amazon_ads.record import Upload
from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.batch import BatchReport, Delivery, Message
from audience_sync.delivery.members import DeliveryContext
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import AudienceSyncError, RequestRejected
from audience_sync.membership import Audience, MembershipChange, Version
from audience_sync.messages import ChangeMessage, DeliveryHistory, pack
from audience_sync.operations.renewal import Renewal
from tests.model.scheduler import Task
from tests.model.table_model import TableModel

AUDIENCE = "418273650912345678"
TIMEOUT = 60.0  # seconds; the worker's
VISIBILITY = 660.0  # seconds; of the change queue
SETTLE = 60.0  # seconds
JOB = 900.0  # seconds; as long as SQS can delay a replay
WINDOW = TIMEOUT + SETTLE + JOB  # seconds; an upload prepared now has taken effect by then
EPOCH = 1_800_000_000.0
THREE_YEARS = 1e8  # seconds, about

Member = str


@dataclass
class QueuedMessage:
    """A message in the change queue."""

    body: str
    number: int
    visible_at: float
    sent_at: float
    receives: int = 0

    @property
    def changes(self) -> list[MembershipChange]:
        return ChangeMessage.from_body(self.body).changes


@dataclass
class Job:
    """An upload that Amazon has taken, or that is still in transit."""

    records: list[dict[str, Any]]
    ends_by: float  # when the job has ended or, in transit, when Amazon takes it at the latest; epoch seconds


@dataclass(eq=False)
class Worker:
    """One invocation."""

    task: Task
    batch: list[QueuedMessage]
    stopped_at: float
    report: BatchReport | None = None
    upload: list[dict[str, Any]] = field(default_factory=list)  # the records it is about to send


class Simulation:
    """The state of queue, table, Amazon and workers, and the events that change it."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.max_records = 3  # of one upload
        self.table = TableModel()
        self.queue: list[QueuedMessage] = []
        self.dead_letters: list[str] = []  # bodies that are in the queue now
        self.jobs: list[Job] = []  # taken by Amazon, not yet ended
        self.in_transit: list[Job] = []  # their workers have given up on them
        self.held: dict[Member, set[str]] = {}  # identifiers at Amazon
        self.workers: list[Worker] = []
        self.newest_sent: dict[Member, Version] = {}  # the newest version that Amazon has taken
        self.last_sent: dict[Member, Version] = {}  # the last version that Amazon has taken
        self.parked: dict[Member, Version] = {}  # the newest version that was ever in a dead letter
        self.refused: set[str] = set()  # changes, by message id, that Amazon answers with 400
        self.accepted: list[MembershipChange] = []
        self.redriven = 0
        self.counts = {"delivered": 0, "superseded": 0, "parked": 0}
        self.accepted_at: Counter[int] = Counter()  # changes, by epoch millisecond
        self.completed: Counter[int] = Counter()  # changes with an outcome, by when they were accepted
        self.counts_are_exact = True  # until a crash or a second delivery makes some count twice
        self.order_is_kept = True  # until an upload may be in transit that no worker waits for
        self.uploads = 0
        self._numbers = 0

    # Events

    def accept(self, changes: Sequence[MembershipChange]) -> None:
        """Have ingest answer 200."""
        self.accepted += changes
        moment = int(self.now * 1000)
        self.accepted_at[moment] += len(changes)
        for body in pack(changes, DeliveryHistory(first_at=moment)):
            self.put(body)

    def put(self, body: str, delay: float = 0.0) -> None:
        self._numbers += 1
        self.queue.append(QueuedMessage(body, self._numbers, self.now + delay, self.now))

    def visible(self) -> list[QueuedMessage]:
        return [message for message in self.queue if message.visible_at <= self.now]

    def receive(self, batch: Sequence[QueuedMessage]) -> Worker:
        """Hand messages to a new worker, even if another one holds them: SQS may do that."""
        for message in batch:
            message.visible_at = self.now + VISIBILITY
            message.receives += 1
        messages = [
            Message(str(each.number), f"handle-{each.number}", each.body, each.receives, int(each.sent_at * 1000))
            for each in batch
        ]
        worker = Worker(Task(lambda task: self._run_worker(task, worker, messages)), list(batch), self.now + TIMEOUT)
        self.workers.append(worker)
        return worker

    def pass_time(self, seconds: float, shuffle: Callable[[list[Job]], list[Job]]) -> None:
        """Move the clock. What is due by then happens; `shuffle` orders the jobs that end."""
        then = self.now + seconds
        for worker in [each for each in self.workers if each.stopped_at <= then]:
            self.crash(worker)
        for job in [each for each in self.in_transit if each.ends_by <= then]:
            self.accept_late(job)
        due = [each for each in self.jobs if each.ends_by <= then]
        for job in shuffle(due):
            self.end(job)
        self.now = then

    def crash(self, worker: Worker) -> None:
        worker.task.kill()
        self.counts_are_exact = self.order_is_kept = False
        self.workers.remove(worker)

    def accept_late(self, job: Job) -> None:
        """Have Amazon take an upload whose worker has given up on it."""
        self.in_transit.remove(job)
        self._take(job.records)

    def end(self, job: Job) -> None:
        """Let an upload take effect."""
        self.jobs.remove(job)
        for record in job.records:
            held = self.held.setdefault(record["externalUserId"], set())
            named = {identity["email"] for identity in record["hashedPII"]}
            held |= named
            if record["action"] == "DELETE":
                held -= named

    def redrive(self, body: str) -> None:
        self.dead_letters.remove(body)
        self.redriven += len(ChangeMessage.from_body(body).changes)
        self.put(body)

    def renew(self) -> None:
        """Run the renewal three years later, when every member's TTL is about to expire."""
        client: Any = self.table
        clock = Clock(lambda: self.now + THREE_YEARS, lambda: 0.0, lambda _: None)
        listed = Audience(AUDIENCE, settings={"renew": True})
        report = Renewal(
            MembershipScan(client, "members"), Checkpoint(client, "members", RENEWAL), _RenewalQueue(self), clock
        ).run([listed], deadline=TIMEOUT)
        assert report.reason is None

    # One worker, and what it calls

    def _run_worker(self, task: Task, worker: Worker, messages: list[Message]) -> None:
        limits = Limits(self.max_records, settle=SETTLE, job=JOB)
        client: Any = _Client(self, task)
        members = MembershipTable(client, "members", lambda: self.now, WINDOW)
        queue, dead_letters = _Queue(task, "queue", self.put), _Queue(task, "park", self._park)
        context = DeliveryContext(queue, dead_letters, members, limits, now=lambda: int(self.now * 1000))
        amazon = _Amazon(self, task, worker)
        delivery = Delivery(amazon, context, monotonic=lambda: self.now, jitter=lambda: 1.0)
        report = worker.report = delivery.deliver(messages, deadline=worker.stopped_at)
        task.call("postpone", lambda: self._postpone(report))
        task.call("acknowledge", lambda: self._acknowledge(worker, report))

    def _postpone(self, report: BatchReport) -> None:
        delays = {deferred.message.message_id: deferred.delay for deferred in report.deferred}
        for message in self.queue:
            if str(message.number) in delays:
                message.visible_at = self.now + delays[str(message.number)]

    def _acknowledge(self, worker: Worker, report: BatchReport) -> None:
        back = {deferred.message.message_id for deferred in report.deferred}
        for message in worker.batch:
            if str(message.number) not in back and message in self.queue:
                self.queue.remove(message)
        for name in self.counts:
            self.counts[name] += getattr(report, name)
        self.completed.update(report.completed)

    def _park(self, body: str, _delay: float) -> None:
        self.dead_letters.append(body)
        for change in ChangeMessage.from_body(body).changes:
            _keep_newest(self.parked, change)

    def _take(self, records: list[dict[str, Any]]) -> None:
        self.uploads += 1
        self.jobs.append(Job(records, self.now + JOB))
        for record in records:
            member, version = record["externalUserId"], version_of(record)
            self.last_sent[member] = version
            self.newest_sent[member] = max(version, self.newest_sent.get(member, version))

    # What can be observed

    def refuses(self, records: list[dict[str, Any]]) -> bool:
        return any(version_of(record).message_id in self.refused for record in records)

    def newest_known(self) -> dict[Member, Version]:
        """The newest version of each member that was sent to Amazon, is parked, or is still in the queue."""
        known = dict(self.newest_sent)
        for member, version in self.parked.items():
            known[member] = max(version, known.get(member, version))
        for message in self.queue:
            for change in message.changes:
                _keep_newest(known, change)
        for change in self.accepted:
            if self.may_be_moot(change):
                _keep_newest(known, change)
        return known

    def may_be_moot(self, change: MembershipChange) -> bool:
        """Whether there may be nothing to remove: of an erased member only the exit's own identifiers are known."""
        if not change.exits or change.record["hashedPII"]:
            return change.erase
        return any(each.erase and each.member == change.member for each in self.accepted)

    def newest(self) -> dict[Member, MembershipChange]:
        """The expected result: the newest accepted change of each member."""
        newest: dict[Member, MembershipChange] = {}
        for change in self.accepted:
            member = change.record["externalUserId"]
            held = newest.get(member)
            if held is None or version_of(held.record) < version_of(change.record):
                newest[member] = change
        return newest

    def erased(self) -> set[Member]:
        """Members whose deletion was requested, and who have not entered since."""
        requested: dict[Member, Version] = {}
        for change in self.accepted:
            if change.erase:
                _keep_newest(requested, change)
        entered: dict[Member, Version] = {}
        for change in self.accepted:
            if not change.exits:
                _keep_newest(entered, change)
        return {member for member, version in requested.items() if entered.get(member, (-1,)) < version}

    def identities_of(self, member: Member) -> list[str]:
        """The identities that the table still holds of a member."""
        row = self.table.rows.get((AUDIENCE, member), {})
        newest = json.loads(row["change"]["S"])["record"]["hashedPII"] if row else []
        return [json.dumps(each) for each in newest] + list(row.get("identities", {}).get("SS", []))


@dataclass
class _Client:
    """The table's client, as one worker has it."""

    simulation: Simulation
    task: Task

    def update_item(self, **request: Any) -> Any:
        return self.task.call("write", lambda: self.simulation.table.update_item(**request))

    def batch_get_item(self, **request: Any) -> Any:
        return self.task.call("read", lambda: self.simulation.table.batch_get_item(**request))


@dataclass
class _Queue:
    """A queue, as one worker has it."""

    task: Task
    name: str
    put: Callable[[str, float], None]

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        del deadline, attributes
        for body in bodies:
            self.task.call(self.name, partial(self.put, body, delay))


@dataclass
class _RenewalQueue:
    """The change queue, as the renewal has it."""

    simulation: Simulation

    def send(self, bodies: Sequence[str], *, deadline: float) -> None:
        assert deadline > 0
        for body in bodies:
            self.simulation.put(body)

    def waiting(self) -> int:
        return len(self.simulation.queue)


@dataclass
class _Amazon:
    """Amazon, as one worker has it."""

    simulation: Simulation
    task: Task
    worker: Worker

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        assert timeout > 0
        records = json.loads(upload.body())["records"]
        members = [record["externalUserId"] for record in records]
        assert len(set(members)) == len(members), "O4: a member is twice in one request"
        self.worker.upload = records
        self.task.call("upload", lambda: self._take(records))
        return "job"

    def _take(self, records: list[dict[str, Any]]) -> None:
        if self.simulation.refuses(records):
            raise RequestRejected("Amazon answered 400", status=400)
        self.simulation._take(records)


def change_of(
    member: Member, at: int, *, exits: bool, message_id: str, emails: Sequence[str], erase: bool = False
) -> MembershipChange:
    """A change whose record holds its version, so that what Amazon has can be compared with it."""
    record = {
        "externalUserId": member,
        "action": "DELETE" if exits else "CREATE",
        "hashedPII": [{"email": email} for email in emails],
        "userConsent": {"version": json.dumps([at, exits, message_id])},
    }
    return MembershipChange(AUDIENCE, None, at, message_id, record, erase)


def version_of(record: dict[str, Any]) -> Version:
    """The version of a change, read from its record and not by the code under test."""
    at, exits, message_id = json.loads(record["userConsent"]["version"])
    return Version(at, exits, message_id)


def failing(error: AudienceSyncError | Exception) -> Callable[[], Any]:
    """A call that raises and has no effect."""

    def fail() -> None:
        raise error

    return fail


class SequentialExecutor:
    """Replaces the thread pool: one call after the other, in the worker's own thread."""

    def __init__(self, _threads: int) -> None:
        pass

    def __enter__(self) -> "SequentialExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], each: Sequence[Any]) -> Iterator[Any]:
        return map(function, each)


def _keep_newest(known: dict[Member, Version], change: MembershipChange) -> None:
    member, version = change.record["externalUserId"], version_of(change.record)
    known[member] = max(version, known.get(member, version))
