"""The newest change of a member wins, whatever overlaps, repeats or overtakes: the protocol against a real table."""

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
from local.template import Template
from tests.faults.proxy import in_front_of, refuse
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
    """Applies uploads in the order in which it accepts them; something may happen just before that."""

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

    def inside(self) -> set[str]:
        return {member for member, held in self.members.items() if held}


@dataclass
class Kept:
    """A queue that keeps what it is sent."""

    bodies: list[tuple[str, float]] = field(default_factory=list)

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        assert deadline > 0
        assert attributes is None or "reason" in attributes
        self.bodies += [(body, delay) for body in bodies]


@dataclass
class Site:
    """One stack: a table, a queue, and any number of workers."""

    url: str
    table: str
    amazon: Amazon = field(default_factory=Amazon)
    queue: Kept = field(default_factory=Kept)
    dead_letters: Kept = field(default_factory=Kept)
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
        books = DeliveryContext(self.queue, self.dead_letters, self.members(), Limits(job=JOB), now=lambda: 0)
        return Delivery(self.amazon, books, monotonic=lambda: 0.0, jitter=lambda: 1.0).deliver(messages, deadline=60.0)

    def row(self, member: str = "m1") -> dict[str, Any]:
        key = {"audienceId": {"S": AUDIENCE}, "externalUserId": {"S": member}}
        row: dict[str, Any] = resources.client("dynamodb", self.url).get_item(TableName=self.table, Key=key)["Item"]
        return row


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_aws(SqsQueues(time.time)) as served:
        yield served


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    template = Template.load()
    dynamodb = resources.client("dynamodb", url)
    properties = template.resources("AWS::DynamoDB::Table")["MembershipTable"]
    known = ("KeySchema", "AttributeDefinitions", "BillingMode")
    dynamodb.create_table(TableName="members", **{key: template.resolve(properties[key]) for key in known})
    yield Site(url, "members")
    dynamodb.delete_table(TableName="members")


def test_a_quiet_change_costs_one_upload_and_is_recorded(site: Site) -> None:
    report = site.deliver(change("a@b.co", at=5))
    assert (report.delivered, report.superseded, len(site.amazon.uploads), site.queue.bodies) == (1, 0, 1, [])
    row = site.row()
    assert int(row["expiresAt"]["N"]) == NOW + KEEP_ACTIVE
    assert json.loads(row["change"]["S"])["at"] == 5


def test_an_older_change_that_arrives_later_is_superseded_and_not_sent(site: Site) -> None:
    site.deliver(change("a@b.co", at=5, exits=True))
    report = site.deliver(change("a@b.co", at=4))
    assert (report.delivered, report.superseded, len(site.amazon.uploads)) == (0, 1, 1)
    assert site.amazon.inside() == set()


def test_an_exit_of_the_same_moment_wins_in_either_order(site: Site) -> None:
    site.deliver(change("a@b.co", at=5, exits=True))
    site.deliver(change("a@b.co", at=5, message_id="z"))
    assert site.amazon.inside() == set()


def test_an_exit_takes_along_every_identifier_that_was_ever_sent(site: Site) -> None:
    site.deliver(change("old@b.co", at=1))
    site.deliver(change("new@b.co", at=2))
    site.deliver(change(at=3, exits=True))
    assert {identity["email"] for identity in site.amazon.uploads[-1][0]["hashedPII"]} == {
        digest("old@b.co"),
        digest("new@b.co"),
    }
    assert site.amazon.inside() == set()
    assert int(site.row()["expiresAt"]["N"]) == NOW + KEEP_EXIT


def test_who_moves_on_during_an_upload_is_sent_once_more(site: Site) -> None:
    def other_worker() -> None:
        books = DeliveryContext(site.queue, site.dead_letters, site.members(), Limits(job=JOB), now=lambda: 0)
        (body,) = pack([change("a@b.co", at=2, exits=True)])
        other = Delivery(site.amazon, books, monotonic=lambda: 0.0, jitter=lambda: 1.0)
        assert other.deliver([Message("other", "h", body, 1, 0)], deadline=60.0).delivered == 1

    site.amazon.meanwhile = other_worker  # the exit overtakes the entry, which Amazon then accepts last
    report = site.deliver(change("a@b.co", at=1))
    assert [upload[0]["action"] for upload in site.amazon.uploads] == ["DELETE", "CREATE", "DELETE"]
    assert site.amazon.inside() == set()
    assert report.deferred == []


