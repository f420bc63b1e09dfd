"""The steps that mappings and triggers may take on one event. Work is counted in steps and calls, never in seconds."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.errors import InvalidMapping, RejectedEvent
from audience_sync.segment.budget import MAX_STEPS, Budget
from audience_sync.segment.compiled_mapping import CompiledMapping, Mapping, compile_mappings
from audience_sync.segment.directives.compiler import MAX_CHARACTERS
from audience_sync.segment.directives.paths import _DOUBLE, _TRIPLE, _parts
from audience_sync.segment.directives.values import MAX_TEXT, MAX_VALUES, UNDEFINED
from audience_sync.segment.mapping import compile_directive, resolve
from audience_sync.segment.mapping_config import parse_mappings
from audience_sync.segment.trigger import compile_trigger, matches
from tests.unit.segment.directives import case, decode, encode, flatten, merge, replace
from tests.unit.segment.test_mapping import Json, json_values, loose_directives

A: Json = {"@path": "$.a"}
LIST = [""] * (MAX_VALUES - 1)
OBJECT = {str(number): number for number in range(MAX_VALUES - 1)}
CALLS_A_STEP = 4  # functions, Python's own included; a step is one value or some characters


def many(directive: Json, count: int) -> Json:
    return [[directive] * min(100, count - start) for start in range(0, count, 100)]


@contextmanager
def counted_calls() -> Iterator[Callable[[], int]]:
    """Count the functions that are called, Python's own included."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield lambda: calls
    finally:
        sys.setprofile(before)


COSTLY = [
    pytest.param(merge("right", A, A), OBJECT, 150, id="@merge of objects"),
    pytest.param(merge("right", A), "x" * 9999, 300, id="@merge of texts"),
    pytest.param({"@sha256": A}, "x" * MAX_TEXT, 400, id="@sha256"),
    pytest.param({"@sha256": A}, "\ud800" * MAX_TEXT, 400, id="@sha256 of halves of characters"),
    pytest.param(case("upper", A), "x" * MAX_TEXT, 400, id="@case"),
    pytest.param(replace(A, "x", replacement="<$&>"), "x" * MAX_TEXT, 80, id="@replace"),
    pytest.param(replace(A, "X", ignorecase=True), "x" * MAX_TEXT, 5, id="@replace in any case"),
    pytest.param({"@if": {"blank": A, "then": 1}}, LIST, 200, id="@if of a list"),
    pytest.param({"@template": "{{ a }}"}, "x" * MAX_TEXT, 400, id="@template of a long text"),
    pytest.param({"@template": "{{ a }}"}, LIST, 400, id="@template of a list"),
    pytest.param({"@template": "{{ a }}"}, 10**4_000, 400, id="@template of a long number"),
    pytest.param({"@template": A}, "{{ a }}" * 285, 400, id="@template from the event"),
    pytest.param({"@path": A}, "a." * 1_000, 400, id="@path from the event"),
    pytest.param(encode(A), LIST, 400, id="@json encode"),
    pytest.param(encode(A), [1e-09] * 1000, 400, id="@json encode of numbers"),
    pytest.param(decode(A), f"[{'1,' * 16000}1]", 400, id="@json decode"),
    pytest.param(flatten(A, "_"), OBJECT, 200, id="@flatten"),
    pytest.param({"@excludeWhenNull": A}, OBJECT, 400, id="@excludeWhenNull"),
    pytest.param({"@arrayPath": ["$.a", {"b": {"@path": "$.c"}}]}, LIST, 100, id="@arrayPath"),
    pytest.param(
        {"@arrayPath": ["$.a", {str(number): {"@template": "{{ b }}"} for number in range(60)}]},
        [{"b": "x" * 400}] * 9_999,
        1,
        id="@arrayPath with 60 templates",
    ),
    pytest.param(
        {"@arrayPath": ["$.a", {"b": {"@arrayPath": ["$.b", {"c": {"@path": "$.d"}}]}}]},
        [{"b": [1] * 100}] * 1_000,
        1,
        id="@arrayPath in @arrayPath",
    ),
]


@pytest.mark.parametrize(("directive", "value", "count"), COSTLY)
def test_many_costly_directives_reject_the_event(directive: Json, value: Json, count: int) -> None:
    event = {"a": value}
    resolve_all = compile_directive(many(directive, count), at="fields.email")
    with counted_calls() as calls, pytest.raises(RejectedEvent) as rejection:
        resolve_all(event, Budget())
    assert rejection.value.reason == "mapping_too_costly"
    assert calls() < CALLS_A_STEP * MAX_STEPS


