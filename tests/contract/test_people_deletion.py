"""Deletion of a person from all datasets, from the notice to Amazon's acceptance, over several audiences."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from audience_sync.amazon_ads.bisection import SAMPLE_SIZE
from audience_sync.aws.membership_rows import expires_at
from audience_sync.errors import (
    AccessDenied,
    CircuitOpen,
    InvalidRequest,
    RequestRejected,
    ServiceUnavailable,
    Throttled,
)
from audience_sync.members.erasure.review import last_accepted
from audience_sync.members.erasure.status import Missing, Outcome, Progress
from audience_sync.members.erasure_steps import StepKind
from audience_sync.members.job_messages import DeletionMessage, read_job_queue
from audience_sync.members.member_state import KEEP_IN_DATASET, MemberState
from audience_sync.members.membership import EVERY_AUDIENCE, Audience, Destination, MembershipChange
from audience_sync.operations.people_deletion import MAX_ATTEMPTS, DeletionReport
from tests.support.builders import AUDIENCE
from tests.support.worker_stack import DATASET, GRANTED, LIMITS, NOW, SHARDING, MemoryStack, change, notice

A, B, OF_AUDIENCE_API = AUDIENCE, "dataset-b", "418273650912340009"
HOUR, DAY = 3600, 86_400  # seconds
EFFECTIVE = LIMITS.timings.datasets.effective_after
ENTERS_WAIT = LIMITS.timings.datasets.after_notice
REFUSED = AccessDenied("manager accounts only", status=403)


@pytest.fixture
def stack() -> MemoryStack:
    datasets = [Audience(each, destination=DATASET) for each in (A, B)]
    return MemoryStack(audiences=[*datasets, Audience(OF_AUDIENCE_API)], destination=DATASET)


def enter(*emails: str, at: int, to: str = A, member: str = "m1") -> MembershipChange:
    destination = Destination() if to == OF_AUDIENCE_API else DATASET
    return change(*emails, at=at, member=member, audience_id=to, destination=destination, consent=GRANTED)


def leave(at: int, of: str = A) -> MembershipChange:
    return change(at=at, exits=True, audience_id=of)


def row(stack: MemoryStack, audience: str) -> MemberState:
    return stack.members().read([(audience, "m1")])[audience, "m1"]


def hours(stack: MemoryStack, count: float) -> None:
    """Let everything happen for some hours, with the check of erasures every six."""
    until = stack.now + count * HOUR
    while stack.now < until:
        due = [each.due for each in [*stack.queue.messages, *stack.jobs.messages]]
        stack.now = min([until, *(each for each in due if each > stack.now), (stack.now // (6 * HOUR) + 1) * 6 * HOUR])
        if messages := stack.queue.receive():
            for each in stack.deliver_messages(*messages).deferred:
                stack.queue.put_back(each.message, each.delay)
        for body in [each.body for each in stack.jobs.receive()]:
            stack.check_jobs(None, body)
        if stack.now % (6 * HOUR) == 0:
            stack.check_erasures()


def long_ago(stack: MemoryStack) -> None:
    """Let time pass until no enter can be under way."""
    stack.rest()
    stack.now += 2 * (EFFECTIVE + stack.limits.timings.longest_job)


def held(stack: MemoryStack) -> list[str]:
    return sorted(each for each in stack.amazon.active())


def test_a_person_in_two_datasets_is_deleted_once_when_all_enters_took_effect(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1), enter("a@b.co", at=1, to=B))
    stack.now += 600
    stack.deliver(notice(2))
    stack.rest()
    assert stack.amazon.deleted == [["m1"]]
    (deletion,) = (each for each in stack.everywhere().erasure if each.kind is StepKind.DELETION)
    assert NOW + EFFECTIVE <= deletion.at / 1000 < NOW + EFFECTIVE + 960, (
        "at the next review, a quarter of an hour at most"
    )
    assert not any(each.kind is StepKind.DELETION for audience in (A, B) for each in row(stack, audience).erasure)


@pytest.mark.parametrize("hours_later", [6, 30])
def test_a_plain_exit_after_a_return_deletes_the_person_nowhere_else(stack: MemoryStack, hours_later: int) -> None:
    """In b for three days and in a since now; a notice, back in both, and a plain exit from a."""
    stack.deliver(enter("a@b.co", at=1, to=B))
    stack.now += 3 * DAY
    stack.deliver(enter("a@b.co", at=10))
    stack.now += 600
    stack.deliver(notice(20))
    stack.now += 600
    stack.deliver(enter("a@b.co", at=30), enter("a@b.co", at=30, to=B))
    hours(stack, hours_later)
    stack.deliver(leave(40))
    hours(stack, 60)
    assert len(stack.amazon.deleted) == 1
    sent_to_b = [
        upload[0]["action"]
        for target, upload in zip(stack.amazon.targets, stack.amazon.uploads, strict=True)
        if target.audience_id == B
    ]
    assert sent_to_b[-1] == "CREATE"
    assert not row(stack, B).newest.exits


def test_a_plain_exit_and_its_repetition_ask_for_no_deletion(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1))
    stack.deliver(leave(2))
    stack.rest()
    assert (len(stack.amazon.uploads), stack.amazon.deleted) == (3, [])


def test_a_dsp_account_asks_for_no_deletion_and_the_erasure_stays_open(stack: MemoryStack) -> None:
    stack.deletes_people = False
    stack.deliver(enter("a@b.co", at=1), enter("a@b.co", at=1, to=B))
    stack.deliver(notice(2, denies=True))
    hours(stack, 3 * 24)
    assert stack.amazon.deleted == []
    assert [each.missing for each in stack.erasure().audiences.values()] == [Missing.NO_DELETION] * 2
    stack.deletes_people = True  # a manager account since
    hours(stack, 24)
    assert stack.amazon.deleted == []


def test_a_dsp_account_closes_an_erasure_whose_removal_had_consent(stack: MemoryStack) -> None:
    stack.deletes_people = False
    stack.deliver(enter("a@b.co", at=1))
    stack.deliver(notice(2))
    hours(stack, 3 * 24)
    assert stack.erasure().progress is Progress.CLOSED


def test_denied_consent_deletes_the_person_once_the_last_enter_took_effect(stack: MemoryStack) -> None:
    """Nothing else removes the person, since Amazon ignores a removal without consent."""
    stack.deliver(enter("a@b.co", at=1))
    stack.now += 600
    stack.deliver(notice(2, denies=True))
    hours(stack, (EFFECTIVE - 660) / HOUR)
    assert stack.amazon.deleted == []
    hours(stack, 0.5)
    assert (stack.amazon.deleted, held(stack)) == ([["m1"]], [])


def test_a_deletion_waits_at_most_a_day_for_unrecorded_exits_and_is_repeated(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1))
    long_ago(stack)
    stack.gate.error = CircuitOpen("open", retry_after=240.0)
    stack.deliver(notice(2, denies=True))
    hours(stack, 23)
    assert stack.amazon.deleted == []
    stack.gate.error = None
    stack.deliver(enter("late@b.co", at=1))  # known rows do not read the notice; it takes effect after the deletion
    stack.gate.error = CircuitOpen("open", retry_after=240.0)
    hours(stack, 2)
    assert len(stack.amazon.deleted) == 1
    stack.gate.error = None
    hours(stack, 12)
    assert (len(stack.amazon.deleted), held(stack)) == (2, [])
    stack.deliver(enter("b@b.co", at=5))
    hours(stack, 12)
    stack.deliver(leave(6))
    hours(stack, 24)
    assert len(stack.amazon.deleted) == 2


def test_enters_do_not_wait_for_acceptance_and_are_repeated_after_a_late_one(stack: MemoryStack) -> None:
    """With 403 for a day the person is back in a after four hours, and enters b for the first time."""
    stack.deliver(enter("a@b.co", at=1))
    long_ago(stack)
    stack.amazon.deletion_fails = REFUSED
    stack.deliver(notice(2))
    stack.deliver(enter("b@b.co", at=3), enter("b@b.co", at=3, to=B))
    hours(stack, 5)
    assert held(stack) == ["m1"]
    hours(stack, 24)
    stack.amazon.deletion_fails = None
    uploads = len(stack.amazon.uploads)
    hours(stack, 12)
    assert (len(stack.amazon.deleted), held(stack)) == (1, ["m1"])
    sent = zip(stack.amazon.targets[uploads:], stack.amazon.uploads[uploads:], strict=True)
    assert {target.audience_id: upload[0]["action"] for target, upload in sent} == {A: "CREATE", B: "CREATE"}
    assert {row(stack, each).newest.exits for each in (A, B)} == {False}


@pytest.mark.parametrize("hours_of_503", [0, 2.5, 3.9, 5])
def test_a_returned_person_is_entered_once_a_late_deletion_has_taken_effect(
    stack: MemoryStack, hours_of_503: float
) -> None:
    """Enters wait for four hours. Amazon takes two to delete, also if it accepts the deletion in the last of them."""
    stack.deliver(enter("a@b.co", at=1))
    long_ago(stack)
    stack.amazon.deletion_fails = ServiceUnavailable("503")
    stack.deliver(notice(2))
    stack.deliver(enter("b@b.co", at=3))
    hours(stack, hours_of_503)
    stack.amazon.deletion_fails = None
    hours(stack, 24)
    assert (len(stack.amazon.deleted), held(stack)) == (1, ["m1"])
    assert row(stack, A).enter_sent >= last_accepted([stack.everywhere()]) // 1000 + EFFECTIVE


def test_a_returned_person_is_entered_again_after_the_deletion_of_a_late_notice(stack: MemoryStack) -> None:
    """The row of a had an exit newer than the second notice long before, so it does not wait for its deletion."""
    stack.deliver(enter("a@b.co", at=1), enter("a@b.co", at=1, to=B))
    long_ago(stack)
    stack.deliver(notice(2))
    stack.deliver(enter("b@b.co", at=3, to=B), leave(5), enter("a@b.co", at=6))
    hours(stack, 4.5)
    assert len(stack.amazon.deleted) == 1
    stack.deliver(notice(4))
    hours(stack, 12)
    assert len(stack.amazon.deleted) == 2
    assert (row(stack, A).newest.exits, row(stack, B).newest.exits, held(stack)) == (False, True, ["m1"])
    assert row(stack, A).enter_sent * 1000 > last_accepted([stack.everywhere()]), "entered again"


def test_an_older_notice_that_arrives_last_does_not_delete_a_returned_person(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1))
    long_ago(stack)
    stack.deliver(notice(3), enter("a@b.co", at=5))
    hours(stack, 12)
    plan = stack.everywhere().plan
    stack.deliver(notice(2))
    hours(stack, 12)
    assert (len(stack.amazon.deleted), held(stack), stack.everywhere().plan) == (1, ["m1"], plan)
    assert stack.erasure().audiences[A].outcome is Outcome.AMAZON_DELETES


@pytest.mark.parametrize("to", [B, OF_AUDIENCE_API])
def test_a_row_that_was_inserted_after_the_notice_needs_no_proof(stack: MemoryStack, to: str) -> None:
    stack.deliver(enter("a@b.co", at=1))
    long_ago(stack)
    stack.deliver(notice(2))
    stack.deliver(enter("b@b.co", at=3, to=to))
    hours(stack, 72)
    stack.deliver(leave(4, to))
    hours(stack, 72)
    assert stack.erasure().progress is Progress.CLOSED


def asked(stack: MemoryStack) -> tuple[int, list[str], Progress]:
    """Return how often Amazon was asked, who is in, and the state of the erasure."""
    return len(stack.amazon.deleted), held(stack), stack.erasure().progress


@pytest.mark.parametrize("denies", [True, False])
def test_repeated_notices_delete_nobody_who_came_back(stack: MemoryStack, denies: bool) -> None:
    """A cookie banner denies twice; the person consents a day later, and is still in when Amazon's 30 days are over."""
    stack.deliver(enter("a@b.co", at=1))
    hours(stack, 72)
    stack.deliver(notice(2, denies=denies))
    hours(stack, 1)
    stack.deliver(notice(3, denies=denies))
    hours(stack, 24)
    stack.deliver(enter("b@b.co", at=4))
    hours(stack, 35 * 24)
    assert asked(stack) == (1, ["m1"], Progress.CLOSED)


