"""What triggers mean in combination, what they cost, and what is refused; single conditions: the docs."""

import re
from typing import Any

import pytest

from audience_sync.errors import InvalidTrigger, PermanentError, RejectedEvent
from audience_sync.segment.budget import Budget
from audience_sync.segment.fql.grammar import MAX_LENGTH, parse
from audience_sync.segment.fql.refusals import TriggerRefusal
from audience_sync.segment.trigger import _steps_to_search, compile_trigger, matches
from tests.support.steps import counted_steps

ENTERED = {
    "type": "track",
    "event": "Audience Entered",
    "userId": "u-1",
    "properties": {"audience_key": "vip", "vip": True, "score": 5, "first name": "Ada", "tags": ["new", {"id": 7}]},
    "context": {"personas": {"computation_class": "audience", "computation_key": "vip"}},
}


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        pytest.param('type="track"', True, id="no white space around ="),
        pytest.param('\n type\t=\n"track" ', True, id="any white space"),
        pytest.param('type = "page" or event = "Audience Entered"', True, id="or: one holds"),
        pytest.param('type = "page" or event = "x" or userId = "u-1"', True, id="or: the last holds"),
        pytest.param('(type = "page" or type = "track") and properties.score > 4', True, id="or within and"),
        pytest.param('type = "page" or (type = "track" and properties.score > 5)', False, id="and within or"),
        pytest.param('(type = "page" and event = "x") or (type = "track" and userId = "u-1")', True, id="two groups"),
        pytest.param(
            '(type = "page" or contains(event, "Enter")) and userId = "u-1"', True, id="function last in a group"
        ),
        pytest.param(
            '(!contains(event, "x") and type = "page") and userId = "u-1"', False, id="same word: function first"
        ),
        pytest.param('(contains(event, "x") or type = "track")', True, id="nothing outside: function first"),
        pytest.param(r"properties.tags.\1.id = 7", True, id="a field in a list"),
        pytest.param(r"properties.tags.\2 = null", True, id="beyond a list"),
        pytest.param(r"properties.tags.\00 = null", True, id="not how a position is written"),
        pytest.param('context.personas.computation_class.x != "audience"', True, id="below a text there is nothing"),
    ],
)
def test_conditions_combine_with_and_or_and_groups(trigger: str, expected: bool) -> None:
    assert matches(trigger, ENTERED) is expected


@pytest.mark.parametrize(
    ("trigger", "value"),
    [
        pytest.param("properties.x = 9007199254740993", 2**53, id="integers round as in JavaScript"),
        pytest.param("properties.x > 5", 10**400, id="larger than any"),
        pytest.param("properties.x < 5", -(10**400), id="smaller than any"),
    ],
)
def test_numbers_compare_as_in_javascript(trigger: str, value: float) -> None:
    assert matches(trigger, {"properties": {"x": value}})


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        pytest.param("properties.x.y = 0", [0, {"y": 0}], [5, "text", None, {"y": 1}, []], id="0 ends a path"),
        pytest.param('properties.x = "a" or properties.x = "b"', ["a", "b"], ["c", None, ["a"]], id="one of two"),
    ],
)
def test_a_condition_holds_for_exactly_these_values(condition: str, holds: list[Any], fails: list[Any]) -> None:
    found = [(value, matches(condition, {"properties": {"x": value}})) for value in [*holds, *fails]]
    assert [value for value, is_fulfilled in found if is_fulfilled] == holds


@pytest.mark.parametrize(
    ("trigger", "event", "expected"),
    [
        pytest.param('type = "a" or type = "b"', {"type": ["a"]}, False, id="a list that holds it"),
        pytest.param('type != "a" or type != "b"', {"type": "c"}, True, id="equal to neither"),
        pytest.param("userId = null or userId = null", {}, True, id="no text at all"),
        pytest.param('type = "a" or event = "a"', {"event": "a"}, True, id="two fields, the second"),
        pytest.param('type = "a" or event = "b"', {"type": "b"}, False, id="the other field's text"),
    ],
)
def test_equalities_of_top_level_fields_combine_like_others(
    trigger: str, event: dict[str, Any], expected: bool
) -> None:
    assert matches(trigger, event) is expected


