"""The mappings document, the default mapping, and what a compiled mapping finds in an event."""

from hashlib import sha256
from typing import Any

import pytest

from audience_sync.errors import InvalidMapping
from audience_sync.fields import FIELDS
from audience_sync.segment.budget import MAX_STEPS, Budget
from audience_sync.segment.compiled_mapping import CompiledMapping, Mapping, compile_mappings
from audience_sync.segment.default_mapping import DEFAULT_MAPPING, first_passing
from audience_sync.segment.directives.values import MAX_TEXT
from audience_sync.segment.mapping_config import MAX_MAPPINGS, parse_mappings
from audience_sync.segment.trigger import compile_trigger
from tests.unit.segment.directives import case, either, encode, merge, replace

FIELD = {"external_user_id": {"@path": "$.userId"}}


def written(name: str = "Entered", **changes: Any) -> dict[str, Any]:
    return {"name": name, "trigger": 'type = "track"', "fields": FIELD} | changes


def mapping_of(**fields: Any) -> list[dict[str, Any]]:
    """A document whose one mapping has these fields beside the member id."""
    return [written(fields=FIELD | fields)]


def refusal_of(document: Any) -> InvalidMapping:
    with pytest.raises(InvalidMapping) as refusal:
        parse_mappings(document, compile_trigger)
    return refusal.value


def default_fields_of(event: dict[str, Any]) -> dict[str, Any]:
    return CompiledMapping(DEFAULT_MAPPING, compile_trigger(DEFAULT_MAPPING.trigger)).fields_of(event, Budget())


@pytest.mark.parametrize("document", [[written()], {"mappings": [written()]}, {"version": 3, "mappings": [written()]}])
def test_a_document_is_a_list_or_an_object_with_mappings(document: Any) -> None:
    assert parse_mappings(document, compile_trigger) == (Mapping("Entered", 'type = "track"', FIELD),)


def test_every_field_of_a_record_can_be_mapped() -> None:
    values = {field.name: f"a {field.name}" for field in FIELDS}
    fields = {name: {"@path": f"$.{name}"} for name in values}
    [mapping] = parse_mappings([written(fields=fields)], compile_trigger)
    compiled = CompiledMapping(mapping, compile_trigger(mapping.trigger))
    assert compiled.fields_of(values, Budget()) == values


def test_a_document_has_at_most_50_mappings() -> None:
    listed = [written(str(number)) for number in range(MAX_MAPPINGS)]
    assert len(parse_mappings(listed, compile_trigger)) == 50
    with pytest.raises(InvalidMapping, match="51 mappings; a destination has up to 50"):
        parse_mappings([*listed, written("one more")], compile_trigger)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param({"mapping": []}, "mappings: must be a list", id="an object without mappings"),
        pytest.param([{"trigger": "x"}], "mappings.0: name: must be a string of 1 to 100", id="no name"),
        pytest.param([written(separators=";")], "separators: must be an object", id="separators of no field"),
        pytest.param([written(separators={"phone": ";"})], "separators.phone: not a mapped field", id="not mapped"),
        pytest.param(
            [written(fields=FIELD | {"email": {"@path": "$.e"}}, separators={"email": "; a"})],
            "separators.email: must be a string of 1 to 10 characters, none of them a letter",
            id="a letter as a separator",
        ),
        pytest.param([written("x" * 101)], "mappings.0: name: must be a string", id="long name"),
        pytest.param([written(), written()], 'mapping "Entered": the name is taken', id="name twice"),
        pytest.param([written(enable=True)], 'mapping "Entered": unknown key enable (did you mean enabled?)', id="key"),
        pytest.param([written(trigger=None)], 'mapping "Entered": trigger: must be a string', id="no trigger"),
        pytest.param([written(fields=[])], 'mapping "Entered": fields: must be an object', id="fields"),
        pytest.param(
            mapping_of(e_mail=1),
            'mapping "Entered": fields: unknown field e_mail (did you mean email?); known: external_user_id,',
            id="unknown field",
        ),
        pytest.param(
            mapping_of(city="$.traits.city"),
            'mapping "Entered": fields.city: a plain string; did you mean {"@path": "$.traits.city"}?',
            id="a path without its directive",
        ),
        pytest.param(
            mapping_of(state="{{ traits.state }}"),
            'fields.state: a plain string; did you mean {"@template": "{{ traits.state }}"}?',
            id="a template without its directive",
        ),
        pytest.param(
            mapping_of(email=case("lower", {"@literal": "A@B.CO"})),
            "fields.email: the same for every member",
            id="one e-mail address for all, in disguise",
        ),
        pytest.param(mapping_of(audience_id="abc"), "fields.audience_id: not an audience id; give", id="audience"),
        pytest.param(
            [written(enabled=False, fields=FIELD | {"email": {"@x": 1}})],
            'mapping "Entered": fields.email: unknown directive @x',
            id="a disabled mapping is checked too",
        ),
    ],
)
def test_an_invalid_document_is_refused_with_name_position_and_remedy(document: Any, words: str) -> None:
    assert words in str(refusal_of(document))


