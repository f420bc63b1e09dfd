"""Whether and when Amazon is asked to delete a person from all datasets, by the person's rows."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.members.erasure import ErasurePlan, ErasureStep, StepKind
from audience_sync.members.member_state import Identity, MemberState, Timing
from audience_sync.members.membership import Version
from audience_sync.members.person_deletion import (
    AT_THE_LATEST,
    CHECK_AGAIN,
    PersonRow,
    claimed,
    entered_again,
    enters_wait_until,
    last_accepted,
    next_request,
    planned,
    with_deletion,
)
from tests.builders import change, notice

NOW = 1_800_000_000  # epoch seconds, at which the notice was recorded
HOUR, DAY = 3_600, 86_400
NOTICE = Version(NOW * 1000 - 5_000, True, "notice-m1")
DATASET, WITH_JOBS = Timing.of_dataset(7_320, 129_600), Timing(1_020)
RECORDED = ErasureStep(StepKind.NOTICE, "notice-m1", NOTICE.at, NOW * 1000)
CLOSED = ErasureStep(StepKind.CLOSED, "", NOW * 1000 - 9, NOW * 1000 - 9)
PLAN = ErasurePlan(("a",), (), 0, NOW + 60)
HELD = (Identity(NOTICE.at - 1, {"email": "a"}),)


def deleted(at: int) -> ErasureStep:
    """Return a deletion asked for at an epoch second and accepted."""
    return ErasureStep(StepKind.DELETION, "-", at * 1000, at * 1000 + 500)


def everywhere(*steps: ErasureStep, plan: ErasurePlan | None = PLAN) -> MemberState:
    newest = notice("m1", NOTICE.at)
    return MemberState(newest, left=NOTICE, erase_until=NOTICE.at, exited=NOW, erasure=(RECORDED, *steps), plan=plan)


def left(audience_id: str = "a", **fields: Any) -> MemberState:
    """Return a row that has the notice's exit."""
    exit_ = change(at=NOTICE.at, exits=True, message_id=NOTICE.message_id, audience_id=audience_id)
    state = MemberState(exit_, left=NOTICE, erase_until=NOTICE.at, exited=NOW + 2, entered=NOW - DAY, ended=NOW + 2)
    return replace(state, **fields)


def inside(audience_id: str = "a", **fields: Any) -> MemberState:
    """Return a row without the exit."""
    entered = change(at=NOTICE.at - 60_000, audience_id=audience_id)
    return replace(MemberState(entered, HELD, entered=NOW - DAY), **fields)


# The plan


def plan_of(*rows: PersonRow, known: MemberState | None = None, **options: Any) -> ErasurePlan | None:
    return planned(known or everywhere(plan=None), rows, NOW, **{"is_new": True, "may_delete": True} | options)


def test_a_plan_lists_audiences_that_need_proof_and_when_to_delete() -> None:
    rows = [
        PersonRow(inside("dataset", entered=NOW - 600), DATASET, has_jobs=False),
        PersonRow(inside("audience"), WITH_JOBS, has_jobs=True),
        PersonRow(inside("never", entered=0), DATASET, has_jobs=False),
        PersonRow(left("out"), DATASET, has_jobs=False),
    ]
    last_removal = NOW - 600 + 7_320 + 129_600
    assert plan_of(*rows) == ErasurePlan(
        ("dataset",), ("audience", "never", "out"), last_removal + 7_320, NOW - 600 + 7_320
    )


def test_a_denial_waits_for_no_removal_from_a_dataset() -> None:
    newest = replace(notice("m1", NOTICE.at), record=notice("m1", 1).record | {"userConsent": {"consent": {}}})
    denied = replace(everywhere(plan=None), newest=newest)
    rows = [
        PersonRow(inside("dataset", entered=NOW - 600), DATASET, has_jobs=False),
        PersonRow(inside("audience"), WITH_JOBS, has_jobs=True),
    ]
    assert [plan and plan.done_after for plan in (plan_of(rows[0], known=denied), plan_of(*rows, known=denied))] == [
        NOW,
        NOW - DAY + 1_020 + 129_600 + 1_020,
    ]


@pytest.mark.parametrize(
    ("row", "waits"),
    [
        pytest.param(inside(identities=()), False, id="no identities"),
        pytest.param(inside(), True, id="in, and named before"),
        pytest.param(inside(identities=(Identity(NOTICE.at, {}),)), True, id="and named just then"),
        pytest.param(inside(identities=(Identity(NOTICE.at + 1, {}),)), False, id="and named since"),
        pytest.param(
            left(identities=(Identity(NOTICE.at + 1, {}),), left=None, erase_until=0), True, id="out, and named since"
        ),
    ],
)
def test_a_plan_waits_for_a_removal_only_if_it_has_identities_to_remove(row: MemberState, waits: bool) -> None:
    plan = plan_of(PersonRow(row, WITH_JOBS, has_jobs=True))
    assert plan
    assert (plan.done_after > NOW) is waits


