"""From messages to uploads and to a verdict on each message."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from audience_sync.amazon_ads.record import Upload
from audience_sync.delivery.batch import REQUEUE_AFTER_RECEIVES, BatchReport, Delivery, Message
from audience_sync.delivery.bisect import SAMPLE_SIZE
from audience_sync.delivery.members import DeliveryContext
from audience_sync.delivery.uploads import RECORD_RESERVE, SHUTDOWN_RESERVE, Job, Limits
from audience_sync.errors import (
    AccessDenied,
    AudienceSyncError,
    OutcomeUnknown,
    RequestRejected,
    RequestTooLarge,
    ServiceUnavailable,
    Throttled,
    TokenUnavailable,
    Unavailable,
)

BIG_ID = "9007199254740993"  # 2**53 + 1, which a double cannot hold


@dataclass
class Amazon:
    """Takes uploads, unless a rule refuses them."""

    refuses: Callable[[dict[str, Any]], AudienceSyncError | None] = lambda _: None
    taken: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def send_records(self, upload: Upload, *, timeout: float) -> str:
        assert timeout > 0
        self.asked += 1
        body = json.loads(upload.body())
        if error := self.refuses(body):
            raise error
        self.taken.append(body)
        return f"job-{len(self.taken)}"

    def members(self) -> set[str]:
        return {record["externalUserId"] for body in self.taken for record in body["records"]}


@dataclass
class Letters:
    """Keeps dead letters, or is down."""

    down: bool = False
    kept: list[dict[str, Any]] = field(default_factory=list)

    def send(
        self, bodies: Sequence[str], *, deadline: float, delay: float = 0, attributes: dict[str, str] | None = None
    ) -> None:
        if self.down:
            raise Unavailable("down")
        assert deadline > 0
        self.kept += [{"body": body, "attributes": attributes, "delay": delay} for body in bodies]

    def reasons(self) -> dict[str, str]:
        stories = [json.loads(letter["body"]) for letter in self.kept]
        return {story["changes"][0]["record"]["externalUserId"]: story["failure"]["reason"] for story in stories}


def change(member: str, *, at: int = 1, exits: bool = False, pii: list[dict[str, str]] | None = None) -> dict[str, Any]:
    record: dict[str, Any] = {"externalUserId": member, "action": "DELETE" if exits else "CREATE", "userConsent": {}}
    return {"at": at, "id": f"id-{at}", "record": record | {"hashedPII": [{"email": "e"}] if pii is None else pii}}


def message(name: str, *changes: dict[str, Any], audience: str = BIG_ID, receives: int = 1) -> Message:
    body = json.dumps({"v": 1, "audienceId": audience, "connectionId": None, "changes": changes})
    return Message(name, f"handle-{name}", body, receives, sent_at=1000)


def deliver(
    messages: list[Message],
    amazon: Amazon,
    letters: Letters | None = None,
    *,
    queue: Letters | None = None,
    limits: Limits | None = None,
    seconds: float = 60.0,
) -> BatchReport:
    books = DeliveryContext(queue or Letters(), letters or Letters(), None, limits or Limits(), now=lambda: 5000)
    delivery = Delivery(amazon, books, monotonic=lambda: 0.0, jitter=lambda: 1.0)
    return delivery.deliver(messages, deadline=seconds)


def members(count: int) -> list[dict[str, Any]]:
    return [change(f"m{number}") for number in range(count)]


def test_changes_of_several_messages_go_out_as_one_upload_with_an_exact_id() -> None:
    amazon = Amazon()
    report = deliver([message("a", change("m1")), message("b", change("m2"))], amazon)
    assert [body["audienceId"] for body in amazon.taken] == [9007199254740993]
    assert amazon.members() == {"m1", "m2"}
    assert (report.delivered, report.deferred) == (2, [])
    assert report.uploads.jobs == [Job("job-1", BIG_ID, ("m1", "m2"))]


def test_only_the_newest_change_of_a_member_is_sent() -> None:
    amazon = Amazon()
    report = deliver([message("a", change("m1", at=2, exits=True)), message("b", change("m1", at=1))], amazon)
    assert [record["action"] for record in amazon.taken[0]["records"]] == ["DELETE"]
    assert (report.delivered, report.superseded) == (1, 1)


def test_audiences_never_share_an_upload() -> None:
    amazon = Amazon()
    deliver([message("a", change("m1"), audience="1"), message("b", change("m1"), audience="2")], amazon)
    assert [body["audienceId"] for body in amazon.taken] == [1, 2]


def test_uploads_keep_to_both_limits_and_lose_nobody() -> None:
    by_count, by_bytes = Amazon(), Amazon()
    deliver([message("a", *members(25))], by_count, limits=Limits(max_records=10))
    deliver([message("a", *members(25))], by_bytes, limits=Limits(max_bytes=500))
    assert [len(body["records"]) for body in by_count.taken] == [10, 10, 5]
    assert max(len(json.dumps(body, separators=(",", ":"))) for body in by_bytes.taken) <= 500
    assert by_count.members() == by_bytes.members() == {f"m{number}" for number in range(25)}


@pytest.mark.parametrize("bad", [{"m3"}, {"m0", "m19"}, {"m7", "m8", "m9"}])
def test_bad_records_are_isolated_and_cost_their_neighbours_nothing(bad: set[str]) -> None:
    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        found = bad & {record["externalUserId"] for record in body["records"]}
        return RequestRejected("Amazon answered 400", status=400) if found else None

    amazon, letters = Amazon(refuses), Letters()
    report = deliver([message("a", *members(20))], amazon, letters)
    assert letters.reasons() == dict.fromkeys(bad, "request_rejected")
    assert amazon.members() == {f"m{number}" for number in range(20)} - bad
    assert (report.delivered, report.parked, report.deferred) == (20 - len(bad), len(bad), [])
    k, rounds = len(bad), (20 // len(bad) - 1).bit_length() + 1
    assert amazon.asked <= 1 + 2 * k * (1 + rounds)


@pytest.mark.parametrize("status", [400, 422])
def test_where_every_record_is_refused_not_every_record_is_asked_about(status: int) -> None:
    amazon = Amazon(lambda _: RequestRejected(f"Amazon answered {status}", status=status))
    letters = Letters()
    report = deliver([message("a", *members(6000))], amazon, letters)
    assert (report.parked, len(letters.kept), report.deferred) == (6000, 6000, [])
    assert amazon.asked <= 4 * SAMPLE_SIZE + 2 * 13, "13 halvings of 6,000"


@pytest.mark.parametrize("status", [401, 405, 406, 415, 501])
def test_a_refusal_that_no_record_can_be_the_cause_of_is_believed_at_once(status: int) -> None:
    amazon = Amazon(lambda _: RequestRejected(f"Amazon answered {status}", status=status))
    assert deliver([message("a", *members(20))], amazon).parked == 20
    assert amazon.asked == 1


@pytest.mark.parametrize("count", [2 * SAMPLE_SIZE, 3 * SAMPLE_SIZE, 100])
@pytest.mark.parametrize("bad", [SAMPLE_SIZE, SAMPLE_SIZE + 3, 2 * SAMPLE_SIZE - 1])
def test_a_run_of_bad_records_at_the_beginning_does_not_condemn_the_others(bad: int, count: int) -> None:
    refused = {f"m{number}" for number in range(bad)}

    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        found = refused & {record["externalUserId"] for record in body["records"]}
        return RequestRejected("Amazon answered 400", status=400) if found else None

    amazon, letters = Amazon(refuses), Letters()
    report = deliver([message("a", *members(count))], amazon, letters)
    assert letters.reasons().keys() == refused
    assert amazon.members() == {f"m{number}" for number in range(count)} - refused
    assert (report.delivered, report.parked) == (count - bad, bad)


def test_an_upload_that_is_too_large_is_halved_until_it_fits() -> None:
    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        return RequestTooLarge("Amazon answered 413", status=413) if len(body["records"]) > 3 else None

    amazon = Amazon(refuses)
    report = deliver([message("a", *members(10))], amazon)
    assert amazon.members() == {f"m{number}" for number in range(10)}
    assert (report.delivered, report.parked) == (10, 0)


def test_an_audience_we_may_not_touch_is_parked_without_halving_and_others_go_on() -> None:
    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        return AccessDenied("Amazon answered 403", status=403) if body["audienceId"] == 1 else None

    amazon, letters = Amazon(refuses), Letters()
    report = deliver(
        [message("a", *members(4), audience="1"), message("b", *members(3), audience="2")], amazon, letters
    )
    assert amazon.asked == 2
    assert set(letters.reasons().values()) == {"access_denied"}
    assert (report.delivered, report.parked, report.deferred) == (3, 4, [])


@pytest.mark.parametrize(
    ("error", "receives", "delay"),
    [
        pytest.param(Throttled("429", retry_after=120), 1, 120, id="Retry-After is obeyed"),
        pytest.param(Throttled("429"), 1, 4, id="first backoff"),
        pytest.param(ServiceUnavailable("503"), 4, 32, id="backoff doubles with every receive"),
        pytest.param(ServiceUnavailable("503"), 11, 900, id="backoff is capped"),
        pytest.param(OutcomeUnknown("reset"), 1, 60, id="an unknown outcome waits the settle time"),
        pytest.param(TokenUnavailable("no token"), 1, 4, id="token trouble keeps the message"),
    ],
)
def test_passing_trouble_leaves_messages_in_the_queue(error: AudienceSyncError, receives: int, delay: float) -> None:
    report = deliver([message("a", change("m1"), receives=receives)], Amazon(lambda _: error))
    assert [(deferred.message.message_id, deferred.delay) for deferred in report.deferred] == [("a", delay)]
    assert (report.delivered, report.parked) == (0, 0)


def test_one_audiences_trouble_stops_its_own_uploads_only() -> None:
    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        return Throttled("429", retry_after=9) if body["audienceId"] == 1 else None

    amazon = Amazon(refuses)
    report = deliver(
        [message("a", *members(30), audience="1"), message("b", *members(30), audience="2")],
        amazon,
        limits=Limits(max_records=10),
    )
    assert amazon.asked == 1 + 3
    assert [deferred.message.message_id for deferred in report.deferred] == ["a"]


def test_a_message_is_held_back_for_its_own_members_only() -> None:
    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        return ServiceUnavailable("503") if body["records"][0]["externalUserId"] == "m2" else None

    messages = [message("a", change("m0"), change("m1")), message("b", change("m2")), message("c", change("m3"))]
    report = deliver(messages, Amazon(refuses), limits=Limits(max_records=2))
    assert [deferred.message.message_id for deferred in report.deferred] == ["b", "c"]


def test_what_is_left_of_a_message_goes_back_and_remembers_its_attempts() -> None:
    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        return Throttled("429", retry_after=30) if body["records"][0]["externalUserId"] == "m1" else None

    queue, settled = Letters(), message("a", change("m0"), change("m1"), receives=2)
    report = deliver([settled], Amazon(refuses), queue=queue, limits=Limits(max_records=1))
    (rest,) = queue.kept
    told = json.loads(rest["body"])
    assert [each["record"]["externalUserId"] for each in told["changes"]] == ["m1"]
    assert (told["attempts"], told["firstAt"], rest["delay"]) == (2, 1000, 30)
    assert (report.delivered, report.requeued, report.deferred) == (1, 1, [])
    again = deliver([Message("b", "h", rest["body"], 1, 2000)], Amazon(lambda _: Throttled("429")))
    assert again.deferred[0].delay == 16, "the third attempt in all"


def told(name: str, *changes: dict[str, Any], **history: Any) -> Message:
    whole = message(name, *changes)
    return replace(whole, body=json.dumps(json.loads(whole.body) | history))


def test_what_ends_is_told_by_when_it_was_accepted() -> None:
    moments = (600, 600, 1200)
    messages = [told(str(number), change(f"m{number}"), firstAt=at) for number, at in enumerate(moments)]
    assert deliver(messages, Amazon()).completed == {600: 2, 1200: 1}


def test_a_message_that_does_not_say_was_accepted_when_it_was_sent() -> None:
    assert deliver([message("a", change("m0"), change("m0", at=2))], Amazon()).completed == {1000: 2}


def test_a_repetition_ends_nothing_anew() -> None:
    assert deliver([told("a", change("m0"), replay=True)], Amazon()).completed == {}


@pytest.mark.parametrize(
    ("messages", "replayed"),
    [
        pytest.param([told("a", change("m0"))], set(), id="a change"),
        pytest.param([told("a", change("m0"), replay=True)], {"m0"}, id="a repetition"),
        pytest.param([told("a", change("m0"), replay=True), told("b", change("m1"))], {"m0"}, id="of one of two"),
        pytest.param([told("a", change("m0"), replay=True), told("b", change("m0"))], set(), id="beside the change"),
        pytest.param(
            [told("a", change("m0", at=2), replay=True), told("b", change("m0"))], {"m0"}, id="of a newer one"
        ),
    ],
)
def test_members_of_whom_nothing_new_was_sent_are_told_apart(messages: list[Message], replayed: set[str]) -> None:
    assert {member for _, member in deliver(messages, Amazon()).replayed} == replayed


def test_what_goes_back_tells_how_long_the_oldest_has_waited() -> None:
    messages = [told("a", change("m1"), firstAt=500), message("b", change("m2"))]
    assert deliver(messages, Amazon(lambda _: Throttled("429"))).oldest_deferred == 4.5
    assert deliver(messages, Amazon()).oldest_deferred == 0.0


def test_a_message_that_nobody_can_read_and_nothing_takes_waits_too() -> None:
    report = deliver([Message("a", "h", "no JSON", 1, 2000)], Amazon(), Letters(down=True))
    assert report.oldest_deferred == 3.0


@pytest.mark.parametrize("attempts", [-5, -(10**6), 10**9, True, "3", None, 1.5])
def test_a_strange_history_counts_as_none(attempts: Any) -> None:
    told = json.loads(message("a", change("m1")).body) | {"attempts": attempts, "firstAt": -1}
    report = deliver([Message("a", "h", json.dumps(told), 1, 0)], Amazon(lambda _: Throttled("429")))
    assert [deferred.delay for deferred in report.deferred] == [4.0]


def test_what_is_left_stays_in_its_message_where_it_cannot_go_back() -> None:
    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        return Throttled("429") if body["records"][0]["externalUserId"] == "m1" else None

    settled = message("a", change("m0"), change("m1"))
    report = deliver([settled], Amazon(refuses), queue=Letters(down=True), limits=Limits(max_records=1))
    assert [deferred.message.message_id for deferred in report.deferred] == ["a"]


def test_what_has_come_back_often_is_put_back_as_new_so_that_the_queue_does_not_give_it_up() -> None:
    queue, amazon = Letters(), Amazon(lambda _: ServiceUnavailable("503"))
    report = deliver([message("a", change("m1"), receives=REQUEUE_AFTER_RECEIVES)], amazon, queue=queue)
    (renewed,) = queue.kept
    told = json.loads(renewed["body"])
    assert (told["attempts"], told["firstAt"], renewed["delay"]) == (REQUEUE_AFTER_RECEIVES, 1000, 900)
    assert (report.requeued, report.deferred, report.parked) == (1, [], 0)


def test_changes_of_a_message_that_comes_back_whole_are_not_counted_before() -> None:
    def refuses(body: dict[str, Any]) -> AudienceSyncError | None:
        return Throttled("429") if body["records"][0]["externalUserId"] == "m1" else None

    settled = message("a", change("m0"), change("m1"))
    report = deliver([settled], Amazon(refuses), queue=Letters(down=True), limits=Limits(max_records=1))
    assert (len(report.deferred), report.delivered) == (1, 0)


def test_a_deletion_notice_for_an_audience_that_never_held_the_person_is_moot() -> None:
    notice = change("m1", exits=True, pii=[]) | {"erase": True}
    amazon, letters = Amazon(), Letters()
    report = deliver([message("a", notice)], amazon, letters)
    assert (amazon.asked, letters.kept, report.superseded) == (0, [], 1)


def test_an_exit_without_any_known_identifier_is_parked_for_someone_to_see() -> None:
    letters = Letters()
    report = deliver([message("a", change("m1", exits=True, pii=[]))], Amazon(), letters)
    assert letters.reasons() == {"m1": "no_identifier"}
    assert report.parked == 1


def test_a_message_that_nobody_can_read_is_parked_as_it_is_and_its_neighbours_go_on() -> None:
    amazon, letters = Amazon(), Letters()
    report = deliver([Message("bad", "h", "{", 1, 0), message("good", change("m1"))], amazon, letters)
    assert [(letter["body"], letter["attributes"]) for letter in letters.kept] == [
        ("{", {"reason": "message_not_json"})
    ]
    assert (amazon.members(), report.reasons, report.deferred) == ({"m1"}, {"message_not_json": 1}, [])


def test_what_cannot_be_parked_stays_in_the_queue() -> None:
    amazon = Amazon(lambda _: RequestRejected("400", status=400))
    report = deliver([Message("bad", "h", "{", 1, 0), message("b", change("m1"))], amazon, Letters(down=True))
    assert sorted(deferred.message.message_id for deferred in report.deferred) == ["b", "bad"]
    assert report.parked == 0


def test_a_dead_letter_tells_its_story_and_can_be_redriven_as_it_is() -> None:
    letters = Letters()
    amazon = Amazon(lambda _: RequestRejected("Amazon answered 400: no", status=400, request_id="r-1"))
    deliver([message("a", change("m1"), receives=3)], amazon, letters)
    letter = json.loads(letters.kept[0]["body"])
    assert letter["failure"] == {
        "reason": "request_rejected",
        "status": 400,
        "detail": "Amazon answered 400: no",
        "requestId": "r-1",
        "attempts": 3,
        "firstAt": 1000,
        "lastAt": 5000,
    }
    again = Amazon()
    deliver([Message("redriven", "h", letters.kept[0]["body"], 1, 0)], again)
    assert again.members() == {"m1"}


def test_without_time_left_nothing_is_asked_and_everything_comes_back_at_once() -> None:
    amazon, enough = Amazon(), Limits().timeout + RECORD_RESERVE + SHUTDOWN_RESERVE
    report = deliver([message("a", change("m1"), receives=9)], amazon, seconds=enough - 0.1)
    assert amazon.asked == 0
    assert [(deferred.reason, deferred.delay) for deferred in report.deferred] == [("out_of_time", 0)]
    assert deliver([message("a", change("m1"))], amazon, seconds=enough).delivered == 1


def test_an_upload_is_not_begun_that_might_have_to_be_cut_off() -> None:
    clock = [0.0]

    def slow(_: dict[str, Any]) -> None:
        clock[0] += 12.0

    amazon = Amazon(slow)
    books = DeliveryContext(Letters(), Letters(), None, Limits(max_bytes=1000), now=lambda: 5000)
    delivery = Delivery(amazon, books, monotonic=lambda: clock[0], jitter=lambda: 1.0)
    report = delivery.deliver([message("a", *members(50))], deadline=60.0)
    assert len(amazon.taken) == 2, "12 seconds each; the third would begin with 28 seconds left, and may take 30"
    assert (report.delivered, report.requeued, report.reasons) == (len(amazon.members()), 1, {})
