"""A person's erasure from the notice to its end, by the rows that the worker and the jobs function write."""

from dataclasses import replace
from itertools import count

import pytest

from audience_sync.errors import AccessDenied, MovedOn
from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.erasure.status import Missing, Outcome, Progress
from audience_sync.members.erasure_steps import StepKind
from audience_sync.members.member_state import MemberState
from audience_sync.members.membership import EVERY_AUDIENCE
from audience_sync.operations.erasure_check import SETTLED, ErasureReport, Pass
from tests.support.builders import AUDIENCE
from tests.support.worker_stack import NOW, READ, MemoryStack, WorkerStack, change, dataset_stack

DAY = 86_400  # seconds
ERASED = erasing_exit("m1", 2, "notice")
DENIED = {"consent": {"amzn": {"amznUserData": "DENIED"}}}


def outcome(stack: WorkerStack) -> Outcome | Missing:
    """The outcome in the only audience, or what is missing there."""
    found = stack.erasure().audiences[AUDIENCE]
    return found.missing or found.outcome


def counts(report: ErasureReport) -> dict[str, int]:
    """The counts of a check that are not 0."""
    names = ("open", "overdue", "waiting", "closed", "woken")
    return {name: count for name in names if (count := getattr(report, name))}


def long_ago(stack: WorkerStack) -> None:
    """Let time pass until no enter can be under way."""
    stack.now += 2 * (stack.effective + stack.limits.timings.longest_job)


