"""`pause` and `resume` change the worker's event source, wait for Lambda, and say who has paused."""

from typing import Any

import pytest

from audience_sync_cli.checks.arrival import delivery
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.checks.readings import StackReadings
from audience_sync_cli.checks.stack_checks import CHECKS
from audience_sync_cli.checks.status import status
from audience_sync_cli.dashboard.operator import Operator
from audience_sync_cli.frame.errors import AlreadyReported, OperatorError, TryLater, WrongUsage
from audience_sync_cli.frame.finding import run
from audience_sync_cli.parked.pause import pause, resume
from audience_sync_cli.stack import event_source
from tests.command.conftest import Deployment
from tests.support.aws_fixtures import AUDIENCE


@pytest.fixture(autouse=True)
def source(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The worker's event source at Lambda, which takes two calls to change."""
    monkeypatch.setattr(event_source, "POLL", 0.0)
    deployment.list_audience()
    return deployment.stack.service("lambda")


def test_a_pause_asks_waits_until_lambda_has_made_it_and_is_safe_to_repeat(deployment: Deployment, source: Any) -> None:
    question = deployment.declined(pause)
    assert question.startswith("Pause delivery? The API keeps accepting events; changes wait in the queue")
    assert "exits and deletions also, for seven days at most" in question
    assert source.event_source == "Enabled"
    assert deployment.printed(pause, yes=True).out.startswith("Delivery is paused.\n")
    assert (source.event_source, source.states) == ("Disabled", [])
    assert deployment.printed(pause).out.startswith("Delivery is already paused.\n"), "without a question"
    deployment.send("ChangeQueue", "{}")
    assert deployment.printed(resume).out.startswith(
        "Delivery is resumed. 1 message of the change queue will now be delivered.\nIt was paused by "
    )
    assert (source.event_source, source.states) == ("Enabled", [])
    assert deployment.printed(resume).out == "Delivery is not paused.\n"


def test_pausing_waits_until_lambda_has_finished_an_earlier_change_but_not_longer_than_the_limit(
    deployment: Deployment, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(event_source, "LIMIT", -1)
        source.states = ["Enabling"] * 3
        assert "Lambda still reports Enabling after" in str(deployment.refusal(TryLater, pause, yes=True))
    assert source.event_source == "Enabled"
    source.states = ["Creating", "Updating"]
    deployment.printed(pause, yes=True)
    assert source.event_source == "Disabled"


def test_status_shows_who_paused_delivery_when_and_why_if_the_log_knows(deployment: Deployment, source: Any) -> None:
    deployment.stack.local = None
    deployment.printed(pause, note="asked by legal", yes=True)
    (said,) = [line for line in deployment.printed(status, raises=AlreadyReported).out.splitlines() if "paused" in line]
    assert said.startswith("Delivery was paused by user/moto at 20")
    assert said.endswith("Z: asked by legal. Resume it: `audience-sync resume`.")
    readings = AudienceReadings.of(deployment.session(), AUDIENCE.audience_id, days=1, counts_members=False)
    assert delivery(readings).remedy == "audience-sync resume"
    assert deployment.json(resume)["note"] == "asked by legal"
    assert "paused" not in deployment.printed(status).out
    source.event_source = "Disabled"  # in the console: the operator log does not know it
    said = deployment.printed(status, raises=AlreadyReported).out
    assert "Delivery is paused: the worker's event source is disabled. Resume it" in said


def test_a_pause_by_the_template_ends_with_a_deployment(deployment: Deployment, source: Any) -> None:
    deployment.stack.parameters, deployment.stack.local = {"Enabled": "no"}, None
    source.event_source = "Disabled"
    refused = deployment.refusal(OperatorError, resume)
    assert ("parameter Enabled=no" in str(refused), "Enabled=yes" in refused.remedy) == (True, True)
    assert source.event_source == "Disabled"
    assert "Enabled=yes" in deployment.printed(status, raises=AlreadyReported).out
    assert "Enabled=yes" in deployment.printed(pause).out


@pytest.mark.usefixtures("event_queue")
@pytest.mark.parametrize("function", ["WorkerFunction", "JobsFunction", "EventsFunction"])
def test_a_filter_on_an_event_source_needs_a_person(deployment: Deployment, source: Any, function: str) -> None:
    """Lambda deletes what a filter excludes: it is neither delivered nor parked."""
    deployment.stack.local = None
    deployment.stack._names["EventsFunction"] = "events"
    source.filters = {deployment.stack[function]: []}
    assert "filter" not in deployment.printed(status).out
    source.filters = {deployment.stack[function]: [{"Pattern": '{"body": {"no": ["match"]}}'}]}
    (said,) = [line for line in deployment.printed(status, raises=AlreadyReported).out.splitlines() if "filter" in line]
    assert f"{function} has a filter" in said
    remedy = "aws lambda update-event-source-mapping --filter-criteria '{}' --uuid uuid-1"
    assert said.endswith(f"Remove it: `{remedy}`.")
    (finding,) = run([each for each in CHECKS if each.name == "delivery"], StackReadings(deployment.session()))
    assert (finding.state, remedy in finding.remedy) == ("problem", True)
    (blocker,) = Operator(deployment.stack, lambda: 1.8e9).blockers(waits=False)
    assert blocker.needs_person


def test_the_page_pauses_with_the_same_note(deployment: Deployment, source: Any) -> None:
    operator = Operator(deployment.stack, lambda: 1.8e9)
    assert operator.switch("pause", {"note": "asked by legal"}) == ["Delivery is paused."]
    assert "asked by legal" in operator.blockers(waits=False)[0].sentence
    with pytest.raises(WrongUsage):
        operator.switch("resume", {"note": "x" * 201})
    assert operator.switch("resume", {}) == ["Delivery is resumed."]
    assert (source.event_source, operator.blockers(waits=False)) == ("Enabled", ())
