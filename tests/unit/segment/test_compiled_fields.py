"""The quick ways of reading the usual mappings and triggers: the outcome and the steps of the general ones."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audience_sync.errors import RejectedEvent
from audience_sync.segment.budget import Budget
from audience_sync.segment.compiled_fields import MAX_STEPS, compile_fields, value_of
from audience_sync.segment.compiled_mapping import compile_field
from audience_sync.segment.default_mapping import DEFAULT_MAPPING, first_passing
from audience_sync.segment.directives import shapes
from audience_sync.segment.directives.compiler import NO_VALUE, Reader
from audience_sync.segment.directives.paths import FirstOfPaths, PathReader, first_of_paths
from audience_sync.segment.directives.values import is_blank
from audience_sync.segment.mapping import compile_directive
from audience_sync.segment.trigger import compile_trigger

NAMES = ["properties", "traits", "address", "street", "0", "1"]
LEAVES = st.sampled_from([None, "", " ", "x", 0, -0.0, 1, 0.5, False, True, "y" * 64])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.dictionaries(st.sampled_from(NAMES), VALUES)
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(lambda names: "$." + ".".join(names))
PATH = PATHS.map(lambda path: {"@path": path})
CHAINS = st.builds(
    lambda test, paths: first_passing(test, *paths),
    st.sampled_from(["exists", "blank"]),
    st.lists(PATHS, min_size=1, max_size=5),
)
OTHERS = st.sampled_from(
    [{"@path": "$."}, "DE", 7, None, ["x"], [], {"a": {"@path": "$.traits"}}, {"@template": "{{0}}"}]
)
COSTLY = PATHS.map(lambda path: {"@case": {"operator": "upper", "value": {"@path": path}}})
DIRECTIVES = st.lists(PATH | CHAINS | OTHERS | COSTLY, max_size=6)


def compiled(directives: list[Any]) -> list[Reader]:
    return [compile_field("f", directive).read for directive in directives]


def outcome(found: Any, budget: Budget) -> Any:
    try:
        return repr(found()), budget.steps_left
    except RejectedEvent as rejected:
        return rejected.reason


@given(DIRECTIVES, EVENTS, st.sampled_from([0, 1, 5, 999]))
@example([{"@path": "$.traits.0"}], {"traits": ["x"]}, 9)
@example([{"@path": "$.traits.address.0"}, {"@path": "$.traits.address.street"}], {"traits": {"address": ["x"]}}, 9)
@example([first_passing("blank", "$.traits.a", "$.traits.b")], {"traits": ""}, 9)
@example([first_passing("exists", "$.traits.a", "$.traits.b")], {"traits": {"a": "", "b": "x"}}, 9)
@example([first_passing("blank", "$.traits.a", "$.traits.b")], {"traits": {"a": "", "b": "x"}}, 9)
@example([first_passing("blank", "$.traits.a", "$.traits.b")], {"traits": {"a": ["x", "y"], "b": "x"}}, 999)
def test_all_fields_read_at_once_equal_each_field_read_alone(
    directives: list[Any], event: dict[str, Any], steps: int
) -> None:
    readers = compiled(directives)
    at_once, one_by_one = Budget(steps), Budget(steps)
    read = compile_fields(readers)
    found = outcome(lambda: read(event, at_once), at_once)
    assert found == outcome(lambda: [value_of(reader, event, one_by_one) for reader in readers], one_by_one)


def test_ordinary_strings_are_read_without_calling_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    read = compile_fields(compiled(list(DEFAULT_MAPPING.fields.values())))
    for kind in (PathReader, FirstOfPaths):
        monkeypatch.setattr(kind, "__call__", lambda *_: pytest.fail("asked a reader"))
    event = {
        "userId": "cust_1",
        "context": {"personas": {"external_audience_id": "418"}, "traits": {"email": "a@example.com"}},
        "properties": {"phone": "+1", "address": "1 Main St"},
        "traits": {"firstName": "Ada", "address": {"city": "Bonn"}},
    }
    found = dict(zip(DEFAULT_MAPPING.fields, read(event, Budget(0)), strict=True))
    assert {name: value for name, value in found.items() if value is not None} == {
        "external_user_id": "cust_1",
        "audience_id": "418",
        "email": "a@example.com",
        "phone": "+1",
        "first_name": "Ada",
        "address": "1 Main St",
        "city": "Bonn",
    }


def test_a_list_of_one_is_unwrapped() -> None:
    read = compile_fields(compiled([{"@path": "$.a"}, ["x"], ["x", "y"], [["x"]]]))
    assert read({"a": ["b"]}, Budget()) == ["b", "x", ["x", "y"], ["x"]]


def test_a_field_without_a_directive_has_no_value() -> None:
    assert compile_fields([NO_VALUE])({}, Budget()) == [None]
    assert compile_fields([])({}, Budget()) == []


@pytest.mark.parametrize("steps", [MAX_STEPS, MAX_STEPS + 1, 1_000])
def test_a_path_of_1_000_steps_is_read(steps: int) -> None:
    event: dict[str, Any] = {"a": "found"}
    for _ in range(steps - 1):
        event = {"a": event}
    reader = compile_field("f", {"@path": ".".join("a" * steps)}).read
    assert compile_fields([reader])(event, Budget()) == ["found"]


def in_general(directive: Any) -> Any:
    """The same chain with an editor's note, with which it is no usual shape any more."""
    if not isinstance(directive, dict) or "@if" not in directive:
        return directive
    options = directive["@if"]
    return {"@if": options | {"_metadata": {}} | {"else": in_general(options["else"])}}


def _outcome_of(directive: Any, event: dict[str, Any], steps: int) -> Any:
    budget = Budget(steps)
    return outcome(lambda: compile_directive(directive, at="f")(event, budget), budget)


@given(st.sampled_from(["exists", "blank"]), st.lists(PATHS, min_size=2, max_size=5), EVENTS, st.sampled_from([5, 999]))
def test_a_chain_of_paths_equals_its_nested_conditions(
    test: str, paths: list[str], event: dict[str, Any], steps: int
) -> None:
    chain = first_passing(test, *paths)
    found, expected = (_outcome_of(each, event, steps) for each in (chain, in_general(chain)))
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
def test_other_conditions_are_not_a_chain_of_paths(options: dict[str, Any]) -> None:
    assert shapes._paths_in_turn(options, "exists") == []


@given(st.dictionaries(st.sampled_from(["type", "event"]), VALUES | st.sampled_from(["track", "identify"])))
def test_an_equality_with_several_strings_equals_the_single_ones(event: dict[str, Any]) -> None:
    either = compile_trigger('type = "track" or type = "identify"')
    alone = [compile_trigger('type = "track"'), compile_trigger('type = "identify"')]
    assert either(event, Budget(0)) is any(trigger(event, Budget(0)) for trigger in alone)
    other = compile_trigger('type = "track" or event = "identify"')
    assert other(event, Budget(0)) is (event.get("type") == "track" or event.get("event") == "identify")