@pytest.mark.parametrize("phase", [0, 1.5, 3, 4.5])
def test_a_person_with_only_an_exit_in_a_dataset_is_not_deleted(stack: MemoryStack, phase: float) -> None:
    stack.now += phase * HOUR  # of the check
    stack.deliver(leave(1))
    stack.now += HOUR / 2
    stack.deliver(notice(2))
    hours(stack, 200 / HOUR)
    stack.deliver(enter("a@b.co", at=3), enter("b@b.co", at=3, to=B))
    hours(stack, 4.4)
    stack.deliver(leave(4))
    hours(stack, 48)
    assert (asked(stack), row(stack, B).newest.exits) == ((0, ["m1"], Progress.CLOSED), False)


def test_an_enter_that_a_paused_worker_sends_after_the_notice_is_deleted(stack: MemoryStack) -> None:
    """Amazon deletes what is applied. Nothing tells the person of an end before."""
    stack.deliver(leave(1))
    hours(stack, 24)
    stack.queue.down = True  # the notice is written, and no exit is queued
    stack.deliver(notice(10, denies=True))
    hours(stack, 3)
    stack.queue.down = False
    assert stack.erasure().progress is Progress.OPEN
    stack.deliver(enter("a@b.co", at=9))
    assert held(stack) == ["m1"]
    stack.deliver(notice(10, denies=True))
    hours(stack, 24)
    assert asked(stack) == (1, [], Progress.AMAZON_DELETES)


