"""Everything around the worker, in memory and on one clock: the change queue, the dead letters, the table and Amazon.

The code under test is the real one: Delivery, MemberDelivery, Outbox and MembershipTable.

Amazon keeps to what we assume of it: it takes an upload within SETTLE seconds of the request or never, and a job ends
within JOB seconds of that, in any order. A worker lives for LIFE seconds.
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
LIFE = 60.0  # seconds; the worker's timeout
VISIBILITY = 660.0  # seconds; of the change queue
SETTLE = 60.0  # seconds
JOB = 900.0  # seconds; as long as SQS can delay a repetition
WINDOW = LIFE + SETTLE + JOB  # seconds; an upload prepared now has taken effect by then
EPOCH = 1_800_000_000.0
YEARS = 1e8  # seconds; three of them

Member = str


@dataclass
class Envelope:
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
    """An upload that Amazon has taken, or will take by `taken_by` where that is not None."""

    records: list[dict[str, Any]]
    ends_by: float


@dataclass(eq=False)
class Worker:
    """One invocation."""

    task: Task
    batch: list[Envelope]
    dies_at: float
    report: BatchReport | None = None
    upload: list[dict[str, Any]] = field(default_factory=list)  # the records it is about to send


class Simulation:
    """The state of everything, and what may happen to it."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.max_records = 3  # of one upload
        self.rows = TableModel()
        self.queue: list[Envelope] = []
        self.letters: list[str] = []  # bodies, at present
        self.jobs: list[Job] = []  # taken by Amazon, not yet ended
        self.late: list[Job] = []  # on the wire still; `ends_by` says until when Amazon may take them
        self.held: dict[Member, set[str]] = {}  # identifiers at Amazon
        self.workers: list[Worker] = []
        self.told: dict[Member, Version] = {}  # the newest version that Amazon has taken
        self.last_told: dict[Member, Version] = {}  # the last version that Amazon has taken
        self.parked: dict[Member, Version] = {}  # the newest version that was ever in a dead letter
        self.refused: set[str] = set()  # changes, by message id, that Amazon answers with 400
        self.accepted: list[MembershipChange] = []
        self.redriven = 0
        self.counts = {"delivered": 0, "superseded": 0, "parked": 0}
        self.accepted_at: Counter[int] = Counter()  # changes, by epoch millisecond
        self.ended: Counter[int] = Counter()  # changes with a verdict, by when they were accepted
        self.counts_are_exact = True  # until a crash or a second delivery makes some be counted again
        self.is_sure = True  # until an upload may be under way that nobody looks after
        self.uploads = 0
        self._numbers = 0

    # What the outside does

    def accept(self, changes: Sequence[MembershipChange]) -> None:
        """Have ingest answer 200."""
        self.accepted += changes
        moment = int(self.now * 1000)
        self.accepted_at[moment] += len(changes)
        for body in pack(changes, DeliveryHistory(first_at=moment)):
            self.put(body)

    def put(self, body: str, delay: float = 0.0) -> None:
        self._numbers += 1
        self.queue.append(Envelope(body, self._numbers, self.now + delay, self.now))

    def visible(self) -> list[Envelope]:
        return [envelope for envelope in self.queue if envelope.visible_at <= self.now]

    def receive(self, batch: Sequence[Envelope]) -> Worker:
        """Hand messages to a new worker, whether another one holds them or not: SQS may do that."""
        for envelope in batch:
            envelope.visible_at = self.now + VISIBILITY
            envelope.receives += 1
        messages = [
            Message(str(each.number), f"handle-{each.number}", each.body, each.receives, int(each.sent_at * 1000))
            for each in batch
        ]
        worker = Worker(Task(lambda task: self._play(task, worker, messages)), list(batch), self.now + LIFE)
        self.workers.append(worker)
        return worker

    def pass_time(self, seconds: float, shuffle: Callable[[list[Job]], list[Job]]) -> None:
        """Let the clock run: what has to happen by then happens, in an order of the caller's."""
        then = self.now + seconds
        for worker in [each for each in self.workers if each.dies_at <= then]:
            self.crash(worker)
        for job in [each for each in self.late if each.ends_by <= then]:
            self.arrive(job)
        due = [each for each in self.jobs if each.ends_by <= then]
        for job in shuffle(due):
            self.end(job)
        self.now = then

    def crash(self, worker: Worker) -> None:
        worker.task.kill()
        self.counts_are_exact = self.is_sure = False
        self.workers.remove(worker)

    def arrive(self, job: Job) -> None:
        """Have Amazon take an upload whose sender has given up on it."""
        self.late.remove(job)
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
        self.letters.remove(body)
        self.redriven += len(ChangeMessage.from_body(body).changes)
        self.put(body)

    def renew(self) -> None:
        """Run the renewal, for which everybody's time to live is about to run out."""
        client: Any = self.rows
        clock = Clock(lambda: self.now + YEARS, lambda: 0.0, lambda _: None)
        listed = Audience(AUDIENCE, settings={"renew": True})
        report = Renewal(
            MembershipScan(client, "members"), Checkpoint(client, "members", RENEWAL), _Drawer(self), clock
        ).run([listed], deadline=LIFE)
        assert report.reason is None

    # What the worker reaches, one stop at a time

    def _play(self, task: Task, worker: Worker, messages: list[Message]) -> None:
        limits = Limits(self.max_records, settle=SETTLE, job=JOB)
        client: Any = _Client(self, task)
        members = MembershipTable(client, "members", lambda: self.now, WINDOW)
        sink, dead = _Sink(task, "queue", self.put), _Sink(task, "park", self._park)
        books = DeliveryContext(sink, dead, members, limits, now=lambda: int(self.now * 1000))
        amazon = _Amazon(self, task, worker)
        delivery = Delivery(amazon, books, monotonic=lambda: self.now, jitter=lambda: 1.0)
        report = worker.report = delivery.deliver(messages, deadline=worker.dies_at)
        task.call("postpone", lambda: self._postpone(report))
        task.call("acknowledge", lambda: self._acknowledge(worker, report))

    def _postpone(self, report: BatchReport) -> None:
        delays = {deferred.message.message_id: deferred.delay for deferred in report.deferred}
        for envelope in self.queue:
            if str(envelope.number) in delays:
                envelope.visible_at = self.now + delays[str(envelope.number)]

    def _acknowledge(self, worker: Worker, report: BatchReport) -> None:
        back = {deferred.message.message_id for deferred in report.deferred}
        for envelope in worker.batch:
            if str(envelope.number) not in back and envelope in self.queue:
                self.queue.remove(envelope)
        for name in self.counts:
            self.counts[name] += getattr(report, name)
        self.ended.update(report.completed)

    def _park(self, body: str, _delay: float) -> None:
        self.letters.append(body)
        for change in ChangeMessage.from_body(body).changes:
            _raise(self.parked, change)

    def _take(self, records: list[dict[str, Any]]) -> None:
        self.uploads += 1
        self.jobs.append(Job(records, self.now + JOB))
        for record in records:
            member, version = record["externalUserId"], version_of(record)
            self.last_told[member] = version
            self.told[member] = max(version, self.told.get(member, version))

    # What can be told from outside

    def refuses(self, records: list[dict[str, Any]]) -> bool:
        return any(version_of(record).message_id in self.refused for record in records)

    def accounted(self) -> dict[Member, Version]:
        """The newest version of each member that is at Amazon, parked, or in the queue still."""
        known = dict(self.told)
        for member, version in self.parked.items():
            known[member] = max(version, known.get(member, version))
        for envelope in self.queue:
            for change in envelope.changes:
                _raise(known, change)
        for change in self.accepted:
            if self.may_be_moot(change):
                _raise(known, change)
        return known

    def may_be_moot(self, change: MembershipChange) -> bool:
        """Whether there may be nothing to remove: of who asked to be forgotten, nobody knows more than an exit says."""
        if not change.exits or change.record["hashedPII"]:
            return change.erase
        return any(each.erase and each.member == change.member for each in self.accepted)

    def newest(self) -> dict[Member, MembershipChange]:
        """The reference: of each member's accepted changes the newest."""
        newest: dict[Member, MembershipChange] = {}
        for change in self.accepted:
            member = change.record["externalUserId"]
            held = newest.get(member)
            if held is None or version_of(held.record) < version_of(change.record):
                newest[member] = change
        return newest

    def forgotten(self) -> set[Member]:
        """Who has asked to be forgotten and has not entered since."""
        asked: dict[Member, Version] = {}
        for change in self.accepted:
            if change.erase:
                _raise(asked, change)
        entered: dict[Member, Version] = {}
        for change in self.accepted:
            if not change.exits:
                _raise(entered, change)
        return {member for member, version in asked.items() if entered.get(member, (-1,)) < version}

    def identities_of(self, member: Member) -> list[str]:
        """The identities that the table still holds of a member."""
        row = self.rows.kept.get((AUDIENCE, member), {})
        told = json.loads(row["change"]["S"])["record"]["hashedPII"] if row else []
        return [json.dumps(each) for each in told] + list(row.get("identities", {}).get("SS", []))


