"""`status` and `test` say why changes wait and which uploads have failed."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from audience_sync_cli.checks.check_all import test as run_checks
from audience_sync_cli.checks.status import status
from audience_sync_cli.frame.errors import AlreadyReported, ReportedAsUnfinished
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.parked.parked_commands import Filter, redrive
from audience_sync_cli.stack.counts import Counts
from audience_sync_cli.stack.in_flight import VISIBILITY
from audience_sync_cli.stack.stack_metrics import StackMetrics
from tests.command.conftest import Deployment, change
from tests.support.json_schema import faults

INCOMPLETE: dict[str, Any] = {
    "uploads_failed": {"service_unavailable": 3, "throttled": 1},
    "deferred": ["service_unavailable"],
    "audience_ids": ["418273650912345678"],
    "waits_since": 1_772_615_722,
}


@pytest.fixture
def deployed(deployment: Deployment) -> Deployment:
    """The stack, with a message that waits."""
    deployment.stack.created = time.time() - 3_600
    deployment.send("ChangeQueue", "{}")
    return deployment


def test_failed_uploads_and_blockers_are_named_by_reason(deployed: Deployment) -> None:
    deployed.publish(time.time(), UploadsSent=7, UploadsFailed=4, ChangesAccepted=1)
    deployed.log("Worker", "delivery incomplete", **INCOMPLETE)
    output = deployed.printed(status).out
    assert "7 accepted by Amazon, 4 failed" in output
    assert "change queue  1 message waiting  " in output
    told = "Amazon answers with an error (5xx) or cannot be reached. Next try by 20"
    assert f"Waits since 2026-03-04 09:15:22Z: {told}" in output
    assert "Failed uploads: 3 service_unavailable, 1 throttled in the last 15 minutes; the last one throttled" in output
    why = deployed.json(status)["waiting"]
    found = [(blocker["reason"], blocker["since"]) for blocker in why["blockers"]]
    assert found == [("service_unavailable", "2026-03-04T09:15:22.000Z")]
    assert (why["failedUploads"]["byReason"], why["unknown"]) == (INCOMPLETE["uploads_failed"], [])


def test_status_names_a_standstill_and_when_it_ends(deployed: Deployment) -> None:
    now = time.time()
    deployed.stack.service("sqs").receive_message(QueueUrl=deployed.stack["ChangeQueue"])
    deployed.log("Worker", "", type="platform.start", record={"requestId": "r1"})
    output = " ".join(deployed.printed(status, now=now + 200).out.split())
    assert f"Waits since {moment(now * 1000)[:-4]}" in output
    assert "Nothing was delivered for 3 minutes, and the worker holds 1 message. Next try by " in output
    document = deployed.json(status, now=now + 200)
    assert faults("status", document) == []
    (stalled,) = document["waiting"]["blockers"]
    lasts = datetime.fromisoformat(stalled["nextTry"]) - datetime.fromisoformat(stalled["since"])
    assert lasts.total_seconds() == VISIBILITY, "which does not move with the clock"
    assert deployed.json(status, now=now + 100)["waiting"]["blockers"] == []


def test_status_lists_problems_for_a_person_last_and_reads_no_blockers_if_nothing_waits(deployment: Deployment) -> None:
    deployment.publish(time.time(), ChangesAccepted=6, ChangesParked=6)
    deployment.log("Worker", "delivery incomplete", **INCOMPLETE)  # which is not read: nothing waits
    deployment.park(change("m1"))
    *_, state, last = deployment.printed(status).out.splitlines()
    assert (state, last) == ("No change is waiting.", "1 dead letter needs you: `audience-sync parked list`.")
    document = deployment.json(status)
    assert (document["summary"], document["waiting"]) == (f"{state} {last}", None)


@pytest.mark.usefixtures("gateway")
def test_a_refused_authorization_is_over_once_an_upload_is_accepted(deployment: Deployment) -> None:
    deployment.connect()
    deployment.list_audience()
    deployment.stack.service("lambda").invoke(FunctionName="RefreshFunction", Payload=b"{}")
    refused: dict[str, Any] = {"uploads_failed": {"authorization_refused": 1}, "deferred": ["authorization_refused"]}
    deployment.log("Worker", "delivery incomplete", audience_ids=["4182", "4183"], **refused)
    deployment.log("Refresh", "token refresh failed", reason="authorization_refused")
    assert not deployment.json(run_checks, raises=AlreadyReported)["ok"]
    time.sleep(0.002)  # the log knows milliseconds
    deployment.log("Worker", "upload accepted", audience_id="4182", records=4_000)
    document = deployment.json(run_checks)
    (delivery,) = (each for each in document["findings"] if each["part"] == "delivery")
    assert (document["ok"], delivery["state"], delivery["found"]) == (True, "note", "Amazon is authorized again.")
    late = "No problem found, but changes may reach Amazon late: see delivery and uploads."
    assert deployment.printed(run_checks).out.splitlines()[-1] == late


@pytest.mark.parametrize(
    ("parked", "waiting", "raises", "ending"),
    [
        pytest.param(0, 0, None, "done", id="completed"),
        pytest.param(1, 0, AlreadyReported, "parked", id="parked during the wait"),
        pytest.param(0, 1, ReportedAsUnfinished, "timeout", id="still waiting"),
    ],
)
@pytest.mark.parametrize("command", [status, redrive])
def test_wait_ends_with_the_exit_codes_of_send(
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., None],
    parked: int,
    waiting: int,
    raises: type[Exception] | None,
    ending: str,
) -> None:
    def counted_changes(*_: object) -> Counts:
        for _number in range(parked):
            deployment.park(change("m1"))
        return Counts(accepted=1 + waiting, delivered=1)

    monkeypatch.setattr(StackMetrics, "counts", counted_changes)
    monkeypatch.setattr("audience_sync_cli.parked.parked_commands.TIMEOUT", 1)
    options: dict[str, Any] = {"only": Filter()} if command is redrive else {"timeout": 1}
    document = deployment.json(command, wait=True, raises=raises, **options)
    assert faults("status" if command is status else "parked redrive", document) == []
    assert document["end"]["ending"] == ending
