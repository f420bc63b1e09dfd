"""How far a person's erasure is, told from the person's rows."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.ingest.record_rules import erasing_exit
from audience_sync.members.erasure.review import PersonRow
from audience_sync.members.erasure.status import (
    AMAZON_DELETES_WITHIN,
    CHECK_DELAY,
    Missing,
    Outcome,
    Progress,
    erasure_status,
    is_closed,
    is_due_later,
    is_waiting,
    notices_of,
)
from audience_sync.members.erasure_steps import MAX_STEPS, ErasurePlan, ErasureStep, StepKind, with_step
from audience_sync.members.member_state import LateJob, MemberState, Timing
from audience_sync.members.membership import EVERY_AUDIENCE, Identity, Version
from tests.support.builders import AUDIENCE, change, notice

NOW = 1_800_000_000  # epoch seconds, at which the notice was recorded
NOTICE = Version(NOW * 1000 - 5_000, True, "notice-m1")
TIMING = Timing(effective_after=1_020)
RECORDED = ErasureStep(StepKind.NOTICE, "notice-m1", NOTICE.at, NOW * 1000)
REMOVED = ErasureStep(StepKind.REMOVAL, "job-1", NOW * 1000 + 2_000, NOW * 1000 + 900_000)
DELETED = REMOVED._replace(kind=StepKind.DELETION, id="-")
AT_ONCE = REMOVED._replace(at=NOW * 1000)
EARLIER = REMOVED._replace(id="job-0", at=NOW * 1000 - 1)  # sent before the notice was recorded
CLOSED = ErasureStep(StepKind.CLOSED, "", NOW * 1000 + 950_000, NOW * 1000 + 950_000)
WAITING = CLOSED._replace(kind=StepKind.WAITING, ended=CLOSED.ended + 86_400_000)
HELD = Identity(NOTICE.at - 60_000, {"email": "a"})
DAY = 86_400_000  # milliseconds


def everywhere(*steps: ErasureStep, plan: ErasurePlan | None = None) -> MemberState:
    newest = notice("m1", NOTICE.at)
    return MemberState(newest, last_exit=NOTICE, erase_until=NOTICE.at, removal_sent=NOW, erasure=steps, plan=plan)


def row(*steps: ErasureStep, has_jobs: bool = True, timing: Timing = TIMING, **fields: Any) -> PersonRow:
    """A row that reflects the notice, and has erased all identities unless `fields` say otherwise."""
    exit_ = change(at=NOTICE.at, exits=True, message_id=NOTICE.message_id)
    state = MemberState(exit_, last_exit=NOTICE, erase_until=NOTICE.at, removal_sent=NOW + 2, erasure=steps)
    return PersonRow(replace(state, **fields), timing, has_jobs)


KEPT: dict[str, Any] = {"identities": (HELD,)}
BACK: dict[str, Any] = {"newest": change(at=NOTICE.at + 1), "identities": (Identity(NOTICE.at + 1, {"email": "a"}),)}
ENTERED = NOW - 60  # epoch seconds at which an enter was sent shortly before
LAST: dict[str, Any] = {"enters_effective_by": ENTERED + 1_020}
MANY = tuple(Identity(NOTICE.at - 1, {"email": str(number)}) for number in range(101))
LATE = (LateJob("job-9", NOW + 2, NOTICE.at, removes=True),)
NOT_SPREAD: dict[str, Any] = {"last_exit": None, "erase_until": 0, "newest": change(at=NOTICE.at - 60_000)}


@pytest.mark.parametrize(
    ("known", "later", "expected"),
    [
        pytest.param(row(REMOVED), 900, (Outcome.REMOVED, None, None), id="its job has ended"),
        pytest.param(row(), 1, (Outcome.NOTHING_HELD, None, None), id="nothing was held"),
        pytest.param(row(AT_ONCE), 900, (Outcome.REMOVED, None, None), id="in the moment of the notice"),
        pytest.param(row(EARLIER, REMOVED), 900, (Outcome.REMOVED, None, None), id="again, after the notice"),
        pytest.param(row(EARLIER), 1, (Outcome.NOTHING_HELD, None, None), id="removed before the notice"),
        pytest.param(row(**BACK), 1, (Outcome.ENTERED_AGAIN, None, None), id="entered since, nothing was held"),
        pytest.param(row(REMOVED, **BACK), 900, (Outcome.REMOVED, None, None), id="removed, and entered since"),
        pytest.param(row(**NOT_SPREAD), 1, (Outcome.OPEN, Missing.EXIT, None), id="the exit is not in the row"),
        pytest.param(row(**KEPT), 1, (Outcome.OPEN, Missing.JOB, NOW + 1_022), id="its job has not ended"),
        pytest.param(row(**KEPT), 1_000 + CHECK_DELAY, (Outcome.OPEN, Missing.JOB, NOW + 1_022), id="not checked"),
        pytest.param(row(**KEPT), 1_022 + CHECK_DELAY, (Outcome.OPEN, Missing.END, None), id="no end came"),
        pytest.param(
            row(REMOVED, **KEPT, **LAST),
            900,
            (Outcome.OPEN, Missing.LAST_REMOVAL, ENTERED + 1_020 + 36 * 3_600),
            id="the last removal is due",
        ),
        pytest.param(
            row(REMOVED, **KEPT, **LAST, removal_sent=NOW + 1_000),
            37 * 3_600,
            (Outcome.OPEN, Missing.REMOVAL, ENTERED + 1_020 + 36 * 3_600),
            id="the last removal was not sent",
        ),
        pytest.param(
            row(REMOVED, **KEPT, **LAST),
            ENTERED + 1_020 - NOW,
            (Outcome.OPEN, Missing.REMOVAL, ENTERED + 1_020),
            id="a repeated removal is due now",
        ),
        pytest.param(
            row(**KEPT, late_jobs=(LateJob("job-8", ENTERED, HELD.at),)),
            2_000,
            (Outcome.OPEN, Missing.LAST_REMOVAL, ENTERED + 72 * 3_600),
            id="the enter's job is late",
        ),
        pytest.param(
            row(**KEPT, late_jobs=LATE), 2_000, (Outcome.OPEN, Missing.LATE_JOBS, NOW + 2 + 36 * 3_600), id="late job"
        ),
        pytest.param(
            row(**KEPT, late_jobs=LATE), 2 + 36 * 3_600, (Outcome.OPEN, Missing.END, None), id="a job that never ended"
        ),
        pytest.param(
            row(REMOVED, identities=MANY[:100]), 2_000, (Outcome.OPEN, Missing.END, None), id="100 identities"
        ),
        pytest.param(row(**KEPT, removal_owed=True), 1, (Outcome.OPEN, Missing.REJECTED, None), id="rejected"),
        pytest.param(
            row(**KEPT, removal_owed=True, removal_retry_at=NOW + 300),
            1,
            (Outcome.OPEN, Missing.LAST_REMOVAL, NOW + 300),
            id="sent again after a failed job",
        ),
        pytest.param(
            row(REMOVED, identities=MANY), 2_000, (Outcome.OPEN, Missing.TOO_MANY, None), id="over 100 identities"
        ),
        pytest.param(
            row(DELETED, has_jobs=False),
            8_000,
            (Outcome.AMAZON_DELETES, None, DELETED.at // 1000 + 30 * 86_400),
            id="dataset: Amazon deletes the person, as an older version recorded it",
        ),
        pytest.param(
            row(DELETED, has_jobs=False, **BACK),
            30 * 86_400 + 1,
            (Outcome.AMAZON_DELETES, None, DELETED.at // 1000 + 30 * 86_400),
            id="dataset: until the last second, although the person is back",
        ),
        pytest.param(
            row(DELETED, has_jobs=False),
            30 * 86_400 + 2,
            (Outcome.AMAZON_TIME_OVER, None, DELETED.at // 1000 + 30 * 86_400),
            id="dataset: Amazon's time is over",
        ),
        pytest.param(
            row(REMOVED, DELETED, has_jobs=False),
            8_000,
            (Outcome.REMOVED, None, None),
            id="dataset: removed with consent",
        ),
        pytest.param(
            row(DELETED, has_jobs=False, **KEPT), 9_000, (Outcome.OPEN, Missing.END, None), id="dataset: no end came"
        ),
        pytest.param(
            row(has_jobs=False, **BACK, erase_until=NOTICE.at - 1),
            1,
            (Outcome.OPEN, Missing.EXIT, None),
            id="dataset entered since: the notice also removes from it",
        ),
    ],
)
def test_each_audience_has_an_outcome_or_a_missing_step(
    known: PersonRow, later: int, expected: tuple[Outcome, Missing | None, int | None]
) -> None:
    """`later` is in seconds after the notice was recorded; times are in epoch seconds."""
    status = erasure_status(everywhere(RECORDED), [known], {AUDIENCE}, NOW + later).audiences[known.state.member[0]]
    until = None if status.until is None else status.until // 1000
    assert (status.outcome, status.missing, until) == expected
    assert status.steps == tuple(step for step in known.state.erasure if step != EARLIER)
    assert status.late_jobs == (tuple(job.job_id for job in known.state.late_jobs) if status.missing else ())
    assert status.entered_again == (NOTICE.at + 1 if known.state.newest == BACK["newest"] else None)


ACCEPTED = DELETED._replace(id="-", at=NOW * 1000 + 7_000_000)  # in the row of all audiences


@pytest.mark.parametrize(
    ("known", "steps", "plan", "expected"),
    [
        pytest.param(row(), (), ErasurePlan((), (AUDIENCE,)), Outcome.NOTHING_HELD, id="nothing was held"),
        pytest.param(row(), (), ErasurePlan((AUDIENCE,)), Missing.END, id="held, and no removal has ended"),
        pytest.param(row(EARLIER), (), ErasurePlan((AUDIENCE,)), Missing.END, id="held again after an earlier removal"),
        pytest.param(row(**BACK), (), ErasurePlan((AUDIENCE,)), Missing.END, id="also if the person is back"),
        pytest.param(row(REMOVED), (), ErasurePlan((AUDIENCE,)), Outcome.REMOVED, id="removed"),
        pytest.param(row(has_jobs=False), (), ErasurePlan((AUDIENCE,)), Missing.NO_DELETION, id="dataset: never asked"),
        pytest.param(
            row(has_jobs=False, enter_sent=NOW - 9_000),
            *((), ErasurePlan((AUDIENCE,), (), 0, NOW)),
            Missing.DELETION,
            id="dataset: not accepted",
        ),
        pytest.param(
            row(has_jobs=False, enter_sent=NOW - 9_000),
            *((ACCEPTED,), ErasurePlan((AUDIENCE,))),
            Outcome.AMAZON_DELETES,
            id="dataset: accepted",
        ),
        pytest.param(
            row(REMOVED, has_jobs=False), (), ErasurePlan((AUDIENCE,)), Outcome.REMOVED, id="dataset: removed"
        ),
        pytest.param(None, (), ErasurePlan((AUDIENCE,)), Missing.ROW, id="held, and the row is gone"),
        pytest.param(None, (), ErasurePlan((), (AUDIENCE,)), Missing.ROW, id="known, and the row is gone"),
        pytest.param(
            row(**BACK, enters_effective_by=NOW), (), ErasurePlan((AUDIENCE,)), Outcome.ENTERED_AGAIN, id="back at once"
        ),
        pytest.param(
            row(**BACK, enters_effective_by=NOW, has_jobs=False),
            *((), ErasurePlan((AUDIENCE,))),
            Missing.NO_DELETION,
            id="dataset: back at once",
        ),
        pytest.param(row(enters_effective_by=NOW), (), ErasurePlan((AUDIENCE,)), Missing.END, id="and not back"),
    ],
)
def test_an_audience_that_held_the_person_needs_a_removal_or_a_deletion(
    known: PersonRow | None, steps: tuple[ErasureStep, ...], plan: ErasurePlan, expected: Outcome | Missing
) -> None:
    rows = [known] if known else []
    status = erasure_status(everywhere(RECORDED, *steps, plan=plan), rows, {AUDIENCE}, NOW + 8_000)
    assert (status.audiences[AUDIENCE].missing or status.audiences[AUDIENCE].outcome) == expected
    assert (status.progress is Progress.OPEN) is isinstance(expected, Missing)


def test_an_audience_that_no_longer_exists_needs_no_proof() -> None:
    assert (
        erasure_status(everywhere(RECORDED, plan=ErasurePlan((AUDIENCE,))), [], (), NOW + 8_000).progress
        is Progress.CLOSED
    )


@pytest.mark.parametrize(
    ("known", "progress"), [(row(**BACK), Progress.UNKNOWN), (row(REMOVED, **BACK), Progress.CLOSED)]
)
def test_the_erasure_of_an_unknown_id_proves_nothing_unless_a_row_was_restored(
    known: PersonRow, progress: Progress
) -> None:
    assert (
        erasure_status(everywhere(RECORDED, plan=ErasurePlan()), [known], {AUDIENCE}, NOW + 8_000).progress is progress
    )


def test_an_erasure_is_open_while_a_row_of_the_person_cannot_be_read() -> None:
    status = erasure_status(everywhere(RECORDED), [row(REMOVED)], {AUDIENCE, "2"}, NOW + 8_000, unread={"2"})
    assert (status.progress, status.audiences["2"].missing) == (Progress.OPEN, Missing.ROW)


def test_an_erasure_is_open_until_its_planned_deletion_is_accepted() -> None:
    known, plan = row(REMOVED, has_jobs=False, enter_sent=NOW - 9_000), ErasurePlan((AUDIENCE,), (), 0, NOW)
    status = erasure_status(everywhere(RECORDED, plan=plan), [known], {AUDIENCE}, NOW + 8_000)
    assert (status.progress, status.next_review) == (Progress.OPEN, NOW * 1000)
    done = everywhere(RECORDED, ACCEPTED, plan=plan._replace(next_review=0))
    assert erasure_status(done, [known], {AUDIENCE}, NOW + 8_000).progress is Progress.CLOSED


@pytest.mark.parametrize(
    ("plan", "later"),
    [
        pytest.param(None, False, id="an older version has recorded it"),
        pytest.param(ErasurePlan((AUDIENCE,), done_after=NOW + 1), True, id="a removal is due"),
        pytest.param(ErasurePlan((AUDIENCE,), done_after=NOW), False, id="and has ended"),
        pytest.param(ErasurePlan(), True, id="nobody knew the id"),
        pytest.param(ErasurePlan((), (AUDIENCE,)), False, id="known, and nothing was held"),
    ],
)
def test_an_erasure_is_not_due_before_its_removals_can_have_ended(plan: ErasurePlan | None, later: bool) -> None:
    assert is_due_later(everywhere(RECORDED, plan=plan), NOW) is later


def in_audience(audience_id: str, known: PersonRow) -> PersonRow:
    return known._replace(state=replace(known.state, newest=replace(known.state.newest, audience_id=audience_id)))


DONE, AMAZONS = row(REMOVED), in_audience("2", row(DELETED, has_jobs=False))


@pytest.mark.parametrize(
    ("rows", "later", "progress", "since", "until"),
    [
        pytest.param([], 1, Progress.CLOSED, RECORDED.ended, None, id="nobody knows the person"),
        pytest.param([DONE], 1_000, Progress.CLOSED, REMOVED.ended, None, id="all jobs have ended"),
        pytest.param([DONE, in_audience("2", row(**KEPT))], 1, Progress.OPEN, RECORDED.ended, None, id="one is open"),
        pytest.param(
            [DONE, AMAZONS],
            86_400,
            Progress.AMAZON_DELETES,
            DELETED.ended,
            DELETED.at + AMAZON_DELETES_WITHIN,
            id="only Amazon's 30 days are left",
        ),
        pytest.param(
            [DONE, AMAZONS],
            31 * 86_400,
            Progress.CLOSED,
            DELETED.at + AMAZON_DELETES_WITHIN,
            DELETED.at + AMAZON_DELETES_WITHIN,
            id="and they are over",
        ),
    ],
)
def test_an_erasure_is_closed_when_every_audience_is_done(
    rows: list[PersonRow], later: int, progress: Progress, since: int, until: int | None
) -> None:
    status = erasure_status(everywhere(RECORDED), rows, {AUDIENCE, "2"}, NOW + later)
    assert (status.progress, status.since, status.until) == (progress, since, until)
    assert status.notices == (RECORDED,)


@pytest.mark.parametrize(
    ("hours", "rows", "overdue"),
    [(96.000001, [row(**KEPT)], True), (96, [row(**KEPT)], False), (97, [AMAZONS], False)],
)
def test_only_an_open_erasure_is_overdue(hours: float, rows: list[PersonRow], overdue: bool) -> None:
    now = NOW + hours * 3_600
    assert erasure_status(everywhere(RECORDED), rows, {AUDIENCE, "2"}, now).is_overdue(now) is overdue


@pytest.mark.parametrize(
    ("steps", "days", "overdue"),
    [
        pytest.param((RECORDED, WAITING), 6, False, id="open since the second notice"),
        pytest.param((RECORDED, WAITING), 10, True, id="for long enough"),
        pytest.param((RECORDED,), 6, True, id="open since the first notice"),
        pytest.param((RECORDED, WAITING, RECORDED._replace(id="m2"), CLOSED), 6, False, id="in the next erasure"),
    ],
)
def test_a_notice_during_amazons_30_days_reopens_the_erasure(
    steps: tuple[ErasureStep, ...], days: int, overdue: bool
) -> None:
    """It must not be overdue at once, because the first notice is long ago."""
    second = RECORDED._replace(id="second", ended=RECORDED.ended + 5 * DAY)
    now = NOW + days * 86_400
    status = erasure_status(everywhere(*steps, second), [row(**NOT_SPREAD)], {AUDIENCE}, now)
    assert (status.progress, status.is_overdue(now)) == (Progress.OPEN, overdue)


DENIAL, LATER = (
    RECORDED._replace(kind=StepKind.DENIAL, id="denial"),
    RECORDED._replace(id="later", ended=CLOSED.ended + DAY),
)


@pytest.mark.parametrize(
    ("steps", "notices", "closed"),
    [
        pytest.param((RECORDED, DENIAL), (RECORDED, DENIAL), False, id="two of one erasure"),
        pytest.param((RECORDED, DENIAL, CLOSED), (RECORDED, DENIAL), True, id="closed"),
        pytest.param((RECORDED, CLOSED, LATER), (LATER,), False, id="a notice after that begins another"),
        pytest.param((RECORDED, CLOSED, LATER, CLOSED), (LATER,), True, id="which is closed also"),
        pytest.param((RECORDED, WAITING, CLOSED), (RECORDED,), True, id="Amazon's time was waited for"),
        pytest.param((RECORDED, WAITING, LATER), (RECORDED, LATER), False, id="a notice since"),
        pytest.param((), (RECORDED,), False, id="recorded without steps, by an older version"),
        pytest.param((CLOSED,), (RECORDED,), True, id="and closed"),
    ],
)
def test_a_notice_after_a_closed_erasure_begins_another(
    steps: tuple[ErasureStep, ...], notices: tuple[ErasureStep, ...], closed: bool
) -> None:
    found = everywhere(*steps)
    assert (notices_of(found), is_closed(found), found.member[0]) == (notices, closed, EVERY_AUDIENCE)


def test_a_denial_recorded_without_steps_is_recognized() -> None:
    denial = erasing_exit("m1", NOTICE.at, NOTICE.message_id, denies_consent=True)
    assert notices_of(replace(everywhere(), newest=denial)) == (RECORDED._replace(kind=StepKind.DENIAL),)


def test_the_removal_of_the_first_notice_also_proves_the_second() -> None:
    """The removal of the first one proves both, if nothing was held any more when the second one came."""
    second = LATER._replace(ended=REMOVED.ended + 1)
    status = erasure_status(everywhere(RECORDED, second), [DONE], {AUDIENCE}, NOW + 2_000)
    assert (status.audiences[DONE.state.member[0]].steps, status.since) == ((REMOVED,), second.ended)


@pytest.mark.parametrize("earlier", [(), (LATER._replace(ended=1), CLOSED._replace(ended=2))])
def test_the_first_notice_is_kept_however_often_consent_is_denied(earlier: tuple[ErasureStep, ...]) -> None:
    """Its date decides when an open erasure is overdue. Closed erasures are forgotten first."""
    denials = [DENIAL._replace(id=str(number), ended=NOW * 1000 + number * DAY) for number in range(30)]
    steps = earlier
    for each in (RECORDED, *denials):
        steps = with_step(steps, each)
    assert (steps[0], steps[-1], len(steps)) == (RECORDED, denials[-1], MAX_STEPS)
    assert (
        erasure_status(everywhere(*steps), [row(**NOT_SPREAD)], {AUDIENCE}, NOW + 30 * 86_400).since == RECORDED.ended
    )


def test_the_last_accepted_deletion_is_kept_however_often_consent_is_denied() -> None:
    """Without it, Amazon would be asked again."""
    for first in ((), (LATER._replace(ended=1), CLOSED._replace(ended=2))):
        steps: tuple[ErasureStep, ...] = (*first, RECORDED, ACCEPTED)
        for number in range(40):
            steps = with_step(steps, DENIAL._replace(id=str(number)))
        assert (ACCEPTED in steps, len(steps)) == (True, MAX_STEPS)


@pytest.mark.parametrize(
    ("steps", "waiting"),
    [
        ((), False),
        ((RECORDED,), False),
        ((RECORDED, WAITING), True),
        ((RECORDED, WAITING._replace(ended=CLOSED.at)), False),
    ],
)
def test_an_erasure_waits_for_amazon_until_its_30_days_are_over(steps: tuple[ErasureStep, ...], waiting: bool) -> None:
    assert is_waiting(everywhere(*steps), CLOSED.at / 1000) is waiting
