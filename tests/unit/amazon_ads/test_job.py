"""What Amazon reports about a job; a missing or mistyped field costs that field only."""

from typing import Any

import pytest

from audience_sync.amazon_ads.job import JobReport, Sizes, job_report

LONGEST = "RECORDS_RECORDS_RECORDS_RECORDS_IDENTITY"
HASH = "records[17].hashedPII[0].email is not a SHA-256 hash"


def sized(received: Any, matched: Any, in_dsp: Any) -> dict[str, Any]:
    sizes = {"receivedRecordSize": received, "idResolutionCount": matched, "dspAudienceSize": in_dsp}
    return {"audienceSize": sizes}


def processed(rate: Any) -> dict[str, Any]:
    return {"successful": {"recordsProcessedRate": rate}}


def invalid(**errors: Any) -> list[dict[str, Any]]:
    return [{"audienceId": "1", "externalId": member, "error": error} for member, error in errors.items()]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            {"jobState": "succeeded"} | processed(100) | sized(200, 150, -1),
            JobReport("SUCCEEDED", 100.0, Sizes(200, 150, None)),
            id="done, DSP not counted yet",
        ),
        pytest.param(
            {"invalidRecords": invalid(m1=f"no match for {'a' * 64} of a@b.co", m2={"message": "no match"})},
            JobReport("", rejected={"m1": "no match for … of …", "m2": ""}),
            id="rejected records, without what they quote",
        ),
        pytest.param(
            {"jobState": "PARTIALLYSUCCEEDED", "invalidRecords": [{"externalId": "m3"}, {"externalId": 5}, "strange"]},
            JobReport("PARTIALLYSUCCEEDED", rejected={"m3": ""}),
            id="a rejected record without a reason, and strange ones",
        ),
        pytest.param(
            {"invalidRecords": invalid(m1="Ada Lovelace, 12 Elm Street, +12065550199: no match", m2=HASH)},
            JobReport("", rejected={"m1": "… no match", "m2": HASH}),
            id="a person, and a field",
        ),
        pytest.param(sized(0, 1, 7), JobReport("", None, Sizes(0, 1, 7)), id="all sizes known, one of them nothing"),
        pytest.param(
            processed(True) | sized(True, 2**63, 2**63 - 1),
            JobReport("", None, Sizes(None, None, 2**63 - 1)),
            id="numbers that are none, or too large",
        ),
        pytest.param({"jobState": LONGEST}, JobReport(LONGEST), id="a state of 40 characters"),
        pytest.param(
            {"jobState": LONGEST.replace("IDENTITY", "REQUESTED")}, JobReport(""), id="a state of 41 characters"
        ),
        pytest.param({"jobState": "Lovelace"}, JobReport(""), id="a name as state"),
    ],
)
def test_a_job_report_ignores_unusable_fields_of_the_answer(answer: dict[str, Any], expected: JobReport) -> None:
    assert job_report(answer) == expected


@pytest.mark.parametrize(
    ("state", "final", "failed"),
    [
        ("PENDING", False, False),
        ("SUCCEEDED", True, False),
        ("PARTIALLYSUCCEEDED", True, False),
        ("COMPLETED", True, False),
        ("FAILED", True, True),
        ("SOMETHINGNEW", False, False),
        ("CANCELLED", False, False),
    ],
)
def test_an_unknown_job_state_is_not_final(state: str, final: bool, failed: bool) -> None:
    report = job_report({"jobState": state})
    assert (report.is_final, report.has_failed) == (final, failed)


@pytest.mark.parametrize(
    ("sizes", "rate"),
    [
        (Sizes(200, 150), 75.0),
        (Sizes(0, 0), None),
        (Sizes(None, 5), None),
        (Sizes(200, None), None),
        (Sizes(9, 0), 0.0),
    ],
)
def test_a_match_rate_needs_both_counts(sizes: Sizes, rate: float | None) -> None:
    assert sizes.match_rate == rate
