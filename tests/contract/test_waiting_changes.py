"""Uploads that contradict each other, on a real table: an enter waits, and what may be undone is sent again."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from audience_sync.amazon_ads.advertiser_audiences.records import encode_record
from audience_sync.amazon_ads.job import JobReport
from audience_sync.delivery.context import Message
from audience_sync.errors import RequestRejected, ServiceUnavailable
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.job_messages import JobMessage
from audience_sync.members.member_state import LateJob
from audience_sync.members.messages import REPETITION, ChangeMessage, DeliveryHistory, Untracked, pack
from audience_sync.members.repetitions import MAX_DELAY
from tests.support.builders import AUDIENCE, sha256
from tests.support.member_changes import recorded
from tests.support.proxy import fault_proxy, refuse
from tests.support.worker_stack import (
    JOB,
    LIMITS,
    NOW,
    ON_LOCAL_AWS,
    READ,
    WITH_JOBS,
    WRITE,
    MemoryStack,
    WorkerStack,
    change,
    dataset_stack,
    enters,
)

HOUR = 3600  # seconds


def enter_uploads(stack: WorkerStack) -> int:
    return sum(enters(record) for upload in stack.amazon.uploads for record in upload)


def test_an_enter_after_an_exit_waits_and_is_delivered_and_counted_once(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * stack.effective
    exited = stack.deliver(change(at=2, exits=True))
    assert (exited.delivered, stack.amazon.active(), stack.queue.bodies) == (1, set(), [])
    entered = stack.deliver(change("b@b.co", at=3))
    assert (entered.outcomes, entered.requeued, entered.deferred) == ({}, 1, [])
    assert (entered.waiting, entered.oldest_deferred) == ({AUDIENCE: 1}, 0.0), "which no alarm is to report"
    assert 600 <= max(stack.queue.delays) <= MAX_DELAY, "the removal may take 17 minutes; a message waits 15 at most"
    assert "attempts" not in json.loads(*stack.queue.bodies), "nothing was tried"
    left = stack.now
    assert stack.rest() == {"delivered": 1}
    assert stack.now >= left + stack.effective
    assert [upload[0]["action"] for upload in stack.amazon.uploads] == ["CREATE", "DELETE", "CREATE"]
    assert stack.amazon.members["m1"] == {sha256("b@b.co")}


def test_waiting_changes_of_one_version_keep_the_identities_of_each(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=2, exits=True))
    stack.deliver(*(change(f"{name}@b.co", at=3) for name in "bcd"))
    stack.rest()
    assert stack.amazon.members["m1"] == {sha256(f"{name}@b.co") for name in "bcd"}


def test_in_one_batch_an_exit_is_sent_and_the_enter_after_it_waits(
    stack: WorkerStack,
) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * stack.effective
    neighbour = change("c@d.co", at=2, member="m2")
    report = stack.deliver(change("b@b.co", at=3), change(at=2, exits=True), neighbour)
    assert (report.outcomes, report.requeued, stack.amazon.active()) == ({"delivered": 2}, 1, {"m2"})
    (left,) = (ChangeMessage.from_body(body) for body in stack.queue.bodies)
    assert [(each.member[1], each.at, each.exits) for each in left.changes] == [("m1", 3, False)]
    assert stack.rest() == {"delivered": 1}
    assert len(stack.amazon.uploads) == 3
    assert stack.amazon.members["m1"] == {sha256("b@b.co")}


def test_an_exit_supersedes_a_waiting_enter_without_another_upload(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * stack.effective
    stack.deliver(change(at=2, exits=True))
    stack.deliver(change("b@b.co", at=3))
    second = stack.deliver(change(at=4, exits=True))
    assert stack.rest() + second.outcomes == {"delivered": 1, "superseded": 1}
    assert (stack.amazon.active(), enter_uploads(stack)) == (set(), 1)


def test_a_waiting_enter_reads_its_row_once_before_it_is_due_and_once_then(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1, exits=True))
    stack.calls.clear()
    assert stack.deliver(change("b@b.co", at=2)).waiting == {AUDIENCE: 1}
    assert stack.calls == [READ]
    stack.now += 60
    (body,) = stack.queue.drain()
    report = stack.deliver_body(body)
    assert (stack.calls, report.requeued, report.waiting) == ([READ], 1, {AUDIENCE: 1})
    assert report.oldest_waiting == stack.now
    assert stack.rest() == {"delivered": 1}
    assert stack.calls == [READ, READ, WRITE]


def test_a_waiting_change_keeps_its_first_time_origin_and_attempts(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1, exits=True))
    (enter,) = pack([stack.stated(change("b@b.co", at=2))], DeliveryHistory(untracked=Untracked("job-9", 5, False)))
    report = stack.deliver_messages(Message("first", "h", enter, 3, 1_000))
    assert report.oldest_waiting == stack.now - 1
    (body,) = stack.queue.drain()
    history = ChangeMessage.from_body(body).history
    until = math.ceil((stack.now + stack.effective) / 60) * 60
    assert history == DeliveryHistory(attempts=2, first_at=1_000, unread_until=until, origin="first")
    other = json.dumps(json.loads(body) | {"attempts": 1})
    stack.deliver_messages(Message("copy", "h", body, 2, 9_000), Message("other copy", "h", other, 1, 9_000))
    (again,) = stack.queue.drain()
    assert ChangeMessage.from_body(again).history == history, "to be delivered twice is no attempt"


def test_changes_that_wait_go_back_beside_one_that_fails(stack: WorkerStack) -> None:
    stack.deliver(*(change("a@b.co", at=1, exits=True, member=member) for member in ("m1", "m2")))
    stack.amazon.fails = ServiceUnavailable("503")
    report = stack.deliver(*(change("b@b.co", at=2, member=member) for member in ("m3", "m1", "m2")))
    assert (report.waiting, report.outcomes, report.deferred) == ({AUDIENCE: 2}, {}, [])
    assert stack.rest() == {"delivered": 3}


@WITH_JOBS  # in a dataset, both wait for the same quarter of an hour
def test_a_waiting_change_whose_copy_is_stored_does_not_stay_in_the_queue_as_well(stack: WorkerStack) -> None:
    for member in ("m1", "m2"):
        stack.deliver(change("a@b.co", at=1, exits=True, member=member))
        stack.now += 300
    stack.queue.room = 1  # message
    bodies = [body for member in ("m1", "m2") for body in pack([stack.stated(change("b@b.co", at=2, member=member))])]
    report = stack.deliver_messages(*(Message(str(n), "h", body, 1, 0) for n, body in enumerate(bodies)))
    assert (len(stack.queue.bodies), [each.message.message_id for each in report.deferred]) == (1, ["1"])


@WITH_JOBS
def test_changes_waiting_for_a_late_job_read_their_row_every_15_minutes(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * stack.effective
    stack.deliver(change(at=2, exits=True))
    stack.now += JOB
    stack.check_jobs(JobReport("IN_PROGRESS"), *stack.jobs.drain()[1:])
    stack.deliver(change("b@b.co", at=3))
    stack.now += MAX_DELAY
    stack.calls.clear()
    assert stack.deliver_messages(*stack.queue.receive()).waiting == {AUDIENCE: 1}
    assert stack.calls == [READ]


@pytest.mark.parametrize("share", [0.001, 0.01, 0.03])
@pytest.mark.parametrize("is_late", [False, True], ids=["for a moment", "for a late job"])
def test_waiting_messages_delivered_twice_do_not_multiply_in_36_hours(share: float, is_late: bool) -> None:
    """Unmerged, 15 would become 20, 47 and 725. Each round has as many batches as there are pollers."""
    stack, random, until = MemoryStack(), Random(1), round(NOW) + 36 * HOUR
    for number in range(15):
        left = recorded(change("a@b.co", at=1, member=f"m{number}"), change(at=2, exits=True, member=f"m{number}"))
        if is_late:
            stack.members().write([replace(left, late_jobs=(LateJob("job-1", round(NOW), 2, removes=True),))])
            history, waits = DeliveryHistory(origin=f"{number}"), change("b@b.co", at=3, member=f"m{number}")
        else:
            history, waits = replace(REPETITION, unread_until=until), left.bare()
        stack.queue.send(pack([waits], history), deadline=1, delay=MAX_DELAY)
    most = 0
    while stack.now < until - MAX_DELAY:
        stack.now += MAX_DELAY
        received = [(random.randrange(5), each) for each in stack.queue.receive()]
        received += [(random.randrange(5), each) for _, each in received if random.random() < share]
        for poller in range(5):
            stack.deliver_messages(*(each for of, each in received if of == poller))
        waiting = [each.member[1] for body in stack.queue.bodies for each in ChangeMessage.from_body(body).changes]
        assert set(waiting) == {f"m{number}" for number in range(15)}
        most = max(most, len(stack.queue.bodies))
    assert most < 40


@ON_LOCAL_AWS
def test_a_table_failure_while_an_enter_waits_loses_no_change(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1, exits=True))
    waits = stack.deliver(change("b@b.co", at=2))
    with fault_proxy(stack.url) as proxy, stack.through(proxy.url):
        for call in (READ, WRITE):
            proxy.on(call, refuse("InternalServerError", 500))
            stack.now += stack.effective
            (message,) = stack.queue.receive()
            report = stack.deliver_messages(message)
            assert ([each.reason for each in report.deferred], report.outcomes) == (["unavailable"], {})
            assert (report.requeued, stack.queue.bodies, enter_uploads(stack)) == (0, [], 0)
            stack.queue.put_back(message, 0)
            proxy.clear_faults()
    assert waits.outcomes + stack.rest() == {"delivered": 1}
    assert (stack.amazon.members["m1"], enter_uploads(stack)) == ({sha256("b@b.co")}, 1)


def test_an_enter_that_cannot_be_requeued_comes_back_with_its_message(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * stack.effective
    both = [change(at=2, exits=True), change("b@b.co", at=3)]
    stack.queue.down = True
    report = stack.deliver(*both)
    assert ([each.reason for each in report.deferred], report.outcomes) == (["job_running"], {})
    stack.queue.down = False
    again = stack.deliver(*both, receives=2)
    assert again.outcomes + stack.rest() == {"delivered": 2}
    assert stack.amazon.members["m1"] == {sha256("b@b.co")}


@pytest.mark.parametrize(("make", "reads"), [(MemoryStack, 8), (dataset_stack, 12)])
def test_a_notice_soon_after_an_enter_reads_few_rows_in_36_hours(make: Callable[[], MemoryStack], reads: int) -> None:
    """With a check every quarter of an hour, it was 152 and 164. In a dataset, four are for the person's deletion."""
    stack = make()
    stack.deliver(change("a@b.co", at=1))
    stack.rest()
    stack.now += 10 * 60
    stack.model.reads = 0
    stack.deliver(erasing_exit("m1", 2, "notice"))
    stack.rest()
    assert (stack.model.reads, stack.amazon.active()) == (reads, set())