@pytest.mark.parametrize(("directive", "value", "count"), COSTLY[:-2])
def test_one_costly_directive_does_not_reject_the_event(directive: Json, value: Json, count: int) -> None:
    del count
    resolve(directive, {"a": value})


@pytest.mark.parametrize(
    "directive",
    [
        {"@sha256": A},
        case("lower", A),
        replace(A, "x"),
        {"@template": "{{ a }}"},
    ],
    ids=lambda directive: next(iter(directive)),
)
def test_a_string_over_32_768_characters_counts_as_missing_and_costs_no_step(directive: Json) -> None:
    budget = Budget(0)
    assert compile_directive(directive, at="f")({"a": "x" * (MAX_TEXT + 1)}, budget) is UNDEFINED


B: Json = {"@path": "$.b"}


@pytest.mark.parametrize(
    ("directive", "value", "steps"),
    [
        pytest.param(B, "x", 4, id="@path"),
        pytest.param({"@path": "$.b" + ".c" * 12}, "x", 10, id="a long @path"),
        pytest.param({"@path": B}, "c.d", 37, id="@path from the event"),
        pytest.param({"@template": "<{{ b }}-{{{ b }}}>"}, "x" * 40, 60, id="@template with two names"),
        pytest.param(replace(B, "X", replacement="yy", ignorecase=True), "x" * 64, 290, id="@replace in any case"),
        pytest.param(replace(B, "é", ignorecase=True), "É" * 64, 484, id="@replace beyond ASCII"),
        pytest.param(
            replace(B, "x", replacement="y", pattern2="y", replacement2="z"), "x" * 64, 36, id="@replace twice"
        ),
        pytest.param(encode(B), [1, 2], 58, id="@json encode"),
        pytest.param(decode(B), "[1,  2,  3]", 29, id="@json decode"),
        pytest.param({"@sha256": B}, "x" * 64, 30, id="@sha256"),
        pytest.param({"@sha256": B}, "\ud800" * 64, 68, id="@sha256 of halves of characters"),
        pytest.param({"@if": {"exists": B, "then": 1}}, "x", 12, id="@if exists"),
        pytest.param({"@if": {"blank": B, "then": 1}}, ["x"], 28, id="@if blank"),
        pytest.param(merge("right", B), {"a": 1, "b": 2}, 24, id="@merge"),
        pytest.param(flatten(B, "_"), {"a" * 40: {"b": 1}}, 71, id="@flatten"),
        pytest.param({"@excludeWhenNull": B}, {"a": 1, "b": None}, 50, id="@excludeWhenNull"),
    ],
)
def test_a_directive_costs_steps_for_each_item_of_a_list(directive: Json, value: Json, steps: int) -> None:
    budget = Budget(1_000)
    compile_directive({"@arrayPath": ["$.a", directive]}, at="f")({"a": [{"b": value}]}, budget)
    assert budget.steps_left == 1_000 - steps


@pytest.mark.parametrize("value", [[0] * 10_001, "x" * 10_001, {str(number): 0 for number in range(10_001)}])
def test_merge_ignores_values_over_the_limit(value: Json) -> None:
    assert resolve(merge("right", {"b": 1}, A), {"a": value}) == {"b": 1}


def test_flatten_counts_the_keys_of_empty_objects() -> None:
    value: Json = {"k" * 30_000: {str(number): {} for number in range(9)}}
    assert resolve(flatten(A, "_"), {"a": value}) is None


CONTAINS = " or ".join(f'contains(properties.a, "{"a" * 49}b")' for _ in range(40))


@pytest.mark.parametrize("length", [29_000, 400_000, 4_000_000])
def test_many_searches_of_a_long_text_reject_the_event(length: int) -> None:
    event = {"properties": {"a": "a" * length}}
    budget, holds = Budget(), compile_trigger(CONTAINS)
    with pytest.raises(RejectedEvent) as rejection:
        all(holds(event, budget) is False for _ in range(50))
    assert rejection.value.reason == "mapping_too_costly"


@pytest.mark.parametrize("text", ["a" * 60, "a" * 32_768, "a" * 4_000_000], ids=["short", "long", "longest"])
def test_one_search_of_a_long_text_does_not_reject_the_event(text: str) -> None:
    assert matches('contains(properties.a, "aab")', {"properties": {"a": text + "b"}})