def test_hourly_denials_are_asked_for_once_in_each_life(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1))
    hours(stack, 72)
    for hour in range(8):
        stack.deliver(notice(10 + hour, denies=True))
        hours(stack, 1)
    hours(stack, 1)
    stack.deliver(enter("b@b.co", at=20))
    hours(stack, 40)
    for hour in range(2):
        stack.deliver(notice(30 + hour, denies=True))
        hours(stack, 1)
    hours(stack, 35 * 24)
    assert asked(stack) == (2, [], Progress.CLOSED)


def test_a_person_of_the_audience_api_alone_is_never_deleted_from_datasets(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1, to=OF_AUDIENCE_API))
    hours(stack, 12)
    stack.deliver(notice(2, denies=True))
    hours(stack, 72)
    assert asked(stack) == (0, [], Progress.CLOSED)


@pytest.mark.parametrize("days", [1, 3])
def test_a_refused_deletion_is_asked_again_once_amazon_accepts_it(stack: MemoryStack, days: int) -> None:
    stack.deliver(enter("a@b.co", at=1))
    hours(stack, 1)
    stack.amazon.deletion_fails = REFUSED
    stack.deliver(notice(2))
    hours(stack, 12)
    stack.deliver(enter("b@b.co", at=3), enter("c@b.co", at=3, to=B))
    hours(stack, 6)
    stack.deliver(leave(4))
    hours(stack, days * 24 - 18)
    assert asked(stack) == (0, ["m1"], Progress.OPEN)
    stack.amazon.deletion_fails = None
    hours(stack, 12)
    assert (len(stack.amazon.deleted), held(stack)) == (1, ["m1"])
    assert {each: row(stack, each).newest.exits for each in (A, B)} == {A: True, B: False}


