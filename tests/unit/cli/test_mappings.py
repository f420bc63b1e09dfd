"""Mappings: checked before they are stored, never over somebody else's, tried without sending."""

import json
from pathlib import Path
from typing import Any

import pytest

from audience_sync.errors import InvalidMapping
from audience_sync.segment.mappings import first_of
from cli.errors import AlreadyTold, OperatorError, WrongUsage
from cli.mappings import apply, check, plain, show, try_
from tests.unit.cli.conftest import Json, World

EVENTS = Path(__file__).parents[3] / "events" / "segment"
MAPPING = {"name": "Mine", "trigger": 'type = "track"', "fields": {"external_user_id": {"@path": "$.userId"}}}


def written(tmp_path: Path, document: Any) -> Path:
    file = tmp_path / "mappings.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def test_what_show_prints_can_be_applied(world: World, tmp_path: Path, printed: Json) -> None:
    show(world.session(as_json=True))
    document = printed()
    assert document["version"] == 0
    apply(world.session(as_json=True), written(tmp_path, document))
    assert printed() == {"version": 1, "mappings": 1}
    show(world.session(as_json=True))
    assert printed() == document | {"version": 1}


def test_mappings_of_an_overtaken_version_are_refused(world: World, tmp_path: Path) -> None:
    apply(world.session(), written(tmp_path, {"version": 0, "mappings": [MAPPING]}))
    with pytest.raises(OperatorError, match="made from version 0, and 1 is in force"):
        apply(world.session(), written(tmp_path, {"version": 0, "mappings": []}))


def test_a_bare_list_replaces_whatever_is_in_force(world: World, tmp_path: Path, printed: Json) -> None:
    apply(world.session(as_json=True), written(tmp_path, [MAPPING]))
    assert printed()["version"] == 1
    apply(world.session(as_json=True), written(tmp_path, [MAPPING | {"name": "Other"}]))
    assert printed() == {"version": 2, "mappings": 1}


@pytest.mark.parametrize(
    ("directive", "text"),
    [
        pytest.param({"@path": "$.userId"}, "$.userId", id="path"),
        pytest.param(first_of("blank", "$.a", "$.b", "$.c"), "$.a, else $.b, else $.c", id="first of several"),
        pytest.param("US", '"US"', id="constant"),
        pytest.param({"@template": "{{userId}}"}, '{"@template": "{{userId}}"}', id="anything else, as it is"),
    ],
)
def test_directives_are_written_for_people(directive: Any, text: str) -> None:
    assert plain(directive) == text


def test_a_wrong_mapping_is_never_stored(world: World, tmp_path: Path) -> None:
    file = written(tmp_path, [MAPPING | {"trigger": "type ="}])
    for act in (check, apply):
        with pytest.raises(InvalidMapping, match='mapping "Mine": trigger'):
            act(world.session(), file)
    assert world.session().audiences.mappings() is None


def test_a_file_that_is_no_json_is_wrong_usage(world: World, tmp_path: Path) -> None:
    file = tmp_path / "mappings.json"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(WrongUsage):
        check(world.session(), file)


def test_switching_everything_off_asks(world: World, tmp_path: Path) -> None:
    world.answers = ["y"]
    apply(world.session(), written(tmp_path, [MAPPING | {"enabled": False}]))
    assert "every event would be ignored" in world.questions[0]


def test_an_event_is_tried_and_nothing_sent(world: World, printed: Json) -> None:
    world.list_audience()
    try_(world.session(as_json=True), EVENTS / "01-track-entered-full-pii.json")
    told = printed()
    assert (told["accepted"], told["rejections"]) == (1, [])
    record = told["changes"][0]["record"]
    assert record["action"] == "CREATE"
    assert set(record["hashedPII"][0]) >= {"email", "phone"}
    assert world.bodies("ChangeQueue") == []


def test_nothing_of_a_tried_event_is_shown_in_the_clear(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.list_audience()
    try_(world.session(), EVENTS / "01-track-entered-full-pii.json")
    shown = "".join(capsys.readouterr()).lower()
    assert "example.com" not in shown
    assert "seattle" not in shown


def test_a_rejected_event_says_why_and_fails(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.list_audience()
    with pytest.raises(AlreadyTold):
        try_(world.session(), EVENTS / "07-track-missing-userid.json")
    assert "member_id_missing" in capsys.readouterr().out


def test_another_file_of_mappings_can_be_tried(world: World, tmp_path: Path, printed: Json) -> None:
    world.list_audience()
    nothing = written(tmp_path, [MAPPING | {"trigger": 'type = "group"'}])
    try_(world.session(as_json=True), EVENTS / "01-track-entered-full-pii.json", mappings=nothing)
    assert printed()["ignored"] == 1