def test_triggers_and_mappings_share_one_budget() -> None:
    document = [
        {
            "name": name,
            "trigger": 'type = "track" and contains(event, "Audience")',
            "fields": {"external_user_id": A, "email": [{"@sha256": {"@path": "$.b"}}] * 60},
        }
        for name in ("first", "second")
    ]
    first, second = compile_mappings(parse_mappings(document, compile_trigger), compile_trigger)
    event = {"type": "track", "event": "Audience " + "x" * 100_000, "a": "u1", "b": "x" * MAX_TEXT}
    budget = Budget()
    assert first.applies_to(event, budget)
    assert 0 < MAX_STEPS - budget.steps_left < MAX_STEPS // 2  # the trigger
    assert first.fields_of(event, budget)["external_user_id"] == "u1"
    between = budget.steps_left
    assert 0 < between < MAX_STEPS * 3 // 4
    assert second.applies_to(event, budget)
    assert second.fields_of(event, Budget(between))
    with pytest.raises(RejectedEvent):
        second.fields_of(event, Budget(between // 8))


def test_a_used_up_budget_stays_used_up() -> None:
    budget = Budget(5)
    with pytest.raises(RejectedEvent):
        budget.spend(6)
    with pytest.raises(RejectedEvent):
        budget.spend(1)


def test_the_last_step_of_a_budget_can_be_spent() -> None:
    budget = Budget(5)
    budget.spend(5)
    assert budget.steps_left == 0


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        pytest.param("x" * 31, 0, id="a short text costs nothing"),
        pytest.param("x" * 63, 1, id="only whole steps count"),
        pytest.param("x" * 64, 2, id="32 characters a step"),
        pytest.param("é" + "x" * 63, 8, id="beyond ASCII 8 characters a step"),
    ],
)
def test_a_string_costs_a_step_for_32_ascii_or_8_other_characters(text: str, steps: int) -> None:
    budget = Budget(10)
    budget.spend_on_text(text)
    assert budget.steps_left == 10 - steps


def test_member_of_costs_only_the_steps_of_external_user_id() -> None:
    costly: Json = [{"@sha256": {"@path": "$.b"}}] * 400
    mapping = CompiledMapping(Mapping("M", "", {"external_user_id": A, "email": costly}), lambda *_: True)
    assert mapping.member_of({"a": "u1", "b": "x" * MAX_TEXT}, Budget()) == "u1"
    assert CompiledMapping(Mapping("M", "", {}), lambda *_: True).member_of({}, Budget()) is None


def test_a_too_costly_event_is_rejected_with_a_remedy_and_no_value() -> None:
    with pytest.raises(RejectedEvent, match="shorten it") as rejection:
        resolve(many({"@sha256": A}, 400), {"a": "secret" * 5_000})
    assert "secret" not in str(rejection.value)
    assert len(rejection.value.detail) <= 200  # what an answer shows


@given(loose_directives, st.dictionaries(st.sampled_from("abc"), json_values, max_size=3), st.integers(0, 300))
def test_work_stays_within_the_budget_which_changes_no_value(
    directive: Json, event: dict[str, Json], steps: int
) -> None:
    try:
        read = compile_directive(directive, at="f")
    except InvalidMapping:
        return
    plenty, scarce = Budget(10**9), Budget(steps)
    with counted_calls() as calls:
        value = read(event, plenty)
    spent = 10**9 - plenty.steps_left
    document = len(json.dumps(directive))
    assert calls() <= 20 + CALLS_A_STEP * (spent + document)
    assert json.dumps(read(event, Budget(spent)), default=str) == json.dumps(value, default=str)
    if spent > steps:
        with pytest.raises(RejectedEvent):
            read(event, scarce)
    else:
        read(event, scarce)
    assert 0 <= scarce.steps_left <= steps


braces = st.lists(st.sampled_from(["{", "}", "{{", "}}", "{{{", "}}}", "a", " ", "\n"]), max_size=20).map("".join)


@given(braces)
def test_templates_are_split_as_by_segments_patterns(template: str) -> None:
    assert _parts(_TRIPLE, 3, template) == re.split(r"\{\{\{([^}]+)\}\}\}", template)
    assert _parts(_DOUBLE, 2, template) == re.split(r"\{\{([^}]+)\}\}", template)


@pytest.mark.parametrize("unit", ["{", "{{a ", "{{{a}", "}", "{}"])
def test_splitting_a_template_never_backtracks(unit: str) -> None:
    template = (unit * MAX_CHARACTERS)[:MAX_CHARACTERS]
    for pattern in (_TRIPLE, _DOUBLE):
        found = list(pattern.finditer(template))
        ends = [match.end() for match in found]
        # All that a match has tried is part of it, so that the next one begins behind it.
        assert all(start.start() >= end for start, end in zip(found[1:], ends, strict=False))
        assert all(match.end() == len(template) or template[match.end() - 1] == "}" for match in found)
