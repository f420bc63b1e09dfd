"""Directives: what each gives, what is refused and how, and that no event can do harm."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.errors import InvalidMapping
from audience_sync.segment.budget import Budget
from audience_sync.segment.default_mapping import first_passing
from audience_sync.segment.directives.compiler import MAX_CHARACTERS, MAX_DEPTH, MAX_SIZE
from audience_sync.segment.directives.shapes import MAX_KEYS
from audience_sync.segment.directives.values import (
    MAX_NESTING,
    MAX_TEXT,
    MAX_VALUES,
    UNDEFINED,
    is_small,
    json_text,
    number_text,
    text_of,
)
from audience_sync.segment.mapping import DIRECTIVES, compile_directive, resolve
from tests.support.builders import sha256
from tests.support.steps import counted_steps
from tests.unit.segment.directives import case, decode, either, encode, flatten, merge, replace, transform

EVENT = {
    "userId": "cust_1",
    "n": 7,
    "zero": 0,
    "no": False,
    "empty": "",
    "blank": " ",
    "traits": {"a.b": 1, "x y": 2},
    "products": [{"id": "p1", "price": 1.0}, {"id": "p2", "price": 2.5}],
}

type Json = Any


def deep_list(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = [value]
    return value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc@"), inner, max_size=3),
    max_leaves=12,
)

directive_names = st.sampled_from(sorted(DIRECTIVES))
option_names = st.sampled_from(
    """
    value pattern replacement pattern2 mode operator exists blank then else objects direction apply mapping separator
    """.split()
)
loose_directives = st.recursive(
    json_values | st.sampled_from(["$.a", "$.b.c", "{{ a }}{{{ b }}}", "right", "left", "lower", "encode", "decode"]),
    lambda inner: (
        st.dictionaries(directive_names, inner, min_size=1, max_size=1)
        | st.dictionaries(directive_names, st.dictionaries(option_names, inner, max_size=4), min_size=1, max_size=1)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("userId", "cust_1", id="the $. may be missing"),
        pytest.param('$.traits["x y"]', 2, id="quoted name, double"),
        pytest.param("$.traits['a.b']", None, id="a dot inside quotes still separates"),
        pytest.param("$.products[2].id", None, id="beyond the list"),
        pytest.param("$.products[01].id", None, id="01 is no position"),
        pytest.param("$.products.-1.id", None, id="nothing counts from the end"),
        pytest.param("$.products.length", None, id="a list has no length"),
        pytest.param("$.userId.0", "c", id="a character of a text"),
        pytest.param("$.traits.__class__", None, id="no attributes"),
        pytest.param("$.empty.deeper", "", id="a falsy value ends the path: empty text"),
        pytest.param("$.n.deeper", None, id="a number holds nothing"),
        pytest.param("$", None, id="a bare $ is a key"),
        pytest.param("", EVENT, id="the empty path too"),
        pytest.param({"@path": "$.n"}, None, id="a path that is no text"),
    ],
)
def test_a_path_reads_only_members_of_the_event(path: Json, expected: Any) -> None:
    assert resolve({"@path": path}, EVENT) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param("{{{userId}}}-{{{n}}}", "cust_1-7", id="triple braces twice"),
        pytest.param("{{zero}} {{no}}", "0 false", id="0 and false print"),
        pytest.param("{{traits}}", "[object Object]", id="objects as JavaScript prints them"),
        pytest.param("{{products.0.price}} {{products.1.price}}", "1 2.5", id="numbers as JavaScript prints them"),
        pytest.param("{{$.n}}", "", id="$. is not removed in a template"),
        pytest.param("{{\u00a0n\ufeff}}", "7", id="white space is JavaScript's"),
        pytest.param("{ {n} } {}", "{ {n} } {}", id="single braces stay"),
        pytest.param({"@path": "$.n"}, None, id="a template that is no text"),
    ],
)
def test_a_template_prints_values_as_javascript_does(template: Json, expected: Any) -> None:
    assert resolve({"@template": template}, EVENT) == expected


LOWER: Json = case("lower", {"@path": "$.userId"})
MISSING: Json = {"@path": "$.missing"}
LIST: Json = {"@path": "$.products"}


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        pytest.param(either("exists", LOWER, 1, 2), 1, id="if"),
        pytest.param(either("exists", LOWER, LOWER, 2), "cust_1", id="if: itself"),
        pytest.param(either("exists", MISSING, MISSING, LOWER), "cust_1", id="if: else"),
        pytest.param(either("blank", LIST, LIST, 2), EVENT["products"], id="if: a list"),
        pytest.param(
            {"@arrayPath": ["$.traits", {"u": {"@sha256": {"@path": "$.x y"}}}]},
            [{"u": sha256("2")}],
            id="arrayPath: an object",
        ),
        pytest.param(transform({"a": LOWER}, {"b": {"@path": "$.a"}}), {"b": "cust_1"}, id="transform"),
        pytest.param(
            merge("right", {"@arrayPath": [LOWER]}),
            {"0": "c", "1": "u", "2": "s", "3": "t", "4": "_", "5": "1"},
            id="merge",
        ),
        pytest.param(flatten(LOWER, "_"), {"": "cust_1"}, id="flatten"),
        pytest.param(decode(LOWER), "cust_1", id="json"),
        pytest.param({"@sha256": 7}, sha256("7"), id="sha256 of a number"),
    ],
)
def test_directives_can_be_nested_in_directives(directive: Json, expected: Any) -> None:
    assert resolve(directive, EVENT) == expected


def test_a_value_is_never_read_as_a_template() -> None:
    assert resolve({"@template": "{{{ a }}} {{ a }}"}, {"a": "{{ b }}", "b": "secret"}) == "{{ b }} {{ b }}"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1.0, "1"),
        (-0.0, "0"),
        (1.5e300, "1.5e+300"),
        (1e20, "100000000000000000000"),
        (1e-6, "0.000001"),
        (-1.25e-7, "-1.25e-7"),
        (float("inf"), "Infinity"),
        (float("nan"), "NaN"),
        (10**30, "1" + "0" * 30),
    ],
)
def test_a_number_is_printed_as_in_javascript(number: float, expected: str) -> None:
    assert number_text(number) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_number_reads_back_as_the_same_number(number: float) -> None:
    assert float(number_text(number)) == number


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        pytest.param({"@literal": {"a": 1, "b": {"@path": "$.n"}}}, {"a": 1, "b": 7}, id="literal: directives resolve"),
        pytest.param("$.userId", "$.userId", id="a plain text is no path"),
        pytest.param({"@path": "$.n", "_metadata": {"x": 1}}, 7, id="_metadata may be beside it"),
        pytest.param({"_metadata": 1}, {"_metadata": 1}, id="_metadata alone is an object"),
        pytest.param([{"@path": "$.missing"}, {"@path": "$.n"}], [None, 7], id="undefined in a list is null"),
        pytest.param({"a" * MAX_CHARACTERS: 1}, {"a" * MAX_CHARACTERS: 1}, id="the longest key"),
    ],
)
def test_a_value_that_is_not_a_directive_is_a_constant(directive: Json, expected: Any) -> None:
    assert resolve(directive, EVENT) == expected


@pytest.mark.parametrize(
    ("value", "exists", "blank"),
    [
        pytest.param("$.empty", "then", "else", id="empty text"),
        pytest.param("$.blank", "then", "then", id="white space"),
        pytest.param("$.zero", "then", "else", id="0"),
        pytest.param("$.products", "then", "then", id="list"),
    ],
)
def test_if_tests_for_existing_or_for_not_blank(value: str, exists: str, blank: str) -> None:
    branches = {"then": "then", "else": "else"}
    assert resolve({"@if": {"exists": {"@path": value}, **branches}}, EVENT) == exists
    assert resolve({"@if": {"blank": {"@path": value}, **branches}}, EVENT) == blank


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        pytest.param(case("upper", {"@path": "$.limit"}), "X" * MAX_TEXT, id="the longest"),
        pytest.param(case("upper", {"@path": "$.beyond"}), None, id="a character longer"),
        pytest.param({"@template": {"@path": "$.t"}}, "7", id="a template from the event"),
        pytest.param({"@path": {"@path": "$.long"}}, None, id="a path that is too long"),
        pytest.param({"@template": {"@path": "$.long"}}, None, id="a template that is too long"),
        pytest.param({"@template": {"@path": "$.longest"}}, "x" * MAX_CHARACTERS, id="the longest template"),
        pytest.param({"@template": "{{ text }}{{ text }}"}, "x" * MAX_TEXT, id="the longest text of a template"),
        pytest.param({"@template": "{{ text }}{{ text }}!"}, None, id="a text that is too long"),
        pytest.param({"@path": "$.deep.$.n"}, 5, id="only the first $. is removed"),
        pytest.param({"@path": {"@path": "$.p"}}, 5, id="also of a path from the event"),
        pytest.param(first_passing("exists", "$.deep.$.x", "$.deep.$.n"), 5, id="and of several paths"),
        pytest.param({"@path": case("lower", {"@path": "$.up"})}, 7, id="in capitals"),
        pytest.param({"@path": "n." + "x" * (MAX_CHARACTERS - 2)}, None, id="the longest path"),
    ],
)
def test_paths_templates_and_texts_have_a_longest_length(directive: Json, expected: Any) -> None:
    event = {
        "a": "$.n",
        "n": 7,
        "p": "$.deep.$.n",
        "up": "$.N",
        "t": "{{ n }}",
        "deep": {"$": {"n": 5}},
        "long": "x" * (MAX_CHARACTERS + 1),
        "longest": "x" * MAX_CHARACTERS,
        "text": "x" * (MAX_TEXT // 2),
        "limit": "x" * MAX_TEXT,
        "beyond": "x" * (MAX_TEXT + 1),
    }
    assert resolve(directive, event) == expected


LONGEST = "x" * MAX_TEXT


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        pytest.param([""] * MAX_VALUES, [""] * (MAX_VALUES + 1), id="values of a list"),
        pytest.param([[""] * (MAX_VALUES - 2), []], [[""] * (MAX_VALUES - 2), [""]], id="values of all lists"),
        pytest.param(LONGEST, LONGEST + "x", id="a text"),
        pytest.param([[LONGEST]], [[LONGEST], ["x"]], id="texts of all lists"),
        pytest.param({LONGEST: ""}, {LONGEST + "x": ""}, id="keys"),
        pytest.param([LONGEST[30:], 2**100], [LONGEST[29:], 2**100], id="the 30 digits of a number"),
        pytest.param([LONGEST, 1.5], [LONGEST, "x"], id="a fraction, which counts as none"),
        pytest.param(deep_list(MAX_NESTING - 1), deep_list(MAX_NESTING), id="nesting"),
    ],
)
def test_is_small_up_to_each_bound(within: Any, beyond: Any) -> None:
    assert is_small(within, Budget())
    assert not is_small(beyond, Budget())


def test_a_value_over_a_bound_has_no_text() -> None:
    assert [text_of(value, Budget()) for value in (LONGEST, ["a", ["b", None]])] == [LONGEST, "a,b,"]
    assert [text_of(value, Budget()) for value in (LONGEST + "x", [""] * (MAX_VALUES + 1))] == [UNDEFINED] * 2
    assert json_text(LONGEST[2:], Budget()) == f'"{LONGEST[2:]}"'
    assert json_text(LONGEST[1:], Budget()) is UNDEFINED
    assert resolve(decode({"@path": "$.a"}), {"a": f'"{LONGEST[2:]}"'}) == LONGEST[2:]
    assert resolve({"@excludeWhenNull": {"@path": "$."}}, {"a": [""] * (MAX_VALUES + 1)}) is None
    assert not UNDEFINED


@pytest.mark.parametrize(("bits", "steps"), [(333, 0), (336, 33)])
def test_a_long_number_costs_steps_for_its_digits(bits: int, steps: int) -> None:
    budget = Budget(100)
    text_of(2**bits, budget)
    assert budget.steps_left == 100 - steps


def test_flatten_limits_the_total_length_of_keys() -> None:
    event = {"a": {"k" * 29_120: {str(digit): digit for digit in range(8)}}}
    assert 29_120 + 8 * (29_120 + len("_______") + 1) == MAX_KEYS  # the key above the others counts, too
    found = resolve(flatten({"@path": "$.a"}, "_______"), event)
    assert list(found.values()) == list(range(8))
    assert resolve(flatten({"@path": "$.a"}, "________"), event) is None


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        pytest.param({"pattern": "(a+)+$"}, "(a+)+$b", "b", id="no pattern is an expression"),
        pytest.param({"pattern": "k", "ignorecase": True}, "k\u212a", "\u212a", id="but not beyond ASCII and back"),
        pytest.param({"pattern": "b", "replacement": "$$&"}, "abc", "a$&c", id="$$ is a dollar"),
        pytest.param({"pattern": "t"}, True, "rue", id="booleans are text"),
        pytest.param({"pattern": "a"}, None, "", id="null is nothing"),
        pytest.param({"pattern": "aa"}, "aaa", "a", id="matches do not overlap"),
        pytest.param({"pattern": "s", "ignorecase": True}, "s\u017fS", "\u017f", id="a letter whose capital is ASCII"),
        pytest.param({"pattern": "ss", "ignorecase": True}, "ßss", "ß", id="a letter with two capitals"),
        pytest.param({"pattern": "𐐀", "ignorecase": True}, "𐐨𐐀", "𐐨", id="a letter of two units"),
        pytest.param({"pattern": "😀" * 5}, "😀" * 5 + "x", "x", id="a pattern of ten units"),
        pytest.param({"pattern": "a", "replacement": "b" * 10}, "a", "b" * 10, id="a replacement of ten units"),
    ],
)
def test_replace_takes_its_pattern_literally(options: dict[str, Json], text: Any, expected: str) -> None:
    assert resolve({"@replace": options | {"value": {"@path": "$.t"}}}, {"t": text}) == expected


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        pytest.param(either("blank", [[None]], 1, 2), 2, id="if: a list of nothing is blank"),
        pytest.param({"@if": {"exists": True, "then": 1}}, 1, id="if: then is not mistaken for the condition"),
        pytest.param(case("upper", {"@path": "$.n"}), 7, id="case: others pass"),
        pytest.param(case("upper", ""), None, id="case: an empty constant, as in Segment"),
        pytest.param(replace("", "a"), None, id="replace: an empty constant, as in Segment"),
        pytest.param({"@arrayPath": ["$.missing", {"b": 1}]}, None, id="arrayPath: nothing"),
        pytest.param(merge("right", {"@path": "$.n"}, {"x": 1}), {"x": 1}, id="merge: a number"),
        pytest.param(merge("left", {"a": 1, "b": 1}, {"a": 2}), {"a": 1, "b": 1}, id="merge left"),
        pytest.param(
            merge("right", {"a": 1}, {"a": {"@path": "$.x"}}), {}, id="merge: a key without a value still wins"
        ),
        pytest.param(
            transform({"u": {"@path": "$.userId"}}, {"v": {"@path": "$.u"}, "w": {"@path": "$.n"}}),
            {"v": "cust_1"},
            id="transform sees only what was applied",
        ),
        pytest.param(encode({"b": "\ud83d", "1": [None]}), '{"1":[null],"b":"\\ud83d"}', id="json: order, halves"),
        pytest.param(decode("NaN"), "NaN", id="json: not JSON is itself"),
        pytest.param(encode({"10": 1, "9": "é"}), '{"9":"é","10":1}', id="json: 9, 10"),
        pytest.param(
            flatten({"a": {"b": {"c": 1}, "d": 2}, "e": [3]}, "_"),
            {"a_b_c": 1, "a_d": 2, "e_0": 3},
            id="flatten: in order",
        ),
    ],
)
def test_a_directive_reads_unusual_values_as_segment_does(directive: Json, expected: Any) -> None:
    found = resolve(directive, EVENT)
    assert found == expected
    assert not isinstance(found, dict) or list(found) == list(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("Ä b", sha256("Ä b"), id="text, exactly as it is"),
        pytest.param(1.0, sha256("1"), id="number, as JavaScript writes it"),
        pytest.param("\ud83d", sha256("\ufffd"), id="half a character"),
        pytest.param("", None, id="empty"),
        pytest.param(True, None, id="boolean"),
    ],
)
def test_sha256_hashes_strings_and_numbers_only(value: Any, expected: str | None) -> None:
    assert resolve({"@sha256": {"@path": "$.v"}}, {"v": value}) == expected


@pytest.mark.parametrize(
    ("directive", "position", "remedy"),
    [
        pytest.param({"@pat": "$.a"}, "", "did you mean @path?", id="unknown directive"),
        pytest.param({"@path": "$.a", "@case": {}}, "", "2 directives in one object", id="two directives"),
        pytest.param({"@path": "$.a", "b": 1}, "", "@path has other keys beside it; give it", id="beside other keys"),
        pytest.param(
            {"@liquid": "{{ a | upcase }}"},
            ".@liquid",
            "Liquid templates are not read here; write it with @template, @if, @case or @replace",
            id="liquid",
        ),
        pytest.param({"@path": 5}, ".@path", "must be a string or a directive", id="path: number"),
        pytest.param({"@path": "$.a[*].b"}, ".@path", "bad path", id="path: wildcard"),
        pytest.param({"@template": "{{ a[*] }}"}, ".@template", "bad path", id="template: wildcard"),
        pytest.param({"@if": {"then": 1}}, ".@if", "neither exists nor blank", id="if: no condition"),
        pytest.param({"@if": {"exists": 1, "then": {"@x": 1}}}, ".@if.then", "unknown directive @x", id="if: nested"),
        pytest.param(
            {"@if": {"exist": 1}}, ".@if", "unknown option exist (did you mean exists?); al", id="if: misspelt"
        ),
        pytest.param({"@case": {"operator": "title"}}, ".@case.operator", "lower, upper", id="case: operator"),
        pytest.param({"@case": {"value": "a"}}, ".@case", "operator is missing", id="case: no operator"),
        pytest.param(case("lower", 5), ".@case.value", "must be a string", id="case: number"),
        pytest.param(replace("a", ""), ".@replace.pattern", "1 to 10", id="replace: empty pattern"),
        pytest.param(replace("a", "😀" * 6), ".@replace.pattern", "1 to 10", id="replace: 12 units"),
        pytest.param(
            replace("a", "a", replacement="a" * 11), ".@replace.replacement", "up to 10", id="replace: long replacement"
        ),
        pytest.param(replace("a", "a", replacement="$'"), ".@replace.replacement", "write $$", id="replace: $'"),
        pytest.param(replace("a", "a", **{"global": 1}), ".@replace.global", "true, false", id="replace: global"),
        pytest.param({"@arrayPath": ["$.a", "$.b"]}, ".@arrayPath.1", "not an object", id="arrayPath: text as shape"),
        pytest.param(
            {"@merge": {"objects": {}, "direction": "left"}}, ".@merge.objects", "not a list", id="merge: object"
        ),
        pytest.param({"@json": {"mode": "both", "value": "a"}}, ".@json.mode", "encode, decode", id="json: mode"),
        pytest.param(encode({"@x": 1}), ".@json.value", "unknown directive", id="json: value"),
        pytest.param(encode(""), ".@json.value", "empty", id="json: empty"),
        pytest.param(flatten({}, ""), ".@flatten.separator", "at least one", id="flatten: empty"),
        pytest.param({"@flatten": {"zzz": 1}}, ".@flatten", "zzz; allowed: value, separator, omitArrays", id="option"),
        pytest.param({"@case": {"@path": "$.a"}}, ".@case", "not an object of options", id="case: a directive"),
        pytest.param({f"@{'x' * 39}": 1}, "", f"unknown directive @{'x' * 39}; docs", id="a name of 40 characters"),
        pytest.param({f"@{'x' * 40}": 1}, "", f"unknown directive @{'x' * 39}…; docs", id="a longer name"),
        pytest.param(merge("up"), ".@merge.direction", "right, left", id="merge: up"),
        pytest.param(transform(5, {}), ".@transform.apply", "must be an object", id="transform: apply"),
        pytest.param(transform({}, 5), ".@transform.mapping", "must be an object", id="transform: mapping"),
        pytest.param(flatten({}, "_", omitArrays=1), ".@flatten.omitArrays", "true, false", id="flatten: lists"),
        pytest.param(flatten({"@x": 1}, "_"), ".@flatten.value", "unknown directive", id="flatten: value"),
        pytest.param(flatten({}, LONGEST), ".@flatten.separator", "shorten it", id="flatten: long"),
        pytest.param(replace({"@x": 1}, "a"), ".@replace.value", "unknown directive", id="replace: value"),
        pytest.param(replace("a", "a", ignorecase=1), ".@replace.ignorecase", "true, false", id="replace: case"),
        pytest.param({"@arrayPath": ["$.a", {}, 1]}, ".@arrayPath", "not a list of a path", id="arrayPath: three"),
        pytest.param({"@arrayPath": [5]}, ".@arrayPath.0", "must be a string", id="arrayPath: a number"),
        pytest.param({"@sha256": True}, ".@sha256", "must be a string or a directive", id="sha256: boolean"),
        pytest.param([{"a": [{"@x": 1}]}], ".0.a.0", "unknown directive", id="inside lists and objects"),
        pytest.param({"a": {1: 2}}, ".a", "a key that is not a string", id="not JSON: key"),
        pytest.param({"a": float("nan")}, ".a", "not a JSON value", id="not JSON: NaN"),
        pytest.param("a" * (MAX_CHARACTERS + 1), "", "shorten it", id="long text"),
        pytest.param({"@path": "a." * MAX_CHARACTERS}, ".@path", "shorten it", id="long path"),
        pytest.param({"@template": "a" * (MAX_CHARACTERS + 1)}, ".@template", "shorten it", id="long template"),
        *(
            pytest.param({"@template": template}, ".@template", f"the {{{{ at character {at} is {fault}; ", id=template)
            for template, at, fault in [
                ("loy-{{ traits.customer.number }", 5, "not closed"),
                ("loy-{{", 5, "not closed"),
                ("{{ a }}-{{ b", 9, "not closed"),
                ("{{ a {{ b }}", 1, "not closed"),
                ("{{{ a }}", 1, "not closed"),
                ("{{{{ a }}}}", 1, "not closed"),
                ("a{{}}", 2, "empty"),
            ]
        ),
        pytest.param([1] * MAX_SIZE, f".{MAX_SIZE - 1}", "split the mapping", id="many values"),
        pytest.param({"\n": {"@x": 1}}, r".\n…", "unknown directive", id="a name that would break the line"),
    ],
)
def test_an_invalid_directive_is_refused_with_position_and_remedy(directive: Json, position: str, remedy: str) -> None:
    with pytest.raises(InvalidMapping) as refusal:
        compile_directive(directive, at="f")
    assert str(refusal.value).startswith(f"f{position}: ")
    assert remedy in str(refusal.value)


@pytest.mark.parametrize(
    "wrap", [lambda inner: {"@if": {"exists": inner}}, lambda inner: [inner], lambda inner: {"a": inner}]
)
def test_deep_nesting_is_refused_before_it_can_exhaust_the_stack(wrap: Any) -> None:
    directive: Json = 1
    for _ in range(sys.getrecursionlimit() * 3):
        directive = wrap(directive)
    with pytest.raises(InvalidMapping, match="nested deeper than 32 levels"):
        compile_directive(directive)


def test_32_levels_of_nesting_are_accepted() -> None:
    compile_directive(deep_list(MAX_DEPTH))
    with pytest.raises(InvalidMapping, match="nested deeper than 32 levels"):
        compile_directive(deep_list(MAX_DEPTH + 1))


def test_changing_the_document_does_not_change_a_compiled_directive() -> None:
    directive = {"a": [1]}
    value_of = compile_directive(directive)
    directive["a"].append(2)
    assert value_of({}, Budget()) == {"a": [1]}


def test_changing_a_result_does_not_change_the_next_one() -> None:
    value_of = compile_directive({"@literal": {"a": [1]}})
    value_of({}, Budget())["a"].append(2)
    assert value_of({}, Budget()) == {"a": [1]}


def deep(levels: int) -> Json:
    value: Json = "x"
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    "directive",
    [
        {"@template": "{{ a }}{{{ a }}}"},
        encode({"@path": "$."}),
        decode({"@path": "$.a"}),
        flatten({"@path": "$."}, "_"),
        {"@excludeWhenNull": {"@path": "$."}},
        replace({"@path": "$.a"}, "x", replacement="$&$&$&$&$&", pattern2="x"),
        {"@arrayPath": ["$.a", {"b": {"@path": "$.c"}}]},
        either("blank", {"@path": "$.a"}, 1, 2),
        merge("right", {"@path": "$.a"}),
        {"@template": {"@path": "$.a"}},
        {"@path": {"@path": "$.a"}},
        {"@sha256": {"@path": "$.a"}},
    ],
    ids=lambda directive: next(iter(directive)),
)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 4_000_000, id="a long text"),
        pytest.param("{" * 1_000_000, id="braces"),
        pytest.param("[" * 30_000, id="brackets"),
        pytest.param(["x"] * 1_000_000, id="a long list"),
        pytest.param(deep(400), id="deep nesting"),
        pytest.param("\ud800" * 100, id="halves of characters"),
    ],
)
def test_a_hostile_event_costs_few_steps_and_raises_nothing(directive: Json, value: Json) -> None:
    value_of = compile_directive(directive)
    with counted_steps() as steps:
        result = value_of({"a": value}, Budget())
    assert steps.lines < 100_000  # lines of Python; one for each bracket, and a few for a million characters
    assert not isinstance(result, str) or result is value or len(result) <= MAX_TEXT * 10  # passed on, or bounded


def test_flattening_long_nested_keys_is_bounded() -> None:
    value: Json = {str(number): number for number in range(1_000)}
    for _ in range(90):
        value = {"k" * 300: value}
    assert resolve(flatten({"@path": "$.a"}, "."), {"a": value}) is None


def test_encoding_json_repeatedly_is_bounded() -> None:
    directive: Json = {"@path": "$.a"}
    for _ in range(12):
        directive = encode(directive)
    assert resolve(directive, {"a": '"' * 1_000}) is None


@given(st.text(min_size=8, max_size=20).map(lambda text: f"secret-{text}"))
def test_an_error_never_shows_a_value_of_the_mapping(secret: str) -> None:
    for directive in (
        {"@case": {"operator": secret}},
        {"@json": {"mode": secret, "value": "a"}},
        {"@path": f"{secret}[*]"},
    ):
        with pytest.raises(InvalidMapping) as refusal:
            compile_directive(directive)
        assert "secret-" not in str(refusal.value)
