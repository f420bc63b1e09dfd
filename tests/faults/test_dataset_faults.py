"""Faults that only Ads Data Manager has: members refused in a 200, accounts not ready, deletions of people."""

import json
from dataclasses import replace
from typing import Any, Literal

import pytest

from audience_sync.clock import Clock
from audience_sync.members.dead_letters import DeadLetter
from tests.faults.test_worker_faults import SEND, run_killed
from tests.faults.worker_harness import ACCOUNT, DATASET, WorkerHarness
from tests.support.invocations import EMAIL, change, check_jobs, notice, take
from tests.support.proxy import only, refuse

pytestmark = DATASET

DATASETS, DELETIONS = "/adm/audiences", "/adm/identities/delete"
# Every upload has taken effect at once, so that all that follows is due.
AT_ONCE = {"DATA_MANAGER_SECONDS": "0", "LATE_SECONDS": "0", "LONGEST_JOB_SECONDS": "0"}


def redrive(worker_harness: WorkerHarness) -> dict[str, tuple[str, str]]:
    """Put the dead letters into the change queue. Returns the reason and detail of each, by member."""
    found = {}
    for body in take(worker_harness.cloud, "DeadLetterQueue"):
        dead_letter = DeadLetter.from_body(body)
        assert dead_letter.failure
        found[dead_letter.changes[0].member[1]] = dead_letter.failure.reason, dead_letter.failure.detail
        worker_harness.put(*dead_letter.redrive_bodies())
    return found


def spread_notice(worker_harness: WorkerHarness) -> None:
    """Have a member enter, and a deletion notice spread. Its exit waits in the change queue."""
    worker_harness.enter(**AT_ONCE)
    worker_harness.run(worker_harness.message(change("cust_1")))
    worker_harness.run(notice("cust_1", 2))
    assert worker_harness.amazon.members() == {"cust_1"}


def deletions(worker_harness: WorkerHarness) -> int:
    """How many requests to delete people Amazon has answered with 200."""
    return sum(request["status"] == 200 for request in worker_harness.amazon.requests_to(DELETIONS))


def run_jobs(worker_harness: WorkerHarness) -> list[dict[str, Any]]:
    """Have the job queue handled. Returns the deletion messages that wait in it then."""
    worker_harness.is_warm = False
    check_jobs(worker_harness.cloud, milliseconds=180_000, **AT_ONCE, **ACCOUNT)
    return [body for body in worker_harness.cloud.messages("JobQueue") if "deletions" in body]


def keeps_identities(worker_harness: WorkerHarness) -> bool:
    """Return whether the member's row has identities after the uploads under way have ended."""
    run_jobs(worker_harness)
    table = worker_harness.cloud.name_of("MembershipTable")
    rows = worker_harness.cloud.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
    states = (bytes(row["member"]["B"]) for row in rows if row["externalUserId"] == {"S": "cust_1"})
    return any(bytes.fromhex(EMAIL) in state for state in states)


# Row 17


@pytest.mark.parametrize(("first_place", "uploads"), [(0, 3), (1, 5)])
def test_a_member_refused_in_a_200_is_found_by_an_index_from_0_or_1(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, first_place: Literal[0, 1], uploads: int
) -> None:
    data_manager = worker_harness.amazon.state.data_manager
    monkeypatch.setattr(data_manager, "options", replace(data_manager.options, index_base=first_place))
    worker_harness.amazon.fail_uploads({"job": {"failed": ["cust_3"]}})
    members = [change(f"cust_{number}") for number in range(1, 5)]
    assert worker_harness.run(worker_harness.message(*members)).returned == []
    assert worker_harness.amazon.members() == {"cust_1", "cust_2", "cust_4"}
    assert worker_harness.dead_letters() == {"cust_3": "request_rejected"}
    assert worker_harness.amazon.request_count() == uploads, "halved until an answer shows how Amazon counts"


# Row 16


