"""What single events say of membership, beyond the examples of test_intake.py."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audience_sync.errors import RejectedEvent
from audience_sync.segment.event import Kind, read, safe_id

NOW = 1_800_000_000_000  # epoch milliseconds
KEY = "lapsed_premium_buyers"


def event(**fields: Any) -> dict[str, Any]:
    personas = {"computation_class": "audience", "computation_key": KEY}
    made = {"type": "track", "messageId": "m1", "context": {"personas": personas}, "properties": {KEY: True}}
    return made | fields


@pytest.mark.parametrize("name", ["Audience Entered", "Audience Exited"])
def test_without_personas_only_a_track_call_states_membership_by_its_name(name: str) -> None:
    tracked = {"type": "track", "event": name, "properties": {"audience_key": KEY}}
    assert read(tracked, NOW).kind in (Kind.ENTER, Kind.EXIT)
    assert read(tracked | {"type": "identify"}, NOW).kind is Kind.IGNORE


def test_an_event_that_is_nested_too_deep_to_be_written_has_an_id_all_the_same() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    found = safe_id(None, nested)
    assert found.startswith("sha256:")
    assert found == safe_id(nested, {}), "and each of them has the same"


@pytest.mark.parametrize("time_field", ["timestamp", "originalTimestamp", "receivedAt"])
def test_an_event_may_be_five_minutes_ahead_and_not_a_millisecond_more(time_field: str) -> None:
    in_five_minutes = "2027-01-15T08:05:00.000Z"
    assert read(event(**{time_field: in_five_minutes}), NOW).at == NOW + 300_000
    ahead = read(event(**{time_field: "2027-01-15T08:05:00.001Z"}), NOW)
    assert ahead.rejection is not None
    assert ahead.rejection[0] == "time_ahead"


@pytest.mark.parametrize(
    ("message_id", "is_kept"), [pytest.param("x" * 100, True, id="100"), pytest.param("x" * 101, False, id="101")]
)
def test_a_message_id_of_up_to_100_characters_is_kept(message_id: str, is_kept: bool) -> None:
    assert (safe_id(message_id, {}) == message_id) is is_kept


class _Personas(BaseModel):
    computation_class: str | None = None
    computation_key: str | None = None


class _Context(BaseModel):
    personas: _Personas | None = None


class _Outline(BaseModel):
    """What read() checks by hand, said once more for pydantic."""

    model_config = ConfigDict(extra="ignore")

    type: str
    name: str | None = Field(None, alias="event")
    context: _Context | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None


def faults_by_pydantic(element: Any) -> list[str]:
    try:
        _Outline.model_validate(element)
    except ValidationError as error:
        return sorted({str(fault["loc"][0]) for fault in error.errors(include_input=False, include_url=False)})
    return []


ANYTHING = st.sampled_from(
    [None, "", "track", "audience", "\ud800", "\U0001f600", 1, True, 1.5, [], ["x"], {}, {"é": 1}]
)
HOLDERS = ANYTHING | st.dictionaries(st.sampled_from(["a", "é", "\ud800", "b\udfff"]), ANYTHING)
PERSONAS = HOLDERS | st.fixed_dictionaries(
    {}, optional={"computation_class": ANYTHING, "computation_key": ANYTHING, "audience_settings": ANYTHING}
)
CONTEXTS = HOLDERS | st.fixed_dictionaries({}, optional={"personas": PERSONAS, "traits": ANYTHING})
OUTLINES = st.fixed_dictionaries(
    {},
    optional={"type": ANYTHING, "event": ANYTHING, "context": CONTEXTS, "properties": HOLDERS, "traits": HOLDERS},
)


@given(OUTLINES)
def test_an_event_is_refused_for_the_fields_that_pydantic_finds_at_fault(element: dict[str, Any]) -> None:
    faults = faults_by_pydantic(element)
    try:
        read(element, NOW)
        found = ""
    except RejectedEvent as rejected:
        found = rejected.detail if rejected.reason == "not_an_event" else ""
    expected = f"missing or mistyped: {', '.join(faults)}; map data to the whole event" if faults else ""
    assert found == expected
