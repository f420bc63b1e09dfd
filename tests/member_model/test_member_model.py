"""Histories of one member, each right at its end; and faults that they find.

`HISTORIES=1000000 pytest tests/member_model` tries more, and `story(seed)` in histories.py tells one.
"""

import os
from dataclasses import replace
from typing import Any

import pytest

from audience_sync.delivery import member_delivery
from audience_sync.delivery.job_members import job_member
from audience_sync.delivery.member_delivery import MemberDelivery, _Decided
from audience_sync.delivery.outcomes import Outcomes
from audience_sync.delivery.returning import Returning
from audience_sync.errors import MovedOn
from audience_sync.members import member_step
from audience_sync.members.member_state import Action, LateJob, MemberState, Timing
from audience_sync.members.member_step import Attempt, Decision, after_attempt, apply_repetition
from audience_sync.members.membership import Member, Version
from audience_sync.members.stores import MemberRows
from audience_sync.operations import job_end, job_tracking
from tests.member_model.histories import THEMES, live, story

HISTORIES = int(os.environ.get("HISTORIES", "10000"))
PARTS = 10  # so that several processes share them
MOST = 5_000  # histories of a theme until a fault is found; the rarest is in one of 4,647


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


def _parked_and_owed(row: MemberState, source: MemberState, upload: Action, result: Attempt, **at: Any) -> MemberState:
    after = after_attempt(row, source, upload, result, **at)
    return replace(after, enter_owed=True) if result is Attempt.PARKED and upload is Action.ENTER else after


def _dated_before(state: MemberState, version: Version, *, now: int, timing: Timing) -> Decision | None:
    decision = apply_repetition(state, version, now=now, timing=timing)
    if decision is None or decision.upload is None:
        return decision
    return decision._replace(state=member_step._dated(state, decision.upload, now, timing))


def _forgotten(state: MemberState, job: LateJob, *_: object) -> MemberState:
    return replace(state, late_jobs=tuple(each for each in state.late_jobs if each.job_id != job.job_id))


def _own_writes_alone(table: MemberRows, states: dict[Member, MemberState], change: Any) -> list[Any]:
    pairs = [(state, change(state)) for state in states.values()]
    results = table.write([after for before, after in pairs if after != before])
    moved = [after.member for (_, after), result in zip(pairs, results, strict=False) if isinstance(result, MovedOn)]
    return [pair for pair in pairs if pair[1].member not in moved and pair[0] != pair[1]] + (
        _own_writes_alone(table, table.read(moved), change) if moved else []
    )


ANY, REMOVALS_FAIL, ENTERS_FAIL, NOTICES, SIDE_BY_SIDE, TWO_REMOVALS, IN_PARTS = range(len(THEMES))
FAULTS: list[tuple[str, int, object, str, object]] = [
    # Each was in the code once.
    (
        "an enter that takes the place of an owed removal counts nothing as sent",
        REMOVALS_FAIL,
        member_step,
        "_with_replaced_removal",
        lambda state, *_: state,
    ),
    ("what a failed job has not done is not owed", NOTICES, job_end, "after_failed_job", lambda state, *_: state),
    ("an unknown job counts as done", NOTICES, job_end, "_is_owed", job_end._took_no_effect),
    ("a row is looked at only when it is changed", ANY, job_tracking, "with_due", lambda *_: ()),
    (
        "what a parked upload leaves due is not queued",
        ANY,
        _Decided,
        "may_owe",
        property(lambda each: each.decision.upload is not None and each.attempt is Attempt.ACCEPTED),
    ),
    ("an attempt marks whatever row is there", REMOVALS_FAIL, member_step, "_is_latest", lambda *_: True),
    # Others.
    ("a mark is never cleared", ANY, MemberState, "covers", lambda *_: False),
    ("a parked enter is still owed", ANY, member_delivery, "after_attempt", _parked_and_owed),
    ("the worker queues no repetition", ANY, member_delivery, "repetition_messages", lambda *_: ()),
    ("the end of a job queues no repetition", ANY, job_tracking, "repetition_messages", lambda *_: ()),
    ("a repetition is dated before it is sent", SIDE_BY_SIDE, member_delivery, "apply_repetition", _dated_before),
    (
        "a change is not dated before it is sent",
        SIDE_BY_SIDE,
        member_step,
        "_dated_unless_owed",
        lambda state, *_: state,
    ),
    ("a recent enter is overlooked", ANY, MemberState, "must_remove_again", lambda *_: False),
    (
        "an exit overlooks the enters that failed",
        ENTERS_FAIL,
        member_step,
        "_last_attempt_at_an_enter",
        lambda state, *_: state.enter_sent,
    ),
    ("a removal that failed leaves no trace", REMOVALS_FAIL, member_step, "_effective_later", lambda state, *_: state),
    ("the answer of a write is the only sign of it", ANY, job_tracking, "update", _own_writes_alone),
    (
        "the end of a removal erases what only a later one names",
        TWO_REMOVALS,
        member_delivery,
        "job_member",
        lambda *args, **options: job_member(*args, **options)._replace(claim=0),
    ),
    ("a removal in parts begins at its first", IN_PARTS, MemberState, "removed_so_far", lambda *_: 0),
    ("the end of a late job leaves nothing due", NOTICES, job_end, "without_late_job", _forgotten),
    ("changes are acknowledged early", ANY, Outcomes, "left_of", lambda *_: []),
    ("a message that is not due is acknowledged", ANY, Returning, "unread", lambda _, each: (each, [])),
    ("an attempt is not recorded", ANY, MemberDelivery, "_record_attempts", lambda *_: None),
]


@pytest.mark.parametrize(("theme", "owner", "name", "fault"), [pytest.param(*rest, id=what) for what, *rest in FAULTS])
def test_the_histories_find(
    theme: int, owner: object, name: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, fault)
    assert not all(map(is_right, range(theme, MOST * len(THEMES), len(THEMES))))