def test_every_fault_of_a_document_is_listed() -> None:
    branches = {"exists": {"@pat": "$.a"}, "then": {"@path": 5}, "else": {"@case": {"operator": "title"}}}
    fields = {
        "external_user_id": {"@template": "loy-{{ n }"},
        "e_mail": 1,
        "phone": {"@if": branches},
        "country": "Germany",
    }
    document = [written(trigger="type =", fields=fields, enabled="yes"), 1, written("Left", fields={}), written("Left")]
    listed = [
        "trigger: not a value",
        "fields: unknown field e_mail",
        "fields.external_user_id.@template: the {{ at character 5 is not closed",
        "fields.phone.@if.exists: unknown directive @pat",
        "fields.phone.@if.then.@path: must be a string",
        "fields.phone.@if.else.@case.operator: not one of",
        "fields.country: not a country code",
        "enabled: must be",
        "mappings.1: must be",
        'mapping "Left": fields: external_user_id is missing',
    ]
    refusal = refusal_of(document)
    assert len(refusal.faults) == len(listed)
    assert [words for words, fault in zip(listed, refusal.faults, strict=True) if words not in fault] == []
    assert str(refusal) == "\n".join(refusal.faults)


@pytest.mark.parametrize("name", [field.name for field in FIELDS if field.personal])
def test_a_personal_field_must_not_be_the_same_for_every_member(name: str) -> None:
    assert f"fields.{name}: the same for every member" in str(refusal_of(mapping_of(**{name: "a constant"})))


def test_a_field_that_is_not_personal_may_be_constant() -> None:
    constant = {"country": "DE", "audience_id": "418273650912345678", "city": "Bonn", "state": "NW", "tcf": "CPx"}
    [mapping] = parse_mappings(mapping_of(**constant), compile_trigger)
    assert CompiledMapping(mapping, compile_trigger(mapping.trigger)).fields_of({"userId": "cust_1"}, Budget()) == {
        "external_user_id": "cust_1",
        **constant,
    }


@pytest.mark.parametrize(
    "directive",
    [
        pytest.param({"@arrayPath": ["$.a"]}, id="a list's path"),
        pytest.param({"@template": "{{ a }}"}, id="a template with a name"),
        pytest.param(merge("right", {"@path": "$.a"}), id="a path in a list"),
    ],
)
def test_a_personal_field_may_be_any_directive_that_reads_the_event(directive: Any) -> None:
    [mapping] = parse_mappings(mapping_of(email=directive), compile_trigger)
    assert mapping.fields["email"] == directive


def test_a_disabled_mapping_applies_to_no_event() -> None:
    name = "x" * 100
    mappings = parse_mappings([written(name), written("off", enabled=False, enable_batching=False)], compile_trigger)
    assert [(each.enabled, each.enable_batching) for each in mappings] == [(True, True), (False, False)]
    compiled = compile_mappings(mappings, compile_trigger)
    assert [(each.name, each.is_enabled) for each in compiled] == [(name, True), ("off", False)]
    assert [each.applies_to({"type": "track"}, Budget()) for each in compiled] == [True, False]


def compiled(**fields: Any) -> CompiledMapping:
    return CompiledMapping(Mapping("x", "", fields), lambda *_: True)


@pytest.mark.parametrize(
    ("fields", "member"),
    [
        pytest.param(FIELD, "cust_1", id="where its directive leads"),
        pytest.param({"external_user_id": {"@path": "$.missing"}}, None, id="no value"),
        pytest.param({"external_user_id": {"a": {"@path": "$.missing"}}}, {}, id="an object, without what is missing"),
        pytest.param({"email": {"@path": "$.userId"}}, None, id="no field of a member's id"),
    ],
)
def test_member_of_reads_external_user_id(fields: dict[str, Any], member: Any) -> None:
    assert compiled(**fields).member_of({"userId": "cust_1"}, Budget()) == member


