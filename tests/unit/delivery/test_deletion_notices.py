"""Single steps of deletion notices; tests/contract/test_deletion_notices.py has the whole."""

import pytest

from audience_sync.amazon_ads.destination import of_connection
from audience_sync.delivery import deletion_notices
from audience_sync.delivery.deletion_notices import ROWS_AT_ONCE, DeletionNotices, due_exits, with_notices
from audience_sync.members.membership import Audience, Destination
from audience_sync.members.messages import ChangeMessage
from tests.contract.test_deletion_notices import AUDIENCES, OTHER, entered, notice
from tests.contract.worker_stack import NOW, MemoryStack


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(audiences=AUDIENCES)


def test_before_a_later_enter_a_notice_is_an_erasing_exit_from_the_same_audience(stack: MemoryStack) -> None:
    stack.deliver(notice(at=10))
    later = entered("a@b.co", at=12, audience=OTHER)
    exit_, enter = with_notices(stack.members(), {later.member: [later]})[later.member]
    assert (exit_.member, exit_.at, exit_.exits, exit_.erase) == ((OTHER, "m1"), 10, True, True)
    assert exit_.destination == of_connection("connection-1", dsp=True)
    assert enter == later


def test_a_change_from_before_a_notice_counts_no_more_and_without_a_notice_nothing_changes(stack: MemoryStack) -> None:
    stack.deliver(notice(at=10))
    known, stranger = entered("a@b.co", at=9), entered("a@b.co", at=9, member="m2")
    found = with_notices(stack.members(), {each.member: [each] for each in (known, stranger)})
    assert found == {known.member: (), stranger.member: [stranger]}


@pytest.mark.parametrize(
    ("audiences", "at_once"),
    [
        pytest.param(0, ROWS_AT_ONCE, id="no audience: the notice's own row"),
        pytest.param(3, ROWS_AT_ONCE // 4, id="its own row, and one in each audience"),
        pytest.param(ROWS_AT_ONCE, 1, id="more audiences than rows are read at once"),
    ],
)
def test_as_many_notices_are_spread_at_once_as_their_rows_can_be_read(audiences: int, at_once: int) -> None:
    stack = MemoryStack(audiences=[Audience(str(number)) for number in range(audiences)])
    spreading = DeletionNotices(stack.context(), stack.members(), 60.0)
    first, *_ = spreading.batches([notice(f"m{number}") for number in range(ROWS_AT_ONCE)])
    assert len(first) == at_once


def test_an_exit_is_due_even_from_an_audience_whose_api_only_a_newer_version_knows(stack: MemoryStack) -> None:
    stack.deliver(entered("a@b.co", at=5, audience=OTHER))
    new = Audience(OTHER, destination=Destination.of({"api": "new"}))
    for at in (4, 6):  # before and after the enter
        (exit_,) = due_exits(stack.members().read([(OTHER, "m1")]), [notice(at=at)], [new])
        assert (exit_.member, exit_.destination) == ((OTHER, "m1"), new.destination), "for the worker to park"


def test_the_exits_of_all_notices_count_as_accepted_when_they_are_queued(
    stack: MemoryStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_notices, "ROWS_AT_ONCE", 1)  # each notice by itself
    stack.deliver(entered("a@b.co", at=5), entered("a@b.co", at=5, member="m2"))
    report = stack.deliver(notice("m1"), notice("m2"))
    assert report.accepted == {NOW * 1000: 2}
    queued = [ChangeMessage.from_body(each.body) for each in stack.queue.messages if not each.delay]
    assert [each.history.first_at for each in queued] == [NOW * 1000] * 2


def test_a_notice_that_is_not_recorded_comes_back_and_the_others_are_done() -> None:
    stack = MemoryStack(audiences=AUDIENCES)
    stack.model.refused = [{0: "InternalServerError"}]
    report = stack.deliver(notice("m1"), notice("m2"))
    assert (report.superseded, report.requeued, report.deferred) == (1, 1, [])
    (left,) = (message for body in stack.queue.bodies if (message := ChangeMessage.from_body(body)).history.attempts)
    assert [each.member[1] for each in left.changes] == ["m1"]
