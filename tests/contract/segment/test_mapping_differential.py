"""Our directives against Segment's own mapping kit, on generated cases and on every difference we chose."""

import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest

from audience_sync.errors import InvalidMapping
from audience_sync.segment.budget import Budget
from audience_sync.segment.default_mapping import DEFAULT_MAPPING
from audience_sync.segment.directives.values import UNDEFINED
from audience_sync.segment.mapping import compile_directive
from local.template import ROOT
from tests.contract.segment.mapping_cases import Generator
from tests.support import node

SEED = 2026
CASES = 6_000
EVENTS = ROOT / "events/segment"


class Compared(NamedTuple):
    """One case with both outcomes: {"value": ...}, {} for no value, {"fault": ...} for a refusal."""

    directive: Any
    event: dict[str, Any]
    ours: dict[str, Any]
    theirs: dict[str, Any]

    @property
    def agree(self) -> bool:
        if "fault" in self.ours or "fault" in self.theirs:
            return "fault" in self.ours and "fault" in self.theirs
        return canonical(self.ours) == canonical(self.theirs)

    @property
    def ours_alone_refuses(self) -> bool:
        return "fault" in self.ours and "fault" not in self.theirs

    @property
    def values_differ(self) -> bool:
        return not self.agree and "fault" not in self.ours and "fault" not in self.theirs


class Difference(NamedTuple):
    """A difference we chose. `cases` are those generated that it explains; `example` shows it."""

    why: str
    cases: int
    explains: Callable[[Compared], bool]
    example: tuple[Any, dict[str, Any]]
    ours: dict[str, Any]
    theirs: dict[str, Any]


def refused(words: str) -> Callable[[Compared], bool]:
    return lambda case: case.ours_alone_refuses and words in case.ours["fault"]


def segment_alone_fails(*words: str) -> Callable[[Compared], bool]:
    return lambda case: "fault" not in case.ours and any(word in case.theirs.get("fault", "") for word in words)


def written(*words: str) -> Callable[[Compared], bool]:
    return lambda case: (
        case.values_differ
        and any(word in json.dumps([case.directive, case.event], ensure_ascii=False) for word in words)
    )


def nested(depth: int) -> Any:
    return {"@literal": nested(depth - 1)} if depth else 1


LONG = "x" * 40_000

# The first that explains a case counts it, so the general ones stand last.
DIFFERENCES = {
    "an unknown option is refused": Difference(
        "Segment ignores a misspelt option, so the mapping does not do what was intended.",
        28,
        refused("unknown option"),
        ({"@if": {"exists": {"@path": "$.a"}, "then": 1, "otherwise": 2}}, {}),
        {"fault": "unknown option otherwise"},
        {},
    ),
    "brackets in a path hold a number or a quoted name": Difference(
        "Segment reads [*] as part of the name, which never matches anything.",
        0,
        refused("bad path"),
        ({"@path": "$.list[*].id"}, {"list": [{"id": 1}]}),
        {"fault": "bad path"},
        {},
    ),
    "$` and $' in a replacement are refused": Difference(
        "They repeat the text around every match, so its size grows quadratically.",
        0,
        refused("repeat the text"),
        ({"@replace": {"value": {"@path": "$.a"}, "pattern": "b", "replacement": "$`"}}, {"a": "abc"}),
        {"fault": "repeat the text"},
        {"value": "aac"},
    ),
    "braces in a template enclose a path": Difference(
        "Segment sends unclosed braces as text, and every member gets the same.",
        226,
        refused("the {{ at character"),
        ({"@template": "id-{{ a }"}, {"a": 1}),
        {"fault": "the {{ at character 4 is not closed"},
        {"value": "id-{{ a }"},
    ),
    "a directive has bounds": Difference(
        "Depth, number of values and length of strings, so that no document can exhaust the function.",
        0,
        refused("nested deeper"),
        (nested(40), {}),
        {"fault": "nested deeper than 32 levels"},
        {"value": 1},
    ),
    "faults are found before the first event": Difference(
        "Segment checks lists, literals and some options only when an event reaches them, or never.",
        18,
        lambda case: case.ours_alone_refuses,
        ({"@case": {"operator": "title", "value": {"@path": "$.a"}}}, {"a": 5}),
        {"fault": "not one of lower, upper"},
        {"value": 5},
    ),
    "no event can break a mapping": Difference(
        "Segment fails the event if a path or template from it is not a string, or if @transform does not get an "
        "object. Here there is no value: other fields may suffice.",
        224,
        segment_alone_fails("expected string, got", "data must be an object"),
        ({"@path": {"@path": "$.where"}}, {"where": 5}),
        {},
        {"fault": "@path: expected string, got number"},
    ),
    "@sha256 exists": Difference(
        "Not in Segment: hashes values that Amazon's normalization must not change.",
        0,
        segment_alone_fails("invalid directive: @sha256"),
        ({"@sha256": {"@path": "$.a"}}, {"a": "abc"}),
        {"value": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"fault": "has an invalid directive: @sha256"},
    ),
    "@liquid is refused": Difference(
        "One of Segment's destinations has it in a default mapping, not Amazon's; other directives say the same.",
        0,
        refused("Liquid templates are not read here"),
        ({"@liquid": "{{ a | upcase }}"}, {"a": "abc"}),
        {"fault": "write it with @template, @if, @case or @replace"},
        {"value": "ABC"},
    ),
    "integers stay exact": Difference(
        "Amazon's audience ids exceed 2**53; JavaScript rounds them, and another audience would get the member.",
        0,
        written("90071992547409"),
        ({"@template": "{{ id }}"}, {"id": 9_007_199_254_740_993}),
        {"value": "9007199254740993"},
        {"value": "9007199254740992"},
    ),
    "the length of a list or string is not reached": Difference(
        "Only members of the event itself are read.",
        0,
        written("length"),
        ({"@path": "$.list.length"}, {"list": [1, 2]}),
        {},
        {"value": 2},
    ),
    "nothing inherited is reached": Difference(
        "As above; {{ a.constructor }} would print program text into a record.",
        0,
        written("constructor"),
        ({"@template": "{{ a.constructor.name }}"}, {"a": {}}),
        {"value": ""},
        {"value": "Object"},
    ),
    "a value is never read as a template": Difference(
        "Segment searches the value of {{{ }}} for {{ }} again: an event could then insert other values.",
        0,
        written("{{a}", "{{ b }}"),
        ({"@template": "{{{ a }}}"}, {"a": "{{ b }}", "b": "secret"}),
        {"value": "{{ b }}"},
        {"value": "secret"},
    ),
    "a character beyond the basic plane is one character of a string": Difference(
        "JavaScript reads its two halves apart; half a character cannot be written in UTF-8.",
        2,
        written("😀"),
        ({"@path": "$.a.1"}, {"a": "😀!"}),
        {"value": "!"},
        {"value": "\ude00"},
    ),
    "a hole in a list is null when @transform passes it on": Difference(
        "A list has no holes in JSON; only a mapping inside the same @transform could see the difference.",
        1,
        lambda case: case.values_differ and "@transform" in json.dumps(case.directive),
        (
            {"@transform": {"apply": {"a": [{"@path": "$.b"}]}, "mapping": {"c": {"@path": "$.a.0"}}}},
            {},
        ),
        {"value": {"c": None}},
        {"value": {}},
    ),
    "a value over the size limits counts as missing": Difference(
        "An event is at most 32 kB when it enters Segment; strings over 32,768 characters are not written again.",
        0,
        written(LONG),
        ({"@template": "{{ a }}{{ a }}"}, {"a": LONG}),
        {},
        {"value": LONG * 2},
    ),
}


