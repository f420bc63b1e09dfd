"""The newest change of a member wins, in whatever order changes arrive: the protocol against a real table."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from audience_sync.amazon_ads.record import Upload
from audience_sync.aws.membership_rows import KEEP_ACTIVE, KEEP_EXIT
from audience_sync.aws.membership_table import THREADS, MembershipTable
from audience_sync.delivery.batch import BatchReport, Delivery, Message
from audience_sync.delivery.members import DeliveryContext
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import AudienceSyncError, OutcomeUnknown, TransientError, Unavailable
from audience_sync.membership import MembershipChange
from audience_sync.messages import ChangeMessage, pack
from local import resources
from local.sqs.queues import SqsQueues
from tests.aws_fixtures import create_membership_table
from tests.faults.proxy import fault_proxy, refuse
from tests.servers import serve_aws

AUDIENCE = "418273650912345678"
JOB = 900.0
NOW = 1_800_000_000.0


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def change(
    *emails: str, at: int, exits: bool = False, member: str = "m1", message_id: str = "a", erase: bool = False
) -> MembershipChange:
    record: dict[str, Any] = {
        "externalUserId": member,
        "action": "DELETE" if exits else "CREATE",
        "hashedPII": [{"email": digest(email)} for email in emails],
        "userConsent": {},
    }
    return MembershipChange(AUDIENCE, None, at, message_id, record, erase)


@dataclass
class Amazon:
    """Applies uploads in the order in which it accepts them; `meanwhile` runs just before the next one."""

    meanwhile: Callable[[], None] | None = None
    fails: AudienceSyncError | None = None
    members: dict[str, set[str]] = field(default_factory=dict)
    uploads: list[list[dict[str, Any]]] = field(default_factory=list)

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        assert timeout > 0
        body = json.loads(upload.body())
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        fails, self.fails = self.fails, None
        if fails:
            raise fails
        self.apply(body["records"])
        return f"job-{len(self.uploads)}"

    def apply(self, records: list[dict[str, Any]]) -> None:
        self.uploads.append(records)
        for record in records:
            held = self.members.setdefault(record["externalUserId"], set())
            named = {identity["email"] for identity in record["hashedPII"]}
            held |= named
            if record["action"] == "DELETE":
                held -= named

    def active(self) -> set[str]:
        return {member for member, held in self.members.items() if held}


@dataclass
class FakeQueue:
    """A queue that keeps what it is sent."""

    bodies: list[tuple[str, float]] = field(default_factory=list)

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        assert deadline > 0
        assert attributes is None or "reason" in attributes
        self.bodies += [(body, delay) for body in bodies]


@dataclass
class WorkerStack:
    """A table, a queue, and any number of workers."""

    url: str
    table: str
    amazon: Amazon = field(default_factory=Amazon)
    queue: FakeQueue = field(default_factory=FakeQueue)
    dead_letters: FakeQueue = field(default_factory=FakeQueue)
    now: float = NOW
    calls: list[str] = field(default_factory=list)  # of the table, by the workers

    def members(self) -> MembershipTable:
        client = resources.client("dynamodb", self.url)
        client.meta.events.register("before-call.dynamodb", lambda model, **_: self.calls.append(model.name))
        return MembershipTable(client, self.table, lambda: self.now, JOB)

    def deliver(self, *changes: MembershipChange, receives: int = 1) -> BatchReport:
        messages = [Message(str(n), "h", body, receives, 0) for n, body in enumerate(pack(changes))]
        return self.deliver_messages(*messages)

    def deliver_messages(self, *messages: Message) -> BatchReport:
        context = DeliveryContext(self.queue, self.dead_letters, self.members(), Limits(job=JOB), now=lambda: 0)
        return Delivery(self.amazon, context, monotonic=lambda: 0.0, jitter=lambda: 1.0).deliver(
            messages, deadline=60.0
        )

    def row(self, member: str = "m1") -> dict[str, Any]:
        key = {"audienceId": {"S": AUDIENCE}, "externalUserId": {"S": member}}
        row: dict[str, Any] = resources.client("dynamodb", self.url).get_item(TableName=self.table, Key=key)["Item"]
        return row


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_aws(SqsQueues(time.time)) as served:
        yield served


@pytest.fixture
def stack(url: str) -> Iterator[WorkerStack]:
    dynamodb = resources.client("dynamodb", url)
    create_membership_table(dynamodb, "members")
    yield WorkerStack(url, "members")
    dynamodb.delete_table(TableName="members")


def test_a_change_without_others_takes_one_upload_and_is_recorded(stack: WorkerStack) -> None:
    report = stack.deliver(change("a@b.co", at=5))
    assert (report.delivered, report.superseded, len(stack.amazon.uploads), stack.queue.bodies) == (1, 0, 1, [])
    row = stack.row()
    assert int(row["expiresAt"]["N"]) == NOW + KEEP_ACTIVE
    assert json.loads(row["change"]["S"])["at"] == 5


def test_an_older_change_that_arrives_later_is_superseded_and_not_sent(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=5, exits=True))
    report = stack.deliver(change("a@b.co", at=4))
    assert (report.delivered, report.superseded, len(stack.amazon.uploads)) == (0, 1, 1)
    assert stack.amazon.active() == set()


def test_an_exit_of_the_same_moment_wins_in_either_order(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=5, exits=True))
    stack.deliver(change("a@b.co", at=5, message_id="z"))
    assert stack.amazon.active() == set()


def test_an_exit_carries_every_identifier_that_was_ever_sent(stack: WorkerStack) -> None:
    stack.deliver(change("old@b.co", at=1))
    stack.deliver(change("new@b.co", at=2))
    stack.deliver(change(at=3, exits=True))
    assert {identity["email"] for identity in stack.amazon.uploads[-1][0]["hashedPII"]} == {
        digest("old@b.co"),
        digest("new@b.co"),
    }
    assert stack.amazon.active() == set()
    assert int(stack.row()["expiresAt"]["N"]) == NOW + KEEP_EXIT


def test_a_member_who_changes_during_an_upload_is_sent_once_more(stack: WorkerStack) -> None:
    def other_worker() -> None:
        context = DeliveryContext(stack.queue, stack.dead_letters, stack.members(), Limits(job=JOB), now=lambda: 0)
        (body,) = pack([change("a@b.co", at=2, exits=True)])
        other = Delivery(stack.amazon, context, monotonic=lambda: 0.0, jitter=lambda: 1.0)
        assert other.deliver([Message("other", "h", body, 1, 0)], deadline=60.0).delivered == 1

    stack.amazon.meanwhile = other_worker  # the exit overtakes the enter, which Amazon then accepts last
    report = stack.deliver(change("a@b.co", at=1))
    assert [upload[0]["action"] for upload in stack.amazon.uploads] == ["DELETE", "CREATE", "DELETE"]
    assert stack.amazon.active() == set()
    assert report.deferred == []


def test_a_member_who_keeps_changing_is_deferred(stack: WorkerStack) -> None:
    moments = iter(range(2, 20))

    class ChangingAmazon(Amazon):
        def send_records(self, upload: Upload, *, timeout: float) -> str:
            stack.members().record([change("a@b.co", at=next(moments))])
            return super().send_records(upload, timeout=timeout)

    stack.amazon = ChangingAmazon()
    report = stack.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["moved_on"]
    assert len(stack.amazon.uploads) == 3
    assert report.delivered == 0


def test_after_an_enter_that_amazon_applies_late_the_exit_is_sent_again(stack: WorkerStack) -> None:
    stack.amazon.fails = OutcomeUnknown("timeout")
    entered = change("a@b.co", at=1)
    (deferred,) = stack.deliver(entered).deferred
    assert deferred.delay >= 60
    stack.deliver(change("a@b.co", at=2, exits=True))
    stack.amazon.apply([entered.record])  # after the exit: the member is in again
    assert stack.amazon.active() == {"m1"}
    report = stack.deliver(entered, receives=2)
    assert stack.amazon.active() == set()
    assert (report.superseded, report.delivered) == (1, 0)


def test_a_replay_goes_to_the_same_targets(stack: WorkerStack) -> None:
    entered, exited = change("a@b.co", at=1), change(at=2, exits=True)
    for each in (entered, exited):
        stack.deliver(replace(each, connection_id="c", target_types=("DSP",)))
    ((replayed, _),) = stack.queue.bodies
    envelope = json.loads(replayed)
    assert (envelope["connectionId"], envelope["targetTypes"]) == ("c", ["DSP"])


def test_a_redelivered_change_is_sent_again_and_is_harmless(stack: WorkerStack) -> None:
    for receives in (1, 2):
        stack.deliver(change("a@b.co", at=1), receives=receives)
    assert len(stack.amazon.uploads) == 2
    assert stack.amazon.active() == {"m1"}


@pytest.mark.parametrize("exits", [pytest.param(False, id="in"), pytest.param(True, id="out")])
def test_the_row_of_a_member_who_is_sent_again_outlives_the_member(stack: WorkerStack, exits: bool) -> None:
    stack.deliver(change("a@b.co", at=1, exits=exits))
    stack.now += 20 * 86_400
    stack.deliver(change("a@b.co", at=1, exits=exits))
    assert int(stack.row()["expiresAt"]["N"]) == stack.now + (KEEP_EXIT if exits else KEEP_ACTIVE)


def test_the_opposite_of_a_recent_change_is_sent_again_when_both_jobs_have_ended(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 30
    stack.deliver(change("a@b.co", at=2, exits=True))
    ((replayed, delay),) = stack.queue.bodies
    assert delay == JOB
    stack.now += JOB
    uploads = stack.amazon.uploads
    stack.amazon.apply([uploads[1][0], uploads[0][0]])  # the jobs end in reverse
    assert stack.amazon.active() == {"m1"}
    report = stack.deliver_messages(Message("replay", "h", replayed, 1, 0))
    assert stack.amazon.active() == set()
    assert (report.delivered, report.superseded, report.parked) == (0, 0, 0), "it was counted the first time"
    assert len(stack.queue.bodies) == 1, "and not repeated without end"


def test_the_opposite_of_a_change_long_ago_is_sent_once(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += JOB + 1
    stack.deliver(change("a@b.co", at=2, exits=True))
    assert stack.queue.bodies == []


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_two_identities_with_the_same_time_are_both_sent(stack: WorkerStack, order: tuple[str, str]) -> None:
    emails = {"a": "work@b.co", "b": "home@b.co"}
    for message_id in order:
        stack.deliver(change(emails[message_id], at=1, message_id=message_id))
    sent = {identity["email"] for identity in stack.amazon.uploads[-1][0]["hashedPII"]}
    assert sent == {digest("work@b.co"), digest("home@b.co")}
    assert {identity["email"] for identity in json.loads(stack.row()["change"]["S"])["record"]["hashedPII"]} == sent


def test_a_deletion_notice_removes_the_member_and_erases_the_identifiers(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += JOB + 1
    report = stack.deliver(change(at=2, exits=True, erase=True))
    assert stack.amazon.active() == set()
    assert report.delivered == 1
    assert digest("a@b.co") not in json.dumps(stack.row())
    assert stack.deliver(change("a@b.co", at=1)).superseded == 1, "an older enter does not bring the member back"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("first", ["notice", "exit"])
def test_a_deletion_notice_erases_the_identifiers_of_every_later_exit(
    stack: WorkerStack, first: str, together: bool
) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += JOB + 1
    notice, later = change(at=2, exits=True, erase=True), change("a@b.co", at=3, exits=True)
    order = [notice, later] if first == "notice" else [later, notice]
    for changes in [order] if together else [[each] for each in order]:
        stack.deliver(*changes)
    stack.now += JOB + 1
    for body, _ in stack.queue.bodies:  # sent once more, when both jobs have ended
        stack.deliver(*ChangeMessage.from_body(body).changes)
    assert stack.amazon.active() == set()
    assert digest("a@b.co") not in json.dumps(stack.row())


@pytest.mark.parametrize("exits", [False, True])
def test_a_row_that_is_full_begins_anew_and_its_change_is_delivered(stack: WorkerStack, exits: bool) -> None:
    stack.deliver(change("old@b.co", at=1))
    with fault_proxy(stack.url) as proxy:
        proxy.on("UpdateItem", refuse("ValidationException"), times=1)  # over 400 KB, with one identity more
        full = replace(stack, url=proxy.url)
        report = full.deliver(change("new@b.co", at=2, exits=exits))
    assert (report.delivered, report.deferred) == (1, [])
    assert stack.row()["identities"]["SS"] == [json.dumps({"email": digest("new@b.co")}, separators=(",", ":"))]
    sent = {identity["email"] for identity in stack.amazon.uploads[-1][0]["hashedPII"]}
    assert sent == {digest("new@b.co"), *([digest("old@b.co")] if exits else [])}, "an exit still carries the older one"


def test_a_table_that_refuses_one_member_is_not_asked_for_all_the_others() -> None:
    with fault_proxy("http://127.0.0.1:9") as proxy:
        proxy.on("UpdateItem", refuse("ThrottlingException"))
        client = resources.client("dynamodb", proxy.url)
        table = MembershipTable(client, "members", lambda: NOW, JOB)
        results = table.record([change("a@b.co", at=1, member=f"m{number}") for number in range(500)])
        attempts = client.meta.config.retries["total_max_attempts"]
        assert {type(each) for each in results} == {Unavailable}
        assert proxy.count("UpdateItem") <= 2 * THREADS * attempts


def test_without_time_no_change_is_recorded(stack: WorkerStack) -> None:
    results = stack.members().record([change("a@b.co", at=1)], (), lambda: False)
    assert [each.reason for each in results if isinstance(each, TransientError)] == ["out_of_time"]


def test_changes_that_a_slow_table_has_recorded_are_sent_in_time(stack: WorkerStack) -> None:
    with fault_proxy(stack.url) as proxy:
        slow = replace(stack, url=proxy.url)
        context = DeliveryContext(stack.queue, stack.dead_letters, slow.members(), Limits(), now=lambda: 0)
        delivery = Delivery(
            stack.amazon, context, monotonic=lambda: proxy.count("UpdateItem") / 4, jitter=lambda: 1.0
        )  # a quarter of a second for each row: sixty seconds do not suffice for all of them
        bodies = pack(change("a@b.co", at=1, member=f"m{number}") for number in range(400))
        (message,) = [Message("a", "h", body, 1, 0) for body in bodies]
        report = delivery.deliver([message], deadline=60.0)
    assert report.delivered == len(stack.amazon.active()) >= 4 * 17, "17 seconds; an upload may need the rest"
    assert (report.requeued, report.deferred) == (1, [])
    left = [change for body, _ in stack.queue.bodies for change in ChangeMessage.from_body(body).changes]
    assert report.delivered + len(left) == 400


def test_when_the_table_does_not_answer_all_messages_are_deferred() -> None:
    stack = WorkerStack("http://127.0.0.1:9", "members")
    report = stack.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["unavailable"]
    assert (report.delivered, stack.amazon.uploads) == (0, [])


def test_changes_that_cannot_be_read_back_are_not_acknowledged(
    stack: WorkerStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def versions(*_: object) -> dict[tuple[str, str], str]:
        raise Unavailable("throttled")

    monkeypatch.setattr(MembershipTable, "versions", versions)
    report = stack.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["unavailable"]
    assert report.delivered == 0


def test_a_thousand_members_are_recorded_sent_and_read_back(stack: WorkerStack) -> None:
    everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(1000)]
    began = time.thread_time()
    assert stack.deliver(*everyone).delivered == 1000
    assert time.thread_time() - began < 20  # seconds of CPU time, without the table's; it takes some tenths
    assert Counter(stack.calls) == {"UpdateItem": 1000, "BatchGetItem": 10}
    assert len(stack.amazon.uploads) == 1
    assert len(stack.amazon.active()) == 1000
