"""Why changes wait: each cause is found where it is recorded, and one that cannot be read hides no other."""

import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aws_lambda_powertools.utilities.circuit_breaker.persistence.record import CircuitStateRecord
from aws_lambda_powertools.utilities.circuit_breaker.states import CircuitState
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.delivery.backoff import latest_retry
from audience_sync.delivery.gates.circuit_state import CircuitStates
from audience_sync_cli.frame import reasons
from audience_sync_cli.frame.screen import moment
from audience_sync_cli.stack.blockers import Blocker, dated, waiting
from audience_sync_cli.stack.circuits import RECOVERY
from audience_sync_cli.stack.function_logs import LogLine
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import AUDIENCE


def open_circuit(deployment: Deployment, name: str, *, since: float, state: CircuitState = CircuitState.OPEN) -> None:
    states = CircuitStates(deployment.stack.service("dynamodb"), deployment.stack["MembershipTable"], time.time)
    states._put_record(CircuitStateRecord(name, state, opened_at=int(since)))


def incomplete(deployment: Deployment, reason: str, *audience_ids: str, failed: int = 0, **more: Any) -> None:
    """Log a delivery whose changes wait for this reason, perhaps after failed uploads."""
    uploads = {"uploads_failed": {reason: failed}} if failed else {}
    deployment.log("Worker", "delivery incomplete", deferred=[reason], audience_ids=[*audience_ids], **uploads, **more)


def found(deployment: Deployment) -> list[Blocker]:
    return waiting(deployment.session()).blockers


def test_an_open_circuit_breaker_names_its_audience_and_the_next_try(deployment: Deployment) -> None:
    now = int(time.time())
    deployment.list_audience(replace(AUDIENCE, audience_id="4182", name="Buyers"))
    open_circuit(deployment, "audience:4182", since=now)
    open_circuit(deployment, "audience:4183", since=now - 50, state=CircuitState.HALF_OPEN)  # a worker is trying
    (blocker,) = found(deployment)
    assert (blocker.reason, blocker.next_try) == ("circuit_open", now + RECOVERY)
    assert set(blocker.audience_ids) == {"4182", "4183"}
    assert "Buyers (4182)" in blocker.sentence
    assert "audience 4183" in blocker.sentence
    assert "Next try by" in blocker.text


def test_every_reason_shows_the_same_next_try_and_one_that_needs_a_person_none(deployment: Deployment) -> None:
    failed, log = {"uploads_failed": {"throttled": 1}}, partial(deployment.log, "Worker", "delivery incomplete")
    now = time.time()
    log(deferred=["throttled"], waits_since=round(now - 900), **failed)
    log(deferred=["throttled", "authorization_refused"], waits_since=round(now - 60), **failed)
    open_circuit(deployment, "audience:4182", since=int(now) + 90)
    circuit, refused = found(deployment)
    assert circuit.sentence.startswith("Amazon asks the stack to slow down (429). The circuit breaker is open for")
    assert {circuit.since, refused.since} == {round(now - 900)}, "the oldest of the last round"
    assert circuit.next_try is not None
    assert circuit.next_try >= int(now) + 90 + RECOVERY, "not before the circuit breaker lets it pass"
    assert refused.next_try is None


def test_the_next_try_does_not_move_while_single_uploads_test_amazon() -> None:
    """Each test leaves a line. Told every second of ten minutes, the time changes only once it has passed."""
    blocker, lines, told = Blocker("service_unavailable", "It fails."), list[LogLine](), 0.0
    for second in range(600):
        if second % 7 == 0:
            lines.append(LogLine(second * 1_000, "Worker", {"message": "delivery incomplete"}))
        (shown,) = dated([blocker], lines, window=1.0, now=second + 0.5)
        assert shown.next_try is not None
        assert told in (0.0, shown.next_try) or told <= second + 0.5
        told = shown.next_try


def test_the_circuit_breaker_of_a_connection_affects_all_audiences(deployment: Deployment) -> None:
    open_circuit(deployment, "connection:dsp", since=time.time() - 3_600)
    open_circuit(deployment, "audience:4182", since=time.time() - 3_600)
    (blocker,) = found(deployment)
    assert (blocker.audience_ids, blocker.next_try) == ((), None), "the next upload is tried at once"


def log(deployment: Deployment, event: str) -> None:
    """Have an event of a row below happen, and a moment pass."""
    what, _, about = event.partition(" ")
    match what:
        case "circuit":
            open_circuit(deployment, f"audience:{about}", since=time.time())
        case "accepted":
            deployment.log("Worker", "upload accepted", audience_id=about, records=4_000)
        case "unrefreshed":
            deployment.log("Refresh", "token refresh failed", reason=about)
        case "refreshed" | "Amazon":
            deployment.log("Refresh", "token refreshed" if what == "refreshed" else event)
        case _:
            incomplete(deployment, what, *about.split(), failed=1)
    time.sleep(0.002)  # the log knows milliseconds


AGAIN, OLD, ANEW = "authorized_again", "authorization_refused", "unrefreshed authorization_refused"


