"""From messages to uploads, and to an outcome for each message."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.backoff import FIRST_DELAY, LONG_DELAY
from audience_sync.delivery.batch import Delivery
from audience_sync.delivery.context import DeliveryContext, Message
from audience_sync.delivery.report import BatchReport
from audience_sync.delivery.returning import REQUEUE_AFTER_RECEIVES
from audience_sync.delivery.sending import RECORD_RESERVE, SHUTDOWN_RESERVE
from audience_sync.delivery.uploads import Limits
from audience_sync.errors import (
    AccessDenied,
    AudienceSyncError,
    CircuitHalfOpen,
    CircuitOpen,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    RequestTooLarge,
    ServiceUnavailable,
    Throttled,
    TokenUnavailable,
)
from tests.support.doubles.amazon import Amazon, FakeGate, members_of, refusing
from tests.support.doubles.dynamodb import MembershipRows
from tests.support.doubles.queues import FakeQueue

BIG_ID = "9007199254740993"  # 2**53 + 1, which a double cannot hold


def change(member: str, *, at: int = 1, exits: bool = False, pii: list[dict[str, str]] | None = None) -> dict[str, Any]:
    record: dict[str, Any] = {"externalUserId": member, "action": "DELETE" if exits else "CREATE", "userConsent": {}}
    return {"at": at, "id": f"id-{at}", "record": record | {"hashedPII": [{"email": "e"}] if pii is None else pii}}


def message(name: str, *changes: dict[str, Any], audience: str = BIG_ID, receives: int = 1, **history: Any) -> Message:
    body = json.dumps({"v": 1, "audienceId": audience, "connectionId": None, "changes": changes} | history)
    return Message(name, f"handle-{name}", body, receives, sent_at=1000)


def deliver(
    messages: list[Message],
    amazon: Amazon,
    dead_letters: FakeQueue | None = None,
    *,
    queue: FakeQueue | None = None,
    jobs: FakeQueue | None = None,
    gate: FakeGate | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
    seconds: float = 60.0,
) -> BatchReport:
    clock = clock or Clock(lambda: 5.0, lambda: 0.0, lambda _: None)
    rows: Any = MembershipRows()
    context = DeliveryContext(
        queue or FakeQueue(),
        dead_letters or FakeQueue(),
        jobs or FakeQueue(),
        MembershipTable(rows, "members", Sharding(1), clock),
        list,
        limits or Limits(),
        clock,
        gate or FakeGate(),
    )
    return Delivery(amazon, context, jitter=lambda: 1.0).deliver(messages, deadline=seconds)


def members(count: int) -> list[dict[str, Any]]:
    return [change(f"m{number}") for number in range(count)]


def test_changes_of_several_messages_share_one_upload() -> None:
    amazon = Amazon()
    report = deliver([message("a", change("m1")), message("b", change("m2"))], amazon)
    assert [body["audienceId"] for body in amazon.taken] == [9007199254740993]
    assert amazon.members() == {"m1", "m2"}
    assert (report.delivered, report.deferred, report.accepted) == (2, [], {})
    assert amazon.timeouts == {Limits().timeout}
    (job,) = report.jobs
    assert (job.job_id, job.target.audience_id, [change.member[1] for change in job.changes]) == (
        "job-1",
        BIG_ID,
        ["m1", "m2"],
    )


def test_each_upload_queues_a_job_message_with_its_members() -> None:
    jobs = FakeQueue()
    messages = [message("a", change("m1"), change("m2", exits=True), change("m3"))]
    deliver(messages, Amazon(), jobs=jobs, limits=Limits(max_records=2))
    assert [
        (job.job_id, job.audience_id, [(each.member, each.removes) for each in job.members]) for job in jobs.jobs()
    ] == [
        ("job-1", BIG_ID, [("m1", False), ("m2", True)]),
        ("job-2", BIG_ID, [("m3", False)]),
    ]
    assert {each.delay for each in jobs.messages} == {Limits().timings.job}, "not before a job can have ended"


def test_a_job_is_dated_before_the_request_of_its_own_upload() -> None:
    now = [100.0]

    def slow(_: dict[str, Any]) -> None:
        now[0] += 7.0

    jobs = FakeQueue()
    messages = [message("a", change("m1"), change("m2"))]
    deliver(messages, Amazon(slow), jobs=jobs, limits=Limits(max_records=1), clock=Clock(lambda: now[0], lambda: 0.0))
    assert [job.sent_at for job in jobs.jobs()] == [100_000, 107_000]


def test_an_untracked_job_travels_with_the_changes_of_its_upload() -> None:
    amazon, queue = Amazon(), FakeQueue()
    messages = [message("a", change("m1"), change("m2"), receives=3)]
    report = deliver(messages, amazon, queue=queue, jobs=FakeQueue(down=True), limits=Limits(max_records=1))
    assert amazon.members() == {"m1"}, "it will be sent again"
    assert (report.delivered, report.completed, len(report.jobs), report.failed_uploads.total()) == (0, {}, 0, 1)
    assert (report.deferred, report.requeued) == ([], 2)
    sent = [json.loads(each.body) for each in queue.messages]
    untracked = {each["changes"][0]["record"]["externalUserId"]: each.get("untracked") for each in sent}
    assert untracked == {"m1": ["job-1", 5000, False], "m2": None}
    assert {(each["attempts"], each["firstAt"]) for each in sent} == {(3, 1000)}


def test_an_untracked_job_is_queued_before_its_changes_are_sent_again() -> None:
    jobs, seen = FakeQueue(), list[int]()

    def look(_: dict[str, Any]) -> None:
        seen.append(len(jobs.messages))

    untracked = message("a", change("m1"), change("m2"), attempts=1, untracked=["job-9", 777, False])
    assert deliver([untracked], Amazon(look), jobs=jobs).delivered == 2
    assert seen == [1]
    first, second = jobs.jobs()
    assert (first.job_id, first.audience_id, first.sent_at, second.job_id) == ("job-9", BIG_ID, 777, "job-1")
    assert [(each.member, each.was_counted) for each in first.members] == [("m1", True), ("m2", True)]
    assert {each.delay for each in jobs.messages} == {Limits().timings.job}


def test_a_message_whose_job_still_cannot_be_queued_does_not_block_others() -> None:
    class Choosy(FakeQueue):
        def send(self, bodies: Sequence[str], **options: Any) -> None:
            self.down = any("job-9" in body for body in bodies)
            super().send(bodies, **options)

    amazon = Amazon()
    untracked = message("a", change("m1"), untracked=["job-9", 777, False])
    report = deliver([untracked, message("b", change("m2"))], amazon, jobs=Choosy())
    assert [(each.message.message_id, each.delay, each.reason) for each in report.deferred] == [
        ("a", 90, "unavailable")
    ]
    assert (amazon.members(), report.delivered, report.oldest_deferred) == ({"m2"}, 1, 4.0)


def test_a_job_that_was_queued_late_is_not_carried_further() -> None:
    queue = FakeQueue()
    untracked = message("a", change("m1"), untracked=["job-9", 777, False])
    report = deliver([untracked], Amazon(lambda _: Throttled("429")), queue=queue)
    assert (report.requeued, report.deferred) == (1, []), "the message itself still carries it"
    (sent,) = (json.loads(each.body) for each in queue.messages)
    assert (sent["attempts"], "untracked" in sent) == (1, False)


def test_an_open_circuit_defers_only_the_messages_of_its_audience() -> None:
    amazon = Amazon()
    gate = FakeGate(shut={"1": CircuitOpen("open", retry_after=45)})
    messages = [message("a", *members(3), audience="1"), message("b", *members(3), audience="2")]
    report = deliver(messages, amazon, gate=gate)
    assert [body["audienceId"] for body in amazon.taken] == [2]
    assert [(deferred.message.message_id, deferred.delay) for deferred in report.deferred] == [("a", 45)]
    assert report.delivered == 3


def test_only_the_newest_change_of_a_member_is_sent() -> None:
    amazon = Amazon()
    report = deliver([message("a", change("m1", at=2, exits=True)), message("b", change("m1", at=1))], amazon)
    assert [record["action"] for record in amazon.taken[0]["records"]] == ["DELETE"]
    assert (report.delivered, report.superseded) == (1, 1)


def test_uploads_are_split_by_records_and_by_bytes() -> None:
    by_count, by_bytes = Amazon(), Amazon()
    deliver([message("a", *members(25))], by_count, limits=Limits(max_records=10))
    deliver([message("a", *members(25))], by_bytes, limits=Limits(max_bytes=500))
    assert [len(body["records"]) for body in by_count.taken] == [10, 10, 5]
    assert max(len(json.dumps(body, separators=(",", ":"))) for body in by_bytes.taken) <= 500
    assert by_count.members() == by_bytes.members() == {f"m{number}" for number in range(25)}


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("bad", [{"m3"}, {"m0", "m19"}, {"m7", "m8", "m9"}])
def test_bad_records_are_isolated_and_their_neighbours_delivered(bad: set[str], status: int) -> None:
    amazon = refusing(RequestRejected(f"Amazon answered {status}", status=status), members=bad)
    dead_letters = FakeQueue()
    report = deliver([message("a", *members(20))], amazon, dead_letters)
    assert dead_letters.parked() == dict.fromkeys(bad, "request_rejected")
    assert amazon.members() == {f"m{number}" for number in range(20)} - bad
    assert (report.delivered, report.parked, report.deferred) == (20 - len(bad), len(bad), [])
    refused = report.failed_uploads.total()
    assert (len(report.jobs), refused) == (len(amazon.taken), len(amazon.requests) - len(amazon.taken))
    assert report.reasons["request_rejected"] == len(bad) + refused, "records parked, uploads refused"
    k, rounds = len(bad), (20 // len(bad) - 1).bit_length() + 1
    assert len(amazon.requests) <= 1 + 2 * k * (1 + rounds)


@pytest.mark.parametrize("status", [401, 405, 406, 415, 501])
def test_a_status_that_no_record_can_cause_is_not_bisected(status: int) -> None:
    amazon = Amazon(lambda _: RequestRejected(f"Amazon answered {status}", status=status))
    assert deliver([message("a", *members(20))], amazon).parked == 20
    assert len(amazon.requests) == 1


@pytest.mark.parametrize(
    ("bad", "count"),
    [
        *((bad, count) for bad in (8, 11, 15) for count in (16, 24, 100)),
        (16, 100),  # more in a row than are sent before the whole upload counts as refused
        (40, 100),
        (87, 100),  # of the eight records from all over the rest, the last one is accepted
    ],
)
def test_bad_records_at_the_start_do_not_reject_the_others(bad: int, count: int) -> None:
    refused = {f"m{number}" for number in range(bad)}
    amazon, dead_letters = refusing(RequestRejected("400", status=400), members=refused), FakeQueue()
    report = deliver([message("a", *members(count))], amazon, dead_letters)
    assert dead_letters.parked().keys() == refused
    assert amazon.members() == {f"m{number}" for number in range(count)} - refused
    assert (report.delivered, report.parked) == (count - bad, bad)


def test_a_413_halves_the_upload_and_parks_a_record_that_is_too_large_alone() -> None:
    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        is_large = len(body["records"]) > 3 or "m4" in members_of(body)
        return RequestTooLarge("Amazon answered 413", status=413) if is_large else None

    amazon, dead_letters = Amazon(refuses), FakeQueue()
    report = deliver([message("a", *members(10))], amazon, dead_letters)
    assert amazon.members() == {f"m{number}" for number in range(10)} - {"m4"}
    assert (report.delivered, dead_letters.parked()) == (9, {"m4": "request_too_large"})


@pytest.mark.parametrize("error", [AccessDenied("403", status=403), NotFound("404", status=404)])
def test_a_refused_audience_is_parked_without_bisection(
    error: RequestRejected,
) -> None:
    amazon, dead_letters = refusing(error, audience=1), FakeQueue()
    report = deliver(
        [message("a", *members(4), audience="1"), message("b", *members(3), audience="2")], amazon, dead_letters
    )
    assert len(amazon.requests) == 2
    assert set(dead_letters.parked().values()) == {error.reason}
    assert (report.delivered, report.parked, report.deferred) == (3, 4, [])


def test_parked_changes_are_counted_by_reason() -> None:
    amazon = Amazon(lambda _: AccessDenied("Amazon answered 403", status=403))
    unreadable = [Message(name, "h", body, 1, 2000) for name, body in (("c", "{"), ("d", "{"), ("e", "[]"))]
    both = [message("a", *members(2), audience="1"), message("b", change("m1"), audience="2")]
    reasons = deliver([*both, *unreadable], amazon).parked_reasons
    assert reasons == {"access_denied": 3, "message_not_json": 2, "message_version_unknown": 1}


@pytest.mark.parametrize(
    ("error", "receives", "delay"),
    [
        pytest.param(Throttled("429", retry_after=120), 1, 120, id="Retry-After"),
        pytest.param(Throttled("429"), 1, 4, id="first backoff"),
        pytest.param(ServiceUnavailable("503"), 4, 32, id="backoff doubles with every receive"),
        pytest.param(ServiceUnavailable("503"), 5, 64, id="up to about a minute"),
        pytest.param(ServiceUnavailable("503"), 11, 115, id="backoff ends at the next mark of two minutes"),
        pytest.param(OutcomeUnknown("reset"), 1, 60, id="an unknown outcome waits the settle time"),
        pytest.param(TokenUnavailable("no token"), 1, 4, id="no token"),
    ],
)
def test_a_transient_error_defers_messages_with_backoff(error: AudienceSyncError, receives: int, delay: float) -> None:
    report = deliver([message("a", change("m1"), receives=receives)], Amazon(lambda _: error))
    assert [(deferred.message.message_id, deferred.delay) for deferred in report.deferred] == [("a", delay)]
    assert (report.delivered, report.parked) == (0, 0)


def test_an_error_of_one_audience_stops_only_its_own_uploads() -> None:
    amazon = refusing(Throttled("429", retry_after=9), audience=1)
    both = [message("a", *members(30), audience="1"), message("b", *members(30), audience="2")]
    report = deliver(both, amazon, limits=Limits(max_records=10))
    assert len(amazon.requests) == 1 + 3
    assert [deferred.message.message_id for deferred in report.deferred] == ["a"]


def test_only_messages_with_deferred_members_are_deferred() -> None:
    amazon = refusing(ServiceUnavailable("503"), members={"m2"})
    messages = [message("a", change("m0"), change("m1")), message("b", change("m2")), message("c", change("m3"))]
    report = deliver(messages, amazon, limits=Limits(max_records=2))
    assert [deferred.message.message_id for deferred in report.deferred] == ["b", "c"]


@pytest.mark.parametrize("down", [False, True])
def test_the_undelivered_rest_of_a_message_is_requeued_with_its_attempts(*, down: bool) -> None:
    queue, settled = FakeQueue(down=down), message("a", change("m0"), change("m1"), receives=2)
    amazon = refusing(Throttled("429", retry_after=30), members={"m1"})
    report = deliver([settled], amazon, queue=queue, limits=Limits(max_records=1))
    if down:
        assert [deferred.message.message_id for deferred in report.deferred] == ["a"]
        assert report.delivered == 0, "it is not counted yet"
        return
    (rest,) = queue.messages
    sent = json.loads(rest.body)
    assert [each["record"]["externalUserId"] for each in sent["changes"]] == ["m1"]
    assert (sent["attempts"], sent["firstAt"], sent["origin"], rest.delay) == (2, 1000, "a", 30)
    assert (report.delivered, report.requeued, report.deferred) == (1, 1, [])
    second = deliver([Message("b", "h", rest.body, 1, 2000)], Amazon(lambda _: Throttled("429")))
    assert second.deferred[0].delay == 16, "the third attempt in all"


@pytest.mark.parametrize(
    ("messages", "completed"),
    [
        pytest.param(
            [message(name, change(name), firstAt=at) for name, at in (("a", 600), ("b", 600), ("c", 1200))],
            {600: 2, 1200: 1},
            id="by when they were accepted",
        ),
        pytest.param(
            [message("a", change("m0"), change("m0", at=2))], {1000: 2}, id="else by when their message was sent"
        ),
        pytest.param([message("a", change("m0"), replay=True)], {}, id="a replay is not counted again"),
    ],
)
def test_completed_changes_are_counted_by_the_time_they_were_accepted(
    messages: list[Message], completed: dict[int, int]
) -> None:
    assert deliver(messages, Amazon()).completed == completed


@pytest.mark.parametrize(
    ("messages", "replayed"),
    [
        pytest.param([message("a", change("m0"))], set(), id="a change"),
        pytest.param([message("a", change("m0"), replay=True)], {"m0"}, id="a replay"),
        pytest.param(
            [message("a", change("m0"), replay=True), message("b", change("m1"))],
            {"m0"},
            id="a replay of one of two",
        ),
        pytest.param(
            [message("a", change("m0"), replay=True), message("b", change("m0"))],
            set(),
            id="a replay beside the change",
        ),
        pytest.param(
            [message("a", change("m0", at=2), replay=True), message("b", change("m0"))],
            {"m0"},
            id="a replay of a newer change",
        ),
    ],
)
def test_a_job_marks_members_whose_changes_were_only_replayed(messages: list[Message], replayed: set[str]) -> None:
    jobs = FakeQueue()
    deliver(messages, Amazon(), jobs=jobs)
    assert {each.member for job in jobs.jobs() for each in job.members if each.was_counted} == replayed


def test_the_age_of_the_oldest_deferred_change_is_reported() -> None:
    messages = [message("a", change("m1"), firstAt=500), message("b", change("m2"))]
    assert deliver(messages, Amazon(lambda _: Throttled("429"))).oldest_deferred == 4.5
    assert deliver(messages, Amazon()).oldest_deferred == 0.0


def test_an_untried_change_comes_back_without_backoff_or_alignment() -> None:
    gate = FakeGate(shut={"1": CircuitHalfOpen("half-open", retry_after=LONG_DELAY + 10)})
    report = deliver([message("a", change("m1"), audience="1")], Amazon(), gate=gate)
    assert [each.delay for each in report.deferred] == [LONG_DELAY + 10], "on no mark"


def test_a_message_received_12_times_is_requeued_before_sqs_gives_it_up() -> None:
    queue, amazon = FakeQueue(), Amazon(lambda _: ServiceUnavailable("503"))
    report = deliver([message("a", change("m1"), receives=REQUEUE_AFTER_RECEIVES)], amazon, queue=queue)
    (requeued,) = queue.messages
    sent = json.loads(requeued.body)
    assert (sent["attempts"], sent["firstAt"], requeued.delay) == (REQUEUE_AFTER_RECEIVES, 1000, 115)
    assert (report.requeued, report.deferred, report.parked) == (1, [], 0)
    often = [message(name, change(name), receives=REQUEUE_AFTER_RECEIVES) for name in ("a", "b")]
    assert deliver(often, amazon, queue=queue).requeued == 2


def test_without_identifiers_an_addition_is_parked_and_an_exit_removes_nothing() -> None:
    amazon, dead_letters = Amazon(), FakeQueue()
    report = deliver([message("a", change("m1", pii=[]), change("m2", exits=True, pii=[]))], amazon, dead_letters)
    assert (len(amazon.requests), dead_letters.parked(), report.parked) == (0, {"m1": "no_identifier"}, 1)
    assert [each.attributes for each in dead_letters.messages] == [{"reason": "no_identifier"}]


def test_an_unreadable_message_is_parked_unchanged_and_does_not_block_others() -> None:
    amazon, dead_letters = Amazon(), FakeQueue()
    report = deliver([Message("bad", "h", "{", 1, 0), message("good", change("m1"))], amazon, dead_letters)
    assert [(each.body, each.attributes) for each in dead_letters.messages] == [("{", {"reason": "message_not_json"})]
    assert (amazon.members(), report.reasons, report.deferred) == ({"m1"}, {"message_not_json": 1}, [])


@pytest.mark.parametrize("forged", [{"at": 16_725_225_600_000}, {"namedAt": [16_725_225_600_000]}])
def test_a_change_dated_ahead_is_parked_since_no_exit_and_no_deletion_would_count(forged: dict[str, Any]) -> None:
    amazon, dead_letters = Amazon(), FakeQueue()
    report = deliver([message("bad", change("m1") | forged), message("good", change("m2"))], amazon, dead_letters)
    assert [each.attributes for each in dead_letters.messages] == [{"reason": "time_ahead"}]
    assert (amazon.members(), report.deferred) == ({"m2"}, [])


def test_a_message_without_changes_is_done() -> None:
    assert deliver([message("empty")], Amazon()).deferred == []


def test_changes_that_cannot_be_parked_stay_in_the_queue() -> None:
    amazon = Amazon(lambda _: RequestRejected("400", status=400))
    report = deliver([Message("bad", "h", "{", 1, 0), message("b", change("m1"))], amazon, FakeQueue(down=True))
    assert {deferred.message.message_id: deferred.delay for deferred in report.deferred} == {
        "b": FIRST_DELAY,
        "bad": FIRST_DELAY,
    }
    assert (report.parked, report.oldest_deferred) == (0, 5.0), "an unreadable one counts also"


def test_a_dead_letter_contains_its_failure_and_can_be_redriven() -> None:
    dead_letters = FakeQueue()
    amazon = Amazon(lambda _: RequestRejected("Amazon answered 400: no", status=400, request_id="r-1"))
    deliver([message("a", change("m1"), receives=3)], amazon, dead_letters)
    dead_letter = json.loads(dead_letters.messages[0].body)
    assert dead_letter["failure"] == {
        "reason": "request_rejected",
        "status": 400,
        "detail": "Amazon answered 400: no",
        "requestId": "r-1",
        "attempts": 3,
        "firstAt": 1000,
        "lastAt": 5000,
    }
    later = Amazon()
    deliver([Message("redriven", "h", dead_letters.messages[0].body, 1, 0)], later)
    assert later.members() == {"m1"}


def test_without_time_for_an_upload_all_messages_return_at_once() -> None:
    amazon, enough = Amazon(), Limits().timeout + RECORD_RESERVE + SHUTDOWN_RESERVE
    report = deliver([message("a", change("m1"), receives=9)], amazon, seconds=enough - 0.1)
    assert len(amazon.requests) == 0
    assert [(deferred.reason, deferred.delay) for deferred in report.deferred] == [("out_of_time", 0)]
    assert deliver([message("a", change("m1"))], amazon, seconds=enough).delivered == 1


@pytest.mark.parametrize(
    ("receives", "delivered", "requeued", "whole"),
    [
        pytest.param(1, 4, 0, ["b"], id="the message stays"),
        pytest.param(REQUEUE_AFTER_RECEIVES, 5, 1, [], id="received too often to stay"),
    ],
)
def test_a_message_partly_delivered_when_time_runs_out_stays_whole(
    receives: int, delivered: int, requeued: int, whole: list[str]
) -> None:
    clock = [0.0]

    def slow(_: dict[str, Any]) -> None:
        clock[0] += 12.0

    limits, moving = Limits(max_records=5), Clock(lambda: 5.0, lambda: clock[0])
    some = members(9)
    batch = [message("a", *some[:4]), message("b", *some[4:], receives=receives)]
    report = deliver(batch, Amazon(slow), limits=replace(limits, timeout=40.0), clock=moving)
    assert (report.delivered, sum(report.completed.values()), report.requeued) == (delivered, delivered, requeued)
    assert [each.message.message_id for each in report.deferred] == whole


def test_when_time_runs_out_a_message_with_a_parked_change_is_copied_without_it() -> None:
    clock, dead_letters = [0.0], FakeQueue()
    refused = RequestRejected("Amazon answered 400: no", status=400)

    def slow(body: dict[str, Any]) -> RequestRejected | None:
        clock[0] += 4.0
        return refused if "m1" in members_of(body) else None

    limits, moving, some = Limits(max_records=5, timeout=35.0), Clock(lambda: 5.0, lambda: clock[0]), members(9)
    batch = [message("a", some[0]), message("b", *some[1:])]
    report = deliver(batch, Amazon(slow), dead_letters, limits=limits, clock=moving)
    assert (report.delivered, report.parked, list(dead_letters.parked())) == (4, 1, ["m1"])
    assert (report.deferred, report.requeued) == ([], 1), "m1 would be parked again"


def test_copies_of_a_message_in_one_invocation_count_once() -> None:
    report = deliver([message(name, change("m1"), firstAt=1000, origin="a") for name in "bc"], Amazon())
    assert (report.delivered, report.completed) == (1, {1000: 1})


def test_no_upload_is_begun_without_time_for_its_timeout() -> None:
    clock = [0.0]

    def slow(_: dict[str, Any]) -> None:
        clock[0] += 12.0

    amazon = Amazon(slow)
    moving = Clock(lambda: 5.0, lambda: clock[0])
    report = deliver([message("a", *members(50))], amazon, limits=Limits(max_bytes=1000), clock=moving)
    assert len(amazon.taken) == 2, "12 seconds each; the third would begin with 28 seconds left, and may take 30"
    assert (report.delivered, report.requeued, report.reasons) == (len(amazon.members()), 1, {})