NUMBER = {"@path": "$.n"}
COMPOSED = [  # directives for a member id, and the ids for events with and without `n`
    pytest.param({"@template": "loy-{{ n }}"}, "loy-7", id="template"),
    pytest.param({"@template": "{{ region }}-{{ n }}"}, "eu-7", id="template, one of two"),
    pytest.param({"@template": {"@path": "$.template"}}, "x-7", id="template of the event"),
    pytest.param(replace({"@template": "a-{{ n }}"}, "-"), "a7", id="replace"),
    pytest.param({"@if": {"exists": NUMBER, "then": {"@template": "a{{ n }}"}}}, "a7", id="if, then"),
    pytest.param({"@if": {"exists": {"@path": "$.z"}, "else": {"@template": "a{{ n }}"}}}, "a7", id="if, else"),
    pytest.param({"@excludeWhenNull": {"@template": "a{{ n }}"}}, "a7", id="excludeWhenNull"),
    pytest.param(
        {"@sha256": encode(merge("right", {"n": NUMBER}, {"r": {"@path": "$.region"}}))},
        sha256(b'{"n":7,"r":"eu"}').hexdigest(),
        id="hashed merge",
    ),
]


@pytest.mark.parametrize(("directive", "member"), COMPOSED)
def test_a_composed_member_id_with_an_empty_part_counts_as_missing(directive: Any, member: str) -> None:
    mapping = compiled(external_user_id=directive)
    for missing in ({}, {"n": None}, {"n": ""}):
        event = {"region": "eu", "template": "x-{{ n }}"}
        for found, expected in (({"n": 7}, member), (missing, None)):
            whole = event | found | {"list": [found]}
            assert str(mapping.member_of(whole, Budget()) or None) == str(expected)
            assert mapping.values_of(whole, Budget())[0] == mapping.member_of(whole, Budget())


@pytest.mark.parametrize(
    ("directive", "member"),
    [
        pytest.param({"@template": "a{{ n }}"}, "a0", id="zero is a value"),
        pytest.param(
            either("exists", {"@path": "$.region"}, {"@template": "{{ region }}-{{ n }}"}, {"@template": "{{ n }}"}),
            "0",
            id="an optional part",
        ),
    ],
)
def test_a_composed_member_id_with_every_part_is_accepted(directive: Any, member: str) -> None:
    assert compiled(external_user_id=directive).member_of({"n": 0}, Budget()) == member


def test_other_fields_keep_the_text_around_an_empty_part() -> None:
    assert compiled(city={"@template": "x{{ n }}"}).fields_of({}, Budget()) == {"city": "x"}


@pytest.mark.parametrize(
    ("directive", "place"),
    [
        pytest.param("loy-", "", id="text"),
        pytest.param({"@template": "loy-"}, "", id="template without a path"),
        pytest.param({"@template": {"@literal": "x"}}, "", id="literal template"),
        pytest.param(encode({"a": 1}), "", id="JSON"),
        pytest.param(either("exists", NUMBER, NUMBER, "none"), ".@if.else", id="else"),
        pytest.param(either("exists", NUMBER, "some", NUMBER), ".@if.then", id="then"),
        pytest.param({"@arrayPath": ["$.list", {"@literal": "x"}]}, ".@arrayPath.1", id="item of a list"),
    ],
)
def test_a_member_id_that_does_not_depend_on_the_event_is_refused(directive: Any, place: str) -> None:
    refusal = refusal_of(mapping_of(external_user_id=directive))
    assert str(refusal).startswith(f'mapping "Entered": fields.external_user_id{place}: the same for every member')


def test_a_member_id_may_choose_between_paths() -> None:
    directive = {"@path": either("exists", NUMBER, "$.a", "$.b")}
    assert parse_mappings(mapping_of(external_user_id=directive), compile_trigger)


