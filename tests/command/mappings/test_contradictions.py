"""Which triggers hold for no event. One that can hold must never be taken for one that cannot."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.segment.trigger import matches
from audience_sync_cli.mappings.contradictions import can_hold

NEVER = [
    pytest.param('type = "group"', id="a type that says nothing of audiences"),
    pytest.param('type = "track" and type = "identify"', id="two types"),
    pytest.param('type = "track" and type != "track"', id="a type and not that type"),
    pytest.param('type = "page" or type = "screen"', id="two types of which none counts"),
    pytest.param('event = "A" and event = "B"', id="two names"),
    pytest.param('event = "A" and !contains(event, "A")', id="a name without itself"),
    pytest.param("properties.n > 5 and properties.n < 3", id="no number between"),
    pytest.param("properties.n > 5 and properties.n <= 5", id="an empty range"),
    pytest.param('properties.n > 5 and properties.n = "6"', id="a number that is a text"),
    pytest.param('properties.n > 5 and contains(properties.n, "6")', id="a number that contains a text"),
    pytest.param('match(event, "Audience*") and !contains(event, "Audi")', id="a beginning that must not be there"),
    pytest.param('match(event, "A*") and match(event, "B*")', id="two beginnings"),
    pytest.param('match(event, "*A") and match(event, "*B")', id="two ends"),
    pytest.param("traits.a = null and traits.a != null", id="null and not null"),
    pytest.param("traits.a = true and traits.a = false", id="true and false"),
    pytest.param('type = "track" and (event = "A" and event = "B")', id="inside a group"),
    pytest.param('type = "identify" and event = "Audience Entered"', id="an identify has no event name"),
    pytest.param('type = "identify" and contains(properties.a, "x")', id="an identify has no properties"),
    pytest.param('event = "A" and traits.a = true', id="a track has no traits"),
    pytest.param('name = "x" or name = "y"', id="neither has a name"),
    pytest.param('(type = "page" or type = "group") and event = "A"', id="each choice"),
]
SOMETIMES = [
    pytest.param('type = "track" or type = "identify"', id="the default"),
    pytest.param('type != "identify"', id="any other type"),
    pytest.param('type = "group" or event = "A"', id="one choice of two"),
    pytest.param('event = "A" or event = "B"', id="one of two names"),
    pytest.param("properties.n > 5 and properties.n < 6", id="between two numbers"),
    pytest.param("properties.n >= 5 and properties.n <= 5", id="exactly one number"),
    pytest.param("properties.n > 5 and properties.n != 6", id="above, but one"),
    pytest.param('traits.a != "x" and traits.a != null', id="something else than a text"),
    pytest.param('match(event, "Audience*") and match(event, "Audience E*") and match(event, "*ed")', id="patterns"),
    pytest.param('match(event, "A*") and !match(event, "*A")', id="a beginning that is not the end"),
    pytest.param('contains(event, "b") and !contains(event, "ab") and contains(event, "a")', id="apart"),
    pytest.param('!contains(event, "a") and !match(event, "b*")', id="nothing of two"),
    pytest.param('context.a = "x" and properties.a = "y"', id="two fields"),
    pytest.param('type = "identify" and event != "A"', id="what is missing differs"),
    pytest.param('event = "A" or traits.a = true', id="one of either type"),
]


CHOICES = " and ".join(f'(traits.t{number} = "a" or traits.t{number} = "b")' for number in range(12))
TOO_MANY = pytest.param(f'type = "group" and {CHOICES}', id="too many alternatives to try, which count as possible")


@pytest.mark.parametrize("trigger", NEVER)
def test_a_contradictory_trigger_can_never_hold(trigger: str) -> None:
    assert not can_hold(trigger)


@pytest.mark.parametrize("trigger", [*SOMETIMES, TOO_MANY])
def test_a_trigger_that_some_event_matches_can_hold(trigger: str) -> None:
    assert can_hold(trigger)


def test_a_mapping_of_rows_may_apply_to_an_event_of_any_type() -> None:
    assert not can_hold('type = "record"')
    assert can_hold('type = "record" and traits.a = 1', of_rows=True)
    assert not can_hold('type = "record" and type = "track"', of_rows=True)


CONDITIONS: Any = st.one_of(
    st.sampled_from(['type = "track"', 'type != "track"', 'type = "identify"', 'type = "page"']),
    st.builds("event {} {}".format, st.sampled_from(["=", "!="]), st.sampled_from(['"a"', '"ab"', '"b"'])),
    st.builds("properties.n {} {}".format, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.integers(0, 3)),
    st.builds("properties.n {} {}".format, st.sampled_from(["=", "!="]), st.sampled_from(["null", '"a"', '"b"'])),
    st.builds('{}contains(event, "{}")'.format, st.sampled_from(["", "!"]), st.sampled_from(["a", "b", "ab"])),
    st.builds(
        '{}match(event, "{}")'.format, st.sampled_from(["", "!"]), st.sampled_from(["a*", "ab*", "*b", "*a", "b*"])
    ),
)
TRIGGERS: Any = st.builds(str.join, st.sampled_from([" and ", " or "]), st.lists(CONDITIONS, min_size=1, max_size=5))
EVENTS: Any = st.just({"type": "identify", "traits": {}}) | st.fixed_dictionaries(
    {"type": st.just("track")},
    optional={
        "event": st.text(alphabet="abc", max_size=3),
        "properties": st.fixed_dictionaries(
            {}, optional={"n": st.integers(-1, 4) | st.sampled_from([0.5, 1.5, None, "a", "b", "c"])}
        ),
    },
)


@given(TRIGGERS, EVENTS)
def test_a_trigger_that_matches_an_event_is_never_called_impossible(trigger: str, event: Any) -> None:
    if matches(trigger, event):
        assert can_hold(trigger)