@pytest.mark.parametrize(
    ("withheld", "permissions", "reason", "detail"),
    [
        pytest.param(
            "terms", {}, "access_denied", "403: The terms of Ads Data Manager have not been accepted", id="terms"
        ),
        pytest.param("room", {}, "not_found", "404: The account has no data room", id="data room"),
        pytest.param("", {"permissions": frozenset()}, "access_denied", "403: Forbidden: one of", id="permission"),
    ],
)
def test_changes_of_an_account_that_is_not_ready_are_parked_and_can_be_redriven(
    worker_harness: WorkerHarness, withheld: str, permissions: dict[str, Any], reason: str, detail: str
) -> None:
    data_manager = worker_harness.amazon.state.data_manager
    usual = data_manager.options
    data_manager.withhold(withheld, 0.0)
    data_manager.options = replace(usual, **permissions)
    assert worker_harness.run(worker_harness.message(change("cust_1"), change("cust_2"))).returned == []
    assert worker_harness.amazon.request_count() == 1, "not bisected"
    data_manager.withhold("", 1.0)
    data_manager.options = usual
    failures = redrive(worker_harness)
    assert [each for each, _ in failures.values()] == [reason] * 2
    assert all(detail in text for _, text in failures.values())
    assert worker_harness.run().returned == []
    assert worker_harness.amazon.members() == {"cust_1", "cust_2"}


def test_a_deleted_dataset_is_not_recreated_and_its_members_are_still_deleted(
    worker_harness: WorkerHarness,
) -> None:
    spread_notice(worker_harness)
    worker_harness.amazon.account.delete_dataset(worker_harness.amazon.audience.audience_id, 0.0)
    assert worker_harness.run(worker_harness.message(change("cust_2"))).returned == []
    assert worker_harness.dead_letters() == {"cust_1": "not_found", "cust_2": "not_found"}
    run_jobs(worker_harness)
    assert deletions(worker_harness) == 1
    assert worker_harness.amazon.requests_to(DATASETS) == [], "nothing is created, nor even looked for"


# Deletions of people: rows 12, 14, 16 and 17


def test_a_deletion_that_amazon_refuses_sets_off_the_alarm_and_parks_nothing(
    worker_harness: WorkerHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    spread_notice(worker_harness)
    worker_harness.amazon.fail({"match": {"path": DELETIONS}, "do": {"status": 403}})
    assert worker_harness.run().returned == []
    assert run_jobs(worker_harness) == []
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [metrics["ErasuresOverdue"] for metrics in printed if "ErasuresOverdue" in metrics] == [[1.0]]
    assert (worker_harness.amazon.members(), worker_harness.dead_letters()) == (set(), {})


def test_a_notice_is_parked_until_terms_are_accepted_and_it_is_redriven(
    worker_harness: WorkerHarness,
) -> None:
    spread_notice(worker_harness)
    worker_harness.amazon.state.data_manager.withhold("terms", 0.0)
    assert worker_harness.run().returned == []
    assert len(worker_harness.cloud.messages("DeadLetterQueue")) == 1
    assert keeps_identities(worker_harness)
    worker_harness.amazon.state.data_manager.withhold("", 0.0)
    ((reason, detail),) = redrive(worker_harness).values()
    assert (reason, "terms" in detail) == ("access_denied", True)
    worker_harness.enter(**AT_ONCE)
    assert worker_harness.run().returned == []
    assert (worker_harness.amazon.members(), keeps_identities(worker_harness)) == (set(), False)


# Rows 6 and 11


def test_without_the_job_queue_members_enter_and_an_erasure_is_repeated(
    worker_harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.worker.handler.CLOCK", Clock(sleep=lambda _: None))
    spread_notice(worker_harness)
    down = only(refuse("ThrottlingException"), QueueUrl=worker_harness.cloud.name_of("JobQueue"))
    worker_harness.proxy.on(SEND, down)
    worker_harness.run(worker_harness.message(change("cust_2")))
    assert worker_harness.amazon.members() == {"cust_2"}
    worker_harness.proxy.clear_faults()
    worker_harness.run(*take(worker_harness.cloud, "ChangeQueue"))  # the changes of the removal wait there
    assert not keeps_identities(worker_harness)
    assert (deletions(worker_harness), worker_harness.dead_letters()) == (1, {})


@pytest.mark.parametrize(
    ("call", "after"),
    [
        pytest.param(SEND, 1, id="after the removal"),
        pytest.param(None, 0, id="before the message is acknowledged"),
    ],
)
def test_a_worker_killed_during_an_erasure_leaves_neither_member_nor_identities(
    worker_harness: WorkerHarness, call: str | None, after: int
) -> None:
    spread_notice(worker_harness)
    run_killed(worker_harness, call, after=after, **AT_ONCE)
    assert worker_harness.run().returned == []
    assert worker_harness.amazon.members() == set()
    assert not keeps_identities(worker_harness)
    assert (deletions(worker_harness), worker_harness.dead_letters()) == (1, {})
