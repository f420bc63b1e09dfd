"""What the end of a job means for each of its members."""

from typing import Any

import pytest

from audience_sync.amazon_ads.job import JobReport
from audience_sync.member_state import Identity, MemberState
from audience_sync.membership import MembershipChange, Version
from audience_sync.messages import JobMember, JobMessage
from audience_sync.operations.job_end import contradicting, is_concerned, rejected_change, rejections

EXITED = 1_800_000_000  # epoch seconds
NAMED_BEFORE, NAMED_SINCE = Identity(1, {"email": "old"}), Identity(3, {"email": "new"})
LEFT = Version(2, True, "exit")


def state(*identities: Identity, exits: bool = False, left: Version | None = LEFT) -> MemberState:
    """A member who left at 2, and has entered again at 4 unless `exits`."""
    record: dict[str, Any] = {"externalUserId": "m1", "action": "DELETE" if exits else "CREATE", "hashedPII": []}
    newest = MembershipChange("1", None, 2 if exits else 4, "exit" if exits else "enter", record)
    return MemberState(newest, identities, left, exited=EXITED)


def member(at: int, *, removes: bool, erases: bool = False) -> JobMember:
    version = Version(at, removes, "exit" if removes else "enter")
    return JobMember("m1", version.text, removes=removes, erases=erases)


ENTER, REMOVAL = member(4, removes=False), member(2, removes=True)


def outcome(change: MembershipChange | None) -> tuple[str, list[str]] | None:
    if change is None:
        return None
    return change.record["action"], [each["email"] for each in change.record["hashedPII"]]


@pytest.mark.parametrize(
    ("job", "known", "sent_at", "expected"),
    [
        pytest.param(REMOVAL, state(NAMED_SINCE), 0, ("CREATE", ["new"]), id="a removal, of a member who is back"),
        pytest.param(REMOVAL, state(NAMED_BEFORE, exits=True), 0, None, id="a removal, of a member who is out"),
        pytest.param(
            ENTER, state(NAMED_BEFORE, exits=True), 0, ("DELETE", ["old"]), id="an enter, of a member who is out"
        ),
        pytest.param(ENTER, state(exits=True), 0, None, id="an enter, of a member who is out and forgotten"),
        pytest.param(
            ENTER,
            state(NAMED_SINCE, NAMED_BEFORE),
            EXITED * 1000 - 1,
            ("DELETE", ["old"]),
            id="an enter from before the removal, of a member who is back",
        ),
        pytest.param(ENTER, state(NAMED_SINCE, NAMED_BEFORE), EXITED * 1000, None, id="an enter with the removal"),
        pytest.param(
            ENTER, state(NAMED_SINCE, NAMED_BEFORE), EXITED * 1000 + 1, None, id="an enter from after the removal"
        ),
        pytest.param(ENTER, state(NAMED_SINCE), 0, None, id="an enter, with nothing to remove any more"),
    ],
)
def test_after_a_late_job_the_newest_change_is_sent_once_more_where_it_says_otherwise(
    job: JobMember, known: MemberState, sent_at: int, expected: tuple[str, list[str]] | None
) -> None:
    assert outcome(contradicting(job, known, sent_at)) == expected


@pytest.mark.parametrize(
    ("job", "known", "expected"),
    [
        pytest.param(ENTER, state(NAMED_SINCE), ("CREATE", ["new"]), id="the newest enter"),
        pytest.param(member(3, removes=False), state(NAMED_SINCE), None, id="an older enter"),
        pytest.param(ENTER, state(NAMED_BEFORE, exits=True), None, id="an enter, of a member who is out"),
        pytest.param(REMOVAL, state(NAMED_BEFORE, exits=True), ("DELETE", ["old"]), id="the removal"),
        pytest.param(
            REMOVAL, state(NAMED_SINCE, NAMED_BEFORE), ("DELETE", ["old"]), id="the removal, of a member who is back"
        ),
        pytest.param(REMOVAL, state(exits=True), None, id="a removal, with nothing to remove any more"),
        pytest.param(
            member(1, removes=True), state(NAMED_BEFORE, exits=True), None, id="a removal before the newest one"
        ),
        pytest.param(
            member(3, removes=True), state(NAMED_BEFORE, exits=True), ("DELETE", ["old"]), id="a removal of more"
        ),
        pytest.param(REMOVAL, state(NAMED_SINCE, left=None), None, id="a removal, of a member who never left"),
    ],
)
def test_a_rejected_record_is_parked_unless_a_newer_change_has_made_it_moot(
    job: JobMember, known: MemberState, expected: tuple[str, list[str]] | None
) -> None:
    assert outcome(rejected_change(job, known)) == expected


def message(*members: JobMember, is_late: bool = False) -> JobMessage:
    return JobMessage("job-1", "1", 1, members, is_late=is_late)


ERASING = member(2, removes=True, erases=True)


@pytest.mark.parametrize(
    ("each", "report", "is_late", "expected"),
    [
        pytest.param(ENTER, JobReport("SUCCEEDED"), False, False, id="ended well, in time"),
        pytest.param(ENTER, None, False, False, id="unknown, in time"),
        pytest.param(ENTER, JobReport("SUCCEEDED"), True, True, id="late"),
        pytest.param(ERASING, JobReport("SUCCEEDED"), False, True, id="it erases"),
        pytest.param(ENTER, JobReport("FAILED"), False, True, id="failed"),
        pytest.param(ENTER, JobReport("SUCCEEDED", rejected={"m1": "no"}), False, True, id="rejected"),
        pytest.param(ENTER, JobReport("SUCCEEDED", rejected={"m2": "no"}), False, False, id="another one rejected"),
    ],
)
def test_a_job_that_ends_well_and_in_time_concerns_only_those_it_erases(
    each: JobMember, report: JobReport | None, is_late: bool, expected: bool
) -> None:
    assert is_concerned(message(each, is_late=is_late), report, each) is expected


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        pytest.param(JobReport("SUCCEEDED"), [], id="ended well"),
        pytest.param(None, [(ERASING, "job_unknown", "how the job ended is not known")], id="unknown: what it erases"),
        pytest.param(
            JobReport("SUCCEEDED", rejected={"m2": "no such person"}),
            [(ENTER._replace(member="m2"), "job_rejected", "no such person")],
            id="one rejected",
        ),
        pytest.param(
            JobReport("FAILED", rejected={"m2": "no such person"}),
            [
                (ERASING, "job_failed", "Amazon's job failed"),
                (ENTER._replace(member="m2"), "job_rejected", "no such person"),
            ],
            id="all failed, one with a reason",
        ),
    ],
)
def test_the_records_that_took_no_effect_have_a_reason_each(
    report: JobReport | None, expected: list[tuple[JobMember, str, str]]
) -> None:
    members = message(ERASING, ENTER._replace(member="m2"))
    assert [tuple(each) for each in rejections(members, report)] == expected