@pytest.mark.parametrize("before", [1, 12, 30, 72])
def test_a_refusal_is_asked_again_every_six_hours(stack: MemoryStack, before: float) -> None:
    """However long before the notice the person had entered."""
    stack.deliver(enter("a@b.co", at=1))
    hours(stack, before)
    refused = refusing(stack, REFUSED, lambda _: True)
    stack.deliver(notice(2))
    hours(stack, 3)
    assert len(refused) == 1
    for again in range(2, 6):
        hours(stack, 6)
        assert len(refused) == again


def test_a_notice_older_than_the_persons_return_asks_once_at_most(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1))
    hours(stack, 5)
    stack.deliver(leave(5))
    hours(stack, 1)
    stack.deliver(enter("b@b.co", at=6))
    hours(stack, 24)
    stack.deliver(notice(4))
    hours(stack, 48)
    assert (len(stack.amazon.deleted), held(stack)) == (1, ["m1"])


def test_a_lost_wake_up_is_found_by_the_check(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1))
    hours(stack, 12)
    stack.deliver(notice(2))
    assert stack.jobs.drain()
    hours(stack, 14)
    assert len(stack.amazon.deleted) == 1


def test_a_person_back_at_once_with_the_same_address_needs_no_removal(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1, to=OF_AUDIENCE_API))
    hours(stack, 72)
    stack.deliver(notice(2), enter("a@b.co", at=3, to=OF_AUDIENCE_API))
    hours(stack, 72)
    assert asked(stack) == (0, ["m1"], Progress.CLOSED)


