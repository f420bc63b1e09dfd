"""The queue adapter: everything is confirmed, or the caller hears of it."""

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
from tests.faults.proxy import Effect, Front, fail_entries, hang_up, lose_answer, refuse
from tests.unit.aws.conftest import Clock

SEND, POSTPONE = "SendMessageBatch", "ChangeMessageVisibilityBatch"
LATER = 10_000.0  # a deadline that does not matter
BODY = "a-body-that-nobody-may-see"


class Sent:
    """A queue behind the front, and what is in it."""

    def __init__(self, front: Front, queues: SqsQueues, clock: Clock) -> None:
        self._queues = queues
        self.name = f"queue-{uuid4()}"
        self.client = resources.client("sqs", front.url)
        self.url = self.client.create_queue(QueueName=self.name)["QueueUrl"]
        self.queue = Queue(self.client, self.url, clock)

    def bodies(self) -> list[str]:
        return [message.body for message in self._queues.peek(self.name)]

    def receive(self) -> list[str]:
        messages = self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        return [message["ReceiptHandle"] for message in messages]


@pytest.fixture
def sent(front: Front, queues: SqsQueues, clock: Clock) -> Sent:
    return Sent(front, queues, clock)


def test_all_bodies_arrive_in_batches_of_ten(sent: Sent, front: Front) -> None:
    bodies = [f"body {number}" for number in range(25)]
    sent.queue.send(bodies, deadline=LATER)
    assert sorted(sent.bodies()) == sorted(bodies)
    assert [len(call["Entries"]) for call in front.parameters(SEND)] == [10, 10, 5]


def test_a_batch_stays_below_a_megabyte(sent: Sent, front: Front) -> None:
    bodies = [str(number) * 240_000 for number in range(9)]
    sent.queue.send(bodies, deadline=LATER)
    assert sorted(sent.bodies()) == bodies
    assert [len(call["Entries"]) for call in front.parameters(SEND)] == [4, 4, 1]


@given(st.lists(st.integers(1, 30).map(lambda size: "ü" * size * 20_000), max_size=25))
def test_batches_lose_nothing_and_keep_both_limits(bodies: list[str]) -> None:
    batches = list(_batches(bodies))
    assert [body for batch in batches for body in batch] == bodies
    for batch in batches:
        assert 0 < len(batch) <= MAX_ENTRIES
        assert len(batch) == 1 or sum(len(body.encode()) for body in batch) <= MAX_BATCH_BYTES


def test_nothing_to_send_is_no_call(sent: Sent, front: Front) -> None:
    sent.queue.send([], deadline=LATER)
    assert front.count(SEND) == 0


def test_attributes_go_with_every_message(sent: Sent) -> None:
    sent.queue.send(["a", "b"], deadline=LATER, attributes={"reason": "not_found"})
    received = sent.client.receive_message(QueueUrl=sent.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])[
        "Messages"
    ]
    assert [each["MessageAttributes"]["reason"]["StringValue"] for each in received] == ["not_found"] * 2


def test_entries_that_failed_are_sent_again_and_no_others(sent: Sent, front: Front) -> None:
    front.on(SEND, fail_entries(1, 3), times=1)
    bodies = [f"body {number}" for number in range(5)]
    sent.queue.send(bodies, deadline=LATER)
    assert sorted(sent.bodies()) == bodies
    assert [entry["MessageBody"] for entry in front.parameters(SEND)[1]["Entries"]] == ["body 1", "body 3"]


def test_entries_that_keep_failing_are_told(sent: Sent, front: Front) -> None:
    front.on(SEND, fail_entries(0))
    with pytest.raises(Unavailable, match="did not take every message") as raised:
        sent.queue.send([BODY, "fine"], deadline=LATER)
    assert BODY not in "".join(traceback.format_exception(raised.value))
    assert front.count(SEND) == MAX_ATTEMPTS
    assert sent.bodies() == ["fine"]


def test_entries_that_failed_are_not_sent_again_after_the_deadline(sent: Sent, front: Front, clock: Clock) -> None:
    async def fail_slowly(call: object) -> object:
        clock.now += 5
        return await fail_entries(0)(call)  # type: ignore[arg-type]

    front.on(SEND, fail_slowly, times=1)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        sent.queue.send(["a"], deadline=clock.now + 4)
    assert front.count(SEND) == 1


