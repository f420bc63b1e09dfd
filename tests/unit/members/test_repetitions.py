"""The messages for what is due: delayed until then, and without identities."""

import math
from dataclasses import replace

import pytest

from audience_sync.members.member_state import LateJob, MemberState
from audience_sync.members.member_step import apply_changes
from audience_sync.members.messages import REPETITION, ChangeMessage
from audience_sync.members.repetitions import MAX_DELAY, Wait, repetition_messages, with_due
from tests.support.builders import AUDIENCE
from tests.support.member_changes import NOW, TIMING, enter, leave, recorded

DUE = NOW + round(TIMING.effective_after)  # when the removal is due again


def owing(audience_id: str = AUDIENCE) -> MemberState:
    """Return the row of a member who left a minute after the enter was sent."""
    entered, left = (replace(each, audience_id=audience_id) for each in (enter(1, "a"), leave(2, "b")))
    state = apply_changes(None, [entered], now=NOW, timing=TIMING).state
    return apply_changes(state, [left], now=NOW + 60, timing=TIMING).state


def messages(*states: MemberState, now: float) -> list[tuple[ChangeMessage, int]]:
    yielded = repetition_messages(with_due(states, TIMING), now)
    return [(ChangeMessage.from_body(body), delay) for bodies, delay in yielded for body in bodies]


def test_a_repetition_message_contains_the_version_but_no_identities() -> None:
    ((message, delay),) = messages(owing(), now=DUE - 30)
    (bare,) = message.changes
    assert (bare.version, bare.identities) == (leave(2).version, ())
    assert (message.history, delay) == (replace(REPETITION, unread_until=DUE), 30)
    late = replace(owing(), late_jobs=(LateJob("job-1", NOW, at=1),))
    assert [delay for _, delay in messages(late, now=NOW + TIMING.longest_job - 30)] == [30]


def test_no_repetition_message_is_queued_if_nothing_is_due() -> None:
    assert messages(recorded(enter(1, "a")), recorded(enter(1, "a"), leave(2)), now=NOW) == []


def test_members_of_an_audience_with_the_same_delay_share_a_message() -> None:
    sent = messages(owing(), owing("7"), owing("7"), recorded(enter(1, "a")), now=DUE - 300)
    assert [(message.audience_id, len(message.changes), delay) for message, delay in sent] == [
        (AUDIENCE, 1, 300),
        ("7", 2, 300),
    ]


@pytest.mark.parametrize(
    ("now", "seconds", "delay"),
    [
        pytest.param(0, -5, 0, id="overdue"),
        pytest.param(0, 0, 0, id="due"),
        pytest.param(0, 0.2, 1, id="up to a minute: whole seconds, never early"),
        pytest.param(0, 60, 60, id="a minute"),
        pytest.param(0, 61, 120, id="longer: whole minutes, so that many share a message"),
        pytest.param(0, 841, MAX_DELAY, id="a quarter of an hour"),
        pytest.param(0, 86_400, MAX_DELAY, id="as long as SQS allows, and it looks again then"),
        pytest.param(70, 60, 60, id="a minute, in the middle of one"),
        pytest.param(60, 900, MAX_DELAY, id="exactly as long as SQS allows"),
        pytest.param(60, 86_400, 840, id="longer: until the next quarter of an hour"),
        pytest.param(899.2, 86_400, 1, id="not received before it, to go back at once"),
    ],
)
def test_a_delay_is_rounded_up_and_limited_to_15_minutes(now: float, seconds: float, delay: int) -> None:
    wait = Wait.of(now + seconds, now, is_fixed=True)
    assert (wait.delay, MAX_DELAY) == (delay, 900)
    assert wait.until is not None
    assert wait.until >= now + seconds, "nobody looks before"


def test_a_wait_for_a_late_job_has_no_fixed_end() -> None:
    assert Wait.of(86_400, 0, is_fixed=False) == (MAX_DELAY, None)
    late = replace(owing(), late_jobs=(LateJob("job-1", NOW, at=1),))
    waits = {message.history.unread_until for message, _ in messages(owing(), late, now=NOW)}
    assert waits == {math.ceil(DUE / 60) * 60, None}
