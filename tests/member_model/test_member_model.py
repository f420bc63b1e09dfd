"""Histories of one member, each right at its end; and faults that they find.

`HISTORIES=1000000 pytest tests/member_model` tries more, and `story(seed)` in histories.py tells one.
"""

import os

import pytest

from audience_sync.delivery import member_delivery
from audience_sync.delivery.member_delivery import MemberDelivery, _Decided
from audience_sync.delivery.outcomes import Outcomes
from audience_sync.delivery.returning import Returning
from audience_sync.members import member_step
from audience_sync.members.member_state import MemberState
from audience_sync.members.member_step import Attempt
from audience_sync.operations import job_tracking
from tests.member_model.histories import live, story

HISTORIES = int(os.environ.get("HISTORIES", "3000"))
PARTS = 10  # so that several processes share them
MOST = 1_000  # histories until a fault is found


@pytest.mark.parametrize("part", range(PARTS))
def test_every_history_ends_right(part: int) -> None:
    wrong = next((seed for seed in range(part, HISTORIES, PARTS) if not is_right(seed)), None)
    assert wrong is None, "\n".join([f"history {wrong}:", *story(wrong)])


def test_a_seed_replays_the_same_history() -> None:
    assert story(5) == story(5)


def is_right(seed: int) -> bool:
    try:
        live(seed)
    except AssertionError:
        return False
    return True


FAULTS: list[tuple[str, object, str, object]] = [
    (
        "what a parked upload leaves due is not queued",
        _Decided,
        "may_owe",
        property(lambda each: each.decision.upload is not None and each.attempt is Attempt.ACCEPTED),
    ),
    ("a mark is never cleared", MemberState, "covers", lambda *_: False),
    ("the worker queues no repetition", member_delivery, "repetition_messages", lambda *_: ()),
    ("the end of a job queues no repetition", job_tracking, "repetition_messages", lambda *_: ()),
    ("a recent enter is overlooked", MemberState, "must_remove_again", lambda *_: False),
    ("a failed removal leaves no trace", member_step, "_effective_later", lambda state, *_: state),
    ("changes are acknowledged early", Outcomes, "left_of", lambda *_: []),
    ("a message that is not due is acknowledged", Returning, "unread", lambda _, each: (each, [])),
    ("an attempt is not recorded", MemberDelivery, "_record_attempts", lambda *_: None),
]


@pytest.mark.parametrize(("owner", "name", "fault"), [pytest.param(*rest, id=what) for what, *rest in FAULTS])
def test_the_histories_find(owner: object, name: str, fault: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, name, fault)
    assert not all(map(is_right, range(MOST)))