def test_a_search_costs_steps_beyond_64_characters() -> None:
    holds = compile_trigger(f'contains(properties.x, "{"b" * 20}")')
    assert holds({"properties": {"x": "a" * 64}}, Budget(0)) is False
    budget = Budget(3)
    assert holds({"properties": {"x": "a" * 65}}, budget) is False
    assert budget.steps_left == 1
    with pytest.raises(RejectedEvent):
        holds({"properties": {"x": "a" * 65}}, budget)


@pytest.mark.parametrize(
    ("text", "wanted", "steps"),
    [
        pytest.param(2_499, 200, 976, id="a short text: every two characters"),
        pytest.param(2_500, 200, 488, id="a longer one: 100 characters of the pattern"),
        pytest.param(29_999, 50, 2_929, id="all of a short pattern"),
        pytest.param(30_000, 50, 937, id="a long text: in proportion to it"),
    ],
)
def test_a_search_costs_its_worst_case(text: int, wanted: int, steps: int) -> None:
    assert _steps_to_search(text, wanted) == steps


def test_a_refusal_has_a_position_and_a_remedy_and_no_value() -> None:
    with pytest.raises(PermanentError) as refused:
        compile_trigger('userId = "ada@example.com" AND type = "track"')
    assert isinstance(refused.value, InvalidTrigger)
    assert refused.value.position == 27
    assert str(refused.value) == f"{TriggerRefusal.WORD.value} (at character 27)"


