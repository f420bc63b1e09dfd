"""The protocol of members on a table that refuses rows or is slow. The contract tests have the rest of it."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from audience_sync.amazon_ads.upload import Submission, Upload
from audience_sync.aws.membership_table import PAUSES, THREADS
from audience_sync.delivery.context import Message
from audience_sync.delivery.member_delivery import MAX_ROUNDS
from audience_sync.errors import AudienceSyncError, RequestRejected, ServiceUnavailable
from audience_sync.members.messages import ChangeMessage, DeliveryHistory, pack
from tests.support.builders import AUDIENCE, sha256
from tests.support.worker_stack import DEADLINE, EFFECTIVE, LIMITS, NOW, Amazon, MemoryStack, change, named_in


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()


def test_members_whose_rows_stay_throttled_are_deferred_alone(stack: MemoryStack) -> None:
    stack.model.refused = [{0: "ThrottlingError"}] * (len(PAUSES) + 1)
    report = stack.deliver(*(change("a@b.co", at=1, member=f"m{number}") for number in range(3)))
    assert (report.delivered, report.requeued, stack.amazon.active()) == (2, 1, {"m1", "m2"})
    assert 0 < sum(stack.pauses) <= sum(PAUSES)


def test_nothing_is_sent_while_the_table_is_down(stack: MemoryStack) -> None:
    stack.model.down = True
    report = stack.deliver(change("a@b.co", at=1), change("b@b.co", at=1, member="m2"))
    assert ([each.reason for each in report.deferred], report.delivered) == (["unavailable"], 0)
    assert stack.amazon.uploads == []


def test_a_change_that_could_not_be_recorded_is_not_sent(stack: MemoryStack) -> None:
    stack.model.refused = [dict.fromkeys(range(2), "InternalServerError")]
    report = stack.deliver(change("a@b.co", at=1), change("b@b.co", at=1, member="m2"))
    assert ([each.reason for each in report.deferred], report.delivered) == (["unavailable"], 0)
    assert stack.amazon.uploads == []


def test_changes_whose_upload_time_cannot_be_written_are_not_acknowledged(stack: MemoryStack) -> None:
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(change("a@b.co", at=1), change("b@b.co", at=1, member="m2"))
    stack.now += 60
    stack.model.refused = [{1: "InternalServerError"}]
    report = stack.deliver(change("a@b.co", at=1), change("b@b.co", at=1, member="m2"), receives=2)
    assert ([each.reason for each in report.deferred], report.delivered) == (["unavailable"], 0)
    assert len(stack.amazon.uploads) == 1


def test_an_upload_is_dated_in_the_row_that_another_worker_has_just_written(stack: MemoryStack) -> None:
    both = [change("a@b.co", at=1), change("b@b.co", at=1, member="m2")]
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(*both)
    stack.now += 2 * EFFECTIVE
    stack.amazon.before_next = lambda: stack.deliver(change(at=2, exits=True, member="m2"))
    report = stack.deliver(*both, receives=2)
    assert (report.deferred, report.delivered) == ([], 2)
    assert stack.amazon.active() == {"m1", "m2"}, "the enter was accepted after the exit"
    assert stack.state("m2").enters_effective_by == stack.now + EFFECTIVE
    stack.rest()
    assert stack.amazon.active() == {"m1"}
    assert [len(upload) for upload in stack.amazon.uploads] == [1, 2, 1], "the removal, the enters, the removal"


def test_a_row_that_keeps_changing_while_it_is_dated_defers_the_change(stack: MemoryStack) -> None:
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(change("a@b.co", at=1))
    stack.now += 60
    stack.model.refused = [{0: "ConditionalCheckFailed"}] * MAX_ROUNDS
    report = stack.deliver(change("a@b.co", at=1), receives=2)
    assert ([each.reason for each in report.deferred], report.delivered) == (["moved_on"], 0)
    assert stack.deliver(change("a@b.co", at=1), receives=3).delivered == 1


def test_a_row_that_keeps_changing_while_it_is_written_defers_its_member(stack: MemoryStack) -> None:
    stack.model.refused = [{0: "ConditionalCheckFailed"}] * MAX_ROUNDS
    report = stack.deliver(change("a@b.co", at=1), change("b@b.co", at=1, member="m2"))
    assert (report.delivered, report.requeued, report.deferred, stack.amazon.active()) == (1, 1, [], {"m2"})
    assert stack.model.refused == []
    assert len(report.jobs) == 1


def test_a_row_that_changes_twice_is_written_in_the_third_round(stack: MemoryStack) -> None:
    stack.model.refused = [{0: "ConditionalCheckFailed"}] * (MAX_ROUNDS - 1)
    report = stack.deliver(change("a@b.co", at=1))
    assert (report.delivered, report.deferred, stack.amazon.active()) == (1, [], {"m1"})


def test_a_parked_change_is_not_requeued_if_the_others_cannot_be_dated(stack: MemoryStack) -> None:
    class ChoosyAmazon(Amazon):
        def send_records(self, upload: Upload, *, timeout: float) -> Submission:
            if b'"bad"' in upload.body():
                raise RequestRejected("Amazon answered 400", status=400)
            return super().send_records(upload, timeout=timeout)

    both = [change("a@b.co", at=1, member="bad"), change("a@b.co", at=1)]
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(*both)
    stack.now += 60
    stack.amazon = ChoosyAmazon()
    stack.model.refused = [{0: "InternalServerError"}]
    report = stack.deliver(*both, receives=2)
    assert (report.parked, report.delivered, report.requeued) == (1, 0, 1)
    row, left = (ChangeMessage.from_body(body) for body in stack.queue.bodies)
    assert [each.member[1] for each in left.changes] == ["m1"]
    assert (row.history.is_repetition, row.changes[0].member[1]) == (True, "bad"), "whose row may still owe the enter"
    assert stack.queue.delays[0] > 0
    stack.rest()
    assert [stack.state(member).due(stack.limits.timings.audiences) for member in ("bad", "m1")] == [None, None]


@pytest.mark.parametrize("receives", [1, 2], ids=["first attempt", "later attempt"])
@pytest.mark.parametrize("seconds", [0.25, 3.0])
def test_an_invocation_ends_in_time_however_slow_the_table_is(
    stack: MemoryStack, seconds: float, receives: int
) -> None:
    everyone = [change("a@b.co", at=1, member=f"m{number}") for number in range(3_000)]
    stack.monotonic = lambda: seconds * len(stack.calls) / THREADS
    left, delivered = pack(everyone), 0
    while left:
        report = stack.deliver_messages(*(Message(str(n), "h", body, receives, 0) for n, body in enumerate(left)))
        assert stack.monotonic() < DEADLINE
        assert report.delivered
        delivered += report.delivered
        left = [*stack.queue.drain(), *(each.message.body for each in report.deferred)]
        stack.calls.clear()
    assert delivered == len(stack.amazon.active()) == 3_000


def test_messages_return_at_once_if_no_time_is_left_to_parse_them(stack: MemoryStack) -> None:
    looks = count()
    stack.monotonic = lambda: 5.0 * next(looks)  # seconds
    bodies = [pack([change("a@b.co", at=1, member=f"m{number}")])[0] for number in range(5)]
    messages = [
        Message(str(n), "h", body, receives, 0)
        for n, (body, receives) in enumerate(zip(bodies, (1, 1, 1, 12, 1), strict=True))
    ]
    report = stack.deliver_messages(*messages)
    assert {(each.message.message_id, each.delay, each.reason) for each in report.deferred} == {
        ("0", 0.0, "out_of_time"),
        ("1", 0.0, "out_of_time"),
        ("2", 0.0, "out_of_time"),
        ("4", 0.0, "out_of_time"),
    }
    assert report.requeued == 1, "before SQS takes it for one that crashes the worker"


REFUSAL = RequestRejected("Amazon answered 400", status=400)


@pytest.mark.parametrize(
    ("error", "is_owed"),
    [
        pytest.param(REFUSAL, False, id="refused: parked, and not renewed every day"),
        pytest.param(ServiceUnavailable("503"), True, id="deferred: until Amazon has accepted it"),
    ],
)
def test_a_replay_that_fails_is_owed_unless_it_is_parked(
    stack: MemoryStack, error: AudienceSyncError, is_owed: bool
) -> None:
    enter = change("a@b.co", at=1)
    stack.deliver(enter)
    stack.now += 60
    stack.amazon.down = error
    for body in pack([enter], DeliveryHistory(was_counted=True)):
        stack.deliver_body(body)
    assert (stack.state().enter_sent, stack.state().enter_owed) == (NOW + 60, is_owed)


def test_a_parked_replay_does_not_date_the_row_of_a_member_who_left(stack: MemoryStack) -> None:
    enter = change("a@b.co", at=1)
    stack.deliver(enter)
    stack.now += 60
    left: list[Any] = []

    def leave() -> None:
        stack.write(change(at=2, exits=True))
        left.append(stack.state())

    stack.amazon.before_next, stack.amazon.down = leave, REFUSAL
    for body in pack([enter], DeliveryHistory(was_counted=True)):
        stack.deliver_body(body)
    assert stack.dead_letters.parked() == {"m1": "request_rejected"}
    assert [stack.state()] == left


def test_a_refused_exit_before_an_enter_that_waits_is_parked_once(stack: MemoryStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.now += 2 * EFFECTIVE
    stack.amazon.down = REFUSAL
    stack.model.refused = [{}, {0: "InternalServerError"}]  # what says that the removal has failed
    report = stack.deliver(change(at=2, exits=True), change("b@b.co", at=3))
    assert (report.parked, report.requeued, report.waiting) == (1, 1, {AUDIENCE: 1})
    stack.amazon.down = None
    stack.rest()
    assert [sorted(named_in(upload[0])) for upload in stack.amazon.uploads][1:] == [[sha256("b@b.co")]]
    assert stack.dead_letters.parked() == {"m1": "request_rejected"}
    assert len(stack.dead_letters.bodies) == 1


@pytest.mark.parametrize("was_counted", [False, True])
def test_a_job_marks_records_that_were_counted_before(stack: MemoryStack, was_counted: bool) -> None:
    (body,) = pack([change("a@b.co", at=1)], DeliveryHistory(was_counted=was_counted))
    stack.deliver_body(body)
    assert [each.was_counted for job in stack.jobs.jobs() for each in job.members] == [was_counted]


@pytest.mark.parametrize("exits", [False, True], ids=["one request", "a removal before the enter"])
def test_after_a_failed_upload_the_other_members_of_the_audience_wait(stack: MemoryStack, exits: bool) -> None:
    stack.limits = replace(LIMITS, max_records=1)
    before = [change("old@b.co", at=1), change(at=2, exits=True)] if exits else []
    stack.amazon.fails = ServiceUnavailable("503")
    report = stack.deliver(*before, change("a@b.co", at=3), change("b@b.co", at=3, member="m2"))
    assert (report.delivered, len(report.deferred), stack.amazon.uploads) == (0, 1, [])


def test_after_a_failed_upload_members_whose_rows_changed_are_not_tried_again(stack: MemoryStack) -> None:
    stack.model.refused = [{0: "ConditionalCheckFailed"}]
    stack.amazon.fails = ServiceUnavailable("503")
    report = stack.deliver(change("a@b.co", at=1), change("b@b.co", at=1, member="m2"))
    assert (report.delivered, report.failed_uploads.total(), len(report.deferred)) == (0, 1, 1)


def test_a_removal_is_dated_by_when_it_was_sent_not_recorded(stack: MemoryStack) -> None:
    stack.deliver(change("old@b.co", at=1))
    both = (change(at=2, exits=True), change("new@b.co", at=3))
    stack.amazon.fails = ServiceUnavailable("503")
    stack.deliver(*both)
    stack.now += 600
    assert stack.deliver(*both, receives=2).delivered == 1
    assert stack.state().removal_sent == NOW + 600


def test_a_member_whose_row_disappeared_after_the_upload_is_not_sent_again(stack: MemoryStack) -> None:
    stack.amazon.before_next = stack.model.rows.clear
    report = stack.deliver(change("a@b.co", at=1))
    assert (report.delivered, report.deferred, len(stack.amazon.uploads)) == (1, [], 1)


def test_members_sent_before_an_upload_failed_stay_delivered(stack: MemoryStack) -> None:
    stack.limits = replace(LIMITS, max_bytes=300)  # one record in an upload

    class FailingAmazon(Amazon):
        def send_records(self, upload: Upload, *, timeout: float) -> Submission:
            self.fails = ServiceUnavailable("503") if self.uploads else None
            return super().send_records(upload, timeout=timeout)

    stack.amazon = FailingAmazon()
    report = stack.deliver(*(change("a@b.co", at=1, member=f"m{number}") for number in range(3)))
    assert (report.delivered, report.requeued, stack.amazon.active()) == (1, 1, {"m0"})
    (left,) = (ChangeMessage.from_body(body) for body in stack.queue.drain())
    assert [each.member[1] for each in left.changes] == ["m1", "m2"]