@pytest.mark.parametrize(
    ("rows", "options", "due"),
    [
        pytest.param([PersonRow(inside(), DATASET, has_jobs=False)], {}, NOW, id="entered long ago: at once"),
        pytest.param([PersonRow(inside(entered=0), DATASET, has_jobs=False)], {}, NOW, id="perhaps on the way"),
        pytest.param([PersonRow(inside(), WITH_JOBS, has_jobs=True)], {}, NOW, id="known to the audience API alone"),
        pytest.param([], {}, 0, id="nobody knows the id"),
        pytest.param([PersonRow(inside(), DATASET, has_jobs=False)], {"may_delete": False}, 0, id="a DSP account"),
    ],
)
def test_a_deletion_is_planned_only_for_known_people(rows: list[PersonRow], options: dict[str, Any], due: int) -> None:
    plan = plan_of(*rows, **options)
    assert plan
    assert plan.deletion_due == due


@pytest.mark.parametrize(
    ("row", "held"),
    [
        pytest.param(PersonRow(inside(), DATASET, has_jobs=False), True, id="dataset: in"),
        pytest.param(PersonRow(inside(entered=0, enters_end=9), DATASET, has_jobs=False), True, id="an enter is dated"),
        pytest.param(
            PersonRow(inside(identities=(Identity(NOTICE.at + 1, {}),)), DATASET, has_jobs=False),
            False,
            id="named since",
        ),
        pytest.param(
            PersonRow(inside(identities=(Identity(NOTICE.at, {}),)), DATASET, has_jobs=False),
            True,
            id="named just then",
        ),
        pytest.param(PersonRow(inside(), WITH_JOBS, has_jobs=True), False, id="the identities are the proof"),
        pytest.param(PersonRow(inside(identities=()), WITH_JOBS, has_jobs=True), True, id="a restored row"),
        pytest.param(
            PersonRow(inside(identities=(), erasure=(deleted(NOW - DAY),)), DATASET, has_jobs=False),
            False,
            id="deleted since it was sent",
        ),
        pytest.param(
            PersonRow(inside(identities=(), erasure=(deleted(NOW - DAY - 1),)), DATASET, has_jobs=False),
            True,
            id="sent since it was deleted",
        ),
    ],
)
def test_an_audience_sent_an_enter_before_the_notice_needs_proof(row: PersonRow, held: bool) -> None:
    assert plan_of(row) == plan_of(row, known=everywhere(plan=None))
    plan = plan_of(row)
    assert plan
    assert (plan.held_in, plan.also_in) == ((("a",), ()) if held else ((), ("a",)))


def test_an_accepted_deletion_proves_every_dataset_but_no_other_audience() -> None:
    known = everywhere(deleted(NOW - 60), plan=None)
    rows = [
        PersonRow(inside("dataset", identities=()), DATASET, has_jobs=False),
        PersonRow(inside("audience", identities=()), WITH_JOBS, has_jobs=True),
    ]
    plan = plan_of(*rows, known=known)
    assert plan
    assert plan.held_in == ("audience",)


def test_a_second_notice_adds_to_the_plan_unless_the_erasure_was_closed() -> None:
    row, before = PersonRow(inside("b"), DATASET, has_jobs=False), ErasurePlan(("a",), (), NOW + 10 * DAY, 0)
    open_ = replace(everywhere(plan=before), erasure=(RECORDED._replace(id="first"), RECORDED))
    closed = replace(everywhere(plan=before), erasure=(RECORDED._replace(id="first"), CLOSED, RECORDED))
    assert [
        plan and (plan.held_in, plan.done_after) for plan in (plan_of(row, known=open_), plan_of(row, known=closed))
    ] == [
        (("a", "b"), NOW + 10 * DAY),
        (("b",), NOW + 7_320 + 129_600 - DAY + 7_320),
    ]


def test_the_second_pass_of_a_notice_adds_only_rows_without_its_exit() -> None:
    rows = [PersonRow(left("b"), DATASET, has_jobs=False)]
    assert plan_of(*rows, known=everywhere(), is_new=False) is PLAN
    late = plan_of(PersonRow(inside("b"), DATASET, has_jobs=False), *rows, known=everywhere(), is_new=False)
    assert late
    assert late.held_in == ("a", "b")
    older = replace(everywhere(), plan=None)
    assert plan_of(PersonRow(inside("b"), DATASET, has_jobs=False), known=older, is_new=False) is None


# The request


