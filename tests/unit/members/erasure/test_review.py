"""Whether and when Amazon is asked to delete a person from all datasets, by the person's rows."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.erasure.planning import planned
from audience_sync.members.erasure.review import (
    CLAIM,
    PersonRow,
    Review,
    after_deletion,
    enters_wait_until,
    is_past_due,
    last_accepted,
    next_review,
    review,
    with_deletion,
    with_next_review,
)
from audience_sync.members.erasure_steps import ErasurePlan, ErasureStep, StepKind
from audience_sync.members.member_state import MemberState, Timing
from audience_sync.members.membership import Identity, Version
from tests.support.builders import change, notice

NOW = 1_800_000_000  # epoch seconds, at which the notice was recorded
HOUR, DAY = 3_600, 86_400
NOTICE = Version(NOW * 1000 - 5_000, True, "notice-m1")
DATASET, WITH_JOBS = Timing.of_dataset(7_320, 129_600), Timing(1_020)
RECORDED = ErasureStep(StepKind.NOTICE, "notice-m1", NOTICE.at, NOW * 1000)
WAITING = ErasureStep(StepKind.WAITING, "", NOW * 1000, (NOW + 30 * DAY) * 1000)
CLOSED = ErasureStep(StepKind.CLOSED, "", NOW * 1000 - 9, NOW * 1000 - 9)
PLAN = ErasurePlan(("a",), (), 0, NOW + 60)
HELD = (Identity(NOTICE.at - 1, {"email": "a"}),)


def deleted(at: int) -> ErasureStep:
    """Return a deletion asked for at an epoch second and accepted."""
    return ErasureStep(StepKind.DELETION, "-", at * 1000, at * 1000 + 500)


def everywhere(*steps: ErasureStep, plan: ErasurePlan | None = PLAN) -> MemberState:
    newest = notice("m1", NOTICE.at)
    return MemberState(
        newest, last_exit=NOTICE, erase_until=NOTICE.at, removal_sent=NOW, erasure=(RECORDED, *steps), plan=plan
    )


def left(audience_id: str = "a", **fields: Any) -> MemberState:
    """Return a row that has the notice's exit."""
    exit_ = change(at=NOTICE.at, exits=True, message_id=NOTICE.message_id, audience_id=audience_id)
    entered = {"enter_sent": NOW - DAY, "enters_effective_by": NOW - DAY + 7_320}
    state = MemberState(exit_, last_exit=NOTICE, erase_until=NOTICE.at, removal_sent=NOW + 2, exit_recorded=NOW + 2)
    return replace(state, **entered | fields)


def inside(audience_id: str = "a", **fields: Any) -> MemberState:
    """Return a row without the exit."""
    entered = change(at=NOTICE.at - 60_000, audience_id=audience_id)
    return replace(MemberState(entered, HELD, enter_sent=NOW - DAY), **fields)


def back(audience_id: str = "a") -> MemberState:
    """Return a row of a person back since a plain exit, when the notice, which is older, has not reached the row."""
    entered, named = change(at=NOTICE.at + 9, audience_id=audience_id), (Identity(NOTICE.at + 9, {"email": "b"}),)
    return MemberState(entered, named, last_exit=NOTICE._replace(at=NOTICE.at + 1), enter_sent=NOW - DAY)


def plan_of(*rows: PersonRow, known: MemberState | None = None, **options: Any) -> ErasurePlan | None:
    known = known or everywhere(plan=None)
    return planned(known, known, rows, NOW, **{"is_new": True, "may_delete": True} | options)


def test_a_plan_lists_audiences_that_need_proof_and_when_to_delete() -> None:
    rows = [
        PersonRow(inside("dataset", enter_sent=NOW - 600), DATASET, has_jobs=False),
        PersonRow(inside("audience"), WITH_JOBS, has_jobs=True),
        PersonRow(inside("never", enter_sent=0), DATASET, has_jobs=False),
        PersonRow(left("out"), DATASET, has_jobs=False),
    ]
    last_removal = NOW - 600 + 7_320 + 129_600
    assert plan_of(*rows) == ErasurePlan(
        ("audience", "dataset"), ("never", "out"), last_removal + 7_320, NOW - 600 + 7_320
    )


