"""Mappings: checked before they are stored, never stored over a newer version, tried without sending."""

import json
from pathlib import Path
from typing import Any

import pytest

from audience_sync.aws.audience_table import MAPPINGS_KEY
from audience_sync.errors import InvalidMapping
from audience_sync.segment.mapping_config import first_passing
from audience_sync_cli.errors import AlreadyReported, NotConfirmed, OperatorError, WrongUsage
from audience_sync_cli.mappings import apply, check, plain, show, try_
from audience_sync_cli.screen import Screen
from audience_sync_cli.session import Session
from tests.unit.cli.conftest import Deployment, Json

EVENTS = Path(__file__).parents[3] / "events" / "segment"
MAPPING = {"name": "Mine", "trigger": 'type = "track"', "fields": {"external_user_id": {"@path": "$.userId"}}}


def written(tmp_path: Path, document: Any) -> Path:
    file = tmp_path / "mappings.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def test_what_show_prints_can_be_applied(deployment: Deployment, tmp_path: Path, printed: Json) -> None:
    show(deployment.session(as_json=True))
    document = printed()
    assert document["version"] == 0
    apply(deployment.session(as_json=True), written(tmp_path, document))
    assert printed() == {"version": 1, "mappings": 1}
    show(deployment.session(as_json=True))
    assert printed() == document | {"version": 1}


def test_mappings_made_from_an_older_version_are_refused(deployment: Deployment, tmp_path: Path) -> None:
    apply(deployment.session(), written(tmp_path, {"version": 0, "mappings": [MAPPING]}))
    with pytest.raises(OperatorError, match="made from version 0, and 1 is in force"):
        apply(deployment.session(), written(tmp_path, {"version": 0, "mappings": []}))


def test_a_list_without_a_version_replaces_any_version(deployment: Deployment, tmp_path: Path, printed: Json) -> None:
    apply(deployment.session(as_json=True), written(tmp_path, [MAPPING]))
    assert printed()["version"] == 1
    apply(deployment.session(as_json=True), written(tmp_path, [MAPPING | {"name": "Other"}]))
    assert printed() == {"version": 2, "mappings": 1}


UNREADABLE = [
    pytest.param({"S": "{not json"}, id="no JSON"),
    pytest.param({"S": '"text"'}, id="a text"),
    pytest.param({"S": "null"}, id="null"),
    pytest.param({"S": "[" * 100_000}, id="nested too deeply"),
    pytest.param({"M": {"version": {"N": "1"}}}, id="no text at all"),
]
REFUSED = {"version": 3, "mappings": [MAPPING | {"trigger": "type ="}]}


def store(deployment: Deployment, document: Any) -> None:
    """Write what is stored by hand."""
    held = document if set(document) <= {"S", "M"} else {"S": json.dumps(document)}
    item = {"audienceId": {"S": MAPPINGS_KEY}, "document": held}
    deployment.stack.service("dynamodb").put_item(TableName=deployment.stack["AudienceTable"], Item=item)


@pytest.mark.parametrize("held", UNREADABLE)
def test_an_unreadable_document_is_named_with_its_remedy_and_replaced(
    deployment: Deployment, tmp_path: Path, printed: Json, held: dict[str, Any]
) -> None:
    store(deployment, held)
    with pytest.raises(OperatorError, match="The stored mappings are unreadable") as caught:
        show(deployment.session())
    assert "audience-sync mappings apply" in caught.value.remedy
    deployment.answers = ["y"]
    apply(deployment.session(as_json=True), written(tmp_path, {"version": 7, "mappings": [MAPPING]}))
    assert "unreadable and would be replaced" in deployment.questions[0]
    assert printed() == {"version": 1, "mappings": 1}
    show(deployment.session(as_json=True))
    assert printed()["version"] == 1


def test_an_unreadable_document_stays_unless_that_is_confirmed(deployment: Deployment, tmp_path: Path) -> None:
    store(deployment, {"S": "{not json"})
    deployment.answers = ["n"]
    with pytest.raises(NotConfirmed):
        apply(deployment.session(), written(tmp_path, [MAPPING]))
    assert deployment.session().audiences.mappings() == "{not json"


def test_an_unreadable_document_that_was_replaced_meanwhile_is_not_overwritten(
    deployment: Deployment, tmp_path: Path
) -> None:
    store(deployment, {"S": "{not json"})

    def repair(question: str) -> str:
        store(deployment, {"version": 1, "mappings": []})
        return "y" if question else ""

    session = Session(Screen(answers=repair), lambda: deployment.stack)
    with pytest.raises(OperatorError, match="another version is in force"):
        apply(session, written(tmp_path, [MAPPING]))
    assert json.loads(session.audiences.mappings() or "") == {"version": 1, "mappings": []}


@pytest.mark.parametrize("version", ["x", -1, True, None, 1.5])
def test_a_version_that_is_not_a_number_counts_as_zero(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str], version: Any
) -> None:
    store(deployment, {"version": version, "mappings": [MAPPING]})
    show(deployment.session(as_json=True))
    seen = capsys.readouterr()
    assert "counts as 0" in seen.err
    apply(deployment.session(as_json=True), written(tmp_path, json.loads(seen.out)))
    assert json.loads(capsys.readouterr().out)["version"] == 1


