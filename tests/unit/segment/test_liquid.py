"""@liquid: what templates give, what is refused and where, and that no event or template can exhaust the function."""

import inspect
import json
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_sync.errors import InvalidMapping, RejectedEvent
from audience_sync.segment.budget import ASCII_A_STEP, MAX_STEPS, Budget
from audience_sync.segment.directives.values import MAX_NESTING, MAX_TEXT
from audience_sync.segment.mapping import compile_directive, resolve
from audience_sync.segment.mapping_config import parse_mappings
from audience_sync.segment.trigger import compile_trigger

EVENT: dict[str, Any] = {
    "a": "Ada",
    "n": 10,
    "one": 1.0,
    "list": [1, [2, None], "x"],
    "o": {"k": "v", "size": 7, "first name": "Eve"},
    "e": "",
    "none": None,
    "no": False,
}


def rendered(template: str, event: dict[str, Any] | None = None) -> Any:
    return resolve({"@liquid": template}, EVENT if event is None else event)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        pytest.param("{{ o.k }} {{ o['first name'] }} {{ ['a'] }}", "v Eve Ada", id="names in brackets"),
        pytest.param("{{ list[1][0] }} {{ list.last }} {{ list[-1] }} {{ list.1.first }}", "2 x x 2", id="positions"),
        pytest.param("{{ list.size }} {{ o.size }} {{ a.size }} {{ n.size }}", "3 7 3 ", id="size"),
        pytest.param("{{ one }} {{ n }} {{ no }} {{ o }} {{ list }}", "1 10 false [object Object] 12x", id="as text"),
        pytest.param("{{ nil }}{{ empty }}{{ blank }}{{ true }}{{ -1.50 }}", "true-1.5", id="literals"),
        pytest.param("x {{- a -}} y {%- if n -%} z {%- endif -%}", "xAdayz", id="a dash takes white space off"),
        pytest.param("{% if n > 9 and a == 'Ada' %}y{% else %}n{% endif %}", "y", id="if"),
        pytest.param("{% if n > 10 %}1{% elsif e %}2{% else %}3{% endif %}", "2", id="elsif; an empty text is true"),
        pytest.param("{% unless none or no %}y{% endunless %}", "y", id="unless"),
        pytest.param("{% if true or true and false %}y{% endif %}", "y", id="read from the right"),
        pytest.param("{% if not a contains 'x' %}y{% endif %}", "y", id="not"),
        pytest.param("{% if list contains 1 %}y{% endif %}{% if list contains '1' %}n{% endif %}", "y", id="contains"),
        pytest.param("{% if e == empty and e == blank and none == nil %}y{% endif %}", "y", id="empty, blank and nil"),
        pytest.param("{% if n == '10' or one == true %}n{% else %}y{% endif %}", "y", id="types count in equality"),
        pytest.param("{% if '9' < n and 'B' > 'A' %}y{% endif %}", "y", id="numbers and texts in order"),
        pytest.param(
            "{% comment %}{{ a | x }}{% endcomment %}{% # {{ %}{% raw %}{{ a }}{% endraw %}", "{{ a }}", id="raw"
        ),
        pytest.param(
            "{{ n | divided_by: 4 }} {{ n | divided_by: 4, true }} {{ n | divided_by: 0 }}", "2.5 2 Infinity", id="÷"
        ),
        pytest.param("{{ 1.005 | round: 2 }} {{ -2.5 | round }} {{ '3x' | plus: 1 }}", "1.01 -3 1", id="calculation"),
        pytest.param("{{ a | replace: 'a', 'b' | remove: 'A' | prepend: '>' }}", ">db", id="replace"),
        pytest.param(
            "{{ 'a,b,,' | split: ',' | join: '-' }} {{ a | slice: -2, 2 }}", "a-b da", id="split, join, slice"
        ),
        pytest.param("{{ 'a long text' | truncate: 8 }} {{ e | default: 'x' }}", "a lon... x", id="truncate, default"),
    ],
)
def test_a_template_is_rendered(template: str, text: str | None) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "words", "position"),
    [
        pytest.param("ab {{ a", "output is not closed", 3, id="an open output"),
        pytest.param("{% if a", "tag is not closed", 0, id="an open tag"),
        pytest.param("{% if a %}x", "{% if %} is not closed", 0, id="an open block"),
        pytest.param("{% endif %}", "is out of place", 0, id="an end alone"),
        pytest.param("{% if a %}{% else %}{% else %}{% endif %}", "is out of place", 20, id="two else"),
        pytest.param("{% if a %}{% endif a %}", "nothing may follow endif", 19, id="words behind an end"),
        pytest.param("{% for x in list %}{% endfor %}", "Segment disables it", 0, id="a disabled tag"),
        pytest.param("{{ a | upcas }}", "did you mean upcase?", 7, id="a misspelt filter"),
        pytest.param("{{ a | replace: 'x' }}", "takes 2 arguments, not 1", 7, id="too few arguments"),
        pytest.param("{{ a | }}", "name of a filter", 6, id="no filter"),
        pytest.param("{{ 'a }}", "expected a value", 3, id="an open quote"),
        pytest.param(r"{{ 'a\q' }}", "no such escape", 5, id="an unknown escape"),
        pytest.param("{{ a. }}", "a dot is followed by a name", 4, id="a dot alone"),
        pytest.param("{{ true.x }}", "has no fields", 3, id="a field of a literal"),
        pytest.param("{{ and }}", "not a value here", 3, id="a word in place of a value"),
        pytest.param("{% assign true = 1 %}", "name of a variable", 14, id="a literal as variable"),
        pytest.param("{% assign x 1 %}", "expected = here", 12, id="assign without a sign"),
        pytest.param("{% raw %}x", "not closed with {% endraw %}", 0, id="open raw"),
        pytest.param("{% comment %}x", "not closed", 0, id="an open comment"),
        pytest.param("x" * 1_001, "over 1,000 characters", 1_000, id="too long"),
    ],
)
def test_an_invalid_template_is_refused_with_its_position(template: str, words: str, position: int) -> None:
    with pytest.raises(InvalidMapping) as caught:
        compile_directive({"@liquid": template}, at="fields.email")
    text = str(caught.value)
    assert text.startswith("fields.email.@liquid: ")
    assert words in text
    assert text.endswith(f"(at character {position})")