@pytest.mark.parametrize(
    ("rows", "steps", "after", "expected"),
    [
        pytest.param([left()], (), 100, NOW + 60, id="not before it is due"),
        pytest.param([left(enters_end=NOW + 900)], (), 100, NOW + 900, id="not before an enter has taken effect"),
        pytest.param([left(enters_end=NOW + 2 * DAY)], (), 100, NOW + AT_THE_LATEST, id="after a day at the latest"),
        pytest.param([inside()], (), 100, NOW + 100 + CHECK_AGAIN, id="while the exit is missing: another look"),
        pytest.param([inside()], (), DAY - 100, NOW + AT_THE_LATEST, id="the last one"),
        pytest.param([inside()], (), DAY, NOW + 60, id="a day later without the exit"),
        pytest.param([left(entered=0)], (), 100, None, id="never sent"),
        pytest.param([left(entered=0, enters_end=1)], (), 100, NOW + 60, id="sent, as an attempt was counted"),
        pytest.param([left()], (deleted(NOW - DAY + 120),), 100, None, id="deleted since"),
        pytest.param([left()], (deleted(NOW - DAY + 119),), 100, NOW + 60, id="perhaps since, if clocks differ"),
        pytest.param(
            [left(enters_end=NOW - 2)],
            (deleted(NOW - 3),),
            100,
            NOW + 60,
            id="in effect after the last one",
        ),
        pytest.param([left(erasure=(deleted(NOW - 9),))], (), 100, None, id="as an older version recorded it"),
        pytest.param([], (), 100, NOW + 60, id="known, but to no dataset"),
        pytest.param([], (deleted(NOW - DAY),), 100, None, id="and deleted before"),
        pytest.param([left()], (deleted(NOW + 1),), 100, None, id="accepted"),
        pytest.param([left()], (deleted(NOW),), 100, None, id="accepted in the moment of the notice"),
        pytest.param(
            [left(enters_end=NOW + DAY + 9)],
            (deleted(NOW + DAY),),
            DAY,
            NOW + DAY + 9,
            id="again: in effect afterwards",
        ),
        pytest.param([left(enters_end=NOW + DAY)], (deleted(NOW + DAY),), DAY, None, id="in effect just before"),
        pytest.param(
            [left(enters_end=NOW + 1_005)], (deleted(NOW + 1_000),), DAY, NOW + 1_005, id="again, after a first one"
        ),
        pytest.param(
            [left(enters_end=NOW + DAY + 9, left=NOTICE._replace(at=NOTICE.at + 1))],
            (deleted(NOW + DAY),),
            DAY,
            None,
            id="not after a plain exit",
        ),
        pytest.param([inside()], (deleted(NOW + DAY),), DAY + 100, None, id="not while the exit is still missing"),
    ],
)
def test_a_deletion_is_requested_once_no_enter_can_take_effect_after_it(
    rows: list[MemberState], steps: tuple[ErasureStep, ...], after: int, expected: float | None
) -> None:
    """`after` is in seconds since the notice was recorded."""
    assert next_request(everywhere(*steps), rows, NOW + after) == expected


@pytest.mark.parametrize("plan", [None, ErasurePlan(("a",))])
def test_no_deletion_is_requested_without_a_plan(plan: ErasurePlan | None) -> None:
    assert next_request(everywhere(plan=plan), [left()], NOW + DAY) is None


def test_a_claimed_deletion_is_not_requested_by_others() -> None:
    known = claimed(everywhere(), NOW + 400.4)
    assert next_request(known, [left()], NOW + 100) == NOW + 400
    assert next_request(claimed(everywhere(), NOW + 2 * DAY), [left()], NOW) == NOW + 2 * DAY


def test_an_accepted_deletion_is_recorded() -> None:
    state = with_deletion(everywhere(), NOW * 1000 + 1, NOW * 1000 + 2)
    assert state.erasure[-1] == ErasureStep(StepKind.DELETION, "-", NOW * 1000 + 1, NOW * 1000 + 2)
    assert last_accepted([everywhere(), state, left(erasure=(deleted(NOW - 9),))]) == NOW * 1000 + 1


# A late acceptance


def test_a_row_left_before_a_late_notice_does_not_wait_for_its_deletion() -> None:
    row = left(removals_end=NOW + 14_650)
    assert enters_wait_until(everywhere(), [row], DATASET) == NOW + 14_640
    assert enters_wait_until(everywhere(), [row, replace(row, removals_end=NOW + 9)], DATASET) == NOW + 9


ASKED = NOW + DAY
BACK = inside(entered=NOW + 5 * HOUR, removals_end=NOW + 4 * HOUR)


@pytest.mark.parametrize(
    ("state", "again"),
    [
        pytest.param(BACK, True, id="in, and entered before"),
        pytest.param(replace(BACK, entered=ASKED + 120), True, id="in, and perhaps entered before, if clocks differ"),
        pytest.param(replace(BACK, entered=ASKED + 121), False, id="entered afterwards"),
        pytest.param(replace(BACK, removals_end=ASKED), False, id="an enter is due anyway"),
        pytest.param(left(entered=NOW + 5 * HOUR), False, id="out"),
    ],
)
def test_a_member_entered_before_the_deletion_is_entered_again_after_it(state: MemberState, again: bool) -> None:
    after = entered_again(state, ASKED, DATASET)
    assert after == (replace(state, removals_end=ASKED + 7_320) if again else state)
