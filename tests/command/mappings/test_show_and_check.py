"""Mappings: checked before they are stored, and tried without sending."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from audience_sync.errors import InvalidMapping
from audience_sync.segment.default_mapping import first_passing
from audience_sync.segment.request_body import elements
from audience_sync_cli.app import app
from audience_sync_cli.frame.errors import AlreadyReported, OperatorError, WrongUsage
from audience_sync_cli.mappings.roots import ROOTS
from audience_sync_cli.mappings.show_and_check import check, show
from audience_sync_cli.mappings.text import membership, plain
from audience_sync_cli.mappings.trial import try_
from audience_sync_cli.mappings.versions import apply
from tests.command.conftest import Deployment
from tests.command.mappings.mapping_files import EVENTS, MAPPING, written
from tests.support.json_schema import SCHEMA


@pytest.mark.parametrize(
    ("directive", "text"),
    [
        pytest.param({"@path": "$.userId"}, "$.userId", id="path"),
        pytest.param(first_passing("blank", "$.a", "$.b", "$.c"), "$.a, else $.b, else $.c", id="first of several"),
        pytest.param("US", '"US"', id="constant"),
        pytest.param({"@template": "{{userId}}"}, '{"@template": "{{userId}}"}', id="anything else, as it is"),
    ],
)
def test_directives_are_printed_readably(directive: Any, text: str) -> None:
    assert plain(directive) == text


def test_check_apply_and_show_say_which_values_decide(
    deployment: Deployment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    decides = {"value": {"@path": "$.action"}, "enter": ["insert", 1], "exit": ["delete"]}
    file = written(tmp_path, [MAPPING | {"trigger": 'type = "record"', "membership": decides}])
    check(deployment.session(), file)
    deployment.answers.append("y")
    apply(deployment.session(), file)
    show(deployment.session())
    out, err = capfd.readouterr()
    assert out.count("$.action; enter on insert, 1; exit on delete") == 2, "the change is shown as JSON"
    assert "matches no event" not in out + err
    assert membership("stored by hand") == '"stored by hand"'


def test_apply_stores_no_invalid_mapping(deployment: Deployment, tmp_path: Path) -> None:
    file = written(tmp_path, [MAPPING | {"trigger": "type ="}])
    for act in (check, apply):
        assert 'mapping "Mine": trigger' in str(deployment.refusal(InvalidMapping, act, file))
    assert deployment.session().audiences.mappings() is None


@pytest.mark.parametrize("act", ["check", "apply"])
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_every_fault_of_a_file_is_listed_at_once(tmp_path: Path, act: str, option: list[str]) -> None:
    fields = {"external_user_id": {"@template": "loy-{{ n }"}, "email": "$.traits.email", "phone": {"@pat": "$.a"}}
    file = written(tmp_path, [MAPPING | {"trigger": "type =", "fields": fields}])
    result = CliRunner().invoke(app, ["mappings", act, str(file), *option], env={"COLUMNS": "200"})
    error: dict[str, Any] = json.loads(result.stdout)["error"] if option else {"message": result.stderr}
    heading, *sentences = error["message"].splitlines()
    assert (result.exit_code, heading) == (1, "The mappings have 4 faults:")
    assert len(error.get("faults", sentences)) == 4
    assert not option or Draft202012Validator(SCHEMA["$defs"]["error"]).is_valid({"error": error})
    assert sentences[0].startswith('Mapping "Mine": trigger: not a value')
    assert sentences[1:] == [
        'Mapping "Mine": fields.external_user_id.@template: the {{ at character 5 is not closed; write {{ path }}.',
        'Mapping "Mine": fields.email: a plain string; did you mean {"@path": "$.traits.email"}?',
        'Mapping "Mine": fields.phone: unknown directive @pat (did you mean @path?); docs/mapping.md lists them.',
    ]


SHORT, LONG = "  {\"name\": 'Mine'}", "1," * 99 + "\t'b'" + "é" * 99
AT_SHORT, AT_LONG = [SHORT, " " * 11 + "^"], [",1" * 17 + ", 'b'" + "é" * 33, " " * 36 + "^"]
TWICE = b'[{"name": "Mine", "fields": {"email": {"@path": "$.a"}, "email": {"@path": "$.b"}}}]'


@pytest.mark.parametrize("act", [check, apply])
@pytest.mark.parametrize(
    ("content", "problem", "excerpt"),
    [
        pytest.param(f"[\n{SHORT}\n]".encode(), "Expecting value: .*line 2 column 12", AT_SHORT, id="a caret"),
        pytest.param(f"[\n{LONG}\n]".encode(), "Expecting value: .*column 200", AT_LONG, id="a caret in a long line"),
        pytest.param("[1]".encode("utf-16"), "not UTF-8", None, id="another encoding"),
        pytest.param(b"", "mappings.json is not JSON: Expecting value: line 1 column 1", None, id="empty"),
        pytest.param(b"[" * 100_000, "not JSON: maximum recursion depth", None, id="nested too deeply"),
        pytest.param(TWICE, "has a name twice in one object: email", None, id="a repeated name"),
    ],
)
def test_an_unreadable_file_is_refused_with_the_faulty_line(
    deployment: Deployment, tmp_path: Path, act: Any, content: bytes, problem: str, excerpt: list[str] | None
) -> None:
    file = tmp_path / "mappings.json"
    file.write_bytes(content)
    with pytest.raises(WrongUsage, match=problem) as caught:
        act(deployment.session(), file)
    assert excerpt in (None, str(caught.value).splitlines()[1:])


def test_a_byte_order_mark_is_ignored(deployment: Deployment, tmp_path: Path) -> None:
    file = written(tmp_path, [MAPPING])
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert deployment.json(check, file)["mappings"] == 1


def test_an_event_that_is_not_json_is_refused_without_quoting_it(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text('{"email": ada@example.com}', encoding="utf-8")
    with pytest.raises(OperatorError, match="not JSON") as caught:
        try_(deployment.session(), file)
    assert "ada" not in str(caught.value)


NEVER = MAPPING | {"trigger": 'type = "group"'}
OFF = MAPPING | {"name": "Off", "enabled": False}


@pytest.mark.parametrize("act", [check, apply])
@pytest.mark.parametrize(
    ("mappings", "why"),
    [
        pytest.param([], "There are no mappings", id="no mapping"),
        pytest.param([OFF], "No mapping is enabled", id="all disabled"),
        pytest.param([NEVER], "Mine: its trigger matches no event", id="never"),
        pytest.param([NEVER, OFF], "Mine: its trigger matches no event", id="both"),
    ],
)
def test_mappings_that_would_ignore_every_event_are_refused(
    deployment: Deployment, tmp_path: Path, mappings: Any, why: str, act: Any
) -> None:
    with pytest.raises(OperatorError, match=f"would ignore every event. .*{why}") as caught:
        act(deployment.session(yes=True), written(tmp_path, mappings))
    assert "--force" in caught.value.remedy
    assert deployment.session().audiences.mappings() is None


def test_check_warns_about_a_trigger_that_no_event_can_match(deployment: Deployment, tmp_path: Path) -> None:
    never = MAPPING | {"name": "Never", "trigger": 'type = "track" and type = "identify"'}
    (warning,) = deployment.json(check, written(tmp_path, [MAPPING, never]))["warnings"]
    assert warning.startswith("Never: its trigger matches no event")
    assert deployment.json(check, written(tmp_path, []), force=True) == {"mappings": 0, "enabled": 0, "warnings": []}


def test_try_prints_the_record_or_the_rejection_and_sends_nothing(deployment: Deployment) -> None:
    deployment.list_audience()
    result = deployment.json(try_, EVENTS / "01-track-entered-full-pii.json")
    assert (result["accepted"], result["rejections"]) == (1, [])
    record = result["changes"][0]["record"]
    assert record["action"] == "CREATE"
    assert set(record["hashedPII"][0]) >= {"email", "phone"}
    rejected = deployment.printed(try_, EVENTS / "07-track-missing-userid.json", raises=AlreadyReported)
    assert "member_id_missing" in rejected.out
    assert deployment.bodies("ChangeQueue") == []


def with_id(directive: Any, **more: Any) -> dict[str, Any]:
    return MAPPING | {"fields": {"external_user_id": directive}} | more


HASHED = {"@sha256": {"@path": "$.traits.phone"}}
HASHED_ELSE = {"exists": {"@path": "$.userId"}, "then": {"@path": "$.userId"}, "else": HASHED}


@pytest.mark.parametrize(
    ("mapping", "warns"),
    [
        pytest.param(MAPPING, False, id="userId"),
        pytest.param(with_id({"@path": "$.traits.phone"}), True, id="a phone number"),
        pytest.param(with_id({"@path": "$.properties.homePhoneNumber"}), True, id="a phone number by another name"),
        pytest.param(with_id({"@template": "m-{{traits.Email}}"}), True, id="an address in a template"),
        pytest.param(with_id({"@if": HASHED_ELSE}), False, id="hashed where it is read"),
        pytest.param(with_id(HASHED), False, id="hashed"),
        pytest.param(with_id({"@path": "$.traits.phone"}, enabled=False), False, id="a disabled mapping"),
    ],
)
def test_check_warns_about_a_member_id_in_clear_text(
    deployment: Deployment, tmp_path: Path, mapping: dict[str, Any], warns: bool
) -> None:
    warnings = deployment.json(check, written(tmp_path, [mapping]), force=True)["warnings"]
    assert bool(warnings) is warns
    assert all("Mine" in warning and "@sha256" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("user_id", "warns"),
    [
        pytest.param("12065550199", True, id="a phone number"),
        pytest.param(12065550199, True, id="a phone number without quotes"),
        pytest.param("123456", False, id="too short"),
        pytest.param("1234567890123456", False, id="too long"),
        pytest.param("cust_12065550199", False, id="with letters"),
        pytest.param(None, False, id="none"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda event: event, lambda event: [event], lambda event: [{"json": event}]])
def test_try_warns_about_a_phone_number_as_member_id(
    deployment: Deployment, tmp_path: Path, user_id: Any, warns: bool, wrap: Any
) -> None:
    deployment.list_audience()
    event = json.loads((EVENTS / "01-track-entered-full-pii.json").read_text(encoding="utf-8"))
    body = written(tmp_path, wrap(event | {"userId": user_id}))
    printed = deployment.printed(try_, body, raises=None if user_id else AlreadyReported)
    assert ("looks like a phone number" in printed.err) is warns


MEANT = "propertys at its top level, unless the extras do. Did you mean properties?"
ONE = {"@path": "$.traits.a"}


@pytest.mark.parametrize(
    ("directive", "said"),
    [
        pytest.param({"@path": "$.propertys.email"}, MEANT, id="typo"),
        pytest.param({"@template": "{{ Traits.email }}-{{userId}}"}, "Traits at", id="in a template"),
        pytest.param({"@if": {"exists": {"@path": "$.emial"}, "then": ONE}}, "emial at", id="in @if"),
        pytest.param({"@sha256": {"@path": "$['prop'].x"}}, "$ at", id="brackets without a dot"),
        pytest.param({"@path": "$."}, "", id="the whole event"),
        pytest.param({"@arrayPath": ["$.properties.products", {"id": {"@path": "$.sku"}}]}, "", id="of a list's items"),
        pytest.param({"@transform": {"apply": {"a": ONE}, "mapping": {"@path": "$.a"}}}, "", id="of a result"),
        pytest.param({"@literal": {"@path": "$.nothing"}}, "", id="a constant"),
        *(pytest.param({"@path": f"$.{root}.x"}, "", id=root) for root in ("context", "anonymousId", "rudderId")),
    ],
)
def test_a_field_that_no_event_has_is_noted(deployment: Deployment, tmp_path: Path, directive: Any, said: str) -> None:
    file = written(tmp_path, [MAPPING | {"fields": {"external_user_id": {"@path": "$.userId"}, "email": directive}}])
    warnings = " ".join(deployment.json(check, file)["warnings"])
    assert (f"Mine: email: no event has {said}" in warnings) if said else "no event has" not in warnings


def test_every_name_at_the_top_of_the_example_events_is_known() -> None:
    for file in EVENTS.glob("[0-9]*.json"):
        if not re.search("create-body|get-body", file.name):
            events = elements(file.read_bytes())
            assert set().union(*(each for each in events if isinstance(each, dict))) <= ROOTS, file.name