def test_a_template_for_a_personal_field_must_read_the_event() -> None:
    def document(template: str) -> Any:
        return [{"name": "M", "trigger": 'type = "track"', "fields": {"external_user_id": {"@liquid": template}}}]

    parse_mappings(document("{{ userId }}"), compile_trigger)
    with pytest.raises(InvalidMapping, match="the same for every member"):
        parse_mappings(document("user-1"), compile_trigger)


LARGE = {"a": "x" * MAX_TEXT, "deep": [[["y"] * 100] * 100], "digits": "9" * MAX_TEXT, "n": 10**300}
LARGE |= {"many": ["y"] * 9_000, "most": ["y"] * 20_000}
GROWING = [
    pytest.param("{{ a | replace: 'x', a }}", id="replaced by itself"),
    pytest.param("{{ a | replace: '', a }}", id="put between all characters"),
    pytest.param("{% assign b = a | append: a %}{{ b }}", id="doubled"),
    pytest.param("{{ a | split: '' | join: a }}", id="joined by itself"),
    pytest.param("{{ deep }}", id="a list of many values"),
    pytest.param("{{ a }}{{ a }}", id="written twice"),
    pytest.param("{{ many | join: a }}", id="a long text between many"),
    pytest.param("{{ most | join }}", id="too many values, joined"),
    pytest.param("{{ most }}", id="too many values"),
    pytest.param("{% if most == most %}x{% endif %}", id="too many values, compared"),
    pytest.param("{% if '1' < most %}x{% endif %}", id="too many values, in order"),
    pytest.param("{% capture b %}{{ a }}{{ a }}{% endcapture %}", id="captured twice"),
]


@pytest.mark.parametrize("template", GROWING)
def test_an_output_over_32_768_characters_has_no_value(template: str) -> None:
    assert rendered(template, LARGE) is None


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("{% assign n = n | times: n %}" * 30 + "{{ n }}", id="a number squared again and again"),
        pytest.param("{{ digits | plus: 1 | round: 400 }}", id="a number of very many digits"),
        pytest.param("{{ a | truncate: 999999999999999 | size }}", id="a huge length"),
    ],
)
def test_arithmetic_cannot_produce_long_numbers(template: str) -> None:
    assert len(rendered(template, LARGE)) < 30


def nested_list(levels: int) -> Any:
    return [nested_list(levels - 1)] if levels else 1


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("{%if " + "or".join(['""'] * 246) + "%}{%endif%}", id="alternatives"),
        pytest.param("{{1" + "|abs" * 248 + "}}", id="filters"),
        pytest.param("{%if 1%}" * 58 + "{%endif%}" * 58, id="blocks"),
        pytest.param("{%if 1%}" * 30 + "{{1" + "|abs" * 110 + "}}" + "{%endif%}" * 30, id="filters within blocks"),
        pytest.param("{%if " + "x or " * 180 + "a == b%}{%endif%}", id="nested lists, compared last"),
    ],
)
def test_no_template_needs_more_than_600_stack_frames(template: str) -> None:
    assert len(template) <= 1_000
    deep = {"a": nested_list(MAX_NESTING - 2), "b": nested_list(MAX_NESTING - 2)}
    allowed = sys.getrecursionlimit()
    frames = len(inspect.stack())
    try:
        sys.setrecursionlimit(frames + 600)  # of 1,000; those of the function itself are below a hundred
        compile_directive({"@liquid": template})(deep, Budget())
    finally:
        sys.setrecursionlimit(allowed)


