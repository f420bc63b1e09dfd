"""A person's erasure from the notice to its end, judged from the rows that the worker and the jobs function write."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.job import JobReport
from audience_sync.aws.membership_scan import MembershipScan
from audience_sync.erasure import StepKind
from audience_sync.erasure_state import Erasure, Missing, Outcome, Progress, is_closed
from audience_sync.errors import AccessDenied, MovedOn
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.member_state import MemberState
from audience_sync.membership import EVERY_AUDIENCE
from audience_sync.operations.erasures import SETTLED, ErasureReport, check_erasures, judged
from tests.builders import AUDIENCE
from tests.contract.worker_stack import JOB, NOW, SHARDING, MemoryStack, WorkerStack, change, dataset_stack

DAY = 86_400  # seconds
ERASED = erasing_exit("m1", 2, "notice")


def everywhere(stack: WorkerStack) -> MemberState:
    return stack.members().read([(EVERY_AUDIENCE, "m1")])[EVERY_AUDIENCE, "m1"]


def erasure(stack: WorkerStack) -> Erasure:
    people = [everywhere(stack)]
    ((_, found),) = judged(people, stack.audiences, stack.members(), stack.limits.timing_of, stack.now)
    return found


def outcome(stack: WorkerStack) -> Outcome | Missing:
    """The outcome in the only audience, or what is missing there."""
    found = erasure(stack).audiences[AUDIENCE]
    return found.missing or found.outcome


def check(stack: WorkerStack, *, deadline: float = 60.0, members: Any = None) -> ErasureReport:
    scan = MembershipScan(stack.client(), stack.table, SHARDING)
    table = members or stack.members()
    timing_of, clock = stack.limits.timing_of, stack.clock
    return check_erasures(scan, table, stack.audiences, timing_of, clock, overdue_after=4, deadline=deadline)


def long_ago(stack: WorkerStack) -> None:
    """Let time pass until no enter can be under way."""
    stack.now += 2 * (stack.effective + stack.limits.longest_job)


def test_an_erasure_is_open_until_the_job_of_its_last_removal_has_ended(stack: WorkerStack) -> None:
    at_amazon = {Progress.CLOSED: Outcome.REMOVED, Progress.AMAZON_DELETES: Outcome.AMAZON_DELETES}
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(ERASED)
    assert (erasure(stack).progress, outcome(stack)) == (Progress.OPEN, Missing.EXIT)
    stack.deliver_body(stack.queue.bodies[0])
    assert outcome(stack) is Missing.LAST_REMOVAL
    stack.rest()
    found = erasure(stack)
    assert found.audiences[AUDIENCE].outcome is at_amazon[found.progress]
    assert found.since >= (NOW + stack.effective) * 1000
    if found.progress is Progress.AMAZON_DELETES:
        stack.now += 31 * DAY
        assert (erasure(stack).progress, outcome(stack)) == (Progress.CLOSED, Outcome.AMAZON_TIME_OVER)


def test_a_person_who_enters_again_does_not_open_it_again(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(ERASED)
    stack.rest()
    long_ago(stack)
    stack.deliver(change("b@b.co", at=5))
    stack.rest()
    assert erasure(stack).progress is not Progress.OPEN
    assert erasure(stack).audiences[AUDIENCE].entered_again == 5


@pytest.mark.parametrize(
    ("report", "missing"),
    [(JobReport("SUCCEEDED", rejected={"m1": "no"}), Missing.REJECTED), (JobReport("PENDING"), Missing.LATE_JOBS)],
)
def test_a_job_that_does_not_end_well_leaves_it_open(report: JobReport, missing: Missing) -> None:
    stack = MemoryStack()
    stack.deliver(change("a@b.co", at=1))
    long_ago(stack)
    stack.deliver(ERASED)
    stack.deliver_body(stack.queue.bodies[0])
    assert outcome(stack) is Missing.JOB
    stack.now += JOB
    stack.check_jobs(report, *stack.jobs.drain()[-1:])
    assert outcome(stack) is missing


def test_as_long_as_amazon_does_not_accept_the_deletion_of_identities_it_is_open() -> None:
    stack = dataset_stack()
    stack.deliver(change("a@b.co", at=1))
    long_ago(stack)
    stack.amazon.deletion_fails = AccessDenied("manager accounts only", status=403)
    stack.deliver(ERASED)
    stack.rest()
    stack.now += 5 * DAY
    assert outcome(stack) is Missing.DELETION
    assert (check(stack).open, check(stack).overdue) == (1, 1)


def test_the_check_closes_what_is_done_once(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(ERASED, erasing_exit("nobody", 2, "other"))
    assert check(stack) == ErasureReport(open=1), "the notice is not spread for the second time yet"
    stack.rest()
    stack.now += SETTLED + 1
    waiting = int(erasure(stack).progress is Progress.AMAZON_DELETES)
    assert check(stack) == ErasureReport(waiting=waiting, closed=2 - waiting)
    stack.calls.clear()
    assert check(stack) == ErasureReport(waiting=waiting)
    assert stack.calls == [], "nobody's rows are read again"
    stack.now += 31 * DAY
    assert check(stack) == ErasureReport(closed=waiting)
    revision = everywhere(stack).revision
    assert (check(stack), everywhere(stack).revision) == (ErasureReport(), revision)
    closed = everywhere(stack).erasure[-1]
    assert (closed.kind, closed.at) == (StepKind.CLOSED, erasure(stack).since)


def test_a_notice_after_that_begins_another_erasure(stack: WorkerStack) -> None:
    stack.deliver(ERASED)
    stack.rest()
    stack.now += SETTLED + 1
    check(stack)
    assert is_closed(everywhere(stack))
    stack.deliver(replace(ERASED, message_id="again", at=3))
    assert (is_closed(everywhere(stack)), [each.id for each in erasure(stack).notices]) == (False, ["again"])


def test_without_time_the_rest_is_left_to_the_next_check(stack: WorkerStack) -> None:
    stack.deliver(ERASED)
    assert check(stack, deadline=0.0) == ErasureReport(is_complete=False)


class MovedRows:
    """A table whose rows change between every read and write."""

    def __init__(self, stack: WorkerStack) -> None:
        self.read = stack.members().read

    def write(self, states: list[MemberState]) -> list[MovedOn]:
        return [MovedOn("the member has changed meanwhile") for _ in states]


def test_a_row_that_changes_meanwhile_is_closed_by_the_next_check(stack: WorkerStack) -> None:
    stack.deliver(ERASED)
    stack.rest()
    stack.now += SETTLED + 1
    assert check(stack, members=MovedRows(stack)).closed == 0
    assert check(stack).closed == 1