def test_a_repetition_with_nothing_due_sends_and_writes_nothing(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(change("a@b.co", at=2, exits=True))
    (repetition,) = stack.queue.drain()
    stack.now += stack.effective
    first = stack.deliver_body(repetition)
    assert (first.repeated, len(stack.amazon.uploads)) == ({AUDIENCE: 1}, 3)
    stack.calls.clear()
    second = stack.deliver_body(repetition, receives=2)  # SQS delivers it twice
    assert (second.repeated, second.outcomes, second.requeued, second.deferred) == ({}, {}, 0, [])
    assert (stack.calls, len(stack.amazon.uploads), stack.queue.bodies) == ([READ], 3, [])


def test_a_repeated_enter_of_a_stopped_worker_is_removed_if_the_member_left(
    stack: WorkerStack,
) -> None:
    stack.deliver(change("old", at=1))
    stack.deliver(change("new", at=5, message_id="b"))
    stack.now += 2 * stack.effective
    stack.deliver(change(at=3, exits=True, message_id="c"))  # so the enter is due again
    (repetition,) = stack.queue.drain()
    stack.now += stack.effective
    stack.deliver(change(at=6, exits=True, message_id="d"))
    stack.amazon.apply([json.loads(encode_record(change("new", at=5)))])  # by the worker that was cut off
    stack.deliver_body(repetition, receives=2)
    stack.rest()
    assert stack.amazon.active() == set()


def test_a_repetition_before_its_time_waits_without_reading_a_row(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(change("a@b.co", at=2, exits=True))
    (repetition,) = stack.queue.drain()
    stack.now += 900
    stack.calls.clear()
    report = stack.deliver_body(repetition)
    assert (report.outcomes, report.requeued, report.deferred, report.waiting) == ({}, 1, [], {})
    assert (stack.calls, stack.queue.delays) == ([], [min(stack.effective - 900, MAX_DELAY)])


def test_a_repetition_whose_row_says_later_goes_back_until_then(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(change(at=2, exits=True))
    assert max(stack.queue.delays) == MAX_DELAY
    (repetition,) = stack.queue.drain()
    body = json.loads(repetition) | {"waitsUntil": 1, "firstAt": round(stack.now) * 1_000}
    report = stack.deliver_body(json.dumps(body))
    assert (report.requeued, report.waiting, len(stack.amazon.uploads)) == (1, {}, 2)
    assert stack.queue.bodies == [repetition], "the same wherever it comes from"


def test_a_repetition_is_retried_until_amazon_accepts_it(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(change("a@b.co", at=2, exits=True))
    stack.amazon.fails = ServiceUnavailable("503")
    assert stack.rest() == {}
    assert [upload[0]["action"] for upload in stack.amazon.uploads] == ["CREATE", "DELETE", "DELETE"]
    assert stack.dead_letters.bodies == []


@WITH_JOBS
def test_the_last_removal_of_a_notice_is_sent_although_the_next_enter_was_rejected(
    stack: WorkerStack,
) -> None:
    for each in (change("old", at=1), change(at=2, exits=True, erase=True)):
        stack.deliver(each)
        stack.now += 2 * stack.effective
    stack.amazon.down = RequestRejected("400", status=400)
    assert stack.deliver(change("new", at=3)).parked == 1
    stack.amazon.down = None
    stack.rest()
    assert [upload[0]["action"] for upload in stack.amazon.uploads[:3]] == ["CREATE", "DELETE", "DELETE"]
    assert not stack.holds("old")


# A job that could not be tracked says what its upload did


def tracked(stack: WorkerStack, job_id: str) -> list[tuple[str, bool]]:
    """Members of a job, and whether it removes them."""
    (job,) = (job for body in stack.jobs.bodies if (job := JobMessage.from_body(body)).job_id == job_id)
    return [(each.member, each.removes) for each in job.members]


@WITH_JOBS
def test_an_untracked_removal_stays_a_removal_although_an_enter_waits(
    stack: WorkerStack,
) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * stack.effective
    stack.jobs.down = True
    assert stack.deliver(change(at=2, exits=True), change("b@b.co", at=3)).outcomes == {}
    stack.jobs.down = False
    for body in stack.queue.drain():
        stack.deliver_body(body)
    assert tracked(stack, "job-2") == [("m1", True)]
    stack.rest()
    assert stack.amazon.members["m1"] == {sha256("b@b.co")}


@WITH_JOBS
def test_an_untracked_enter_stays_an_enter_although_an_exit_came_with_it(
    stack: WorkerStack,
) -> None:
    stack.jobs.down = True
    stack.deliver(change(at=2, exits=True), change("b@b.co", at=3))
    stack.jobs.down = False
    for body in stack.queue.drain():
        stack.deliver_body(body)
    assert tracked(stack, "job-1") == [("m1", False)]


def test_an_untracked_repeated_removal_stays_one_although_the_member_is_back(
    stack: WorkerStack,
) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(change(at=2, exits=True, erase=True))
    stack.deliver(change("b@b.co", at=3))
    while stack.now < NOW + LIMITS.timings.longest_job:
        stack.now += MAX_DELAY
        stack.deliver_messages(*stack.queue.receive())
    uploads = len(stack.amazon.uploads)
    stack.check_jobs()
    stack.jobs.down = True
    while len(stack.amazon.uploads) == uploads:  # the last removal
        stack.now += 60
        stack.deliver_messages(*stack.queue.receive())
    stack.jobs.down = False
    stack.rest(JobReport("SUCCEEDED"))
    assert stack.amazon.members["m1"] == {sha256("b@b.co")}
    assert not stack.holds("a@b.co")


@pytest.mark.parametrize(
    ("unstored", "error"),
    [
        pytest.param("queue", None, id="an enter that waits"),
        pytest.param("queue", ServiceUnavailable("503"), id="an upload that fails"),
        pytest.param("jobs", None, id="an upload whose job is not tracked"),
    ],
)
def test_a_change_survives_three_hours_in_which_sqs_stores_nothing(
    unstored: str, error: ServiceUnavailable | None
) -> None:
    stack = MemoryStack()
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * stack.effective
    stack.deliver(change(at=2, exits=True))
    stack.now += 120
    (body,), receives, until = pack([change("b@b.co", at=3)]), 0, stack.now + 3 * HOUR
    down = {"queue": stack.queue, "jobs": stack.jobs}[unstored]
    down.down, stack.amazon.down = True, error
    while stack.amazon.active() != {"m1"} or stack.jobs.down:
        if stack.now > until:
            down.down, stack.amazon.down = False, None
        receives += 1
        assert receives <= 20, "then SQS moves it to the dead letters"
        deferred = stack.deliver_body(body, receives=receives).deferred
        if deferred:
            stack.now += deferred[0].delay
        else:  # a copy with the upload to be tracked, or the change that waits
            stack.now += max(stack.queue.delays, default=0.0)
            (body,), receives = stack.queue.drain() or [body], 0