@pytest.mark.parametrize("days", [8, 12, 18, 43])
def test_the_rows_of_an_open_erasure_outlive_amazons_30_days(stack: MemoryStack, days: int) -> None:
    stack.deliver(enter("a@b.co", at=1), enter("a@b.co", at=1, to=OF_AUDIENCE_API))
    hours(stack, 72)
    stack.amazon.deletion_fails = REFUSED
    stack.deliver(notice(2, denies=True))
    for day in range(days + 32):
        assert asked(stack) == (0, [], Progress.OPEN) if 1 < day <= days else True
        stack.amazon.deletion_fails = REFUSED if day < days else None
        hours(stack, 24)
        rows = [stack.everywhere(), *(row(stack, each) for each in (A, OF_AUDIENCE_API))]
        assert all(expires_at(each) > stack.now for each in rows)
    assert asked(stack) == (1, [], Progress.CLOSED)


@pytest.mark.parametrize("to", [A, OF_AUDIENCE_API])
@pytest.mark.parametrize("returns", [False, True])
def test_a_row_lost_before_its_exit_keeps_the_erasure_open(stack: MemoryStack, to: str, returns: bool) -> None:
    stack.deletes_people = False
    stack.deliver(enter("a@b.co", at=1, to=to))
    hours(stack, 72)
    stack.deliver(notice(2))
    stack.client().delete_item(TableName=stack.table, Key=SHARDING.key_of((to, "m1")))
    hours(stack, 12)
    if returns:
        stack.deliver(enter("b@b.co", at=3, to=to))
    hours(stack, 72)
    assert (stack.erasure().progress, stack.erasure().audiences[to].outcome) == (Progress.OPEN, Outcome.OPEN)


def test_an_end_is_taken_back_if_an_audience_is_linked_whose_row_lacks_the_exit(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1), enter("b@b.co", at=1, to=B))
    hours(stack, 12)
    linked, stack.audiences = stack.audiences, stack.audiences[:1]
    stack.deliver(notice(2))
    hours(stack, 35 * 24)
    assert (len(stack.amazon.deleted), stack.erasure().progress) == (1, Progress.CLOSED)
    stack.audiences = linked
    stack.deliver(notice(2))
    assert stack.erasure().progress is Progress.OPEN
    hours(stack, 35 * 24)
    assert asked(stack) == (1, [], Progress.CLOSED)