def test_who_keeps_moving_on_is_left_for_the_next_time(site: Site) -> None:
    moments = iter(range(2, 20))

    class Restless(Amazon):
        def send_records(self, upload: Upload, *, timeout: float) -> str:
            site.members().record([change("a@b.co", at=next(moments))])
            return super().send_records(upload, timeout=timeout)

    site.amazon = Restless()
    report = site.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["moved_on"]
    assert len(site.amazon.uploads) == 3
    assert report.delivered == 0


def test_an_entry_that_amazon_applies_late_is_followed_by_the_exit_again(site: Site) -> None:
    site.amazon.fails = OutcomeUnknown("timeout")
    entered = change("a@b.co", at=1)
    (deferred,) = site.deliver(entered).deferred
    assert deferred.delay >= 60
    site.deliver(change("a@b.co", at=2, exits=True))
    site.amazon.apply([entered.record])  # after the exit: the person is in again
    assert site.amazon.inside() == {"m1"}
    report = site.deliver(entered, receives=2)
    assert site.amazon.inside() == set()
    assert (report.superseded, report.delivered) == (1, 0)


def test_what_is_told_again_goes_to_the_same_targets(site: Site) -> None:
    entered, exited = change("a@b.co", at=1), change(at=2, exits=True)
    for told in (entered, exited):
        site.deliver(replace(told, connection_id="c", target_types=("DSP",)))
    ((again, _),) = site.queue.bodies
    envelope = json.loads(again)
    assert (envelope["connectionId"], envelope["targetTypes"]) == ("c", ["DSP"])


def test_a_redelivered_change_is_sent_again_and_harms_nothing(site: Site) -> None:
    for receives in (1, 2):
        site.deliver(change("a@b.co", at=1), receives=receives)
    assert len(site.amazon.uploads) == 2
    assert site.amazon.inside() == {"m1"}


@pytest.mark.parametrize("exits", [pytest.param(False, id="in"), pytest.param(True, id="out")])
def test_the_row_of_a_member_who_is_told_again_outlives_the_member(site: Site, exits: bool) -> None:
    site.deliver(change("a@b.co", at=1, exits=exits))
    site.now += 20 * 86_400
    site.deliver(change("a@b.co", at=1, exits=exits))
    assert int(site.row()["expiresAt"]["N"]) == site.now + (KEEP_EXIT if exits else KEEP_ACTIVE)


def test_a_change_that_contradicts_a_recent_one_is_repeated_when_both_jobs_have_ended(site: Site) -> None:
    site.deliver(change("a@b.co", at=1))
    site.now += 30
    site.deliver(change("a@b.co", at=2, exits=True))
    ((again, delay),) = site.queue.bodies
    assert delay == JOB
    site.now += JOB
    uploads = site.amazon.uploads
    site.amazon.apply([uploads[1][0], uploads[0][0]])  # the jobs end in reverse
    assert site.amazon.inside() == {"m1"}
    report = site.deliver_messages(Message("again", "h", again, 1, 0))
    assert site.amazon.inside() == set()
    assert (report.delivered, report.superseded, report.parked) == (0, 0, 0), "it was counted the first time"
    assert len(site.queue.bodies) == 1, "and there is no end without an end"


def test_a_change_that_contradicts_one_of_long_ago_is_not_repeated(site: Site) -> None:
    site.deliver(change("a@b.co", at=1))
    site.now += JOB + 1
    site.deliver(change("a@b.co", at=2, exits=True))
    assert site.queue.bodies == []


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_two_identities_told_in_the_same_moment_are_both_sent(site: Site, order: tuple[str, str]) -> None:
    emails = {"a": "work@b.co", "b": "home@b.co"}
    for message_id in order:
        site.deliver(change(emails[message_id], at=1, message_id=message_id))
    sent = {identity["email"] for identity in site.amazon.uploads[-1][0]["hashedPII"]}
    assert sent == {digest("work@b.co"), digest("home@b.co")}
    assert {identity["email"] for identity in json.loads(site.row()["change"]["S"])["record"]["hashedPII"]} == sent


def test_a_deletion_notice_removes_the_person_and_forgets_them(site: Site) -> None:
    site.deliver(change("a@b.co", at=1))
    site.now += JOB + 1
    report = site.deliver(change(at=2, exits=True, erase=True))
    assert site.amazon.inside() == set()
    assert report.delivered == 1
    assert digest("a@b.co") not in json.dumps(site.row())
    assert site.deliver(change("a@b.co", at=1)).superseded == 1, "an old entry does not bring them back"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("first", ["notice", "exit"])
