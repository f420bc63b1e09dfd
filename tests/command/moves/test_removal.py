"""How far a member of an ended audience is on the way out, by the row."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.members.erasure_steps import ErasureStep, StepKind
from audience_sync.members.member_state import MemberState, Timing, removed
from audience_sync.members.member_step import apply_changes
from audience_sync.members.membership import Audience, Identity
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.times import DAY
from audience_sync_cli.moves.end_proof import proof_of, show_proof, sum_of
from audience_sync_cli.moves.removal import GIVEN_UP, WAITING, Again, EndReport, RemovalUpload, Stage, removal_of
from audience_sync_cli.moves.transfer import ENDED
from tests.support.builders import change
from tests.support.worker_stack import GRANTED

ENDED_AT = 1_800_000_000  # epoch seconds
TIMING = Timing(1_000)
TCF = {"consent": {"tcf": "CPXxRfAPXxRfA"}}


def entered(at: int, *, dataset: bool = False, consent: Mapping[str, object] = GRANTED) -> MemberState:
    destination = {"destination": ads_data_manager()} if dataset else {}
    each = change("m1", "a", at=at * 1000, consent=consent, **destination)  # type: ignore[arg-type]
    return apply_changes(None, [each], now=at, timing=TIMING).state


def left(state: MemberState, at: int, *, message_id: str = "event", erase: bool = False) -> MemberState:
    each = replace(state.newest, at=at * 1000, exits=True, message_id=message_id, erase=erase)
    return apply_changes(state, [each], now=at, timing=TIMING).state


LONG_AGO = entered(ENDED_AT - 10 * DAY)
IN_DATASET = entered(ENDED_AT - 10 * DAY, dataset=True)
RETURNED = replace(left(LONG_AGO, ENDED_AT), newest=replace(LONG_AGO.newest, at=ENDED_AT * 1000 + 1))
OUT = left(LONG_AGO, ENDED_AT, message_id=ENDED, erase=True)
WITHOUT_CONSENT = left(entered(ENDED_AT - DAY, dataset=True, consent=TCF), ENDED_AT, message_id=ENDED)
AGAIN = replace(OUT, removal_owed=True, removal_retry_at=ENDED_AT + 9_600, failed_jobs=3)
NEW_OUT = left(entered(ENDED_AT - 10), ENDED_AT, message_id=ENDED, erase=True)
NEW_OUT_OF_DATASET = left(entered(ENDED_AT - 10, dataset=True), ENDED_AT, message_id=ENDED)
OUT_OF_DATASET = left(IN_DATASET, ENDED_AT, message_id=ENDED)


@pytest.mark.parametrize(
    ("state", "after", "stage"),
    [
        pytest.param(LONG_AGO, 0, Stage.IN, id="in"),
        pytest.param(left(LONG_AGO, ENDED_AT), 1_000, Stage.UNDER_WAY, id="left just before: an enter may wait"),
        pytest.param(RETURNED, 1_000, Stage.UNDER_WAY, id="in, and another enter may wait"),
        pytest.param(RETURNED, 1_000 + round(WAITING), Stage.IN, id="in, and no enter waits any more"),
        pytest.param(left(LONG_AGO, ENDED_AT), 1_000 + round(WAITING), Stage.GONE, id="left, and no enter waits"),
        pytest.param(OUT, 999, Stage.UNDER_WAY, id="removed, the job may run"),
        pytest.param(OUT, 5_000, Stage.UNDER_WAY, id="the end of the job is not recorded"),
        pytest.param(OUT, 129_600 + round(GIVEN_UP), Stage.UNPROVEN, id="and never will be"),
        pytest.param(removed(OUT, OUT.erase_until), 1_000, Stage.GONE, id="the job has ended well"),
        pytest.param(replace(OUT, removal_owed=True), 999, Stage.UNDER_WAY, id="an attempt has failed"),
        pytest.param(replace(OUT, removal_owed=True), 1_000, Stage.UNPROVEN, id="and none was accepted since"),
        pytest.param(AGAIN, 9_000, Stage.UNDER_WAY, id="its job has failed: it is sent again"),
        pytest.param(OUT_OF_DATASET, 999, Stage.UNDER_WAY, id="a dataset: not effective yet"),
        pytest.param(OUT_OF_DATASET, 1_000, Stage.GONE, id="a dataset: effective"),
        pytest.param(WITHOUT_CONSENT, 1_000, Stage.UNPROVEN, id="a dataset: no consent to user data"),
        pytest.param(NEW_OUT, 5_000, Stage.UNDER_WAY, id="entered just before: a last removal follows"),
        pytest.param(NEW_OUT_OF_DATASET, 5_000, Stage.UNDER_WAY, id="the same of a dataset: it is sent again"),
    ],
)
def test_each_row_has_its_stage_of_removal(state: MemberState, after: int, stage: Stage) -> None:
    found = removal_of(state, ENDED_AT + after, TIMING)
    assert found.stage is stage
    assert (found.until > ENDED_AT) is (stage is Stage.UNDER_WAY)
    assert bool(found.why) is (stage is Stage.UNPROVEN)


def test_a_report_names_a_time_only_if_it_knows_one() -> None:
    report = EndReport()
    report.add(LONG_AGO, ENDED_AT, TIMING)
    assert report.progress == "1 member on the way out"
    report.add(OUT, ENDED_AT, TIMING)
    assert report.progress == "2 members on the way out, by 2027-01-15 08:21:40Z"


def test_the_report_names_the_uploads_that_removed_the_members() -> None:
    done = (ErasureStep(StepKind.REMOVAL, "job-1", ENDED_AT * 1000, ENDED_AT * 1000 + 900),)
    report, gone = EndReport(), replace(removed(OUT, OUT.erase_until), erasure=done)
    for state in (gone, OUT_OF_DATASET):
        report.add(state, ENDED_AT + 2_000, TIMING)
    at = ENDED_AT * 1000
    assert report.uploads == {RemovalUpload("job-1", at, at + 900): 1, RemovalUpload("", at, at + 1_000_000): 1}
    assert (report.removed, report.sent_by, report.remaining) == (2, ENDED_AT, 0)
    twice = (*done, done[0]._replace(id="job-2", at=at + 900_000))
    many = tuple(Identity(1, {"email": f"{number:064}"}) for number in range(101))
    for fields in ({}, {"enters_effective_by": ENDED_AT + 1}, {"identities": many}):
        report.add(replace(gone, erasure=twice, **fields), ENDED_AT + 2_000, TIMING)
    report.add(OUT, ENDED_AT + 2_000, TIMING)
    parts = ["8 members in uploads = 6 members removed", *(f"1 {each}" for each in report.again)]
    assert [*report.again] == [Again.DELIVERED, Again.ENTERED, Again.IN_PARTS]
    assert sum_of(report) == f"{' + '.join(parts)} - 1 without a recorded upload"


def test_the_proof_lists_each_upload_once_even_if_rows_disagree(capsys: pytest.CaptureFixture[str]) -> None:
    at, ids = ENDED_AT * 1000, [f"{number}1c40165-2773-443a-b757-09b2d1736e38" for number in (1, 2)]
    uploads = {RemovalUpload(ids[0], at, at + 900): 1, RemovalUpload(ids[0], at, at + 960_000): 2}
    report = EndReport(uploads=Counter(uploads | {RemovalUpload(ids[1], at - 9_000, at): 4}), removed=7)
    proof = proof_of(Audience("7"), report, [], [], 0)
    assert [(each["jobId"], each["members"]) for each in proof["uploads"]] == [(ids[1], 4), (ids[0], 3)]
    assert [each["endedAt"] for each in proof["uploads"]] == ["2027-01-15T08:00:00.000Z", "2027-01-15T08:16:00.000Z"]
    show_proof(Screen(), Audience("7"), report, proof)
    assert proof["sum"] == "7 members in uploads = 7 members removed"
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [ids[1], "4", "2027-01-15", "07:59:51Z", "9", "s"] in rows
    assert [ids[0], "3", "2027-01-15", "08:00:00Z", "16", "min"] in rows
