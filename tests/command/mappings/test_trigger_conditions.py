"""Which conditions of a trigger an event does not fulfil."""

from typing import Any

import pytest
from hypothesis import given

from audience_sync.segment.trigger import matches
from audience_sync_cli.mappings.trigger_conditions import failing_conditions
from tests.command.mappings.test_contradictions import EVENTS, TRIGGERS


@pytest.mark.parametrize(
    ("trigger", "failing"),
    [
        pytest.param('type = "track"', [], id="none"),
        pytest.param('type = "identify"', ['type = "identify"'], id="one"),
        pytest.param('type="track" and event   = "B"', ['event   = "B"'], id="as written"),
        pytest.param(
            '!contains(event, "A") and ( type = "track" or properties.n > 5 )',
            ['!contains(event, "A")', "properties.n > 5"],
            id="functions and groups",
        ),
        pytest.param('match(event, "A*") and properties.x = true', ["properties.x = true"], id="a boolean"),
        pytest.param("(properties.n=5)", [], id="a number that cannot end a trigger"),
    ],
)
def test_failing_conditions_are_quoted_from_the_trigger(trigger: str, failing: list[str]) -> None:
    event = {"type": "track", "event": "A", "properties": {"n": 5}}
    assert failing_conditions(trigger, event) == failing


@given(TRIGGERS, EVENTS)
def test_every_trigger_that_does_not_match_has_a_failing_condition(trigger: str, event: Any) -> None:
    assert matches(trigger, event) or failing_conditions(trigger, event)