@pytest.mark.parametrize(
    ("trigger", "refusal", "position"),
    [
        ('event.a.b = "x"', TriggerRefusal.BELOW_TEXT, 5),
        ('AND = "x"', TriggerRefusal.WORD, 0),
        ('Or = "x"', TriggerRefusal.WORD, 0),
        ('type = "a" OR event = "b"', TriggerRefusal.WORD, 11),
        ("type = null", TriggerRefusal.NULL_AS_TEXT, 7),
        ("type = true", TriggerRefusal.AS_TEXT, 7),
        ("name = false", TriggerRefusal.AS_TEXT, 7),
        ('event = ""x', TriggerRefusal.SWALLOWED, 10),
        ("properties.n <=5", TriggerRefusal.OPERATOR_SPACE, 15),
        (" ", TriggerRefusal.EMPTY, 0),
        ("properties.plan = “pro”", TriggerRefusal.CHARACTER, 18),
        ('traits.e-mail = "a" && type = "identify"', TriggerRefusal.CHARACTER, 20),
        ("anonymousId != null", TriggerRefusal.FIELD, 0),
        ('audience = "vip"', TriggerRefusal.FIELD, 0),
        ("properties != null", TriggerRefusal.WHOLE_OBJECT, 0),
        ('event.name = "Audience Entered"', TriggerRefusal.BELOW_TEXT, 5),
        ("properties.1st = true", TriggerRefusal.NAME_PART, 11),
        ("properties.null = 5", TriggerRefusal.NAME_PART, 11),
        ("properties.n=5", TriggerRefusal.NAME_PART, 11),
        ('properties..plan = "pro"', TriggerRefusal.NAME_PART, 11),
        ("properties.age>5", TriggerRefusal.NAME_END, 14),
        ("properties.café = true", TriggerRefusal.NAME_END, 14),
        (r"properties.a\.b = 5", TriggerRefusal.ESCAPE, 12),
        ("properties.plan = 'pro'", TriggerRefusal.SINGLE_QUOTES, 18),
        ('event = "Audience Entered', TriggerRefusal.OPEN_TEXT, 8),
        ('event = "say "hello" twice"', TriggerRefusal.SWALLOWED, 14),
        ('type = "track"and event = "x"', TriggerRefusal.SWALLOWED, 14),
        ("properties.age > 1e5", TriggerRefusal.NUMBER, 17),
        ("properties.age > .5", TriggerRefusal.NUMBER, 17),
        ("properties.plan = pro", TriggerRefusal.VALUE, 18),
        ("properties.a = properties.b", TriggerRefusal.VALUE, 15),
        ('event in ["Audience Entered"]', TriggerRefusal.OPERATOR, 6),
        ("properties.age >=5", TriggerRefusal.OPERATOR_SPACE, 17),
        ('properties.plan !="pro"', TriggerRefusal.OPERATOR_SPACE, 18),
        ("properties.vip != true", TriggerRefusal.NOT_BOOLEAN, 18),
        ('properties.age < "5"', TriggerRefusal.ORDER, 17),
        ("userId = 5", TriggerRefusal.AS_TEXT, 9),
        ("event = true", TriggerRefusal.AS_TEXT, 8),
        ("event != null", TriggerRefusal.NULL_AS_TEXT, 9),
        ('contains(event "Audience")', TriggerRefusal.FUNCTION, 15),
        ("match(event, 5)", TriggerRefusal.FUNCTION, 13),
        ('contains(type, "tr")', TriggerRefusal.TYPE_IN_FUNCTION, 9),
        ('match(event, "Audience")', TriggerRefusal.PATTERN, 13),
        ('match(event, "*dienc*")', TriggerRefusal.PATTERN, 13),
        ('match(event, "A*d")', TriggerRefusal.PATTERN, 13),
        ("!properties.vip = true", TriggerRefusal.NEGATION, 0),
        ('! contains(event, "x")', TriggerRefusal.NEGATION, 0),
        ('not type = "track"', TriggerRefusal.NOT, 0),
        ('type = "track" AND event = "x"', TriggerRefusal.WORD, 15),
        ('type = "track" and(event = "x" or event = "y")', TriggerRefusal.WORD, 15),
        ('contains(event, "x") = true', TriggerRefusal.NO_WORD, 21),
        ('type = "track" event = "x"', TriggerRefusal.NO_WORD, 15),
        ('(event = "x" event = "y")', TriggerRefusal.NO_WORD, 13),
        ('type = "track" and', TriggerRefusal.NO_CONDITION, 18),
        ("()", TriggerRefusal.NO_CONDITION, 1),
        ('type = "track" and event = "x" or event = "y"', TriggerRefusal.MIXED, 31),
        ('(type = "track" and (event = "x" or event = "y"))', TriggerRefusal.NESTED, 20),
        ('!(event = "x" or event = "y")', TriggerRefusal.NEGATED_GROUP, 0),
        ('(event = "x" or event = "y"', TriggerRefusal.OPEN_GROUP, 0),
        ('type = "track")', TriggerRefusal.STRAY_PARENTHESIS, 14),
        ('(contains(event, "x") or type = "screen") and name = "y"', TriggerRefusal.FUNCTION_NOT_LAST, 22),
    ],
)
def test_a_trigger_is_refused_with_its_position(trigger: str, refusal: TriggerRefusal, position: int) -> None:
    with pytest.raises(InvalidTrigger, match=f"^{re.escape(refusal.value)} ") as refused:
        compile_trigger(trigger)
    assert refused.value.position == position


def test_a_trigger_has_at_most_4_096_characters() -> None:
    longest = f'event = "{"x" * (MAX_LENGTH - 10)}"'
    assert matches(longest, ENTERED) is False
    with pytest.raises(InvalidTrigger, match=rf"^longer than 4,096.* \(at character {MAX_LENGTH}\)$"):
        compile_trigger(longest + " ")


def test_a_lone_surrogate_in_a_trigger_is_refused() -> None:
    with pytest.raises(InvalidTrigger) as refused:
        compile_trigger('event = "\ud83d"')
    assert refused.value.position == 9


@pytest.mark.parametrize("unit", ["(", "!", "\\", "a.", '"', "and ", "properties.a = 1 and ", "!contains("])
def test_parsing_a_trigger_is_linear_in_its_length(unit: str) -> None:
    text = (unit * MAX_LENGTH)[:MAX_LENGTH]
    with counted_steps() as steps, pytest.raises(InvalidTrigger):
        parse(text)
    assert steps.lines < 50 * MAX_LENGTH  # lines of Python


def test_a_compiled_trigger_is_cached() -> None:
    assert compile_trigger('type = "identify"') is compile_trigger('type = "identify"')