def test_whoever_asked_to_be_forgotten_is_whatever_exit_comes_later(site: Site, first: str, together: bool) -> None:
    site.deliver(change("a@b.co", at=1))
    site.now += JOB + 1
    notice, later = change(at=2, exits=True, erase=True), change("a@b.co", at=3, exits=True)
    order = [notice, later] if first == "notice" else [later, notice]
    for changes in [order] if together else [[each] for each in order]:
        site.deliver(*changes)
    site.now += JOB + 1
    for body, _ in site.queue.bodies:  # said once more, when both jobs have ended
        site.deliver(*ChangeMessage.from_body(body).changes)
    assert site.amazon.inside() == set()
    assert digest("a@b.co") not in json.dumps(site.row())


@pytest.mark.parametrize("exits", [False, True])
def test_a_row_that_is_full_begins_anew_and_keeps_nobody_waiting(site: Site, exits: bool) -> None:
    site.deliver(change("old@b.co", at=1))
    with in_front_of(site.url) as front:
        front.on("UpdateItem", refuse("ValidationException"), times=1)  # over 400 KB, with one identity more
        full = replace(site, url=front.url)
        report = full.deliver(change("new@b.co", at=2, exits=exits))
    assert (report.delivered, report.deferred) == (1, [])
    assert site.row()["identities"]["SS"] == [json.dumps({"email": digest("new@b.co")}, separators=(",", ":"))]
    told = {identity["email"] for identity in site.amazon.uploads[-1][0]["hashedPII"]}
    assert told == {digest("new@b.co"), *([digest("old@b.co")] if exits else [])}, "an exit still tells what was there"


def test_a_table_that_does_not_take_one_member_now_is_not_asked_for_all_the_others() -> None:
    with in_front_of("http://127.0.0.1:9") as front:
        front.on("UpdateItem", refuse("ThrottlingException"))
        client = resources.client("dynamodb", front.url)
        table = MembershipTable(client, "members", lambda: NOW, JOB)
        standings = table.record([change("a@b.co", at=1, member=f"m{number}") for number in range(500)])
        attempts = client.meta.config.retries["total_max_attempts"]
        assert {type(each) for each in standings} == {Unavailable}
        assert front.count("UpdateItem") <= 2 * THREADS * attempts


def test_without_time_nothing_more_is_recorded(site: Site) -> None:
    standings = site.members().record([change("a@b.co", at=1)], (), lambda: False)
    assert [each.reason for each in standings if isinstance(each, TransientError)] == ["out_of_time"]


def test_what_a_slow_table_has_recorded_is_sent_before_time_runs_out(site: Site) -> None:
    with in_front_of(site.url) as front:
        slow = replace(site, url=front.url)
        books = DeliveryContext(site.queue, site.dead_letters, slow.members(), Limits(), now=lambda: 0)
        delivery = Delivery(
            site.amazon, books, monotonic=lambda: front.count("UpdateItem") / 4, jitter=lambda: 1.0
        )  # a quarter of a second for each row: sixty seconds do not suffice for all of them
        bodies = pack(change("a@b.co", at=1, member=f"m{number}") for number in range(400))
        (message,) = [Message("a", "h", body, 1, 0) for body in bodies]
        report = delivery.deliver([message], deadline=60.0)
    assert report.delivered == len(site.amazon.inside()) >= 4 * 17, "17 seconds; an upload may need the rest"
    assert (report.requeued, report.deferred) == (1, [])
    left = [change for body, _ in site.queue.bodies for change in ChangeMessage.from_body(body).changes]
    assert report.delivered + len(left) == 400


def test_a_table_that_does_not_answer_keeps_everything_waiting() -> None:
    site = Site("http://127.0.0.1:9", "members")
    report = site.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["unavailable"]
    assert (report.delivered, site.amazon.uploads) == (0, [])


def test_what_cannot_be_read_back_is_not_acknowledged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def versions(*_: object) -> dict[tuple[str, str], str]:
        raise Unavailable("throttled")

    monkeypatch.setattr(MembershipTable, "versions", versions)
    report = site.deliver(change("a@b.co", at=1))
    assert [deferred.reason for deferred in report.deferred] == ["unavailable"]
    assert report.delivered == 0


def test_a_thousand_members_are_recorded_sent_and_checked(site: Site) -> None:
    everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(1000)]
    began = time.thread_time()
    assert site.deliver(*everyone).delivered == 1000
    assert time.thread_time() - began < 20  # seconds of work, but for the table's; it takes some tenths
    assert Counter(site.calls) == {"UpdateItem": 1000, "BatchGetItem": 10}
    assert len(site.amazon.uploads) == 1
    assert len(site.amazon.inside()) == 1000