def test_a_person_restored_into_a_dataset_after_the_end_of_an_erasure_is_deleted(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1), enter("a@b.co", at=1, to=OF_AUDIENCE_API))
    long_ago(stack)
    before, key = dict(stack.model.rows), SHARDING.key_of((A, "m1"))
    stack.client().delete_item(TableName=stack.table, Key=key)
    stack.deliver(notice(2))
    hours(stack, 72)
    assert asked(stack) == (0, [], Progress.CLOSED)
    lost = before.keys() - stack.model.rows.keys()
    stack.model.rows.update({each: before[each] for each in lost})
    stack.deliver(notice(2))  # as restore-members queues it
    hours(stack, 35 * 24)
    assert asked(stack) == (1, [], Progress.CLOSED)


def test_a_late_erasure_is_closed_even_if_the_person_left_before_the_check(stack: MemoryStack) -> None:
    """Exit and enter, a notice older than both, and a plain exit before the audit."""
    stack.deliver(leave(10, OF_AUDIENCE_API))
    stack.deliver(enter("a@b.co", at=20, to=OF_AUDIENCE_API))
    stack.now += HOUR / 2
    stack.deliver(notice(5))
    stack.rest()
    stack.now += HOUR
    stack.deliver(leave(30, OF_AUDIENCE_API))
    stack.rest()
    stack.now += DAY
    assert stack.erasure().progress is Progress.CLOSED


def test_a_late_notice_after_a_closed_erasure_is_closed_as_well(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1))
    stack.deliver(notice(20))
    hours(stack, 40 * 24)
    assert stack.erasure().progress is Progress.CLOSED
    stack.deliver(notice(10))
    assert stack.erasure().progress is Progress.OPEN
    hours(stack, 40 * 24)
    assert (stack.erasure().progress, len(stack.amazon.deleted)) == (Progress.CLOSED, 1)


def test_a_datasets_row_lives_as_long_as_amazon_may_keep_the_member(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1))
    assert expires_at(row(stack, A)) == NOW + KEEP_IN_DATASET
    stack.rest()
    stack.deliver(leave(2))
    assert expires_at(row(stack, A)) < NOW + 60 * DAY


def test_after_a_60_hour_outage_only_an_accepted_removal_proves_the_erasure(
    stack: MemoryStack,
) -> None:
    """No upload for 60 hours, a notice in the first minute, back with another address in the last hour."""
    stack.audiences = [Audience(OF_AUDIENCE_API)]
    stack.deliver(enter("old@b.co", at=1, to=OF_AUDIENCE_API))
    hours(stack, 72)
    stack.amazon.down = ServiceUnavailable("503")
    stack.deliver(notice(2))
    hours(stack, 59)
    stack.deliver(enter("new@b.co", at=9, to=OF_AUDIENCE_API))
    assert stack.erasure().progress is Progress.OPEN
    hours(stack, 1)
    stack.amazon.down = None
    hours(stack, 96)
    assert len(stack.amazon.members["m1"]) == 1
    assert stack.erasure().audiences[OF_AUDIENCE_API].outcome is Outcome.REMOVED
    assert stack.erasure().progress is Progress.CLOSED


def deletion(stack: MemoryStack, *people: str) -> DeletionReport:
    return stack.delete(DeletionMessage(people, round(stack.now)))


def due(stack: MemoryStack, count: int) -> list[str]:
    """Have people's deletions become due."""
    people = [f"m{number}" for number in range(count)]
    stack.deliver(*(enter("a@b.co", at=1, member=each) for each in people))
    long_ago(stack)
    stack.deliver(*(notice(2, member=each) for each in people))
    for body in stack.queue.drain():
        stack.deliver_body(body)
    stack.jobs.drain()
    stack.now += 2 * LIMITS.timings.late
    return people


