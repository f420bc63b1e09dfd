"""`test`: one line for each part, and a remedy where something is missing."""

import json
import time

import pytest

from audience_sync.aws.audience_table import MAPPINGS_KEY
from cli.checks import test as run
from cli.errors import AlreadyReported
from tests.unit.cli.conftest import CLIENT_SECRET, EVENT_KEY, Json, Simulation


def findings(simulation: Simulation, printed: Json) -> dict[str, tuple[str, str]]:
    with pytest.raises(AlreadyReported):  # nobody serves the gateway here
        run(simulation.session(as_json=True))
    return {each["part"]: (each["state"], each["remedy"]) for each in printed()["findings"]}


def test_a_new_stack_says_what_to_do_first(simulation: Simulation, printed: Json) -> None:
    found = findings(simulation, printed)
    assert found["event key"] == ("ok", "")
    assert found["Amazon credentials"] == ("missing", "audience-sync connect")
    assert found["Amazon Ads"][0] == "missing"
    assert found["audience key"] == ("note", "audience-sync keys rotate audience")
    assert found["audience table"] == ("note", "audience-sync audiences link")


def test_a_connected_stack_is_in_order_but_for_the_gateway(simulation: Simulation, printed: Json) -> None:
    simulation.connect()
    simulation.list_audience()
    simulation.stack.service("lambda").invoke(FunctionName="RefreshFunction", Payload=b"{}")
    found = findings(simulation, printed)
    assert [part for part, (state, _) in found.items() if state == "missing"] == ["gateway"]


def test_a_weak_event_key_is_missing(simulation: Simulation, printed: Json) -> None:
    simulation.put_secret("IngestSecret", {"eventKey": "too-short"})
    assert findings(simulation, printed)["event key"] == ("missing", "audience-sync keys rotate event")


def test_an_expired_token_is_missing(simulation: Simulation, printed: Json) -> None:
    simulation.put_secret("TokenSecret", {"accessToken": "Atza|old", "expiresAt": time.time() - 1})
    assert findings(simulation, printed)["access token"][0] == "missing"


def test_one_part_that_fails_does_not_hide_the_others(simulation: Simulation, printed: Json) -> None:
    simulation.stack.service("secretsmanager").put_secret_value(
        SecretId=simulation.stack["IngestSecret"], SecretString="no json"
    )
    found = findings(simulation, printed)
    assert found["ingest secret"][0] == "missing"
    assert found["change queue"][0] == "ok"


@pytest.mark.parametrize("document", ["{not json", '"text"', "null", '{"mappings": [{"name": "Mine"}]}'])
def test_mappings_that_ingest_cannot_use_are_missing(simulation: Simulation, printed: Json, document: str) -> None:
    item = {"audienceId": {"S": MAPPINGS_KEY}, "document": {"S": document}}
    simulation.stack.service("dynamodb").put_item(TableName=simulation.stack["AudienceTable"], Item=item)
    assert findings(simulation, printed)["mappings"] == ("missing", "audience-sync mappings apply")


def test_mappings_that_are_all_disabled_are_worth_a_note(simulation: Simulation, printed: Json) -> None:
    mapping = {"name": "Mine", "trigger": 'type = "track"', "fields": {"email": {"@path": "$.email"}}, "enabled": False}
    mapping["fields"] |= {"external_user_id": {"@path": "$.userId"}}  # type: ignore[operator]
    item = {"audienceId": {"S": MAPPINGS_KEY}, "document": {"S": json.dumps([mapping])}}
    simulation.stack.service("dynamodb").put_item(TableName=simulation.stack["AudienceTable"], Item=item)
    assert findings(simulation, printed)["mappings"] == ("note", "audience-sync mappings show")


def test_no_secret_is_shown(simulation: Simulation, capsys: pytest.CaptureFixture[str]) -> None:
    simulation.connect()
    with pytest.raises(AlreadyReported):
        run(simulation.session())
    shown = "".join(capsys.readouterr())
    assert EVENT_KEY not in shown
    assert CLIENT_SECRET not in shown
