"""What the end of a job means for each of its members."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.amazon_ads.job import JobReport
from audience_sync.clock import CLOCKS_APART
from audience_sync.members.erasure_steps import ErasureStep, StepKind
from audience_sync.members.job_messages import JobMember, JobMessage
from audience_sync.members.member_state import Action, LateJob, MemberState, Timing
from audience_sync.members.membership import Identity, Version
from audience_sync.operations.job_end import after_end, is_concerned, is_refused, late_job, rejected_change
from tests.support.builders import change
from tests.support.member_changes import names

EXITED = 1_800_000_000  # epoch seconds
NOW = EXITED + 5_000
TIMING = Timing(effective_after=1_020)
NAMED_BEFORE, NAMED_SINCE = Identity(1, {"email": "old"}), Identity(3, {"email": "new"})
LEFT = Version(2, True, "exit")


def state(*identities: Identity, exits: bool = False, left: Version | None = LEFT, **fields: Any) -> MemberState:
    """A member who left at 2, and has entered again at 4 unless `exits`."""
    newest = change(at=2 if exits else 4, exits=exits, message_id="exit" if exits else "enter", audience_id="1")
    return MemberState(newest, identities, left, **{"removal_sent": EXITED, "enter_sent": EXITED + 2_000} | fields)


def member(at: int, *, removes: bool, erases: bool = False) -> JobMember:
    version = Version(at, removes, "exit" if removes else "enter")
    return JobMember("m1", version.text, removes=removes, erases=erases)


ENTER, REMOVAL = member(4, removes=False), member(2, removes=True)
OLD_ENTER, ERASING = member(1, removes=False), member(2, removes=True, erases=True)
CLAIMED = ERASING._replace(claim=7)
WELL, FAILED = JobReport("SUCCEEDED"), JobReport("FAILED")
OTHER, REJECTING = ENTER._replace(member="m2"), JobReport("SUCCEEDED", rejected={"m2": "no such person"})
REJECTED = JobReport("SUCCEEDED", rejected={"m1": "no"})


def message(*members: JobMember, is_late: bool = False, sent_at: int = EXITED) -> JobMessage:
    """Return the message of an upload; `sent_at` in epoch seconds."""
    return JobMessage("job-1", "1", sent_at * 1000 + 999, members, is_late=is_late)


def after(
    before: MemberState,
    each: JobMember,
    report: JobReport | None = WELL,
    *,
    is_late: bool = False,
    sent_at: int = EXITED,
) -> MemberState:
    of = message(each, is_late=is_late, sent_at=sent_at)
    return after_end(before, of, report, each, now=NOW, timing=TIMING)


def test_the_mark_of_a_late_job_has_its_time_version_and_kind() -> None:
    assert late_job(message(ENTER), ENTER) == LateJob("job-1", EXITED, at=4, removes=False)
    assert late_job(message(REMOVAL), REMOVAL) == LateJob("job-1", EXITED, at=2, removes=True)


OUT, BACK = state(NAMED_BEFORE, exits=True), state(NAMED_SINCE, NAMED_BEFORE)
LATER = replace(BACK, exit_recorded=EXITED)
MARKED = (LateJob("job-1", EXITED - 60, at=1), LateJob("job-2", EXITED, at=4))


@pytest.mark.parametrize(
    ("known", "job", "sent_at", "due"),
    [
        pytest.param(BACK, REMOVAL, EXITED, Action.ENTER, id="a removal, of a member who is back: the enter"),
        pytest.param(OUT, REMOVAL, EXITED, None, id="a removal, of a member who is out"),
        pytest.param(OUT, OLD_ENTER, EXITED - 60, Action.REMOVAL, id="an enter, of a member who is out: the removal"),
        pytest.param(state(exits=True), OLD_ENTER, EXITED - 60, None, id="an enter, of a member who is forgotten"),
        pytest.param(BACK, OLD_ENTER, EXITED - 60, Action.REMOVAL, id="an enter of the life before: the removal"),
        pytest.param(LATER, ENTER, EXITED + 60, Action.REMOVAL, id="an enter from before the exit: the removal"),
        pytest.param(BACK, ENTER, EXITED + 1, None, id="an enter after the removal"),
        pytest.param(state(NAMED_SINCE), ENTER, EXITED, None, id="an enter, with nothing to remove any more"),
    ],
)
def test_after_a_late_job_any_upload_it_may_have_undone_is_due_at_once(
    known: MemberState, job: JobMember, sent_at: int, due: Action | None
) -> None:
    for report in (WELL, None) if due else (WELL,):
        ended = after(known, job, report, is_late=True, sent_at=sent_at).due(TIMING)
        assert ended == (None if due is None else (NOW, due))


def test_the_end_of_a_late_job_drops_only_its_own_mark() -> None:
    marked = state(NAMED_SINCE, late_jobs=MARKED)
    for report in (WELL, FAILED, None):
        assert after(marked, ENTER, report, is_late=True).late_jobs == MARKED[1:]


def test_a_rejected_late_job_makes_nothing_due() -> None:
    assert after(OUT, OLD_ENTER, FAILED, is_late=True, sent_at=EXITED - 60) == OUT


def test_a_job_that_ends_in_time_changes_nothing() -> None:
    for each in (ENTER, OLD_ENTER, REMOVAL):
        assert after(BACK, each) == BACK


@pytest.mark.parametrize(
    ("job", "known", "expected"),
    [
        pytest.param(ENTER, state(NAMED_SINCE), ("CREATE", ["new"]), id="the newest enter"),
        pytest.param(member(3, removes=False), state(NAMED_SINCE), None, id="an older enter"),
        pytest.param(ENTER, OUT, None, id="an enter, of a member who is out"),
        pytest.param(REMOVAL, OUT, ("DELETE", ["old"]), id="the removal"),
        pytest.param(REMOVAL, BACK, ("DELETE", ["old"]), id="the removal, of a member who is back"),
        pytest.param(REMOVAL, state(exits=True), None, id="a removal, with nothing to remove any more"),
        pytest.param(member(1, removes=True), OUT, None, id="a removal before the newest one"),
        pytest.param(member(3, removes=True), OUT, ("DELETE", ["old"]), id="a removal of more"),
        pytest.param(REMOVAL, state(NAMED_SINCE, left=None), None, id="a removal, of a member who never left"),
    ],
)
def test_a_rejected_record_is_parked_unless_a_newer_change_superseded_it(
    job: JobMember, known: MemberState, expected: tuple[str, list[str]] | None
) -> None:
    rejected = rejected_change(job, known)
    assert expected == (rejected and ("DELETE" if rejected.exits else "CREATE", names(rejected)))


AGAIN: dict[str, Any] = {"removal_owed": True, "removal_retry_at": NOW + 300, "failed_jobs": 1}


@pytest.mark.parametrize("report", [FAILED, None, REJECTED], ids=["failed", "unknown", "rejected"])
@pytest.mark.parametrize(
    ("job", "sent_at", "owed"),
    [
        pytest.param(REMOVAL, EXITED, AGAIN, id="the last removal"),
        pytest.param(REMOVAL, EXITED - CLOCKS_APART, AGAIN, id="by a clock that is behind"),
        pytest.param(REMOVAL, EXITED - CLOCKS_APART - 1, {}, id="a removal that was sent again since"),
        pytest.param(member(1, removes=True), EXITED, {}, id="a removal of less"),
        pytest.param(ENTER, EXITED, {"enter_owed": True, "enter_retry_at": NOW + 300, "failed_jobs": 1}, id="an enter"),
        pytest.param(OLD_ENTER, EXITED, {}, id="an enter that a newer one has replaced"),
    ],
)
def test_what_a_job_has_not_done_is_owed_unless_another_upload_has_taken_its_place(
    job: JobMember, sent_at: int, owed: dict[str, Any], report: JobReport | None
) -> None:
    assert after(BACK, job, report, sent_at=sent_at) == replace(BACK, **owed)


@pytest.mark.parametrize(
    ("known", "report", "expected"),
    [
        pytest.param(replace(BACK, failed_jobs=1), REJECTED, True, id="rejected by name, not for the first time"),
        pytest.param(BACK, REJECTED, False, id="for the first time"),
        pytest.param(replace(BACK, failed_jobs=1, enter_retry_at=NOW), REJECTED, False, id="counted already"),
        pytest.param(replace(BACK, failed_jobs=9), FAILED, False, id="the whole job has failed"),
        pytest.param(replace(BACK, failed_jobs=9), None, False, id="nobody knows"),
    ],
)
def test_a_record_that_jobs_reject_twice_is_refused(
    known: MemberState, report: JobReport | None, expected: bool
) -> None:
    assert is_refused(report, ENTER, known) is expected


def noticed(*identities: Identity, erase_until: int = 2, **fields: Any) -> MemberState:
    return state(*(identities or (NAMED_BEFORE,)), exits=True, erase_until=erase_until, **fields)


NOTICED = noticed()
OF_A_PART = noticed(NAMED_SINCE, NAMED_BEFORE, erase_until=1, left=LEFT._replace(at=3))


@pytest.mark.parametrize(
    ("known", "job", "report", "sent_at", "erases"),
    [
        pytest.param(NOTICED, ERASING, WELL, EXITED, True, id="the last removal that is due"),
        pytest.param(NOTICED, ERASING, None, EXITED, False, id="how it ended is not known"),
        pytest.param(NOTICED, REMOVAL, WELL, EXITED, False, id="a removal of which this job has a part"),
        pytest.param(NOTICED, ERASING, WELL, EXITED - CLOCKS_APART, True, id="by a clock that is behind"),
        pytest.param(
            NOTICED, ERASING, WELL, EXITED - CLOCKS_APART - 1, False, id="a removal that was sent again since"
        ),
        pytest.param(noticed(enters_effective_by=1), ERASING, WELL, EXITED, True, id="after an enter of long ago"),
        pytest.param(noticed(enters_effective_by=EXITED), ERASING, WELL, EXITED, False, id="an enter's job may run"),
        pytest.param(noticed(late_jobs=MARKED), ERASING, WELL, EXITED, False, id="and it is known to be running"),
        pytest.param(OF_A_PART, ERASING, WELL, EXITED, True, id="the notice concerns a part"),
        pytest.param(noticed(removal_grew=7), CLAIMED, WELL, EXITED, True, id="it names all that is to be removed"),
        pytest.param(noticed(removal_grew=8), CLAIMED, WELL, EXITED, False, id="what only a later removal names"),
    ],
)
def test_the_successful_last_removal_erases_identities_under_a_notice(
    known: MemberState, job: JobMember, report: JobReport | None, sent_at: int, erases: bool
) -> None:
    ended = after(known, job, report, sent_at=sent_at)
    unerased = replace(known, **(AGAIN if report is None else {}))
    assert ended == (replace(known, identities=known.identities[:-1]) if erases else unerased)


def test_a_removal_erases_only_identities_named_before_it() -> None:
    later = noticed(NAMED_SINCE, NAMED_BEFORE, erase_until=3, left=LEFT._replace(at=3))
    assert after(later, ERASING).identities == (NAMED_SINCE,)


DATASET = ads_data_manager()
PART = REMOVAL._replace(proves=True)
LAST_PART = ERASING._replace(proves=True)
REMOVED = ErasureStep(StepKind.REMOVAL, "job-1", EXITED * 1000 + 999, NOW * 1000)


@pytest.mark.parametrize(
    ("each", "report", "expected"),
    [
        pytest.param(PART, WELL, (REMOVED,), id="a removal"),
        pytest.param(REMOVAL, WELL, (), id="a plain removal"),
        pytest.param(PART, None, (), id="unknown"),
        pytest.param(PART, FAILED, (), id="rejected"),
    ],
)
def test_the_end_of_an_erasing_removal_is_recorded_once(
    each: JobMember, report: JobReport | None, expected: tuple[ErasureStep, ...]
) -> None:
    ended = after(NOTICED, each, report)
    assert ended.erasure == expected
    assert after(ended, each, report).erasure == expected


def test_a_datasets_row_is_erased_without_waiting_for_the_persons_deletion() -> None:
    of = replace(message(LAST_PART), destination=DATASET)
    ended = after_end(NOTICED, of, WELL, LAST_PART, now=NOW, timing=TIMING)
    assert ended.identities == ()


@pytest.mark.parametrize(
    ("each", "report", "is_late", "expected"),
    [
        pytest.param(ENTER, WELL, False, False, id="ended well, in time"),
        pytest.param(ENTER, None, False, True, id="unknown, in time"),
        pytest.param(ENTER, WELL, True, True, id="late"),
        pytest.param(ERASING, WELL, False, True, id="it erases"),
        pytest.param(REMOVAL._replace(proves=True), WELL, False, True, id="a part of an erasure"),
        pytest.param(ENTER, FAILED, False, True, id="failed"),
        pytest.param(ENTER, REJECTED, False, True, id="rejected"),
        pytest.param(ENTER, REJECTING, False, False, id="another member rejected"),
    ],
)
def test_a_job_that_succeeds_in_time_concerns_only_members_it_erases(
    each: JobMember, report: JobReport | None, is_late: bool, expected: bool
) -> None:
    assert is_concerned(message(each, is_late=is_late), report, each) is expected


def test_a_late_removal_of_unknown_outcome_may_have_undone_the_enter_since() -> None:
    back = replace(BACK, erase_until=2, enter_sent=NOW - 60, late_jobs=(LateJob("job-1", EXITED, at=2, removes=True),))
    ended = after(back, ERASING, None, is_late=True)
    assert (ended.late_jobs, ended.removals_effective_by) == ((), NOW)