def test_a_denial_waits_for_no_removal_from_a_dataset() -> None:
    newest = erasing_exit("m1", NOTICE.at, NOTICE.message_id, denies_consent=True)
    denied = replace(everywhere(plan=None), newest=newest)
    rows = [
        PersonRow(inside("dataset", enter_sent=NOW - 600), DATASET, has_jobs=False),
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
            left(identities=(Identity(NOTICE.at + 1, {}),), last_exit=None, erase_until=0),
            True,
            id="out, and named since",
        ),
    ],
)
def test_a_plan_waits_for_a_removal_only_if_it_has_identities_to_remove(row: MemberState, waits: bool) -> None:
    plan = plan_of(PersonRow(row, WITH_JOBS, has_jobs=True))
    assert plan
    assert (plan.done_after > NOW) is waits


IN_A, SOON = PersonRow(inside(), DATASET, has_jobs=False), NOW + 240
ENTERED = PersonRow(inside(enter_sent=NOW - 600), DATASET, has_jobs=False)


@pytest.mark.parametrize(
    ("rows", "options", "at"),
    [
        pytest.param([IN_A], {}, SOON, id="entered long ago: once the exits are recorded"),
        pytest.param([ENTERED], {}, NOW - 600 + 7_320, id="once the last enter has taken effect"),
        pytest.param([PersonRow(inside(enter_sent=0), DATASET, has_jobs=False)], {}, SOON, id="perhaps on the way"),
        pytest.param([PersonRow(inside(), WITH_JOBS, has_jobs=True)], {}, 0, id="known to the audience API alone"),
        pytest.param([], {}, 0, id="nobody knows the id"),
        pytest.param([IN_A], {"may_delete": False}, 0, id="a DSP account"),
        pytest.param([ENTERED], {"known": everywhere()}, NOW + 60, id="a later notice: as it was"),
        pytest.param([IN_A], {"known": with_next_review(everywhere(), NOW + DAY)}, SOON, id="or sooner"),
        pytest.param([], {"known": everywhere()}, NOW + 60, id="never cancelled"),
        pytest.param([IN_A], {"known": everywhere(WAITING)}, SOON, id="not as kept after the end"),
    ],
)
def test_a_notice_sets_a_review_only_if_a_dataset_has_the_person(
    rows: list[PersonRow], options: dict[str, Any], at: int
) -> None:
    plan = plan_of(*rows, **options)
    assert plan
    assert plan.next_review == at


