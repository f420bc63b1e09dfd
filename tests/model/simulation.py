"""Everything around the worker, in memory and on one clock: the change queue, the dead letters, the table and Amazon.

The code under test is the real one: Delivery, MemberDelivery, Uploads, JobTracker and MembershipTable.

Amazon takes an upload within SETTLE seconds of the request or never. Its jobs end in any order, within JOB seconds or
later, and may fail or reject records. A worker is stopped after TIMEOUT seconds.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.membership_rows import Sharding, state_from_row
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.batch import BatchReport, Delivery, Message
from audience_sync.delivery.context import DeliveryContext
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import AudienceSyncError, RequestRejected, TransientError
from audience_sync.membership import EVERY_AUDIENCE, Audience, MembershipChange, Version
from audience_sync.messages import ChangeMessage, DeadLetter, DeliveryHistory, JobMessage, pack
from audience_sync.operations.job_tracking import MIN_TIME_PER_CHECK, JobCheck, JobContext, JobTracker
from audience_sync.operations.renewal import Renewal
from tests import builders
from tests.doubles.amazon import FakeGate
from tests.doubles.dynamodb import MembershipRows
from tests.model.scheduler import Task

AUDIENCE = "418273650912345678"
TIMEOUT = 60.0  # seconds; the worker's
VISIBILITY = 660.0  # seconds; of the change queue
SETTLE = 60.0  # seconds
JOB = 900.0  # seconds; as long as SQS can delay a replay
WINDOW = TIMEOUT + SETTLE + JOB  # seconds; an upload prepared now has taken effect by then
LONGEST_JOB = 4 * JOB  # seconds; no job takes longer
EPOCH = 1_800_000_000.0
THREE_YEARS = 1e8  # seconds, about
SHARDING = Sharding(2)

Member = str


@dataclass
class QueuedMessage:
    """A message in the change queue."""

    body: str
    number: int
    visible_at: float
    sent_at: float
    receives: int = 0

    @cached_property  # the invariants read it at every step
    def message(self) -> ChangeMessage:
        return ChangeMessage.from_body(self.body)

    @property
    def changes(self) -> list[MembershipChange]:
        """What it states; a repetition states nothing."""
        return [] if self.message.history.is_repetition else self.message.changes


@dataclass
class Job:
    """An upload that Amazon has taken, or that is still in transit."""

    records: list[dict[str, Any]]
    ends_by: float  # when the job has ended or, in transit, when Amazon takes it at the latest; epoch seconds
    job_id: str = ""
    fails: bool = False  # as a whole
    rejects: set[Member] = field(default_factory=set)


@dataclass(eq=False)
class Worker:
    """One invocation."""

    task: Task
    batch: list[QueuedMessage]
    stopped_at: float
    report: BatchReport | None = None
    upload: list[dict[str, Any]] = field(default_factory=list)  # the records it is about to send


@dataclass(eq=False)
class Check:
    """One check of a job."""

    task: Task
    body: str
    result: JobCheck | None = None


class Simulation:
    """The state of queue, table, Amazon and workers, and the events that change it."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.max_records = 3  # of one upload
        self.table = MembershipRows()
        self.queue: list[QueuedMessage] = []
        self.dead_letters: list[str] = []  # bodies that are in the queue now
        self.jobs: list[Job] = []  # taken by Amazon, not yet ended
        self.in_transit: list[Job] = []  # their workers have given up on them
        self.reports: dict[str, JobReport] = {}  # of jobs that have ended
        self.job_messages: list[QueuedMessage] = []
        self.checks: list[Check] = []
        self.held: dict[Member, set[str]] = {}  # identifiers at Amazon
        self.workers: list[Worker] = []
        self.newest_sent: dict[Member, Version] = {}  # the newest version that Amazon has taken
        self.last_sent: dict[Member, Version] = {}  # the last version that Amazon has taken
        self.parked: dict[Member, Version] = {}  # the newest version that was ever in a dead letter
        self.refused: set[str] = set()  # changes, by message id, that Amazon answers with 400
        self.accepted: list[MembershipChange] = []
        self.counts = {"delivered": 0, "superseded": 0, "parked": 0}
        self.accepted_at: Counter[int] = Counter()  # changes, by epoch millisecond
        self.completed: Counter[int] = Counter()  # changes with an outcome, by when they were accepted
        self.counts_are_exact = True  # until a crash or a second delivery makes some count twice
        self.order_is_kept = True  # until an upload may be in transit that no worker waits for
        self.uploads = 0
        self.records: Counter[Member] = Counter()  # that Amazon has taken
        self.deliveries: Counter[Member] = Counter()  # of changes, each with all that may follow from it
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
            self.deliveries.update(change.record["externalUserId"] for change in message.changes)
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
        """Let an upload take effect, as far as its job neither fails nor rejects it."""
        self.jobs.remove(job)
        members = {record["externalUserId"] for record in job.records}
        rejected = dict.fromkeys(sorted(members & job.rejects), "consent denied")
        self.reports[job.job_id] = JobReport("FAILED" if job.fails else "SUCCEEDED", rejected=rejected)
        for record in job.records:
            if job.fails or record["externalUserId"] in rejected:
                continue
            held = self.held.setdefault(record["externalUserId"], set())
            named = {identity["email"] for identity in record["hashedPII"]}
            held |= named
            if record["action"] == "DELETE":
                held -= named

    def redrive(self, body: str) -> None:
        self.dead_letters.remove(body)
        for redriven in DeadLetter.from_body(body).redrive_bodies():
            self.put(redriven)

    def tracked(self) -> list[Job]:
        """The jobs at Amazon whose messages are stored. Others cannot be followed."""
        known = {JobMessage.from_body(message.body).job_id for message in self.job_messages}
        return [job for job in self.jobs if job.job_id in known]

    def put_job(self, body: str, delay: float = 0.0) -> None:
        self._numbers += 1
        self.job_messages.append(QueuedMessage(body, self._numbers, self.now + delay, self.now))

    def visible_jobs(self) -> list[QueuedMessage]:
        return [message for message in self.job_messages if message.visible_at <= self.now]

    def check(self, message: QueuedMessage) -> Check:
        """Begin to check one job. Its message goes at once: a check that fails puts it back."""
        self.job_messages.remove(message)
        check = Check(Task(lambda task: self._run_check(task, check)), message.body)
        self.checks.append(check)
        return check

    def renew(self) -> None:
        """Run the renewal three years later, when every member's TTL is about to expire."""
        client: Any = self.table
        clock = Clock(lambda: self.now + THREE_YEARS, lambda: 0.0, lambda _: None)
        listed = Audience(AUDIENCE, settings={"renew": True})
        report = Renewal(
            MembershipScan(client, "members", SHARDING),
            Checkpoint(client, "members", RENEWAL),
            _RenewalQueue(self),
            clock,
        ).run([listed], deadline=TIMEOUT)
        assert report.reason is None

    @property
    def limits(self) -> Limits:
        return Limits(self.max_records, settle=SETTLE, job=JOB, longest_job=LONGEST_JOB)

    # One worker, and what it calls

    def _run_worker(self, task: Task, worker: Worker, messages: list[Message]) -> None:
        limits = self.limits
        client: Any = _Client(self, task)
        context = DeliveryContext(
            _Queue(task, "queue", self.put),
            dead_letters=_Queue(task, "park", self._park),
            jobs=_Queue(task, "job queue", self.put_job),
            members=MembershipTable(client, "members", SHARDING, self.clock()),
            audiences=lambda: [Audience(AUDIENCE)],
            limits=limits,
            clock=self.clock(),
            gate=FakeGate(),
        )
        amazon = _Amazon(self, task, worker)
        delivery = Delivery(amazon, context, jitter=lambda: 1.0)
        report = worker.report = delivery.deliver(messages, deadline=worker.stopped_at)
        task.call("postpone", lambda: self._postpone(report))
        task.call("acknowledge", lambda: self._acknowledge(worker, report))

    def clock(self) -> Clock:
        return Clock(lambda: self.now, lambda: self.now, lambda _: None)

    def _run_check(self, task: Task, check: Check) -> None:
        client: Any = _Client(self, task)
        table = MembershipTable(client, "members", SHARDING, self.clock())
        changes, jobs = _Queue(task, "queue", self.put), _Queue(task, "job queue", self.put_job)
        dead_letters = _Queue(task, "park", self._park)
        timing = self.limits.timing
        context = JobContext(_Jobs(self, task), table, changes, jobs, dead_letters, self.clock(), timing)
        deadline = self.now + 2 * MIN_TIME_PER_CHECK
        try:
            check.result = JobTracker(context).check(JobMessage.from_body(check.body), deadline=deadline)
        except TransientError:
            self.put_job(check.body, 60.0)
            return
        self.counts["delivered"] -= check.result.counted
        self.counts["parked"] += check.result.counted

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
        self.accepted_at.update(report.accepted)

    def _park(self, body: str, _delay: float) -> None:
        self.dead_letters.append(body)
        for change in ChangeMessage.from_body(body).changes:
            _keep_newest(self.parked, change)

    def _take(self, records: list[dict[str, Any]]) -> str:
        self.uploads += 1
        job_id = f"job-{self.uploads}"
        self.jobs.append(Job(records, self.now + JOB, job_id))
        for record in records:
            member = record["externalUserId"]
            self.records[member] += 1
            if (version := version_of(record)) is None:
                continue  # the removal of an earlier life
            self.last_sent[member] = version
            self.newest_sent[member] = max(version, self.newest_sent.get(member, version))
        return job_id

    # What can be observed

    def refuses(self, records: list[dict[str, Any]]) -> bool:
        versions = [version_of(record) for record in records]
        return any(version is not None and version.message_id in self.refused for version in versions)

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
        """Whether there may be nothing to remove: an exit without identifiers, or one whose removal is done."""
        return change.exits

    def newest(self) -> dict[Member, MembershipChange]:
        """The expected result: the newest accepted change of each member."""
        newest: dict[Member, MembershipChange] = {}
        for change in self.accepted:
            member = change.record["externalUserId"]
            held = newest.get(member)
            if held is None or held.version < change.version:
                newest[member] = change
        return newest

    def erased(self, member: Member) -> set[str]:
        """The identities that a deletion notice concerns: named before it, or by exits after it without a new life."""
        changes = [each for each in self.accepted if each.record["externalUserId"] == member]
        notice = max((each.version for each in changes if each.erase), default=None)
        if notice is None:
            return set()
        is_back = any(each.version > notice and not each.exits for each in changes)
        concerned = {name for each in changes if each.version <= notice or not is_back for name in _emails(each)}
        return concerned - {name for each in changes if each.version > notice and is_back for name in _emails(each)}

    def removed(self, member: Member) -> set[str]:
        """The identities that were named before the member's newest exit, and by no enter after it."""
        changes = [each for each in self.accepted if each.record["externalUserId"] == member]
        left = max((each.version for each in changes if each.exits), default=None)
        if left is None:
            return set()
        before = {name for each in changes if each.version <= left for name in _emails(each)}
        return before - {name for each in changes if each.version > left for name in _emails(each)}

    def identities_of(self, member: Member) -> set[str]:
        """The identities that the table still holds of a member."""
        rows = [row for (_, name), row in self.table.rows.items() if name == member]
        return {each.digests["email"] for row in rows for each in state_from_row(row).identities}