@pytest.mark.parametrize(
    ("events", "told"),
    [
        pytest.param(["circuit 1", "throttled 2"], ["circuit_open", "throttled"], id="a cause of another audience"),
        pytest.param(["circuit 1", "circuit_open 1"], ["circuit_open"], id="an open circuit breaker, listed once"),
        pytest.param([ANEW], [OLD], id="revoked"),
        pytest.param(["Amazon is not connected yet"], ["not_connected"], id="not connected"),
        pytest.param(["unrefreshed token_unavailable", "refreshed"], [], id="the newest refresh has a token"),
        pytest.param(["refreshed", "unrefreshed of_a_newer_version"], ["of_a_newer_version"], id="who knows why"),
        pytest.param(["refreshed", f"{OLD} 1"], [OLD], id="a token from before a refusal does not end it"),
        pytest.param([f"{OLD} 1 2", "accepted 1"], [AGAIN], id="an upload of one of two audiences is accepted"),
        pytest.param([f"{OLD} 1 2", ANEW, "accepted 1"], [AGAIN], id="accepted, and refused before the refresh"),
        pytest.param([ANEW, f"{OLD} 1 2", "accepted 1"], [AGAIN], id="accepted, and refused after the refresh"),
        pytest.param([ANEW, "accepted 1"], [OLD], id="an old token works"),
        pytest.param(["accepted 1", f"{OLD} 1 2"], [OLD], id="refused since an upload was accepted"),
        pytest.param([f"{OLD} 1 2", "accepted 1", ANEW], [OLD, AGAIN], id="refused at the refresh"),
    ],
)
def test_the_newest_events_decide_why_changes_wait(deployment: Deployment, events: list[str], told: list[str]) -> None:
    for event in events:
        log(deployment, event)
    shown = found(deployment)
    assert [each.reason for each in shown] == told
    assert [each.needs_person for each in shown] == [each in (OLD, "not_connected") for each in told]


def test_after_a_new_connection_deferred_changes_need_no_person(deployment: Deployment) -> None:
    deployment.stack.parameters = {"Region": "NA", "BatchWindow": "10"}
    before = time.time()
    incomplete(deployment, "authorization_refused", "4182", failed=1)
    after = time.time()
    time.sleep(0.002)  # the log knows milliseconds
    deployment.log("Refresh", "token refreshed")
    (blocker,) = found(deployment)
    assert (blocker.reason, blocker.needs_person, blocker.audience_ids) == ("authorized_again", False, ("4182",))
    assert blocker.next_try is not None
    assert latest_retry(before - 0.001) <= blocker.next_try - 10 <= latest_retry(after + 0.001)
    assert f"Next try by {moment(blocker.next_try * 1000)}." in blocker.text


def test_the_newest_failed_upload_explains_why_changes_wait(deployment: Deployment) -> None:
    incomplete(deployment, "throttled", "4182", failed=2)
    incomplete(deployment, "service_unavailable", "4182", failed=1)
    result = waiting(deployment.session())
    assert result.failed.by_reason == {"throttled": 2, "service_unavailable": 1}
    assert result.failed.last_reason == "service_unavailable"
    assert [blocker.reason for blocker in result.blockers] == ["service_unavailable"]
    assert "Next try by " in result.blockers[0].text
    incomplete(deployment, "out_of_time", "4182")
    assert found(deployment) == [], "at full speed"


@pytest.mark.parametrize(
    ("accepted", "reasons_left"),
    [
        pytest.param("4182", [], id="of that audience"),
        pytest.param("4183", ["service_unavailable"], id="of another audience"),
    ],
)
def test_an_accepted_upload_ends_the_failure_of_its_audience(
    deployment: Deployment, accepted: str, reasons_left: list[str]
) -> None:
    deployment.log("Worker", "upload accepted", audience_id="4182", records=1)
    incomplete(deployment, "service_unavailable", "4182", failed=1, waits_since=1)
    deployment.log("Worker", "upload accepted", audience_id=accepted, records=1)
    result = waiting(deployment.session())
    assert [blocker.reason for blocker in result.blockers] == reasons_left
    assert result.failed.recovered is not bool(reasons_left)
    assert result.failed.by_reason == {"service_unavailable": 1}, "it has failed all the same"
    deployment.stack.service("lambda").event_source = "Disabled"
    assert (found(deployment)[0].reason, found(deployment)[0].since is None) == ("paused", not reasons_left)


@given(st.text(max_size=40))
def test_any_reason_is_explained(reason: str) -> None:
    assert reasons.explained(reason).means
    assert reasons.parked(reason) == reasons.explained(reason)


@pytest.mark.parametrize(
    ("lacks", "unknown"),
    [
        (["MembershipTable"], ["circuit breakers"]),
        (["RefreshLogGroup", "WorkerLogGroup"], ["access token", "failed uploads", "changes that wait for jobs"]),
    ],
    ids=["the table", "the logs"],
)
def test_what_cannot_be_read_is_named_and_does_not_hide_a_pause(
    deployment: Deployment, lacks: list[str], unknown: list[str]
) -> None:
    for name in lacks:
        del deployment.stack._names[name]
    deployment.stack.service("lambda").event_source = "Disabled"
    result = waiting(deployment.session())
    assert [blocker.reason for blocker in result.blockers] == ["paused"]
    assert [each.split(".")[0] for each in result.unknown] == [f"Not known: {each}" for each in unknown]