def refusing(stack: MemoryStack, error: Exception, refused: Callable[[str], bool]) -> list[int]:
    """Refuse requests that name certain people. Returns the sizes of the requests."""
    sizes: list[int] = []
    accept = stack.amazon.delete_people

    def delete_people(people: Any, *, timeout: float) -> None:
        sizes.append(len(people))
        if any(map(refused, people)):
            raise error
        accept(people, timeout=timeout)

    stack.amazon.delete_people = delete_people  # type: ignore[method-assign]
    return sizes


def test_deletions_of_30_people_share_one_request(stack: MemoryStack) -> None:
    people = due(stack, 30)
    assert deletion(stack, *people).accepted == 30
    assert [len(each) for each in stack.amazon.deleted] == [30]


def test_a_deletion_message_before_its_time_reads_no_row(stack: MemoryStack) -> None:
    stack.deliver(enter("a@b.co", at=1))
    stack.deliver(notice(2))
    (message,) = map(read_job_queue, stack.jobs.drain())
    stack.calls.clear()
    assert isinstance(message, DeletionMessage)
    assert (stack.delete(message).waiting, stack.calls) == (1, [])
    assert stack.jobs.delays == [900 - NOW % 900]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"m17"}, id="one"),
        pytest.param({f"m{number}" for number in range(10)}, id="the first ten"),
        pytest.param({f"m{number}" for number in (*range(9), 12, 17, 25)}, id="and one in each of the other requests"),
    ],
)
def test_rejected_ids_do_not_block_other_deletions(stack: MemoryStack, bad: set[str]) -> None:
    people = due(stack, 30)
    refusing(stack, RequestRejected("Amazon answered 400", status=400), bad.__contains__)
    report = deletion(stack, *people)
    assert (report.accepted, report.refused) == (30 - len(bad), {"request_rejected": len(bad)})
    assert sorted(chain.from_iterable(stack.amazon.deleted)) == sorted({*people} - bad)


@pytest.mark.parametrize(
    ("error", "at_most"),
    [
        pytest.param(
            RequestRejected("Amazon answered 400", status=400), 2 * SAMPLE_SIZE + 10, id="400: the ids are not at fault"
        ),
        pytest.param(REFUSED, 1, id="403"),
        pytest.param(InvalidRequest("a DSP account"), 1, id="an account that may not"),
    ],
)
def test_refused_deletions_take_few_requests_and_are_queued_again_by_the_check(
    stack: MemoryStack, error: Exception, at_most: int
) -> None:
    people = due(stack, 40)
    sizes = refusing(stack, error, lambda _: True)
    report = deletion(stack, *people)
    assert (report.refused.total(), report.accepted, report.detail) == (40, 0, str(error))
    assert (len(sizes) <= at_most, stack.jobs.bodies) == (True, [])
    stack.now += 6 * HOUR
    assert stack.check_erasures().woken == 40
    again = [each for each in map(read_job_queue, stack.jobs.drain()) if isinstance(each, DeletionMessage)]
    assert sorted(person for each in again for person in each.people) == sorted(people)


def test_a_transient_failure_is_retried_for_hours_and_then_left_to_the_check(stack: MemoryStack) -> None:
    people, begun = due(stack, 3), stack.now
    stack.amazon.deletion_fails = Throttled("429", retry_after=120.0)
    assert "429" in deletion(stack, *people).detail
    stack.jobs.drain()
    stack.now = begun = begun + 300
    message, delays = DeletionMessage(tuple(people), round(begun)), []
    for _ in range(MAX_ATTEMPTS - 1):
        assert stack.delete(message).waiting == 3
        (queued,) = stack.jobs.messages
        delays.append(queued.due - stack.now)
        stack.now = queued.due
        (found,) = map(read_job_queue, stack.jobs.drain())
        assert isinstance(found, DeletionMessage)
        message = replace(found, due=round(stack.now))
    assert [round(each / 300) for each in delays[:4]] == [1, 2, 3, 3], "a quarter of an hour at most, as SQS allows"
    assert stack.now - begun < 6 * HOUR
    assert (stack.delete(message).waiting, stack.jobs.bodies) == (0, [])