def test_an_erasure_is_open_until_the_job_of_its_last_removal_has_ended(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(ERASED)
    assert (stack.erasure().progress, outcome(stack)) == (Progress.OPEN, Missing.EXIT)
    stack.deliver_body(stack.queue.bodies[0])
    assert outcome(stack) is Missing.LAST_REMOVAL
    stack.rest()
    assert (stack.erasure().progress, outcome(stack)) == (Progress.CLOSED, Outcome.REMOVED)
    assert stack.erasure().since >= (NOW + stack.effective) * 1000


def test_a_later_enter_does_not_reopen_an_erasure(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(ERASED)
    stack.rest()
    long_ago(stack)
    stack.deliver(change("b@b.co", at=5))
    stack.rest()
    assert stack.erasure().progress is not Progress.OPEN
    assert stack.erasure().audiences[AUDIENCE].entered_again == 5


def test_a_refused_deletion_keeps_the_erasure_open_and_is_queued_again() -> None:
    stack = dataset_stack()
    stack.deliver(change("a@b.co", at=1))
    long_ago(stack)
    stack.amazon.deletion_fails = AccessDenied("manager accounts only", status=403)
    stack.deliver(replace(ERASED, consent=DENIED))
    stack.rest()
    stack.now += 5 * DAY
    assert outcome(stack) is Missing.DELETION
    assert counts(stack.check_erasures()) == {"open": 1, "overdue": 1, "woken": 1}
    stack.amazon.deletion_fails = None
    stack.rest()
    assert (stack.amazon.deleted, outcome(stack)) == ([["m1"]], Outcome.AMAZON_DELETES)
    assert counts(stack.check_erasures()) == {"waiting": 1}


def test_the_check_closes_a_finished_erasure_once(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(ERASED, erasing_exit("nobody", 2, "other"))
    stack.calls.clear()
    assert counts(stack.check_erasures()) == {"open": 1}, "and nobody knew the other one"
    assert stack.calls == [], "nobody's rows are read before the removals can have ended"
    stack.rest()
    stack.now += SETTLED + 1
    assert counts(stack.check_erasures()) == {"closed": 1}
    revision = stack.everywhere().revision
    stack.calls.clear()
    assert (counts(stack.check_erasures()), stack.everywhere().revision, stack.calls) == ({}, revision, [READ])
    closed = stack.everywhere().erasure[-1]
    assert (closed.kind, closed.at) == (StepKind.CLOSED, stack.erasure().since)


def test_an_erasure_is_not_closed_while_another_worker_may_still_spread_its_notice() -> None:
    stack = MemoryStack()
    stack.deliver(change(at=1, exits=True))
    stack.deliver(ERASED)
    stack.deliver_body(*stack.queue.drain()[:1])
    assert counts(stack.check_erasures()) == {}
    stack.now += SETTLED + 1
    assert counts(stack.check_erasures()) == {"closed": 1}


def test_no_row_is_read_during_amazons_30_days() -> None:
    stack, people = dataset_stack(), [f"m{number}" for number in range(40)]
    stack.deliver(*(change("a@b.co", at=1, member=each) for each in people))
    long_ago(stack)
    stack.deliver(*(erasing_exit(each, 2, "denial", denies_consent=True) for each in people))
    stack.now += 5 * DAY
    exits = stack.queue.drain()
    assert counts(stack.check_erasures()) == {"open": 40, "overdue": 40, "woken": 40}
    for body in exits:
        stack.deliver_body(body)
    stack.rest()
    stack.now += SETTLED
    assert counts(stack.check_erasures()) == {"waiting": 40}
    stack.calls.clear()
    assert (counts(stack.check_erasures()), stack.calls) == ({"waiting": 40}, [])
    stack.now += 31 * DAY
    assert counts(stack.check_erasures()) == {"closed": 40}


def test_a_check_continues_where_the_last_run_stopped() -> None:
    stack = MemoryStack()
    people = [f"m{number}" for number in range(40)]
    stack.deliver(*(change("a@b.co", at=1, member=each) for each in people))
    stack.deliver(*(erasing_exit(each, 2, "notice") for each in people))
    stack.now += 5 * DAY  # the exits are not delivered
    ticks = count()
    stack.monotonic = lambda: float(next(ticks))
    first = stack.check_erasures(deadline=9.0)
    assert (first.is_complete, first.left.position != "", 0 < first.overdue < 40) == (False, True, True)
    stored = Pass.from_fields(first.left.fields)
    assert stored == first.left
    stack.now += 6 * 3600
    second = stack.check_erasures(deadline=10_000.0, begun=stored)
    assert (second.is_complete, second.overdue, second.open) == (True, 40, 40 - first.open)
    assert (first.unchecked_since, second.unchecked_since) == (stored.began, stored.began)
    assert second.left == Pass(last_began=stored.began)
    third = stack.check_erasures(deadline=0.0, begun=second.left)
    assert (third.is_complete, third.unchecked_since, third.left.position) == (False, stored.began, "")
    assert third.left.last_began == stored.began


def test_an_erasure_that_repeated_notices_keep_open_is_overdue(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(ERASED)
    stack.now += 5 * DAY  # the exit is not delivered
    stack.deliver(erasing_exit("m1", 3, "second notice"))
    stack.calls.clear()
    report = stack.check_erasures()
    assert (report.open, report.overdue, stack.calls) == (1, 1, [])


def test_a_check_without_time_left_is_incomplete(stack: WorkerStack) -> None:
    stack.deliver(ERASED)
    assert not stack.check_erasures(deadline=0.0).is_complete


class MovedRows:
    """A table whose rows change between every read and write."""

    def __init__(self, stack: WorkerStack) -> None:
        self.readable = stack.members().readable

    def write(self, states: list[MemberState]) -> list[MovedOn]:
        return [MovedOn("the member has changed since it was read") for _ in states]


def test_an_erasure_whose_row_changed_is_closed_by_the_next_check(stack: WorkerStack) -> None:
    stack.deliver(change("a@b.co", at=1))
    stack.deliver(ERASED)
    stack.rest()
    stack.now += SETTLED + 1
    assert stack.check_erasures(members=MovedRows(stack)).closed == 0
    assert stack.check_erasures().closed == 1


@pytest.mark.parametrize("damaged", [EVERY_AUDIENCE, AUDIENCE])
def test_a_damaged_row_counts_as_an_open_erasure_and_the_others_are_closed(damaged: str) -> None:
    stack, people = MemoryStack(), [f"m{number}" for number in range(20)]
    stack.deliver(*(change("a@b.co", at=1, member=each) for each in people))
    stack.deliver(*(erasing_exit(each, 2, f"notice-{each}") for each in people))
    stack.rest()
    stack.now += 5 * DAY
    stack.model.damage(damaged, "m7")
    report = stack.check_erasures()
    assert (report.closed, report.open, len(report.unread), report.is_complete) == (19, 1, 1, True)
    assert report.overdue == int(damaged == AUDIENCE), "nobody knows when the other one began"