def test_past_the_deadline_nothing_is_begun(sent: Sent, front: Front, clock: Clock) -> None:
    with pytest.raises(Unavailable):
        sent.queue.send(["a"], deadline=clock.now)
    assert front.count(SEND) == 0


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(refuse("ThrottlingException", message=BODY), id="throttled"),
        pytest.param(refuse("InternalError", 500, BODY), id="broken"),
        pytest.param(refuse("AWS.SimpleQueueService.NonExistentQueue"), id="no such queue"),
        pytest.param(hang_up(), id="connection closed"),
    ],
)
def test_a_queue_that_is_down_is_told_without_the_body(sent: Sent, front: Front, outage: Effect) -> None:
    front.on(SEND, outage)
    with pytest.raises(Unavailable, match="does not take messages") as raised:
        sent.queue.send([BODY], deadline=LATER)
    assert raised.value.retry_after == 1
    assert BODY not in "".join(traceback.format_exception(raised.value))
    assert sent.bodies() == []


def test_a_lost_answer_is_told_and_the_repeat_makes_duplicates_only(sent: Sent, front: Front) -> None:
    front.on(SEND, lose_answer(), times=1, after=1)
    bodies = [f"body {number:02}" for number in range(15)]
    with pytest.raises(Unavailable):
        sent.queue.send(bodies, deadline=LATER)
    sent.queue.send(bodies, deadline=LATER)
    assert Counter(sent.bodies()) == Counter(bodies * 2)


def test_postponed_messages_stay_away_and_the_others_come_back(sent: Sent) -> None:
    sent.queue.send(["a", "b"], deadline=LATER)
    first, second = sent.receive()
    sent.queue.postpone([(first, 500.0), (second, 0.2)])
    assert len(sent.receive()) == 1


def test_more_than_ten_messages_are_postponed_in_several_calls(sent: Sent, front: Front) -> None:
    sent.queue.send([str(number) for number in range(12)], deadline=LATER)
    handles = sent.receive() + sent.receive()
    sent.queue.postpone([(handle, 0.0) for handle in handles])
    assert [len(call["Entries"]) for call in front.parameters(POSTPONE)] == [10, 2]
    assert len(sent.receive()) == 10


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
def test_a_delay_is_clamped_to_what_the_queue_takes(sent: Sent, front: Front, delay: float, seconds: int) -> None:
    sent.queue.send(["a"], deadline=LATER)
    sent.queue.postpone([(handle, delay) for handle in sent.receive()])
    ((entry,),) = (call["Entries"] for call in front.parameters(POSTPONE))
    assert entry["VisibilityTimeout"] == seconds


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(refuse("ThrottlingException"), id="throttled"),
        pytest.param(hang_up(), id="connection closed"),
        pytest.param(fail_entries(0), id="entry failed"),
    ],
)
def test_postponing_is_a_hint_that_never_fails(sent: Sent, front: Front, outage: Effect) -> None:
    front.on(POSTPONE, outage)
    sent.queue.send(["a"], deadline=LATER)
    sent.queue.postpone([(handle, 5.0) for handle in sent.receive()])
    sent.queue.postpone([("not a receipt handle", 5.0)])
    sent.queue.postpone([])
    assert sent.queue.waiting() == 1, "and it loses nothing"


def test_messages_wait_whether_they_can_be_had_are_in_work_or_delayed(sent: Sent) -> None:
    assert sent.queue.waiting() == 0
    sent.queue.send(["in work"], deadline=LATER)
    sent.receive()
    sent.queue.send(["to be had", "too"], deadline=LATER)
    sent.queue.send(["delayed"], deadline=LATER, delay=60)
    assert sent.queue.waiting() == 4


def test_a_queue_that_cannot_be_counted_is_named(sent: Sent, front: Front) -> None:
    front.on("GetQueueAttributes", refuse("ThrottlingException"))
    with pytest.raises(Unavailable, match="the queue does not answer: ThrottlingException"):
        sent.queue.waiting()
