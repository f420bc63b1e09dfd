"""Target of EventsFunction: a message of the event queue with any body, beside one that is right."""

from typing import Any

from audience_sync.errors import InvalidRequest
from audience_sync.ingest.intake import changes_from, compiled
from audience_sync.ingest.message_intake import MessageIntake
from audience_sync.ingest.record_rules import Policy
from audience_sync.members.membership import MembershipChange
from audience_sync.members.messages import ChangeMessage
from functions.events import handler
from tests.fuzz.ingest import AUDIENCES, NOW, written
from tests.fuzz.invariants import ROOT, assert_log_repeats_nothing
from tests.fuzz.worker import CLOCK, invoke
from tests.support.doubles.audiences import Listed
from tests.support.doubles.queues import FakeQueue

LISTED: Any = Listed(*AUDIENCES)
POLICY = Policy(needs_time=True)
GOOD = (ROOT / "events" / "segment" / "01-track-entered-full-pii.json").read_text()


def take_in_message(data: bytes) -> None:
    """Input: the body of a message of the event queue.

    While a queue behind the function is down, exactly the messages stay that have something to send there. In the end
    each has put all its changes into the change queue or, if no retry can mend it, is a dead letter, byte for byte. The
    log repeats nothing of it.
    """
    body = data.decode(errors="replace")
    changes: Any = FakeQueue()
    dead_letters: Any = FakeQueue()
    parts = handler.Dependencies(MessageIntake(LISTED, changes, POLICY, CLOCK), dead_letters)
    messages = left = [(each, _changes(each)) for each in (body, GOOD)]
    for changes.down, dead_letters.down in ((True, True), (True, False), (False, False)):
        stay = [each for each in left if (dead_letters.down if each[1] is None else changes.down and each[1])]
        numbers, log = invoke(handler, parts, CLOCK, [each for each, _ in left])
        left = [left[int(number)] for number in numbers]
        assert left == stay, "a message is lost, or held back"
        assert_log_repeats_nothing(log)
    assert dead_letters.bodies == [each for each, made in messages if made is None]
    carried = [change for each in changes.bodies for change in ChangeMessage.from_body(each).changes]
    assert sorted(map(written, carried)) == sorted(written(change) for _, made in messages for change in made or [])


def _changes(body: str) -> list[MembershipChange] | None:
    """Return the changes that a body makes; None if no retry can mend it."""
    try:
        return changes_from(body.encode(), mappings=compiled(None), audiences=LISTED, now=NOW, policy=POLICY).changes
    except InvalidRequest:
        return None
