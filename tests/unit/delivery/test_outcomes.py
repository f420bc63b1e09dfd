"""The outcomes of the members of one invocation, and what its messages say about each."""

from typing import Any

from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.delivery.context import DeliveryContext, Message, ParsedMessage
from audience_sync.delivery.outcomes import Outcomes
from audience_sync.delivery.pending import REPETITION_DELAY
from audience_sync.delivery.report import BatchReport
from audience_sync.delivery.uploads import Deferred, Limits
from audience_sync.errors import NoIdentifier, OutOfTime, WaitedTooLong
from audience_sync.members.membership import ChangeOutcome, Member, MembershipChange, Version
from audience_sync.members.messages import REPETITION, ChangeMessage, DeliveryHistory, pack
from tests.support.builders import AUDIENCE, change
from tests.support.doubles.amazon import FakeGate
from tests.support.doubles.dynamodb import MembershipRows
from tests.support.doubles.queues import FakeQueue

UNTRIED = Deferred(OutOfTime("no time left"), 0.0)


def message(*changes: MembershipChange, attempts: int = 1, history: DeliveryHistory | None = None) -> ParsedMessage:
    (body,) = pack(changes, history)
    return ParsedMessage(Message("m", "h", body, attempts, 1_000), ChangeMessage.from_body(body))


def member(name: str) -> Member:
    return AUDIENCE, name


def outcomes(
    *messages: ParsedMessage, dead_letters: FakeQueue | None = None, report: BatchReport | None = None
) -> Outcomes:
    queue, clock = FakeQueue(), Clock(lambda: 5.0, lambda: 0.0)
    rows: Any = MembershipRows()
    table = MembershipTable(rows, "members", Sharding(1), clock)
    context = DeliveryContext(queue, dead_letters or queue, queue, table, list, Limits(), clock, FakeGate())
    return Outcomes(context, messages, 60.0, report or BatchReport())


def test_a_member_counts_the_attempts_of_its_message_that_was_tried_most_often() -> None:
    tried = message(change(at=4), attempts=2)
    every = outcomes(tried, message(change(at=1), change("m2")), message(change("m3"), attempts=2, history=REPETITION))
    assert [every.members[member(name)].source.attempts for name in ("m1", "m2", "m3")] == [2, 1, 2]


def test_a_member_is_settled_once_its_newest_change_is_delivered_parked_or_deferred() -> None:
    changes = [change(name, at=at) for name in ("deferred", "in-part", "parked", "sent", "new") for at in (1, 2)]
    repeated = [change("waits"), change("repeated")]
    every = outcomes(message(*changes), message(*repeated, history=REPETITION))
    for name in ("deferred", "waits"):
        every.members[member(name)].defer(UNTRIED)
    every.members[member("in-part")].wait(Deferred.until("wait", 60.0), Version(1, False, "id-1"))
    every.members[member("sent")].settle(ChangeOutcome.DELIVERED)
    every.park([(changes[5], NoIdentifier("no identifier"))])
    open_still = [each.member for each in every.members.values() if not each.is_settled]
    assert open_still == [member(name) for name in ("in-part", "new", "repeated")]
    every.members[member("in-part")].settle(ChangeOutcome.PARKED)
    assert every.members[member("in-part")].is_settled, "its removal is parked, and its enter waits"


def test_a_change_that_nobody_has_settled_stays() -> None:
    both = message(change(at=1), change("m2", at=1))
    every = outcomes(both)
    every.members[member("m2")].wait(Deferred.until("wait", 60.0), Version(1, True, "exit"))
    assert [deferred.delay for _, deferred in every.left_of(both)] == [REPETITION_DELAY] * 2


def test_the_newest_repetition_wins_and_waits_for_changes_of_its_member() -> None:
    again, newest, older = (message(each, history=REPETITION) for each in (change(), change("m2", at=2), change("m2")))
    every = outcomes(message(change(at=2)), again, newest, older)
    assert [deferred.delay for _, deferred in every.left_of(again)] == [REPETITION_DELAY]
    repetitions = [each.newest for each in every.members.values() if each.is_repetition]
    assert repetitions == newest.message.changes


def test_changes_that_waited_too_long_are_parked_message_by_message() -> None:
    dead_letters, report = FakeQueue(), BatchReport()
    messages = message(change("m1")), message(change("m2"), change("m3"))
    every = outcomes(*messages, dead_letters=dead_letters, report=report)
    for pending in every.members.values():
        pending.defer(UNTRIED)
    for each in messages:
        every.give_up(each, WaitedTooLong("seven days"))
    assert [left for each in messages for left in every.left_of(each)] == []
    assert report.parked_reasons == {"waited_too_long": 3}
    assert [each.attributes for each in dead_letters.messages] == [{"reason": "waited_too_long"}] * 3