def test_an_invalid_document_is_shown_with_its_fault_then_fixed_and_applied(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(deployment, REFUSED)
    with pytest.raises(AlreadyReported):
        show(deployment.session(as_json=True))
    seen = capsys.readouterr()
    assert 'mapping "Mine": trigger' in seen.err
    assert "mappings apply" in seen.err
    document = json.loads(seen.out)
    assert document == REFUSED
    document["mappings"][0]["trigger"] = MAPPING["trigger"]
    apply(deployment.session(as_json=True), written(tmp_path, document))
    assert json.loads(capsys.readouterr().out) == {"version": 4, "mappings": 1}


def test_a_stored_list_of_mappings_is_in_force_without_a_version(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(deployment, {"S": json.dumps([MAPPING])})
    show(deployment.session())
    assert "Version 0." in capsys.readouterr().out
    apply(deployment.session(as_json=True), written(tmp_path, [MAPPING]))
    assert json.loads(capsys.readouterr().out)["version"] == 1


@pytest.mark.parametrize(
    ("directive", "text"),
    [
        pytest.param({"@path": "$.userId"}, "$.userId", id="path"),
        pytest.param(first_passing("blank", "$.a", "$.b", "$.c"), "$.a, else $.b, else $.c", id="first of several"),
        pytest.param("US", '"US"', id="constant"),
        pytest.param({"@template": "{{userId}}"}, '{"@template": "{{userId}}"}', id="anything else, as it is"),
    ],
)
def test_directives_are_formatted_for_people(directive: Any, text: str) -> None:
    assert plain(directive) == text


def test_a_wrong_mapping_is_never_stored(deployment: Deployment, tmp_path: Path) -> None:
    file = written(tmp_path, [MAPPING | {"trigger": "type ="}])
    for act in (check, apply):
        with pytest.raises(InvalidMapping, match='mapping "Mine": trigger'):
            act(deployment.session(), file)
    assert deployment.session().audiences.mappings() is None


def test_a_file_that_is_not_json_is_wrong_usage(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "mappings.json"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(WrongUsage):
        check(deployment.session(), file)


def test_switching_everything_off_asks(deployment: Deployment, tmp_path: Path) -> None:
    deployment.answers = ["y"]
    apply(deployment.session(), written(tmp_path, [MAPPING | {"enabled": False}]))
    assert "every event would be ignored" in deployment.questions[0]


def test_an_event_is_tried_and_nothing_sent(deployment: Deployment, printed: Json) -> None:
    deployment.list_audience()
    try_(deployment.session(as_json=True), EVENTS / "01-track-entered-full-pii.json")
    result = printed()
    assert (result["accepted"], result["rejections"]) == (1, [])
    record = result["changes"][0]["record"]
    assert record["action"] == "CREATE"
    assert set(record["hashedPII"][0]) >= {"email", "phone"}
    assert deployment.bodies("ChangeQueue") == []


def test_a_tried_event_is_never_shown_in_clear_text(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    deployment.list_audience()
    try_(deployment.session(), EVENTS / "01-track-entered-full-pii.json")
    shown = "".join(capsys.readouterr()).lower()
    assert "example.com" not in shown
    assert "seattle" not in shown


def test_a_rejected_event_says_why_and_fails(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    deployment.list_audience()
    with pytest.raises(AlreadyReported):
        try_(deployment.session(), EVENTS / "07-track-missing-userid.json")
    assert "member_id_missing" in capsys.readouterr().out


def test_another_file_of_mappings_can_be_tried(deployment: Deployment, tmp_path: Path, printed: Json) -> None:
    deployment.list_audience()
    nothing = written(tmp_path, [MAPPING | {"trigger": 'type = "group"'}])
    try_(deployment.session(as_json=True), EVENTS / "01-track-entered-full-pii.json", mappings=nothing)
    assert printed()["ignored"] == 1


def with_id(directive: Any, **more: Any) -> dict[str, Any]:
    return MAPPING | {"fields": {"external_user_id": directive}} | more


HASHED = {"@sha256": {"@path": "$.traits.phone"}}


@pytest.mark.parametrize(
    ("mapping", "warns"),
    [
        pytest.param(MAPPING, False, id="userId"),
        pytest.param(with_id({"@path": "$.traits.phone"}), True, id="a phone number"),
        pytest.param(with_id({"@path": "$.properties.homePhoneNumber"}), True, id="a phone number by another name"),
        pytest.param(with_id({"@template": "m-{{traits.Email}}"}), True, id="an address in a template"),
        pytest.param(
            with_id({"@if": {"exists": {"@path": "$.userId"}, "then": {"@path": "$.userId"}, "else": HASHED}}),
            False,
            id="hashed where it is read",
        ),
        pytest.param(with_id(HASHED), False, id="hashed"),
        pytest.param(with_id({"@path": "$.traits.phone"}, enabled=False), False, id="a disabled mapping"),
    ],
)
def test_a_mapping_whose_member_id_is_personal_data_in_clear_text_is_warned_of(
    deployment: Deployment, tmp_path: Path, printed: Json, mapping: dict[str, Any], warns: bool
) -> None:
    check(deployment.session(as_json=True), written(tmp_path, [mapping]))
    warnings = printed()["warnings"]
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
def test_a_member_id_of_an_event_that_looks_like_a_phone_number_is_warned_of_and_not_shown(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str], user_id: Any, warns: bool, wrap: Any
) -> None:
    body = tmp_path / "event.json"
    body.write_text(json.dumps(wrap({"type": "track", "userId": user_id})), encoding="utf-8")
    check(deployment.session(), written(tmp_path, [MAPPING]), body)
    output = "".join(capsys.readouterr())
    assert ("looks like a phone number" in output) is warns
    assert "5550199" not in output


def test_trying_an_event_warns_of_a_member_id_that_looks_like_a_phone_number(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.list_audience()
    event = json.loads((EVENTS / "01-track-entered-full-pii.json").read_text()) | {"userId": "12065550199"}
    body = tmp_path / "event.json"
    body.write_text(json.dumps(event), encoding="utf-8")
    try_(deployment.session(), body)
    assert "looks like a phone number" in capsys.readouterr().err
