"""A worker on the real membership table, with queues, Amazon and a clock that tests look into and move."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from audience_sync.amazon_ads.apis import has_jobs, upload_rules
from audience_sync.amazon_ads.consent import consent_of_exit
from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.amazon_ads.job import JobReport
from audience_sync.amazon_ads.upload import Submission, Target, Upload
from audience_sync.aws.membership_rows import Sharding, state_from_row
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.batch import Delivery
from audience_sync.delivery.context import DeliveryContext, Message
from audience_sync.delivery.report import BatchReport
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import AudienceSyncError, RequestRejected
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.erasure.status import Erasure
from audience_sync.members.job_messages import DeletionMessage, read_job_queue
from audience_sync.members.member_state import MemberState
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, ChangeOutcome, Destination, MembershipChange
from audience_sync.members.messages import pack
from audience_sync.operations.erasure_check import ErasureContext, ErasureReport, Pass, check_erasures, person_erasures
from audience_sync.operations.job_tracking import JobCheck, JobContext, JobTracker
from audience_sync.operations.people_deletion import DeletionContext, DeletionReport, PeopleDeletion
from local import resources
from tests.support import builders
from tests.support.builders import AUDIENCE, sha256
from tests.support.doubles.amazon import FakeGate, FakeJobs
from tests.support.doubles.dynamodb import MembershipRows
from tests.support.doubles.queues import FakeQueue

LIMITS = Limits()
JOB, EFFECTIVE = LIMITS.timings.job, LIMITS.timings.audiences.effective_after  # seconds
DATASET = ads_data_manager()
GRANTED = {"consent": {"amzn": {"amznUserData": "GRANTED", "amznAdStorage": "GRANTED"}}}
NOW = 1_800_000_000.0
DEADLINE = 60.0  # monotonic seconds
WRITE, READ = "BatchExecuteStatement", "BatchGetItem"
SHARDING = Sharding(8)
WITH_JOBS = pytest.mark.parametrize("stack", ["memory", "local_aws"], indirect=True)  # of tests about jobs
ON_LOCAL_AWS = pytest.mark.parametrize("stack", ["local_aws"], indirect=True)  # of tests that disturb the network
MAX_LOOKS = 1_000  # moments at which something is received until the queues are empty


def change(*emails: str, at: int, member: str = "m1", message_id: str = "a", **options: Any) -> MembershipChange:
    return builders.change(member, *map(sha256, emails), at=at, message_id=message_id, **options)


def notice(at: int, member: str = "m1", *, denies: bool = False) -> MembershipChange:
    """Return a deletion notice, or a denial of consent."""
    return erasing_exit(member, at, f"notice-{at}", denies_consent=denies)


@dataclass
class Amazon:
    """Applies uploads in the order in which it accepts them; `before_next` runs just before the next one.

    The members of a dataset are kept as the records that they were built from.
    """

    before_next: Callable[[], object] | None = None
    refuses: set[str] = field(default_factory=set)  # members of datasets, by place
    deletion_fails: AudienceSyncError | None = None  # of people, as long as it is set
    fails: AudienceSyncError | None = None  # once
    down: AudienceSyncError | None = None  # as long as it is set
    members: dict[str, set[str]] = field(default_factory=dict)
    uploads: list[list[dict[str, Any]]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)  # of the uploads
    deleted: list[list[str]] = field(default_factory=list)  # requests to delete people

    def send_records(self, upload: Upload, *, timeout: float) -> Submission:
        assert timeout > 0
        body = json.loads(upload.body())
        before, self.before_next = self.before_next, None
        if before:
            before()
        fails, self.fails = self.fails or self.down, None
        if fails:
            raise fails
        self.targets.append(upload.target)
        records = [_record(member) for member in body["members"]] if "members" in body else body["records"]
        error = RequestRejected("Amazon refuses the member", status=400)
        rejected = {place: error for place, each in enumerate(records) if each["externalUserId"] in self.refuses}
        at_most = upload_rules(upload.target.destination).max_identities
        assert all(len(record["hashedPII"]) <= at_most for record in records)
        self.apply([each for place, each in enumerate(records) if place not in rejected])
        return Submission(f"job-{len(self.uploads)}", rejected)

    def delete_people(self, people: Sequence[str], *, timeout: float) -> None:
        assert 0 < timeout <= 30
        assert 0 < len(people) <= 1_000
        if self.deletion_fails:
            raise self.deletion_fails
        self.deleted.append([*people])
        for person in people:
            self.members.pop(person, None)

    def apply(self, records: list[dict[str, Any]]) -> None:
        self.uploads.append(records)
        for record in records:
            if record.get("ignored"):
                continue
            held = self.members.setdefault(record["externalUserId"], set())
            named = named_in(record)
            held |= named
            if record["action"] == "DELETE":
                held -= named

    def active(self) -> set[str]:
        return {member for member, held in self.members.items() if held}


def _record(member: dict[str, Any]) -> dict[str, Any]:
    """Return a member of a dataset as a record. Amazon ignores a removal without consent."""
    identities = [{"email": each["em"]} for each in member["userIdentity"]["hashedPiis"]]
    consent = member.get("userConsent", {})
    amazons = consent.get("consent", {}).get("amzn", {})
    is_ignored = member["action"] == "DELETE" and amazons.get("amznUserData") != "GRANTED"
    named = {"externalUserId": member["externalUserId"], "action": member["action"], "hashedPII": identities}
    return named | {"userConsent": consent} | ({"ignored": True} if is_ignored else {})


def named_in(record: dict[str, Any]) -> set[str]:
    return {digest for identity in record["hashedPII"] for digest in identity.values()}


def enters(record: dict[str, Any]) -> bool:
    return bool(record["action"] == "CREATE")


@dataclass
class WorkerStack:
    """A table, queues, and any number of workers."""

    url: str
    table: str
    amazon: Amazon = field(default_factory=Amazon)
    queue: FakeQueue = field(init=False)
    dead_letters: FakeQueue = field(init=False)
    jobs: FakeQueue = field(init=False)
    gate: FakeGate = field(default_factory=FakeGate)
    audiences: list[Audience] = field(default_factory=lambda: [Audience(AUDIENCE)])
    limits: Limits = LIMITS
    deletes_people: bool = True  # a manager account
    destination: Destination = field(default_factory=Destination)
    now: float = NOW
    calls: list[str] = field(default_factory=list)  # of the table, by the workers
    pauses: list[float] = field(default_factory=list)  # seconds that a worker has waited for a table or a queue
    monotonic: Callable[[], float] = lambda: 0.0
    sleep: Callable[[float], None] = lambda _: None  # may do something in that time
    _clients: dict[str, Any] = field(default_factory=dict)  # of the workers, by URL

    def __post_init__(self) -> None:
        self.queue, self.dead_letters, self.jobs = (FakeQueue(lambda: self.now) for _ in range(3))

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.monotonic, self._pause)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.sleep(seconds)

    @contextmanager
    def through(self, url: str) -> Iterator[None]:
        """Have the workers reach the table at another address for a while."""
        own, self.url = self.url, url
        try:
            yield
        finally:
            self.url = own

    def client(self) -> Any:
        """A client for the test itself."""
        return resources.client("dynamodb", self.url)

    def workers_client(self) -> Any:
        """A client whose calls are noted."""
        if self.url not in self._clients:
            client = self.client()
            client.meta.events.register("before-call.dynamodb", lambda model, **_: self.calls.append(model.name))
            self._clients[self.url] = client
        return self._clients[self.url]

    def members(self) -> MembershipTable:
        return MembershipTable(self.workers_client(), self.table, SHARDING, self.clock, jitter=lambda: 1.0)

    def scan(self) -> MembershipScan:
        return MembershipScan(self.client(), self.table, SHARDING)

    @property
    def effective(self) -> float:
        """Seconds until an upload has taken effect."""
        return self.limits.timings.of(self.destination).effective_after

    def stated(self, change: MembershipChange) -> MembershipChange:
        """Return a change as ingest makes it of this stack's API: with consent if the member enters a dataset."""
        if has_jobs(self.destination) or change.destination or change.audience_id == EVERY_AUDIENCE:
            return change
        consent = consent_of_exit(change.consent, self.destination) if change.exits else change.consent or GRANTED
        return replace(change, destination=self.destination, consent=consent)

    def deliver(self, *changes: MembershipChange, receives: int = 1) -> BatchReport:
        bodies = pack(map(self.stated, changes))
        messages = [Message(str(n), "h", body, receives, 0) for n, body in enumerate(bodies)]
        return self.deliver_messages(*messages)

    def deliver_body(self, body: str, *, receives: int = 1) -> BatchReport:
        return self.deliver_messages(Message("again", "h", body, receives, 0))

    def context(self) -> DeliveryContext:
        return DeliveryContext(
            self.queue,
            self.dead_letters,
            self.jobs,
            self.members(),
            lambda: self.audiences,
            self.limits,
            self.clock,
            self.gate,
            deletes_people=self.deletes_people,
        )

    def deliver_messages(self, *messages: Message) -> BatchReport:
        return Delivery(self.amazon, self.context(), jitter=lambda: 1.0).deliver(messages, deadline=DEADLINE)

    def rest(self, report: JobReport | None = None) -> Counter[ChangeOutcome]:
        """Let time pass until nothing waits in the change queue or the job queue. Returns the outcomes of changes.

        Args:
            report: Amazon's about each job that is checked; by default it has ended well.
        """
        outcomes: Counter[ChangeOutcome] = Counter()
        for _ in range(MAX_LOOKS):
            waiting = [*self.queue.messages, *self.jobs.messages]
            if not waiting:
                return outcomes
            self.now = max(self.now, min(each.due for each in waiting))
            if messages := self.queue.receive():
                delivered = self.deliver_messages(*messages)
                outcomes += delivered.outcomes
                for each in delivered.deferred:
                    self.queue.put_back(each.message, each.delay)
            if checks := self.jobs.receive():
                self.check_jobs(report, *(each.body for each in checks))
        raise AssertionError("the queues do not become empty")

    def check_jobs(self, report: JobReport | None = None, *bodies: str) -> list[JobCheck]:
        """Have the messages of the job queue handled that wait, or these; Amazon reports the same about each job.

        Returns the checks of jobs.
        """
        amazon = FakeJobs(report or JobReport("SUCCEEDED"))
        context = JobContext(
            amazon, self.members(), self.queue, self.jobs, self.dead_letters, self.clock, self.limits.timings
        )
        checks = []
        for message in map(read_job_queue, bodies or self.jobs.drain()):
            if isinstance(message, DeletionMessage):
                self.delete(message)
            else:
                checks.append(JobTracker(context).check(message, deadline=100.0))
        return checks

    def delete(self, message: DeletionMessage) -> DeletionReport:
        context = DeletionContext(
            self.amazon,
            self.members(),
            lambda: self.audiences,
            self.queue,
            self.jobs,
            self.clock,
            self.limits.timings.datasets,
        )
        return PeopleDeletion(context).handle(message, deadline=100.0)

    def write(self, change: MembershipChange) -> None:
        """Bring a change into the table, as another worker does that then is slow."""
        table = self.members()
        state = table.read([change.member]).get(change.member)
        timing = self.limits.timings.of(self.destination)
        each = apply_changes(state, [self.stated(change)], now=int(self.now), timing=timing)
        (result,) = table.write([each.state])
        assert isinstance(result, MemberState)

    def row(self, member: str = "m1") -> dict[str, Any]:
        key = SHARDING.key_of((AUDIENCE, member))
        row: dict[str, Any] = self.client().get_item(TableName=self.table, Key=key)["Item"]
        return row

    def state(self, member: str = "m1") -> MemberState:
        return state_from_row(self.row(member))

    def everywhere(self, member: str = "m1") -> MemberState:
        """The person's row of all audiences."""
        return self.members().read([(EVERY_AUDIENCE, member)])[EVERY_AUDIENCE, member]

    def erasure(self, member: str = "m1") -> Erasure:
        people = [self.everywhere(member)]
        (found,) = person_erasures(people, self.audiences, self.members(), self.limits.timings, self.now)
        return found.erasure

    def check_erasures(
        self, *, deadline: float = 60.0, members: Any = None, begun: Pass | None = None
    ) -> ErasureReport:
        table, timings = members or self.members(), self.limits.timings
        context = ErasureContext(self.scan(), table, self.audiences, timings, self.jobs, self.clock, deadline)
        return check_erasures(context, begun or Pass())

    def holds(self, email: str, member: str = "m1") -> bool:
        """Whether the row still has the digest, in whatever form."""
        row = self.row(member)
        return bytes.fromhex(sha256(email)) in bytes(row["member"]["B"]) or sha256(email) in str(row)


@dataclass
class MemoryStack(WorkerStack):
    """The same on a table in memory: in milliseconds, as mutation tests need it."""

    url: str = "http://127.0.0.1:9"  # nothing answers there
    table: str = "members"
    model: MembershipRows = field(default_factory=MembershipRows)

    def client(self) -> Any:
        return self.model

    def workers_client(self) -> Any:
        return _Noted(self.model, self.calls)


def dataset_stack() -> MemoryStack:
    """Return a stack whose audience is a dataset of Ads Data Manager."""
    return MemoryStack(audiences=[Audience(AUDIENCE, destination=DATASET)], destination=DATASET)


class _Noted:
    """Notes calls by the names that AWS gives them."""

    def __init__(self, model: MembershipRows, calls: list[str]) -> None:
        self._model = model
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        self._calls.append("".join(word.title() for word in name.split("_")))
        return getattr(self._model, name)