def ours(directive: Any, event: dict[str, Any]) -> dict[str, Any]:
    try:
        value = compile_directive(directive)(event, Budget())
    except InvalidMapping as error:
        return {"fault": str(error)}
    return {} if value is UNDEFINED else {"value": value}


def canonical(value: Any) -> str:
    """JSON knows one kind of number; key order and 1.0 against 1 do not count, true against 1 does."""
    return json.dumps(_one_kind_of_number(value), sort_keys=True)


def _one_kind_of_number(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _one_kind_of_number(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_one_kind_of_number(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def example_events() -> list[dict[str, Any]]:
    """Every event of the shared examples, those in batches too."""
    bodies = [json.loads(path.read_text()) for path in sorted(EVENTS.glob("[0-9]*.json"))]
    elements = [element for body in bodies for element in (body if isinstance(body, list) else [body])]
    return [element.get("json", element) for element in elements]


@cache
def compared() -> tuple[list[Compared], dict[str, Compared], list[Compared]]:
    """Ask Segment's code once for everything: generated cases, examples of differences, the default mapping."""
    node.required()
    generator = Generator(SEED)
    cases = [generator.case() for _ in range(CASES)] + [difference.example for difference in DIFFERENCES.values()]
    cases += [(DEFAULT_MAPPING.fields, event) for event in example_events()]
    every = [
        Compared(directive, event, ours(directive, event), theirs)
        for (directive, event), theirs in zip(cases, node.run("mapping.cjs", cases), strict=True)
    ]
    last = CASES + len(DIFFERENCES)
    return every[:CASES], dict(zip(DIFFERENCES, every[CASES:last], strict=True)), every[last:]


def test_every_generated_case_agrees_with_segment_or_differs_as_documented() -> None:
    cases, _, _ = compared()
    differ = [case for case in cases if not case.agree]
    reasons = [next((name for name, row in DIFFERENCES.items() if row.explains(case)), None) for case in differ]
    assert [case for case, reason in zip(differ, reasons, strict=True) if reason is None] == []
    assert dict(Counter(reasons)) == {name: row.cases for name, row in DIFFERENCES.items() if row.cases}


def test_generated_cases_cover_values_and_errors() -> None:
    cases, _, _ = compared()
    agreed = [case.ours for case in cases if case.agree]
    assert len([outcome for outcome in agreed if outcome.get("value") not in (None, "", {}, [])]) > CASES * 0.4
    assert len([outcome for outcome in agreed if "fault" in outcome]) > CASES * 0.05
    kinds = set("@path @template @literal @if @case @replace @arrayPath @json @merge @transform @flatten".split())
    assert all(any(kind in str(case.directive) for case in cases) for kind in kinds | {"@excludeWhenNull"})


def test_the_default_mapping_reads_every_example_event_as_segment_would() -> None:
    _, _, cases = compared()
    assert len(cases) > 25
    assert [case for case in cases if not case.agree] == []


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_documented_difference_from_segment_still_exists(name: str) -> None:
    row, case = DIFFERENCES[name], compared()[1][name]
    assert not case.agree
    assert row.explains(case)
    for expected, outcome in ((row.ours, case.ours), (row.theirs, case.theirs)):
        if "fault" in expected:
            assert expected["fault"] in outcome["fault"]
        else:
            assert outcome == expected
