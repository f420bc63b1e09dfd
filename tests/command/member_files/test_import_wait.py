"""`import --wait`: the jobs of the delivered changes, and the exit code."""

from types import SimpleNamespace
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import ads_data_manager
from audience_sync.amazon_ads.job import JobReport, Sizes
from audience_sync.errors import NotFound
from audience_sync.members.membership import Audience
from audience_sync_cli.member_files.import_wait import APPLIED, WITHOUT_JOBS, JobReadings
from audience_sync_cli.stack.settling import Reading
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import AUDIENCE

DELIVERED = Reading(0, 0, "Every change is completed")


def followed(deployment: Deployment, jobs: dict[str, Any], audience: Audience = AUDIENCE) -> JobReadings:
    """Follow an import whose changes are delivered, with uploads of two audiences in the log."""

    def job(job_id: str) -> JobReport:
        if job_id not in jobs:
            raise NotFound("no such job", status=404)
        return JobReport(*jobs[job_id])

    for job_id, audience_id in (("j1", audience.audience_id), ("j2", audience.audience_id), ("j3", "other")):
        deployment.log("Worker", "upload accepted", job_id=job_id, audience_id=audience_id, records=2)
    session = deployment.session()
    session.amazon = SimpleNamespace(job=job)  # type: ignore[assignment]
    return JobReadings(session, audience, 0, lambda: DELIVERED)


def test_an_import_is_applied_once_each_job_of_its_audience_has_ended(deployment: Deployment) -> None:
    jobs = {"j1": ["SUCCEEDED"], "j2": ["RUNNING"]}
    read = followed(deployment, jobs)
    assert read() == Reading(1, 0, "delivered; 1 job still running at Amazon")
    jobs["j2"] = ["SUCCEEDED"]
    assert read() == Reading(0, 0, APPLIED)


@pytest.mark.parametrize(
    ("report", "records"),
    [
        pytest.param({"j2": ["PARTIALLYSUCCEEDED", None, Sizes(), {"m1": ""}]}, "1 record", id="records"),
        pytest.param({"j2": ["FAILED"]}, "2 records", id="the whole job"),
        pytest.param({}, "2 records", id="Amazon does not know it"),
    ],
)
def test_records_that_a_job_rejects_are_refused(deployment: Deployment, report: dict[str, Any], records: str) -> None:
    found = followed(deployment, {"j1": ["SUCCEEDED"], **report})()
    assert (found.left, found.refused > 0) == (0, True)
    assert found.text == f"Amazon's jobs have rejected {records}"


def test_a_dataset_has_no_jobs_to_wait_for(deployment: Deployment) -> None:
    read = followed(deployment, {}, Audience("dataset-1", destination=ads_data_manager()))
    assert read() == Reading(0, 0, WITHOUT_JOBS)
