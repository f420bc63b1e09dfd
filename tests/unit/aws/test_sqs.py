"""The queue adapter: it confirms every message, or raises."""

import traceback
from collections import Counter
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.aws.sqs import MAX_ATTEMPTS, MAX_BATCH_BYTES, MAX_ENTRIES, MAX_VISIBILITY, Queue, _batches
from audience_sync.errors import Unavailable
from local import resources
from local.sqs.queues import SqsQueues
from tests.support.doubles.clocks import ManualClock
from tests.support.proxy import Effect, FaultProxy, fail_entries, hang_up, lose_answer, refuse

SEND, POSTPONE = "SendMessageBatch", "ChangeMessageVisibilityBatch"
LATER = 10_000.0  # a deadline that does not matter
BODY = "a-body-that-no-error-may-quote"


class QueueFixture:
    """A queue behind the proxy, and what is in it."""

    def __init__(self, proxy: FaultProxy, queues: SqsQueues, clock: ManualClock) -> None:
        self._queues = queues
        self.name = f"queue-{uuid4()}"
        self.client = resources.client("sqs", proxy.url)
        self.url = self.client.create_queue(QueueName=self.name)["QueueUrl"]
        self.queue = Queue(self.client, self.url, clock)

    def bodies(self) -> list[str]:
        return [message.body for message in self._queues.peek(self.name)]

    def receive(self) -> list[str]:
        messages = self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        return [message["ReceiptHandle"] for message in messages]


@pytest.fixture
def fixture(proxy: FaultProxy, queues: SqsQueues, clock: ManualClock) -> QueueFixture:
    return QueueFixture(proxy, queues, clock)


def test_all_bodies_arrive_in_batches_of_ten(fixture: QueueFixture, proxy: FaultProxy) -> None:
    bodies = [f"body {number}" for number in range(25)]
    fixture.queue.send(bodies, deadline=LATER)
    assert sorted(fixture.bodies()) == sorted(bodies)
    assert [len(call["Entries"]) for call in proxy.parameters(SEND)] == [10, 10, 5]


@given(st.lists(st.integers(1, 30).map(lambda size: "ü" * size * 20_000), max_size=25))
def test_batches_keep_every_body_and_both_limits(bodies: list[str]) -> None:
    batches = list(_batches(bodies))
    assert [body for batch in batches for body in batch] == bodies
    for batch in batches:
        assert 0 < len(batch) <= MAX_ENTRIES
        assert len(batch) == 1 or sum(len(body.encode()) for body in batch) <= MAX_BATCH_BYTES


def test_no_call_is_made_for_no_bodies(fixture: QueueFixture, proxy: FaultProxy) -> None:
    fixture.queue.send([], deadline=LATER)
    assert proxy.count(SEND) == 0


def test_attributes_are_set_on_every_message(fixture: QueueFixture) -> None:
    fixture.queue.send(["a", "b"], deadline=LATER, attributes={"reason": "not_found"})
    received = fixture.client.receive_message(
        QueueUrl=fixture.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )["Messages"]
    assert [each["MessageAttributes"]["reason"]["StringValue"] for each in received] == ["not_found"] * 2


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        pytest.param(0.0, None, id="at once"),
        pytest.param(0.2, 1, id="never earlier than asked for"),
        pytest.param(60.0, 60, id="whole seconds"),
        pytest.param(900.5, 900, id="a quarter of an hour at most"),
    ],
)
def test_messages_are_delayed_by_whole_seconds(
    fixture: QueueFixture, proxy: FaultProxy, delay: float, seconds: int | None
) -> None:
    fixture.queue.send(["a", "b"], deadline=LATER, delay=delay)
    (call,) = proxy.parameters(SEND)
    assert [entry.get("DelaySeconds") for entry in call["Entries"]] == [seconds] * 2
    assert not any("MessageAttributes" in entry for entry in call["Entries"])


def test_a_batch_is_filled_to_the_byte() -> None:
    full = ["x" * 400_000, "x" * (MAX_BATCH_BYTES - 400_000)]
    assert list(_batches([*full, "x"])) == [full, ["x"]]
    assert list(_batches(["x" * MAX_BATCH_BYTES, *full])) == [["x" * MAX_BATCH_BYTES], full]


def test_only_failed_entries_are_sent_again(fixture: QueueFixture, proxy: FaultProxy) -> None:
    proxy.on(SEND, fail_entries(1, 3), times=1)
    bodies = [f"body {number}" for number in range(5)]
    fixture.queue.send(bodies, deadline=LATER)
    assert sorted(fixture.bodies()) == bodies
    assert [entry["MessageBody"] for entry in proxy.parameters(SEND)[1]["Entries"]] == ["body 1", "body 3"]


def test_entries_that_keep_failing_raise_unavailable(fixture: QueueFixture, proxy: FaultProxy) -> None:
    proxy.on(SEND, fail_entries(0))
    with pytest.raises(Unavailable, match="did not accept every message") as raised:
        fixture.queue.send([BODY, "fine"], deadline=LATER)
    assert raised.value.retry_after == 1
    assert BODY not in "".join(traceback.format_exception(raised.value))
    assert proxy.count(SEND) == MAX_ATTEMPTS
    assert fixture.bodies() == ["fine"]


