"""The usual shapes of mappings and triggers have a quick way of their own, with the outcome of the general one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.errors import RejectedEvent
from audience_sync.segment.budget import Budget
from audience_sync.segment.directives import shapes
from audience_sync.segment.directives.paths import first_of_paths
from audience_sync.segment.directives.values import is_blank
from audience_sync.segment.mapping import compile_field
from audience_sync.segment.mapping_config import DEFAULT_MAPPING, first_passing
from audience_sync.segment.trigger import compile_trigger

NAMES = ["properties", "traits", "address", "street", "0", "1"]
VALUES = st.recursive(
    st.sampled_from([None, "", " ", "x", 0, -0.0, 1, False, True]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.dictionaries(st.sampled_from(NAMES), VALUES)
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(lambda names: "$." + ".".join(names))


def in_general(directive: Any) -> Any:
    """The same chain with an editor's note, with which it is no usual shape any more."""
    if not isinstance(directive, dict) or "@if" not in directive:
        return directive
    options = directive["@if"]
    return {"@if": options | {"_metadata": {}} | {"else": in_general(options["else"])}}


def outcome(directive: Any, event: dict[str, Any], steps: int) -> Any:
    budget = Budget(steps)
    try:
        return repr(compile_field(directive, at="f")(event, budget)), budget.steps_left
    except RejectedEvent as rejected:
        return rejected.reason


@given(st.sampled_from(["exists", "blank"]), st.lists(PATHS, min_size=2, max_size=5), EVENTS, st.sampled_from([5, 999]))
def test_a_chain_of_paths_gives_what_its_conditions_give(
    test: str, paths: list[str], event: dict[str, Any], steps: int
) -> None:
    chain = first_passing(test, *paths)
    found = outcome(chain, event, steps)
    expected = outcome(in_general(chain), event, steps)
    undefined = "audience_sync.segment.directives.values.Undefined"
    assert found == expected or (undefined in found[0] and undefined in expected[0] and found[1] == expected[1])


def test_all_chains_of_the_default_mapping_are_read_in_one_loop() -> None:
    for directive in DEFAULT_MAPPING.fields.values():
        if "@if" in directive:
            test = "exists" if "exists" in directive["@if"] else "blank"
            paths = shapes._paths_in_turn(directive["@if"], test)
            assert len(paths) > 1
            assert first_of_paths(paths, is_blank) is not None


@pytest.mark.parametrize(
    "options",
    [
        {"exists": {"@path": "a.b"}, "then": {"@path": "a.c"}, "else": {"@path": "a.d"}},
        {"exists": {"@path": "a.b"}, "then": {"@path": "a.b"}, "else": "x"},
        {"exists": {"@path": "a.b"}, "then": {"@path": "a.b"}},
        {"exists": {"@path": {"@path": "a.b"}}, "then": {"@path": {"@path": "a.b"}}, "else": {"@path": "a.d"}},
        {"exists": {"@path": "a.b"}, "then": {"@path": "a.b"}, "else": {"@path": "a.d", "_metadata": {}}},
        {"exists": {"@path": "a.b"}, "then": {"@path": "a.b"}, "else": {"@if": {"blank": 1, "then": 1, "else": 1}}},
    ],
)
def test_anything_else_is_no_chain_of_paths(options: dict[str, Any]) -> None:
    assert shapes._paths_in_turn(options, "exists") == []


@given(st.dictionaries(st.sampled_from(["type", "event"]), VALUES | st.sampled_from(["track", "identify"])))
def test_one_text_of_several_is_the_same_as_each_by_itself(event: dict[str, Any]) -> None:
    either = compile_trigger('type = "track" or type = "identify"')
    alone = [compile_trigger('type = "track"'), compile_trigger('type = "identify"')]
    assert either(event, Budget(0)) is any(trigger(event, Budget(0)) for trigger in alone)
    other = compile_trigger('type = "track" or event = "identify"')
    assert other(event, Budget(0)) is (event.get("type") == "track" or event.get("event") == "identify")