def test_fields_spend_from_the_budget_of_the_event() -> None:
    budget = Budget(10)
    mapping = compiled(city=case("upper", {"@path": "$.city"}))
    assert mapping.fields_of({"city": "x" * 64}, budget) == {"city": "X" * 64}
    assert budget.steps_left == 8
    mapping = compiled(external_user_id=case("upper", {"@path": "$.city"}))
    assert mapping.member_of({"city": "x" * 64}, budget) == "X" * 64
    assert budget.steps_left == 6


@pytest.mark.parametrize(
    ("separators", "value", "values", "steps"),
    [
        pytest.param(";,:|/#~!?&", "a;b, c,; ", ["a", "b", " c"], 4, id="a string"),
        pytest.param(";", ["a;b", 5, "c,"], ["a", "b", 5, "c,"], 8, id="the strings of a list"),
        pytest.param(";", [1, "", None], [1, None], 6, id="a list with nothing to split"),
        pytest.param(";", 5, 5, 0, id="a number"),
        pytest.param(";", ";" * MAX_TEXT, [], MAX_TEXT // 2, id="the longest string"),
        pytest.param(";", ";" * (MAX_TEXT + 1), ";" * (MAX_TEXT + 1), MAX_TEXT // 2, id="too long to be split"),
    ],
)
def test_strings_are_split_at_the_separators_of_their_field(
    separators: str, value: Any, values: Any, steps: int
) -> None:
    mapping, budget = Mapping("x", "", {"email": {"@path": "$.a"}}, separators={"email": separators}), Budget()
    assert CompiledMapping(mapping, lambda *_: True).fields_of({"a": value}, budget) == {"email": values}
    assert budget.steps_left == MAX_STEPS - steps


def test_the_default_mapping_is_a_valid_mapping() -> None:
    entry = {"name": DEFAULT_MAPPING.name, "trigger": DEFAULT_MAPPING.trigger, "fields": DEFAULT_MAPPING.fields}
    assert parse_mappings([entry], compile_trigger) == (DEFAULT_MAPPING,)


@pytest.mark.parametrize(
    ("event", "field", "expected"),
    [
        pytest.param(
            {"properties": {"first_name": "", "firstName": "Ada"}}, "first_name", "Ada", id="empty: next path"
        ),
        pytest.param({"properties": {"amznUserData": False}}, "amzn_user_data", False, id="false is a value"),
    ],
)
def test_the_default_mapping_tries_the_next_path_after_an_empty_value(
    event: dict[str, Any], field: str, expected: Any
) -> None:
    assert default_fields_of(event)[field] == expected


def test_first_passing_of_one_path_is_that_path() -> None:
    assert first_passing("blank", "$.a.b") == {"@path": "$.a.b"}


MEMBERSHIP = {"value": {"@path": "$.event"}, "enter": ["new"], "exit": ["deleted"]}


@pytest.mark.parametrize(
    ("membership", "words"),
    [
        pytest.param([], ": must be an object", id="a list"),
        pytest.param(MEMBERSHIP | {"exits": []}, ": unknown key exits (did you mean exit?)", id="unknown key"),
        pytest.param(MEMBERSHIP | {"enter": "new"}, ".enter: must be a list", id="no list"),
        pytest.param(MEMBERSHIP | {"enter": [*range(101)]}, ".enter: must be a list of up to 100", id="long"),
        pytest.param(MEMBERSHIP | {"exit": [None]}, ".exit.0: must be a string", id="null"),
        pytest.param(MEMBERSHIP | {"exit": [""]}, ".exit.0: must be a string", id="empty"),
        pytest.param(MEMBERSHIP | {"enter": [1], "exit": ["1"]}, ": 1 is in enter and in exit", id="1 in both"),
        pytest.param(MEMBERSHIP | {"enter": ["true"], "exit": [True]}, ": true is in enter and in exit", id="2"),
        pytest.param({"value": {"@path": "$.event"}}, ": names no value", id="no values"),
        pytest.param(MEMBERSHIP | {"value": "$.event"}, ".value: the same for every event", id="no directive"),
        pytest.param({"enter": ["new"]}, ".value: the same for every event", id="no value"),
        pytest.param(MEMBERSHIP | {"value": {"@pat": 1}}, ".value: unknown directive @pat", id="directive"),
    ],
)
def test_a_membership_setting_that_can_never_decide_is_refused_on_loading(membership: Any, words: str) -> None:
    assert f'mapping "Entered": membership{words}' in str(refusal_of([written(membership=membership)]))