@pytest.mark.parametrize(
    ("later", "ahead"),
    [(5 * HOUR, 0), (ENTERS_WAIT - 2 * LIMITS.timings.late, 60)],
    ids=["long after enters stopped waiting", "as they stop waiting by the worker's clock, which is fast"],
)
def test_a_person_entered_before_the_deletion_is_entered_again_after_its_effect(
    stack: MemoryStack, later: float, ahead: float
) -> None:
    people = due(stack, 2)
    stack.now += later
    stack.deliver(*(enter("b@b.co", at=3, member=each) for each in people))
    assert held(stack) == people
    stack.queue.drain()
    stack.now -= ahead
    assert (deletion(stack, *people).entered_again, held(stack)) == (2, [])
    (waiting,) = stack.queue.messages
    assert 0 < waiting.due - stack.now <= 900
    hours(stack, 3)
    assert held(stack) == people


def test_two_concurrent_deletion_messages_make_one_request(stack: MemoryStack) -> None:
    (person,) = due(stack, 1)
    other: list[DeletionReport] = []
    accept = stack.amazon.delete_people

    def interrupted(people: Any, *, timeout: float) -> None:
        stack.amazon.delete_people = accept  # type: ignore[method-assign]
        other.append(deletion(stack, person))
        accept(people, timeout=timeout)

    stack.amazon.delete_people = interrupted  # type: ignore[method-assign]
    assert (deletion(stack, person).accepted, [(each.accepted, each.waiting) for each in other]) == (1, [(0, 0)])
    hours(stack, 1)
    assert stack.amazon.deleted == [[person]]


@pytest.mark.parametrize("damaged", [EVERY_AUDIENCE, A])
def test_a_damaged_row_holds_back_the_deletion_of_its_own_person_only(stack: MemoryStack, damaged: str) -> None:
    people = due(stack, 30)
    stack.model.damage(damaged, "m17")
    report = deletion(stack, *people)
    assert (report.accepted, len(report.unread), stack.jobs.bodies) == (29, 1, [])
    checked = stack.check_erasures()
    assert (checked.open, checked.woken) == (30, int(damaged == A)), "who is past due is woken before any row is read"


def test_a_late_deletion_is_asked_for_again_until_all_rows_can_be_read(stack: MemoryStack) -> None:
    people = due(stack, 2)
    stack.amazon.deletion_fails = REFUSED
    stack.deliver(*(enter("b@b.co", at=3, to=B, member=each) for each in people))  # b is not in the plan
    hours(stack, 5)
    intact = stack.model.damage(B, "m1")
    stack.amazon.deletion_fails = None
    hours(stack, 13)
    assert held(stack) == ["m0"]
    stack.model.rows.update(intact)
    hours(stack, 24)
    assert (stack.amazon.deleted, held(stack)) == ([["m0"], *[["m1"]] * 3], people), "asked by each check until then"


def test_a_deletion_without_time_left_is_requeued(stack: MemoryStack) -> None:
    people = due(stack, 2)
    stack.monotonic = lambda: 51.0
    assert deletion(stack, *people).waiting == 2
    assert stack.amazon.deleted == []


def test_an_accepted_deletion_that_was_not_recorded_is_requested_again(stack: MemoryStack) -> None:
    (person,) = due(stack, 1)
    stack.model.refused = [{0: "InternalServerError"}]
    with pytest.raises(Exception, match="does not answer"):
        deletion(stack, person)
    assert deletion(stack, person).accepted == 1
    assert deletion(stack, person).accepted == 0, "it is not due any more"