@dataclass
class _Client:
    """The table's client, as one worker has it."""

    simulation: Simulation
    task: Task

    def batch_execute_statement(self, **request: Any) -> Any:
        return self.task.call("write", lambda: self.simulation.table.batch_execute_statement(**request))

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

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        assert timeout > 0
        records = json.loads(upload.body())["records"]
        members = [record["externalUserId"] for record in records]
        assert len(set(members)) == len(members), "O4: a member is twice in one request"
        self.worker.upload = records
        job_id: str = self.task.call("upload", lambda: self._take(records))
        return Submission(job_id)

    def _take(self, records: list[dict[str, Any]]) -> str:
        if self.simulation.refuses(records):
            raise RequestRejected("Amazon answered 400", status=400)
        return self.simulation._take(records)


@dataclass
class _Jobs:
    """Amazon's jobs, as one check has them."""

    simulation: Simulation
    task: Task

    def job(self, job_id: str) -> JobReport:
        report: JobReport = self.task.call("job", lambda: self.simulation.reports.get(job_id, JobReport("PENDING")))
        return report


def change_of(
    member: Member, at: int, *, exits: bool, message_id: str, emails: Sequence[str], erase: bool = False
) -> MembershipChange:
    """A change whose record holds its version, so that what Amazon has can be compared with it."""
    return builders.change(
        member,
        *emails,
        at=at,
        exits=exits,
        message_id=message_id,
        audience_id=EVERY_AUDIENCE if erase else AUDIENCE,
        record={"userConsent": {"version": json.dumps([at, exits, message_id])}},
        erase=erase,
    )


def version_of(record: dict[str, Any]) -> Version | None:
    """The version of a change, read from its record. The removal of an earlier life has none."""
    text = record.get("userConsent", {}).get("version")
    return Version(*json.loads(text)) if text else None


def _emails(change: MembershipChange) -> list[str]:
    return [identity["email"] for identity in change.record["hashedPII"]]


def failing(error: AudienceSyncError | Exception) -> Callable[[], Any]:
    """A call that raises and has no effect."""

    def fail() -> None:
        raise error

    return fail


def _keep_newest(known: dict[Member, Version], change: MembershipChange) -> None:
    member, version = change.record["externalUserId"], change.version
    known[member] = max(version, known.get(member, version))