def test_failed_entries_are_not_sent_again_after_the_deadline(
    fixture: QueueFixture, proxy: FaultProxy, clock: ManualClock
) -> None:
    async def fail_slowly(call: object) -> object:
        clock.now += 5
        return await fail_entries(0)(call)  # type: ignore[arg-type]

    proxy.on(SEND, fail_slowly, times=1)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        fixture.queue.send(["a"], deadline=clock.now + 4)
    assert proxy.count(SEND) == 1


def test_after_the_deadline_nothing_is_sent(fixture: QueueFixture, proxy: FaultProxy, clock: ManualClock) -> None:
    with pytest.raises(Unavailable):
        fixture.queue.send(["a"], deadline=clock.now)
    assert proxy.count(SEND) == 0


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(refuse("ThrottlingException", message=BODY), id="throttled"),
        pytest.param(refuse("InternalError", 500, BODY), id="broken"),
        pytest.param(refuse("AWS.SimpleQueueService.NonExistentQueue"), id="no such queue"),
        pytest.param(hang_up(), id="connection closed"),
    ],
)
def test_a_failed_send_raises_an_error_without_the_body(
    fixture: QueueFixture, proxy: FaultProxy, outage: Effect
) -> None:
    proxy.on(SEND, outage)
    with pytest.raises(Unavailable, match="did not accept the messages") as raised:
        fixture.queue.send([BODY], deadline=LATER)
    assert raised.value.retry_after == 1
    assert BODY not in "".join(traceback.format_exception(raised.value))
    assert fixture.bodies() == []


def test_sending_again_after_a_lost_answer_causes_only_duplicates(fixture: QueueFixture, proxy: FaultProxy) -> None:
    proxy.on(SEND, lose_answer(), times=1, after=1)
    bodies = [f"body {number:02}" for number in range(15)]
    with pytest.raises(Unavailable):
        fixture.queue.send(bodies, deadline=LATER)
    fixture.queue.send(bodies, deadline=LATER)
    assert Counter(fixture.bodies()) == Counter(bodies * 2)


def test_postponed_messages_stay_invisible_for_their_delay(fixture: QueueFixture) -> None:
    fixture.queue.send(["a", "b"], deadline=LATER)
    first, second = fixture.receive()
    fixture.queue.postpone([(first, 500.0), (second, 0.2)], until=LATER)
    assert len(fixture.receive()) == 1


@pytest.mark.parametrize(("until", "moved"), [(LATER, 13), (1000.0, 0)], ids=["there is time", "there is no time"])
def test_a_failed_postponement_is_retried_while_there_is_time(
    fixture: QueueFixture, proxy: FaultProxy, until: float, moved: int
) -> None:
    proxy.on(POSTPONE, refuse("ThrottlingException"), times=1)
    fixture.queue.send([str(number) for number in range(13)], deadline=LATER)
    handles = fixture.receive() + fixture.receive()
    fixture.queue.postpone([(handle, 0.0) for handle in handles], until=until)
    assert len(fixture.receive() + fixture.receive()) == moved


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        pytest.param(1.6, 2, id="rounded"),
        pytest.param(0.0, 0, id="at once"),
        pytest.param(-3.0, 0, id="never negative"),
        pytest.param(50_000.0, MAX_VISIBILITY, id="twelve hours at most"),
        pytest.param(float("inf"), MAX_VISIBILITY, id="for ever is twelve hours"),
        pytest.param(float("nan"), 0, id="no number at all"),
    ],
)
def test_a_visibility_delay_is_clamped_to_twelve_hours(
    fixture: QueueFixture, proxy: FaultProxy, delay: float, seconds: int
) -> None:
    fixture.queue.send(["a"], deadline=LATER)
    fixture.queue.postpone([(handle, delay) for handle in fixture.receive()], until=LATER)
    ((entry,),) = (call["Entries"] for call in proxy.parameters(POSTPONE))
    assert entry["VisibilityTimeout"] == seconds


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(refuse("ThrottlingException"), id="throttled"),
        pytest.param(hang_up(), id="connection closed"),
        pytest.param(fail_entries(0), id="entry failed"),
    ],
)
def test_postponing_never_raises(fixture: QueueFixture, proxy: FaultProxy, outage: Effect) -> None:
    proxy.on(POSTPONE, outage)
    fixture.queue.send(["a"], deadline=LATER)
    fixture.queue.postpone([(handle, 5.0) for handle in fixture.receive()], until=LATER)
    fixture.queue.postpone([("not a receipt handle", 5.0)], until=LATER)
    fixture.queue.postpone([], until=LATER)
    assert fixture.queue.waiting() == 1, "and no message is lost"


def test_delayed_messages_do_not_count_as_waiting(fixture: QueueFixture) -> None:
    assert fixture.queue.waiting() == 0
    fixture.queue.send(["in flight"], deadline=LATER)
    fixture.receive()
    fixture.queue.send(["visible", "visible too"], deadline=LATER)
    fixture.queue.send(["delayed"], deadline=LATER, delay=60)
    assert fixture.queue.waiting() == 3


def test_a_queue_whose_depth_cannot_be_read_is_unavailable(fixture: QueueFixture, proxy: FaultProxy) -> None:
    proxy.on("GetQueueAttributes", refuse("ThrottlingException"))
    with pytest.raises(Unavailable, match="the queue does not answer: ThrottlingException") as raised:
        fixture.queue.waiting()
    assert raised.value.retry_after == 1