@pytest.mark.parametrize(
    ("row", "held"),
    [
        pytest.param(PersonRow(inside(), DATASET, has_jobs=False), True, id="dataset: in"),
        pytest.param(
            PersonRow(inside(enter_sent=0, enters_effective_by=9), DATASET, has_jobs=False),
            True,
            id="an enter is dated",
        ),
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
        pytest.param(PersonRow(inside(), WITH_JOBS, has_jobs=True), True, id="audience API: in"),
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
    assert plan_of(PersonRow(back("b"), DATASET, has_jobs=False), known=everywhere(), is_new=False) != PLAN
    older = replace(everywhere(), plan=None)
    assert plan_of(PersonRow(inside("b"), DATASET, has_jobs=False), known=older, is_new=False) is None


@pytest.mark.parametrize(
    ("row", "next_at", "options", "at"),
    [
        pytest.param(IN_A, 0, {}, SOON, id="a dataset's row, restored after the last review"),
        pytest.param(IN_A, NOW + 60, {}, NOW + 60, id="a review is still due"),
        pytest.param(IN_A, 0, {"may_delete": False}, 0, id="a DSP account"),
        pytest.param(PersonRow(inside(), WITH_JOBS, has_jobs=True), 0, {}, 0, id="of the audience API"),
    ],
)
def test_a_known_row_without_the_exit_gets_a_review_if_none_is_left(
    row: PersonRow, next_at: int, options: dict[str, Any], at: int
) -> None:
    known = with_next_review(everywhere(), next_at)
    plan = plan_of(row, known=known, is_new=False, **options)
    assert plan
    assert (plan.next_review, plan is known.plan) == (at, at == next_at)


LATER_LIFE = NOTICE._replace(at=NOTICE.at + 1)
ASKS = Review(0, asks=True)


@pytest.mark.parametrize(
    ("rows", "steps", "after", "expected"),
    [
        pytest.param([inside()], (), 300, Review(NOW + 300 + 900), id="the exit is missing"),
        pytest.param([left(), inside("b")], (), 300, Review(NOW + 300 + 900), id="in one of two datasets"),
        pytest.param([inside()], (), DAY - 100, Review(NOW + DAY), id="the last review that waits for it"),
        pytest.param([back()], (), 300, Review(NOW + 300 + 900), id="although a later one is recorded"),
        pytest.param([back()], (), DAY, ASKS, id="until a day is over"),
        pytest.param([left()], (), 100, Review(NOW + 122), id="recorded just now: older uploads are dated by then"),
        pytest.param([left()], (), 122, ASKS, id="which they are"),
        pytest.param([left(exit_recorded=NOW + DAY - 1)], (), DAY, ASKS, id="not for longer than a day"),
        pytest.param([left()], (), 300, ASKS, id="an enter from before has taken effect"),
        pytest.param([left(enters_effective_by=0)], (), 300, Review(0), id="none was sent: entered is of who is back"),
        pytest.param([inside(enter_sent=0)], (), DAY, Review(NOW + DAY + 6 * HOUR), id="none, and the exit is missing"),
        pytest.param(
            [left(enters_effective_by=NOW + 900)], (), 300, Review(NOW + 900), id="not before it has taken effect"
        ),
        pytest.param([left(enters_effective_by=NOW + 300)], (), 300, ASKS, id="it just has"),
        pytest.param(
            [left(enters_effective_by=NOW + 2 * DAY)], (), 300, Review(NOW + DAY), id="after a day at the latest"
        ),
        pytest.param([left(enters_effective_by=NOW + 2 * DAY)], (), DAY, ASKS, id="which is over"),
        pytest.param([inside()], (), DAY, ASKS, id="a day later without the exit"),
        pytest.param([inside(enter_sent=NOW + DAY - 9)], (), DAY, ASKS, id="although the enter was sent just now"),
        pytest.param([None], (), 300, ASKS, id="a lost row: it may have been sent until the notice"),
        pytest.param([None], (deleted(NOW),), 300, Review(0), id="and was deleted since"),
        pytest.param([left()], (deleted(NOW - DAY + 7_320),), 300, Review(0), id="deleted since, before the notice"),
        pytest.param([left()], (deleted(NOW - DAY + 7_319),), 300, ASKS, id="deleted before it took effect"),
        pytest.param([left(erasure=(deleted(NOW - 9),))], (), 300, Review(0), id="as an older version recorded it"),
        pytest.param([left()], (deleted(NOW + 240),), 300, Review(0), id="accepted"),
        pytest.param(
            [inside()], (deleted(NOW + DAY),), DAY + 9, Review(NOW + DAY + 9 + 6 * HOUR), id="without the exit"
        ),
        pytest.param(
            [inside(enter_sent=NOW + DAY - 9)],
            (deleted(NOW + DAY),),
            DAY + 9,
            Review(NOW + DAY - 9 + 7_320),
            id="and sent",
        ),
        pytest.param(
            [left(enters_effective_by=NOW + 2 * DAY)],
            (deleted(NOW + DAY),),
            DAY + 9,
            Review(NOW + 2 * DAY),
            id="late enters",
        ),
        pytest.param(
            [left(enters_effective_by=NOW + DAY + 8)], (deleted(NOW + DAY),), DAY + 9, ASKS, id="which took effect"
        ),
        pytest.param(
            [left(enters_effective_by=NOW + DAY + 8, last_exit=LATER_LIFE)],
            (deleted(NOW + DAY),),
            DAY + 9,
            Review(0),
            id="a later life",
        ),
        pytest.param(
            [left(enters_effective_by=NOW + DAY, last_exit=LATER_LIFE)],
            (deleted(NOW),),
            DAY,
            Review(0),
            id="asked",
        ),
        pytest.param([left(last_exit=LATER_LIFE)], (), 300, ASKS, id="ended before Amazon was asked"),
        pytest.param(
            [inside()],
            (RECORDED._replace(id="older", at=NOTICE.at - 9, ended=(NOW + DAY) * 1000),),
            DAY,
            ASKS,
            id="an older notice was recorded later",
        ),
        pytest.param([], (), 300, Review(0), id="no dataset is left"),
    ],
)
def test_a_review_asks_amazon_once_no_enter_from_before_the_notice_can_take_effect_later(
    rows: list[MemberState | None], steps: tuple[ErasureStep, ...], after: int, expected: Review
) -> None:
    """`after` is in seconds since the notice was recorded."""
    expected = Review(NOW + after + CLAIM, asks=True) if expected == ASKS else expected
    assert review(everywhere(*steps), rows, NOW + after, DATASET) == expected


def test_a_local_stack_shortens_the_times_between_reviews() -> None:
    local = Timing.of_dataset(12.0, 60.0, late=1.0)
    assert [
        review(everywhere(), [inside()], NOW + 4, local),
        review(everywhere(), [inside()], NOW + 719, local),
        review(everywhere(), [left(exit_recorded=NOW + 4)], NOW + 4, local),
        review(everywhere(deleted(NOW + 720)), [inside()], NOW + 720, local),
    ] == [Review(each) for each in (round(NOW + 11.5), NOW + 720, NOW + 5, NOW + 900)]


@pytest.mark.parametrize(
    ("known", "at"),
    [
        pytest.param(everywhere(), NOW + 60, id="open"),
        pytest.param(everywhere(plan=None), 0, id="recorded by an older version"),
        pytest.param(everywhere(plan=ErasurePlan(("a",))), 0, id="nothing to ask"),
        pytest.param(everywhere(WAITING), 0, id="a time that an older version kept while Amazon deletes"),
        pytest.param(everywhere(CLOSED), 0, id="and after the end"),
    ],
)
def test_only_an_open_erasure_has_a_next_review(known: MemberState, at: int) -> None:
    assert next_review(known) == at
    assert [is_past_due(known, NOW + after) for after in (59, 60)] == [False, at > 0]


def test_an_accepted_deletion_is_recorded_with_the_next_review() -> None:
    claim = with_next_review(everywhere(), NOW + 600)
    accepted = ErasureStep(StepKind.DELETION, "-", NOW * 1000 + 300_000, NOW * 1000 + 301_000)

    def after(state: MemberState, row: MemberState | None) -> MemberState:
        return with_deletion(state, claim, [row], accepted.at, accepted.ended, DATASET)

    assert [after(claim, row).erasure[-1] for row in (left(), None)] == [accepted] * 2
    assert [next_review(after(claim, row)) for row in (left(), left(enters_effective_by=NOW + 900))] == [0, NOW + 900]
    noticed = replace(claim, newest=replace(claim.newest, at=NOTICE.at + 9))
    moved = with_next_review(claim, NOW + 500)
    assert [next_review(after(state, left())) for state in (noticed, moved)] == [NOW + 600, NOW + 500], "the notice's"
    assert last_accepted([claim, after(claim, None), left(erasure=(deleted(NOW - 9),))]) == accepted.at


def test_a_row_left_before_a_late_notice_does_not_wait_for_its_deletion() -> None:
    row = left(removals_effective_by=NOW + 14_650)
    assert enters_wait_until(everywhere(), [row], DATASET) == NOW + 14_640
    assert enters_wait_until(everywhere(), [row, replace(row, removals_effective_by=NOW + 9)], DATASET) == NOW + 9


ASKED = NOW + DAY
BACK = inside(enter_sent=NOW + 5 * HOUR, removals_effective_by=NOW + 4 * HOUR)


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(BACK, id="in, and entered before"),
        pytest.param(replace(BACK, enter_sent=ASKED + 121), id="entered while it may take effect"),
        pytest.param(replace(BACK, removals_effective_by=ASKED), id="an enter is due anyway, but too early"),
        pytest.param(left(enter_sent=NOW + 5 * HOUR), id="out: the next enter waits"),
    ],
)
def test_an_accepted_deletion_counts_as_a_removal(state: MemberState) -> None:
    assert after_deletion(state, ASKED, DATASET) == replace(state, removals_effective_by=ASKED + 7_320)
    later = replace(state, removals_effective_by=ASKED + 7_321)
    assert after_deletion(later, ASKED, DATASET) == later
