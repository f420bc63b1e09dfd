"""The uploads of one member over hours: who is in at the end, what is kept, and that nothing more is sent.

The cases S1 to S6 were found by a simulation of the whole delivery; here they are what they are without I/O.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience_sync.members.member_state import LONGEST_JOB, LateJob
from audience_sync.members.membership import MembershipChange
from tests.support.lives import LIVES, MINUTE, Life, sent
from tests.support.member_changes import NOW, TIMING, change, enter, leave, names, notice
from tests.support.one_member import FIRST_CHECK, OneMember

LATE = 25 * MINUTE  # the time of a job; 17 minutes are in time


@pytest.mark.parametrize("life", [pytest.param(each, id=each.name) for each in LIVES])
def test_a_life_sends_what_the_documents_show(life: Life) -> None:
    member = life.live()
    newest = life.arrives[-1][1]
    assert (sent(member), member.held) == (life.sent, {*names(newest)})


def kept(member: OneMember) -> set[str]:
    """The names that the row holds."""
    assert member.state is not None
    return {each.digests["email"] for each in member.state.identities}


# S1 and S3: nothing is repeated without end


def test_enter_exit_enter_within_four_minutes_takes_four_uploads_even_if_jobs_are_late() -> None:
    member = OneMember(jobs=[LATE] * 10)
    for minute, each in ((0, enter(1, "a")), (2, leave(2)), (4, enter(3, "b"))):
        member.receive(minute * MINUTE, each)
    member.run()
    assert (sent(member), member.held) == (["0 CREATE a", "2 DELETE a", "30 DELETE a", "75 CREATE b"], {"b"})


def test_a_waiting_enter_superseded_by_an_exit_takes_no_upload() -> None:
    member = OneMember()
    for minute, each in ((0, enter(1, "a")), (2, leave(2)), (4, enter(3, "b")), (6, leave(4))):
        member.receive(minute * MINUTE, each)
    member.run()
    assert sent(member) == ["0 CREATE a", "2 DELETE a", "6 DELETE a", "17 DELETE a"]
    assert member.held == set()


def test_31_changes_within_a_minute_cause_few_repetitions() -> None:
    member = OneMember()
    for number in range(31):
        member.receive(2 * number, leave(number) if number % 2 else enter(number, "a"))
    member.run()
    assert len(member.uploads) <= 31 + 3
    assert member.held == {"a"}


def test_uploads_come_to_an_end_even_if_every_job_is_checked_late() -> None:
    member = OneMember(lag=25 * MINUTE)  # behind in the job queue; the jobs are in time
    for minute, each in ((0, enter(1, "a")), (2, leave(2)), (4, enter(3, "b"))):
        member.receive(minute * MINUTE, each)
    member.run(until=NOW + 2 * LONGEST_JOB)
    assert len(member.uploads) <= 8


def test_a_second_exit_does_not_cancel_the_repeated_removal_of_the_first() -> None:
    member = OneMember(jobs=[15 * MINUTE])
    for second, each in ((0, enter(1, "a")), (10, leave(2)), (20, leave(3))):
        member.receive(second, each)
    assert member.run().held == set()


def test_two_enters_that_wait_for_a_removal_are_both_sent() -> None:
    member = OneMember()
    both = [change(3, name, id=name) for name in "ab"]
    for minute, each in ((0, enter(1, "a")), (60, leave(2)), (61, both[0]), (62, both[1])):
        member.receive(minute * MINUTE, each)
    assert member.run().held == {"a", "b"}


# S2 and S4: a deletion notice


def test_a_return_minutes_after_a_notice_leaves_no_hash_from_before_it() -> None:
    assert kept(LIVES[-1].live()) == {"b"}


def test_a_notice_removes_an_enter_whose_answer_was_lost_and_whose_job_is_late() -> None:
    member = OneMember(jobs=[50 * MINUTE], lost=frozenset({0}))
    member.receive(0, enter(1, "a"))
    member.receive(20 * MINUTE, notice(2))
    member.run()
    assert (member.held, kept(member)) == (set(), set())
    assert len(member.uploads) == 4


def test_a_notice_removes_an_enter_whose_late_job_was_checked_late() -> None:
    member = OneMember(jobs=[60 * MINUTE], lag=18 * MINUTE)
    member.receive(0, enter(1, "a"))
    member.receive(17 * MINUTE + 30, notice(2))
    member.run()
    assert (member.held, kept(member)) == (set(), set())


def test_a_late_notice_keeps_identities_until_no_job_can_bring_them_back() -> None:
    """The newest enter, with what the notice removes, has a job that is late and not known."""
    member = OneMember(jobs=[5 * MINUTE, 50 * MINUTE], lost=frozenset({1}))
    for minute, each in ((0, enter(1, "old")), (30, enter(4, "new")), (32, notice(3))):
        member.receive(minute * MINUTE, each)
    member.run()
    assert (member.held, kept(member)) == ({"new"}, {"new"})


def test_a_notice_older_than_the_exit_is_retried_if_its_answer_is_lost() -> None:
    member = OneMember(lost=frozenset({2}))
    for minute, each in ((0, enter(1, "a")), (60, leave(5)), (120, notice(3))):
        member.receive(minute * MINUTE, each)
    member.run()
    assert (member.held, kept(member)) == (set(), set())


def test_an_enter_older_than_a_notice_in_the_same_message_leaves_no_hash() -> None:
    member = OneMember()
    member.receive(0, notice(5))
    member.receive(MINUTE, enter(4, "old"), enter(6, "new"))
    member.run()
    assert (member.held, kept(member)) == ({"new"}, {"new"})


# S5 and S6: what would stay for weeks


def test_the_mark_of_a_job_without_an_end_lapses_after_36_hours() -> None:
    member = OneMember()
    member.receive(0, enter(1, "a"))
    member.run()
    assert member.state is not None
    member.state = replace(member.state, late_jobs=(LateJob("job-0", NOW, 1),))
    member.receive(20 * MINUTE, notice(2))
    member.receive(2 * LONGEST_JOB, leave(3))
    member.run()
    assert (member.state.late_jobs, kept(member), member.held) == ((), set(), set())


def test_identities_of_an_exit_after_a_notice_are_erased() -> None:
    member = OneMember()
    for minute, each in ((0, leave(5)), (1, notice(3)), (10, leave(7, "a"))):
        member.receive(minute * MINUTE, each)
    member.run()
    assert (sent(member), kept(member)) == (["10 DELETE a"], set())


# Whatever arrives, in whatever order, and however long jobs take


@st.composite
def any_change(draw: st.DrawFn) -> MembershipChange:
    at, exits = draw(st.integers(1, 6)), draw(st.booleans())
    named = draw(st.lists(st.sampled_from("abcd"), min_size=not exits, max_size=2, unique=True))
    return change(at, *named, exits=exits, erase=exits and draw(st.booleans()), id=draw(st.sampled_from("xy")))


GAPS = st.sampled_from([0, 60, 300, 1000, 1100, 4000, 100_000])  # seconds between two messages
MESSAGES = st.lists(st.tuples(GAPS, st.lists(any_change(), min_size=1, max_size=3)), min_size=1, max_size=6)
IN_TIME = st.sampled_from([0, 300, 900, 1020])  # seconds that a job takes
ANY_TIME = IN_TIME | st.sampled_from([1500, 4000, 20_000, 129_000])  # 36 hours at most
JOBS, JOBS_IN_TIME = (st.lists(each, max_size=15) for each in (ANY_TIME, IN_TIME))
LAG = st.sampled_from([0, int(TIMING.effective_after) - FIRST_CHECK])  # checks in time

type Messages = Sequence[tuple[int, Sequence[MembershipChange]]]


def after(messages: Messages, member: OneMember) -> OneMember:
    """Run to the end. There, nothing is due and no job is marked."""
    second = 0
    for gap, changes in messages:
        second += gap
        member.receive(second, *changes)
    member.run()
    assert member.state is not None
    assert (member.state.due(TIMING), member.state.late_jobs) == (None, ())
    return member


def everything(messages: Messages) -> list[MembershipChange]:
    return [each for _, changes in messages for each in changes]


@settings(max_examples=200, derandomize=True)
@given(MESSAGES, JOBS, LAG)
def test_a_change_costs_at_most_three_uploads_and_a_notice_five(messages: Messages, jobs: list[int], lag: int) -> None:
    changes = everything(messages)
    member = after(messages, OneMember(jobs, lag=lag))
    assert len(member.uploads) <= 3 * len(changes) + 2 * sum(each.erase for each in changes)


@given(
    st.lists(st.tuples(st.integers(3, 6), st.sampled_from("abcd"), st.sampled_from("xy")), min_size=2, max_size=4),
    st.permutations(range(4)),
    st.booleans(),
    st.booleans(),
)
def test_enters_of_one_life_give_the_same_row_in_any_order(
    named: list[tuple[int, str, str]], order: list[int], is_back: bool, is_one_message: bool
) -> None:
    before = [(0, [enter(1, "old")]), (100_000, [leave(2)])] if is_back else []
    enters = [change(at, name, id=letter) for at, name, letter in named]
    shuffled = [enters[place] for place in order if place < len(enters)]
    ordered = sorted(enters, key=lambda each: each.version)
    ends = []
    for messages in ([shuffled] if is_one_message else [[each] for each in shuffled], [[each] for each in ordered]):
        member = after([*before, (100_000, messages[0]), *((3, some) for some in messages[1:])], OneMember())
        assert member.state is not None
        ends.append((member.state.version, member.state.active, member.uploads[-1][1:]))
    assert ends[0] == ends[1]
    assert ends[0][2] == ("CREATE", sorted({name for _, name, _ in named}))


@given(MESSAGES, JOBS_IN_TIME)
def test_if_jobs_are_in_time_at_most_six_uploads_follow_the_last_change(messages: Messages, jobs: list[int]) -> None:
    member = after(messages, OneMember(jobs))
    last = sum(gap for gap, _ in messages)
    assert sum(second > last for second, _, _ in member.uploads) <= 6
