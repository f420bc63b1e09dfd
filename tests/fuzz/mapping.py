"""Targets of what an operator writes: mappings and triggers."""

import contextlib
import copy
import json

from audience_sync.errors import InvalidMapping, InvalidTrigger, RejectedEvent
from audience_sync.segment.budget import Budget
from audience_sync.segment.compiled_mapping import compile_mappings
from audience_sync.segment.mapping import resolve
from audience_sync.segment.mapping_config import parse_mappings
from audience_sync.segment.trigger import compile_trigger
from tests.fuzz.inputs import json_or_none
from tests.fuzz.invariants import has_only_json


def apply_mappings(data: bytes) -> None:
    """Input: JSON with `mappings`, a `directive` and an `event`.

    What is no mapping is InvalidMapping, when it is saved. A saved one fails on no event (at most it rejects it), gives
    JSON values, the same each time, and leaves the event as it was.
    """
    fields = json_or_none(data)
    if not isinstance(fields, dict):
        return
    event = fields.get("event")
    event = event if isinstance(event, dict) else {}
    before = json.dumps(event)
    try:
        _resolve(fields.get("directive"), event)
        mappings = compile_mappings(parse_mappings(fields.get("mappings"), compile_trigger), compile_trigger)
    except InvalidMapping as error:
        assert all(map(str.isprintable, error.faults))
        return
    for mapping in mappings:
        try:
            assert mapping.applies_to(event, Budget()) in (True, False)
            found = mapping.fields_of(event, Budget())
            again = mapping.fields_of(copy.deepcopy(event), Budget())
        except RejectedEvent:
            continue
        assert has_only_json(found)
        assert json.dumps(found) == json.dumps(again)
    assert json.dumps(event) == before, "a mapping has changed the event"


def _resolve(directive: object, event: dict[str, object]) -> None:
    with contextlib.suppress(InvalidMapping, RejectedEvent):
        assert has_only_json(resolve(directive, event))


def match_trigger(data: bytes) -> None:
    """Input: a trigger, an empty line, and an event in JSON.

    A text without a plain meaning is InvalidTrigger, at a position within the text. A trigger decides every event.
    """
    text, _, rest = data.partition(b"\n\n")
    try:
        trigger = text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        trigger = text.decode("latin-1")
    try:
        matches = compile_trigger(trigger)
    except InvalidTrigger as error:
        assert 0 <= error.position <= len(trigger)
        return
    event = json_or_none(rest)
    with contextlib.suppress(RejectedEvent):
        assert matches(event if isinstance(event, dict) else {}, Budget()) in (True, False)
