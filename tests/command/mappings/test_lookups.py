"""Where a directive looks for its value: every place, in this order, whatever the directive."""

from typing import Any

import pytest

from audience_sync.segment.budget import Budget
from audience_sync.segment.default_mapping import first_passing
from audience_sync.segment.directives.values import UNDEFINED
from audience_sync.segment.mapping import compile_directive
from audience_sync.segment.trigger import compile_trigger
from audience_sync_cli.mappings.lookups import Lookup, lookups_of

EVENT: dict[str, Any] = {
    "type": "track",
    "traits": {"email": "a@b.co", "phone": "", "first name": "Ada", "list": [{"id": 1}, {"id": 2}]},
    "properties": {"city": "Bonn", "state": None},
}
FIRST_OF_THREE = first_passing("blank", "$.properties.phone", "$.traits.phone", "$.traits.email")
THREE = [("$.properties.phone", UNDEFINED), ("$.traits.phone", "")]
FIRST_OF_TWO = first_passing("blank", "$.traits.email", "$.traits.phone")
CITY_IF_EMAIL = {"@if": {"exists": {"@path": "$.traits.email"}, "then": {"@path": "$.properties.city"}}}
EMAIL_AND_CITY = [("$.traits.email", "a@b.co"), ("$.properties.city", "Bonn")]
IDS = {"@arrayPath": ["$.traits.list", {"id": {"@path": "$.id"}}]}
FLAT = {"@flatten": {"separator": "_", "value": {"@path": "$.traits.list"}}}


@pytest.mark.parametrize(
    ("directive", "places"),
    [
        pytest.param({"@path": "$.traits.email"}, [("$.traits.email", "a@b.co")], id="a path"),
        pytest.param({"@path": "$.traits['first name']"}, [("$.traits['first name']", "Ada")], id="a quoted name"),
        pytest.param({"@path": "$.traits.list[1].id"}, [("$.traits.list[1].id", 2)], id="in a list"),
        pytest.param({"@path": "$.traits.missing"}, [("$.traits.missing", UNDEFINED)], id="a missing name"),
        pytest.param({"@path": "$.context.traits.email"}, [("$.context", UNDEFINED)], id="a missing holder"),
        pytest.param({"@path": "$.properties.state"}, [("$.properties.state", None)], id="null"),
        pytest.param(FIRST_OF_THREE, [*THREE, ("$.traits.email", "a@b.co")], id="the first of several"),
        pytest.param(FIRST_OF_TWO, [("$.traits.email", "a@b.co")], id="the first"),
        pytest.param({"@template": "{{ traits.email }} {{ properties.city }}"}, EMAIL_AND_CITY, id="a template"),
        pytest.param(CITY_IF_EMAIL, EMAIL_AND_CITY, id="a test and what follows"),
        pytest.param(IDS, [("$.traits.list[0].id", 1), ("$.traits.list[1].id", 2)], id="each item"),
        pytest.param(FLAT, [("$.traits.list", EVENT["traits"]["list"])], id="a whole value"),
        pytest.param("US", [], id="a constant"),
    ],
)
def test_lookups_list_every_path_that_a_directive_reads(directive: Any, places: list[tuple[str, Any]]) -> None:
    read = compile_directive(directive)
    assert lookups_of(lambda event: read(event, Budget()), EVENT) == [Lookup(*each) for each in places]


def test_the_lookups_list_every_field_that_a_trigger_reads() -> None:
    trigger = compile_trigger('type = "track" and properties.city = "Köln"')
    found = lookups_of(lambda event: trigger(event, Budget()), EVENT)
    assert found == [Lookup("$.type", "track"), Lookup("$.properties.city", "Bonn")]


def test_a_recorded_copy_resolves_like_the_event() -> None:
    read = compile_directive({"@merge": {"direction": "right", "objects": [{"@path": "$.traits"}, {"@path": "$."}]}})
    values: list[Any] = []
    lookups_of(lambda event: values.append(read(event, Budget())), EVENT)
    assert values == [read(EVENT, Budget())]
