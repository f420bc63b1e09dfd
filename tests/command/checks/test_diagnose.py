"""`diagnose`: reads the facts from a stack and from Amazon, and says the most likely reason first."""

from dataclasses import replace
from typing import Any

import pytest

from audience_sync.amazon_ads.destination import amc_connection
from audience_sync_cli.checks.audience_readings import AudienceReadings
from audience_sync_cli.checks.diagnose import diagnose
from audience_sync_cli.frame.errors import AlreadyReported
from audience_sync_cli.frame.times import DAY
from tests.command.conftest import NOW, Deployment, change
from tests.support.aws_fixtures import AUDIENCE

KEY = "lapsed_premium_buyers"


def run(deployment: Deployment, audience: str = KEY, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return the JSON document, in which something is wrong, and its findings by their check."""
    document = deployment.json(diagnose, audience, now=NOW, raises=AlreadyReported, **options)
    return document, {each["check"]: each for each in document["findings"]}


@pytest.fixture(autouse=True)
def connected(deployment: Deployment) -> None:
    deployment.connect()
    deployment.put_secret("TokenSecret", {"accessToken": "", "expiresAt": 0})
    deployment.list_audience()


def test_reasons_follow_the_way_of_a_change(deployment: Deployment) -> None:
    document, found = run(deployment)
    assert (document["audienceId"], document["ok"]) == (AUDIENCE.audience_id, False)
    assert document["reasons"] == ["events", "access token"]
    known = {"state": "ok", "found": "Amazon knows it.", "next": "", "unread": False}
    assert found["Amazon's audience"] == known | {"check": "Amazon's audience"}
    deployment.stack.service("lambda").event_source = "Disabled"
    assert run(deployment)[0]["reasons"][0] == "delivery", "which comes first"


def test_readings_come_from_tables_queues_and_metrics_of_the_last_7_days(deployment: Deployment) -> None:
    deployment.record(change("m1", at=5), change("m2", at=7), change("m3", exits=True), change("m4", audience_id="5"))
    deployment.park(change("m1"), change("m2"))
    deployment.park(change("m9", audience_id="5"), reason="access_denied")
    deployment.send("ChangeQueue", "{}")
    deployment.publish(NOW - 6 * DAY, EventsAccepted=3)
    deployment.publish(NOW - 8 * DAY, EventsAccepted=100)
    deployment.publish(NOW - DAY, TokenRefreshFailed=1)
    deployment.publish(NOW - 600, EventsRejected=2)
    deployment.publish(NOW - 600, {"reason": "consent_missing"}, EventsRejectedByReason=2)
    for audience_id, processed in ((AUDIENCE.audience_id, 90), ("5", 10)):
        deployment.publish(NOW - 600, {"audience": audience_id}, AudienceProcessed=processed)
    readings = AudienceReadings.of(deployment.session(now=NOW), KEY, days=7, counts_members=True)
    assert readings.members is not None
    assert (readings.members.inside, readings.members.outside, readings.members.newest_enter) == (2, 1, 7)
    assert (readings.parked, readings.change_queue.total) == ({"request_rejected": 2}, 1)
    traffic = readings.traffic
    assert (traffic.accepted, traffic.rejected, traffic.refreshes_failed) == (3, 2, 0)
    assert (readings.rejections, readings.lowest_processed) == ({"consent_missing": 2}, 90)


@pytest.mark.parametrize("name", [AUDIENCE.audience_id, KEY])
def test_an_audience_is_found_by_its_id_and_by_its_key(deployment: Deployment, name: str) -> None:
    assert AudienceReadings.of(deployment.session(), name, days=1, counts_members=False).audience == AUDIENCE


def test_an_audience_that_is_not_listed_is_a_finding(deployment: Deployment) -> None:
    document, _ = run(deployment, "no_such_key")
    assert (document["audienceId"], "listing" in document["reasons"]) == (None, True)
    _, found = run(deployment, "lapsed_premium_buyer")
    assert (f"Did you mean {KEY} (" in found["listing"]["found"], "entries" in found) == (True, False)


def test_members_can_be_left_out(deployment: Deployment) -> None:
    deployment.record(change("m1"))
    _, found = run(deployment, count=False)
    assert found["entries"]["found"] == "Members were not counted: they were left out."


def test_an_unread_queue_does_not_hide_other_findings(deployment: Deployment) -> None:
    deployment.stack._names["DeadLetterQueue"] = deployment.stack["DeadLetterQueue"] + "-gone"
    _, found = run(deployment)
    assert [name for name, each in found.items() if each["unread"]] == ["parked changes"]
    parked = found["parked changes"]
    assert (parked["state"], parked["found"].startswith("Not checked. "), parked["next"]) == ("look", True, "")


def test_terms_are_checked_for_an_audience_with_a_connection(deployment: Deployment) -> None:
    connection = deployment.session().amazon.create_connection({"amcInstanceId": "amc1"})
    deployment.list_audience(replace(AUDIENCE, destination=amc_connection(connection)))
    _, found = run(deployment)
    assert found["target and terms"]["found"].startswith("The terms of Amazon Marketing Cloud are not accepted")
    assert found["target and terms"]["next"] == "audience-sync terms show --text"


def test_each_reason_is_printed_above_its_next_command(deployment: Deployment) -> None:
    lines = deployment.printed(diagnose, KEY, now=NOW, raises=AlreadyReported).out.splitlines()
    assert lines[0] == f"Audience Lapsed premium buyers ({AUDIENCE.audience_id})"
    start = lines.index("Possible reasons, the most likely first:")
    assert lines[start + 1].startswith("1. events: No event arrived in the last 7 days. If a sample reaches Amazon,")
    assert f"its URL is {deployment.stack.api}/v1/events," in lines[start + 1]
    assert lines[start + 2] == f"   audience-sync send --sample track --audience {KEY} --wait"


def test_a_healthy_audience_exits_with_0(deployment: Deployment) -> None:
    deployment.stack.service("lambda").invoke(FunctionName="RefreshFunction", Payload=b"{}")
    deployment.put_secret("TokenSecret", deployment.secret("TokenSecret") | {"expiresAt": NOW + 3_000})
    deployment.publish(NOW - 600, EventsAccepted=3)
    assert deployment.printed(diagnose, KEY, count=False, now=NOW).out.splitlines()[-1] == "No problem found."