LONG = json.loads(
    json.dumps({"a": "x" * 1_000_000, "same": "x" * 1_000_000, "space": " " * 1_000_000, "digits": "9" * MAX_TEXT})
)


@pytest.mark.parametrize(
    ("template", "characters"),
    [
        pytest.param("{% if a == same %}y{% endif %}", 1_000_000, id="equal"),
        pytest.param("{% if a < same %}y{% endif %}", 2_000_000, id="less"),
        pytest.param("{% if space == blank %}y{% endif %}", 1_000_000, id="blank"),
        pytest.param("{{ digits | plus: 1 }}", MAX_TEXT, id="counted with"),
        pytest.param("{% if digits < 1 %}y{% endif %}", MAX_TEXT, id="compared as a number"),
    ],
)
def test_comparing_a_string_costs_steps(template: str, characters: int) -> None:
    read, budget = compile_directive({"@liquid": template}), Budget()
    read(LONG, budget)
    assert MAX_STEPS - budget.steps_left >= characters // ASCII_A_STEP


@pytest.mark.parametrize("template", [f"{{% if a {sign} b %}}x{{% endif %}}" for sign in ("<", "<=", ">", ">=")])
def test_comparing_lone_surrogates_costs_4_steps_each(template: str) -> None:
    read, halves = compile_directive({"@liquid": template}), "\ud800" * 1_000
    budget = Budget()
    read({"a": halves, "b": halves + "x"}, budget)
    assert MAX_STEPS - budget.steps_left >= 4 * 2_001
    with pytest.raises(RejectedEvent):
        read({"a": halves, "b": halves}, Budget(8_000))
    budget = Budget()
    read({"a": "é" * 1_000, "b": "é" * 1_000}, budget)
    assert MAX_STEPS - budget.steps_left < 1_000, "whole characters are encoded in a hundredth of the time"


def test_strip_costs_steps_for_its_characters_times_the_string() -> None:
    read = compile_directive({"@liquid": "{{ text | strip: characters }}"})
    read({"text": "x" * MAX_TEXT, "characters": "-"}, Budget(3 * MAX_TEXT // ASCII_A_STEP))
    with pytest.raises(RejectedEvent):
        read({"text": "x" * MAX_TEXT, "characters": "y" * (MAX_TEXT - 1) + "x"}, Budget())


def test_contains_costs_ten_steps_for_each_item_of_a_list() -> None:
    read = compile_directive({"@liquid": "{% if list contains 'x' %}y{% endif %}"})
    read({"list": [0] * 100}, budget := Budget(2_000))
    assert 1_000 <= 2_000 - budget.steps_left < 1_100


def test_a_string_over_the_limit_is_not_a_number() -> None:
    assert rendered("{{ space | plus: 1 }}", LONG) is None


def test_a_template_repeated_for_each_item_costs_steps() -> None:
    repeated = {"@arrayPath": ["$.items", {"x": {"@liquid": "{{ a | upcase }}"}}]}
    assert resolve(repeated, {"items": [{"a": "b"}]}) == [{"x": "B"}]
    with pytest.raises(RejectedEvent):
        resolve(repeated, {"items": [{"a": "b"}] * 9_000})


SIGNS = ["{{", "}}", "{%", "%}", "-", " ", "=", "|", ":", ",", "'", '"', ".", "[", "]", "0", "\\", "é", "#"]
WORDS = "a if endif else assign raw endraw capture endcapture upcase replace comment endcomment".split()


@given(st.lists(st.sampled_from([*SIGNS, *WORDS]), max_size=25).map("".join) | st.text(max_size=40))
def test_any_text_is_rendered_or_refused(template: str) -> None:
    with suppress(InvalidMapping):
        assert isinstance(rendered(template), str)


NESTED: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(NESTED, NESTED, st.sampled_from(["==", "!=", "<", ">=", "contains"]))
def test_any_two_values_can_be_compared(left: Any, right: Any, operator: str) -> None:
    assert rendered(f"{{% if a {operator} b %}}y{{% else %}}n{{% endif %}}", {"a": left, "b": right}) in ("y", "n")
