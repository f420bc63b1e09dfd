"""The outline of an event accepts what a pydantic model of it would accept, and names the same fields."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audience_sync.errors import RejectedEvent
from audience_sync.segment.outline import EventOutline, Personas


class ModelOfPersonas(BaseModel):
    model_config = ConfigDict(extra="ignore")

    computation_class: str | None = None
    computation_key: str | None = None
    audience_settings: Any = None
    event_emitter_id: Any = None


class ModelOfContext(BaseModel):
    model_config = ConfigDict(extra="ignore")

    personas: ModelOfPersonas | None = None


class ModelOfEvent(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: str
    name: str | None = Field(None, alias="event")
    message_id: Any = Field(None, alias="messageId")
    context: ModelOfContext | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    timestamp: Any = None
    original_timestamp: Any = Field(None, alias="originalTimestamp")
    received_at: Any = Field(None, alias="receivedAt")


def by_the_model(element: dict[str, Any]) -> EventOutline | list[str]:
    """The outline by pydantic, or the names of the fields that it refuses."""
    try:
        read = ModelOfEvent.model_validate(element)
    except ValidationError as error:
        return sorted({str(fault["loc"][0]) for fault in error.errors()})
    personas = read.context.personas if read.context else None
    return EventOutline(
        read.type,
        read.name,
        Personas(**personas.model_dump()) if personas else None,
        read.message_id,
        read.properties,
        read.traits,
        read.timestamp,
        read.original_timestamp,
        read.received_at,
        element,
    )


HALF = "\ud800"  # half of a surrogate pair, as JSON may write it
TEXTS = st.sampled_from(["track", "", "ä", HALF])
OTHERS = st.sampled_from([None, True, 1, 1.5, [], ["x"], {}, {"x": 1}, {HALF: 1}, {"x": HALF}])
ANYTHING = TEXTS | OTHERS
PERSONAS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("computation_class", "computation_key", "audience_settings", "event_emitter_id", "x"), ANYTHING
    ),
)
CONTEXTS = st.fixed_dictionaries({}, optional={"personas": PERSONAS | ANYTHING, "x": ANYTHING})
FIELDS = ("event", "messageId", "properties", "traits", "timestamp", "originalTimestamp", "receivedAt", "raw", "x")
EVENTS = st.fixed_dictionaries(
    {}, optional={"type": TEXTS | OTHERS, "context": CONTEXTS | ANYTHING} | dict.fromkeys(FIELDS, ANYTHING)
)


@given(EVENTS)
def test_the_outline_is_that_of_a_pydantic_model(element: dict[str, Any]) -> None:
    expected = by_the_model(element)
    if isinstance(expected, EventOutline):
        assert EventOutline.parse(element) == expected
    else:
        with pytest.raises(RejectedEvent) as raised:
            EventOutline.parse(element)
        assert str(raised.value) == f"missing or mistyped: {', '.join(expected)}; map data to the whole event"


@pytest.mark.parametrize("element", [None, 1, "track", [], [{"type": "track"}]])
def test_only_an_object_is_an_event(element: Any) -> None:
    with pytest.raises(RejectedEvent, match="a JSON object with a type"):
        EventOutline.parse(element)