@dataclass
class _Client:
    """The table's client, as one worker has it."""

    simulation: Simulation
    task: Task

    def update_item(self, **request: Any) -> Any:
        return self.task.call("write", lambda: self.simulation.rows.update_item(**request))

    def batch_get_item(self, **request: Any) -> Any:
        return self.task.call("read", lambda: self.simulation.rows.batch_get_item(**request))


@dataclass
class _Sink:
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
class _Drawer:
    """The change queue, for whoever only adds to it."""

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
        assert len(set(members)) == len(members), "O4: a member stands twice in one request"
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
    """A change whose record tells its version, so that Amazon's side can be compared with it."""
    record = {
        "externalUserId": member,
        "action": "DELETE" if exits else "CREATE",
        "hashedPII": [{"email": email} for email in emails],
        "userConsent": {"version": json.dumps([at, exits, message_id])},
    }
    return MembershipChange(AUDIENCE, None, at, message_id, record, erase)


def version_of(record: dict[str, Any]) -> Version:
    """The version of a change, told by its record and not by the code under test."""
    at, exits, message_id = json.loads(record["userConsent"]["version"])
    return Version(at, exits, message_id)


def failing(error: AudienceSyncError | Exception) -> Callable[[], Any]:
    """A call that goes wrong without effect."""

    def fail() -> None:
        raise error

    return fail


class InTurn:
    """Stands in for the thread pool: one after the other, on the worker's own thread."""

    def __init__(self, _threads: int) -> None:
        pass

    def __enter__(self) -> "InTurn":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, act: Callable[[Any], Any], each: Sequence[Any]) -> Iterator[Any]:
        return map(act, each)


def _raise(known: dict[Member, Version], change: MembershipChange) -> None:
    member, version = change.record["externalUserId"], version_of(change.record)
    known[member] = max(version, known.get(member, version))
