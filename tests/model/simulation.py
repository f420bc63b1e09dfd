"""Everything around the worker, in memory and on one clock: the change queue, the dead letters, the table and Amazon.

The code under test is the real one: Delivery, MemberDelivery, Uploads, JobTracker, PeopleDeletion and MembershipTable.

Amazon takes an upload within SETTLE seconds of the request or never. Uploads take effect in any order: those of the
audience API when their jobs end, within JOB seconds or later, and jobs may fail or reject records; those to a dataset
within EFFECTIVE seconds. A worker is stopped after TIMEOUT seconds.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from audience_sync.amazon_ads.apis import has_jobs
from audience_sync.amazon_ads.destination import Api, of_data_manager
from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.record import audience_record, exit_record
from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.aws.checkpoint import RENEWAL, Checkpoint
from audience_sync.aws.membership_rows import Sharding, member_of, state_from_row
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.batch import BatchReport, Delivery
from audience_sync.delivery.context import DeliveryContext, Message
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import AudienceSyncError, TransientError, Unavailable
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, Member, MembershipChange, Version
from audience_sync.members.messages import ChangeMessage, DeadLetter, DeliveryHistory, JobMessage, pack, read_job_queue
from audience_sync.operations import erasures
from audience_sync.operations.job_tracking import MIN_TIME_PER_CHECK, JobContext, JobTracker
from audience_sync.operations.people_deletion import DeletionContext, PeopleDeletion
from audience_sync.operations.renewal import Renewal
from tests.doubles.amazon import FakeGate
from tests.doubles.dynamodb import MembershipRows
from tests.model.amazon import EFFECTIVE, GRANTED, JOB, AudienceApi, DataManager, Job, Record
from tests.model.scheduler import Task

AUDIENCE = Audience("418273650912345678")
DATASET = Audience("dataset-1", destination=of_data_manager())
SECOND_DATASET = replace(DATASET, audience_id="dataset-2")
TIMEOUT = 60.0  # seconds; the worker's
VISIBILITY = 660.0  # seconds; of the change queue
SETTLE = 60.0  # seconds
WINDOW = TIMEOUT + SETTLE + JOB  # seconds; an upload prepared now has taken effect by then
LONGEST_JOB = 4 * JOB  # seconds; no job takes longer
EPOCH = 1_800_000_000.0
THREE_YEARS = 1e8  # seconds, about
SHARDING = Sharding(2)


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


@dataclass(eq=False)
class Worker:
    """One invocation."""

    task: Task
    batch: list[QueuedMessage]
    stopped_at: float
    report: BatchReport | None = None
    upload: Job | None = None  # what it is about to send


@dataclass(eq=False)
class Check:
    """One check of a job, or one request to delete people."""

    task: Task
    body: str
    stopped_at: float
    upload: Job | None = None  # the request that it is about to make


class Simulation:
    """The state of queue, table, Amazon and workers, and the events that change it."""

    def __init__(self, audiences: Sequence[Audience] = (AUDIENCE,)) -> None:
        self.audiences = audiences
        self.audience_api, self.datasets = AudienceApi(), DataManager()
        self.now = EPOCH
        self.max_records = 3  # of one upload
        self.table = MembershipRows()
        self.queue: list[QueuedMessage] = []
        self.dead_letters: list[str] = []  # bodies that are in the queue now
        self.jobs: list[Job] = []  # taken by Amazon, not yet ended
        self.in_transit: list[Job] = []  # their workers have given up on them
        self.job_messages: list[QueuedMessage] = []
        self.checks: list[Check] = []
        self.workers: list[Worker] = []
        self.newest_sent: dict[Member, Version] = {}  # the newest version that Amazon has taken
        self.last_sent: dict[Member, Version] = {}  # the last version that Amazon has taken
        self.parked: dict[Member, Version] = {}  # the newest version that was ever in a dead letter
        self.refused: set[Version | Member] = set()  # enters, and members whose removals Amazon refuses
        self.accepted: list[MembershipChange] = []
        self.noticed: dict[Version, int] = {}  # the person's last enter when a deletion notice was accepted first
        self.is_shared = False  # the last audience gets the first one's events
        self.before: set[Version] = set()  # changes that were accepted before
        self.moved: set[str] = set()  # persons whom the last audience has from the first one
        self.counts = {"delivered": 0, "superseded": 0, "parked": 0}
        self.accepted_at: Counter[int] = Counter()  # changes, by epoch millisecond
        self.completed: Counter[int] = Counter()  # changes with an outcome, by when they were accepted
        self.counts_are_exact = True  # until a crash or a second delivery makes some count twice
        self.order_is_kept = True  # until an upload may be in transit that no worker waits for
        self.uploads = 0
        self.records: Counter[Member] = Counter()  # that Amazon has taken, requests to delete people also
        self.deliveries: Counter[Member] = Counter()  # of changes, each with all that may follow from it
        self._numbers = 0

    # Events

    def accept(self, changes: Sequence[MembershipChange]) -> None:
        """Have ingest answer 200."""
        self.accepted += changes
        for notice in (change for change in changes if change.erase):
            self.noticed.setdefault(notice.version, self.datasets.last_enter(notice.member[1]))
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
            for change in message.changes:
                self.deliveries.update({change.member, *self.members_of(change)})
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
        for check in [each for each in self.checks if each.stopped_at <= then]:
            check.task.kill()
            self.checks.remove(check)
            self._put_back(check)
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
        self.take(job)

    def end(self, job: Job) -> None:
        """Let an upload take effect."""
        self.jobs.remove(job)
        job.api.end(job)

    def redrive(self, body: str) -> None:
        self.dead_letters.remove(body)
        for redriven in DeadLetter.from_body(body).redrive_bodies():
            self.put(redriven)

    def tracked(self) -> list[Job]:
        """The jobs at Amazon whose messages are stored. Others cannot be followed."""
        stored = [read_job_queue(message.body) for message in self.job_messages]
        known = {each.job_id for each in stored if isinstance(each, JobMessage)}
        return [job for job in self.jobs if job.api is self.audience_api and job.job_id in known]

    def put_job(self, body: str, delay: float = 0.0) -> None:
        self._numbers += 1
        self.job_messages.append(QueuedMessage(body, self._numbers, self.now + delay, self.now))

    def visible_jobs(self) -> list[QueuedMessage]:
        return [message for message in self.job_messages if message.visible_at <= self.now]

    def check(self, message: QueuedMessage) -> Check:
        """Begin to handle one message of the job queue. It goes at once: a check that fails puts it back."""
        self.job_messages.remove(message)
        stopped_at = self.now + 2 * MIN_TIME_PER_CHECK
        check = Check(Task(lambda task: self._run_check(task, check)), message.body, stopped_at)
        self.checks.append(check)
        return check

    def renew(self) -> None:
        """Run the renewal three years later, when every member's TTL is about to expire."""
        client: Any = self.table
        clock = Clock(lambda: self.now + THREE_YEARS, lambda: 0.0, lambda _: None)
        listed = [replace(audience, settings={"renew": True}) for audience in self.audiences]
        report = Renewal(
            MembershipScan(client, "members", SHARDING),
            Checkpoint(client, "members", RENEWAL),
            _DirectQueue(self.queue, self.put),
            clock,
        ).run(listed, deadline=TIMEOUT)
        assert report.reason is None

    def check_erasures(self) -> bool:
        """Run the check of erasures. Returns whether the deletion of people was queued again."""
        client: Any = self.table
        clock, jobs = self.clock(), _DirectQueue(self.job_messages, self.put_job)
        scan, table = MembershipScan(client, "members", SHARDING), MembershipTable(client, "members", SHARDING, clock)
        timing_of, deadline = self.limits.timing_of, self.now + TIMEOUT
        context = erasures.Context(scan, table, self.audiences, timing_of, jobs, clock, 30.0, deadline)
        report = erasures.check_erasures(context, erasures.Pass())
        assert report.is_complete
        return report.asked_again > 0

    def share(self) -> None:
        """Have the last audience get the events of the first one as well, from now on."""
        if not self.is_shared:
            self.is_shared = True
            self.before = {change.version for change in self.accepted}

    def reaching(self, change: MembershipChange) -> list[MembershipChange]:
        """The changes that an event makes whose change of one audience is given."""
        is_of_first = change.audience_id == self.audiences[0].audience_id
        return [change, *([self._for_last(change)] if self.is_shared and is_of_first else [])]

    def _for_last(self, change: MembershipChange) -> MembershipChange:
        last = self.audiences[-1]
        record = exit_record(change.record, last.destination) if change.exits else change.record
        return replace(change, audience_id=last.audience_id, destination=last.destination, record=record)

    def may_move(self, person: str) -> bool:
        """Whether the first audience's row has all that was stated before the last one got the same events."""
        member = (self.audiences[0].audience_id, person)
        waiting = [change for message in self.queue for change in message.changes]
        parked = [change for body in self.dead_letters for change in ChangeMessage.from_body(body).changes]
        unsettled = {change.version for change in (*waiting, *parked) if member in self.members_of(change)}
        return not unsettled & self.before

    def move(self, person: str) -> None:
        """Send the last audience what the first one's row says of a person, as of the event behind it.

        Also that the person has left: an older enter may arrive later, and only the first audience knows better.
        """
        self.moved.add(person)
        for row in self.table.rows.values():
            state = state_from_row(row)
            if state.member == (self.audiences[0].audience_id, person):
                newest = state.bare() if state.newest.exits else state.enter()
                for body in pack([self._for_last(newest)], DeliveryHistory(is_replay=True)):
                    self.put(body)

    @property
    def limits(self) -> Limits:
        effective = {Api.DATA_MANAGER.value: EFFECTIVE}
        return Limits(self.max_records, settle=SETTLE, job=JOB, longest_job=LONGEST_JOB, effective=effective)

    # One worker, and what it calls

    def _run_worker(self, task: Task, worker: Worker, messages: list[Message]) -> None:
        limits = self.limits
        client: Any = _Client(self, task)
        context = DeliveryContext(
            _Queue(self, task, "queue", self.put),
            dead_letters=_Queue(self, task, "park", self._park),
            jobs=_Queue(self, task, "job queue", self.put_job),
            members=MembershipTable(client, "members", SHARDING, self.clock()),
            audiences=lambda: self.audiences,
            limits=limits,
            clock=self.clock(),
            gate=FakeGate(),
            deletes_people=True,
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
        changes, jobs = _Queue(self, task, "queue", self.put), _Queue(self, task, "job queue", self.put_job)
        dead_letters, amazon = _Queue(self, task, "park", self._park), _JobsAmazon(self, task, check)
        timing, of_datasets = self.limits.timing, self.limits.timing_of(DATASET.destination)
        clock, message = self.clock(), read_job_queue(check.body)
        try:
            if isinstance(message, JobMessage):
                timings = {Api.DATA_MANAGER: of_datasets}
                tracking = JobContext(amazon, table, changes, jobs, dead_letters, clock, timing, timings)
                result = JobTracker(tracking).check(message, deadline=check.stopped_at)
                self.counts["delivered"] -= result.counted
                self.counts["parked"] += result.counted
            else:
                deletion = DeletionContext(amazon, table, lambda: self.audiences, changes, jobs, clock, of_datasets)
                report = PeopleDeletion(deletion).handle(message, deadline=check.stopped_at)
                self.deliveries.update((EVERY_AUDIENCE, each) for each in message.people if report.detail)
        except TransientError:
            self._put_back(check)

    def _put_back(self, check: Check) -> None:
        self.put_job(check.body, 60.0)
        message = read_job_queue(check.body)
        people = () if isinstance(message, JobMessage) else message.people
        self.deliveries.update((EVERY_AUDIENCE, person) for person in people)

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
            self._keep_newest(self.parked, change)

    def take(self, job: Job) -> Submission:
        """Have Amazon answer an upload. Raises RequestRejected."""
        refused = {place for place, record in enumerate(job.records) if self._refuses(record)}
        rejected = job.api.rejections(refused)
        self.uploads += 1
        job.number, job.taken_at = self.uploads, self.now
        job.records = [record for place, record in enumerate(job.records) if place not in refused]
        job.api.accept(job)
        self.jobs.append(job)
        for record in job.records:
            self.records[record.member] += 1
            if (version := record.version) is not None:
                self.last_sent[record.member] = version
                self.newest_sent[record.member] = max(version, self.newest_sent.get(record.member, version))
        return Submission(job.job_id, rejected)

    def is_refused(self, job: Job) -> bool:
        """Whether Amazon would refuse the upload, not only some of its members."""
        return job.api is self.audience_api and any(map(self._refuses, job.records))

    def _refuses(self, record: Record) -> bool:
        return (record.version or record.member) in self.refused

    # What can be observed

    def newest_known(self) -> dict[Member, Version]:
        """The newest version of each member that was sent to Amazon, is parked, or is still in the queue."""
        known = dict(self.newest_sent)
        for member, version in self.parked.items():
            known[member] = max(version, known.get(member, version))
        for message in self.queue:
            for change in message.changes:
                self._keep_newest(known, change)
        for member, changes in self.stated().items():
            moot = [change.version for change in changes if self.may_be_moot(change)]
            known[member] = max([*moot, known.get(member, Version(-1, False, ""))])
        return known

    def _keep_newest(self, known: dict[Member, Version], change: MembershipChange) -> None:
        for member in self.members_of(change):
            known[member] = max(change.version, known.get(member, change.version))

    def members_of(self, change: MembershipChange) -> list[Member]:
        """The members whom a change concerns: several if it is a deletion notice."""
        if change.audience_id != EVERY_AUDIENCE:
            return [change.member]
        return [(audience.audience_id, change.record["externalUserId"]) for audience in self.audiences]

    def stated(self) -> dict[Member, list[MembershipChange]]:
        """The accepted changes of each member; of one who was moved, those also of the first audience."""
        stated: dict[Member, list[MembershipChange]] = {}
        for change in self.accepted:
            for member in self.members_of(change):
                stated.setdefault(member, []).append(change)
        first, last = self.audiences[0].audience_id, self.audiences[-1].audience_id
        for person in self.moved:
            stated.setdefault((last, person), []).extend(stated.get((first, person), []))
        return {member: changes for member, changes in stated.items() if changes}

    def may_be_moot(self, change: MembershipChange) -> bool:
        """Whether there may be nothing to remove: an exit without identifiers, or one whose removal is done."""
        return change.exits

    def held_by(self, member: Member) -> set[str]:
        """The identities of a member at Amazon."""
        return (self.audience_api if member[0] == AUDIENCE.audience_id else self.datasets).held[member]

    def identities_of(self, member: Member) -> set[str]:
        """The identities that the table still holds of a member."""
        rows = [row for row in self.table.rows.values() if member_of(row) == member]
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

    simulation: Simulation
    task: Task
    name: str
    put: Callable[[str, float], None]

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        del deadline, attributes
        for place, body in enumerate(bodies):
            try:
                self.task.call(self.name, partial(self.put, body, delay))
            except Unavailable:
                if place:  # the others are stored, and their changes come again
                    self.simulation.counts_are_exact = False
                raise


@dataclass
class _DirectQueue:
    """A queue, as functions have it that run at one moment."""

    messages: Sequence[QueuedMessage]
    put: Callable[[str, float], None]

    def send(self, bodies: Sequence[str], *, deadline: float, delay: float = 0) -> None:
        assert deadline > 0
        for body in bodies:
            self.put(body, delay)

    def waiting(self) -> int:
        return len(self.messages)


@dataclass
class _Amazon:
    """Amazon, as one worker has it."""

    simulation: Simulation
    task: Task
    worker: Worker

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        assert timeout > 0
        api = self.simulation.audience_api if has_jobs(upload.target.destination) else self.simulation.datasets
        job = self.worker.upload = api.read(upload)
        members = [record.member for record in job.records]
        assert len(set(members)) == len(members), "O4: a member is twice in one request"
        submission: Submission = self.task.call("upload", lambda: self.simulation.take(job))
        return submission


@dataclass
class _JobsAmazon:
    """Amazon, as one check has it."""

    simulation: Simulation
    task: Task
    check: Check

    def job(self, job_id: str) -> JobReport:
        assert job_id.startswith("job-"), "a dataset has no jobs"
        reports = self.simulation.audience_api.reports
        report: JobReport = self.task.call("job", lambda: reports.get(job_id, JobReport("PENDING")))
        return report

    def delete_people(self, people: Sequence[str], *, timeout: float) -> None:
        assert timeout > 0
        job = self.check.upload = self.simulation.datasets.read_deletion(people)
        self.task.call("deletion", lambda: self.simulation.take(job))


def change_of(
    person: str,
    at: int,
    *,
    exits: bool,
    message_id: str,
    emails: Sequence[str],
    audience: Audience = AUDIENCE,
) -> MembershipChange:
    """A change as ingest makes it. The consent of an enter holds its version, to compare what Amazon has with it."""
    identities = [{"email": email} for email in emails]
    version = json.dumps([at, exits, message_id])
    consent = {} if exits else {"consent": {"amzn": GRANTED}, "version": version}
    record = audience_record(person, "DELETE" if exits else "CREATE", identities, None, consent)
    if exits:
        record = exit_record(record, audience.destination)
    return MembershipChange(audience.audience_id, audience.destination, at, message_id, record)


def failing(error: AudienceSyncError | Exception) -> Callable[[], Any]:
    """A call that raises and has no effect."""

    def fail() -> None:
        raise error

    return fail
