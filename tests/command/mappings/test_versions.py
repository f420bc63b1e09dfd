"""Versions of the mappings: compared before they are stored, never stored over a newer one, put in force again."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from audience_sync.aws.audience_listing import AudienceListing
from audience_sync.aws.audience_table import MAPPINGS_HISTORY_KEY, MAPPINGS_KEY, VERSION_KEY
from audience_sync.ingest.intake import compiled
from audience_sync.segment.default_mapping import DEFAULT_MAPPING
from audience_sync_cli.frame.errors import AlreadyReported, NotConfirmed, NotThere, OperatorError, WrongUsage
from audience_sync_cli.frame.screen import Screen
from audience_sync_cli.frame.session import Session
from audience_sync_cli.mappings.show_and_check import show
from audience_sync_cli.mappings.versions import apply, revert
from audience_sync_cli.stack.mapping_history import MAX_VERSIONS
from tests.command.conftest import NOW, Deployment
from tests.command.mappings.mapping_files import MAPPING, written

OTHER = MAPPING | {"name": "Other"}
BUILT_IN = [asdict(DEFAULT_MAPPING)]
REFUSED = {"version": 3, "mappings": [MAPPING | {"trigger": "type ="}]}


def store(deployment: Deployment, document: Any) -> None:
    """Write what is stored by hand."""
    held = document if set(document) <= {"S", "M"} else {"S": json.dumps(document)}
    item = {"audienceId": {"S": MAPPINGS_KEY}, "document": held}
    deployment.stack.service("dynamodb").put_item(TableName=deployment.stack["AudienceTable"], Item=item)


def put(deployment: Deployment, tmp_path: Path, document: Any) -> None:
    """Apply a document, without its output."""
    deployment.printed(apply, written(tmp_path, document), force=True, yes=True, now=NOW)


def in_force(deployment: Deployment) -> Any:
    return json.loads(deployment.session().audiences.mappings() or "null")


def test_apply_accepts_the_output_of_show_with_and_without_edits(deployment: Deployment, tmp_path: Path) -> None:
    document = deployment.json(show)
    assert document["version"] == 0
    shown = deployment.json(apply, written(tmp_path, document))
    assert shown == {"version": 0, "changed": False, "mappings": 1, "dryRun": False, "changes": []}
    assert in_force(deployment) is None
    document["mappings"].append(MAPPING)
    found = deployment.json(apply, written(tmp_path, document), yes=True)
    assert found.items() >= {"version": 1, "changed": True, "mappings": 2, "dryRun": False}.items()
    assert deployment.json(show) == document | {"version": 1}


def test_apply_warns_if_new_mappings_reject_events_accepted_before(deployment: Deployment, tmp_path: Path) -> None:
    fields = asdict(DEFAULT_MAPPING)["fields"] | {"external_user_id": {"@template": "loy-{{ traits.number }}"}}
    file = written(tmp_path, [asdict(DEFAULT_MAPPING) | {"fields": fields}])
    assert ["member_id_missing" in deployment.printed(apply, file, yes=True).err for _ in range(2)] == [True, False]


def test_apply_refuses_a_file_made_from_an_older_version_unless_it_is_in_force(
    deployment: Deployment, tmp_path: Path
) -> None:
    saved, document = deployment.json(show), {"version": 0, "mappings": [MAPPING]}
    put(deployment, tmp_path, document)
    assert deployment.json(apply, written(tmp_path, document))["changed"] is False
    for file, problem, remedy in (
        (document | {"mappings": [OTHER]}, "made from version 0, and version 1 is in force", "remove `version`"),
        (saved, "The file is version 0, and version 1 is in force", "mappings revert 0`"),
    ):
        with pytest.raises(OperatorError, match=problem) as caught:
            put(deployment, tmp_path, file)
        assert remedy in caught.value.remedy
    revert(deployment.session(yes=True), "0")
    assert in_force(deployment) is None


def test_apply_shows_the_changes_and_asks(deployment: Deployment, tmp_path: Path) -> None:
    put(deployment, tmp_path, [MAPPING])
    deployment.answers = ["n"]
    changed = MAPPING | {"fields": MAPPING["fields"] | {"email": {"@path": "$.traits.email"}}}
    shown = deployment.printed(apply, written(tmp_path, [changed]), raises=NotConfirmed).out
    assert [line.rstrip() for line in shown.splitlines()] == ["Mine: changed", "  email  + $.traits.email"]
    assert deployment.questions == ["Put this in force as version 2? [y/N] "]
    assert in_force(deployment)["version"] == 1


def test_a_dry_run_neither_asks_nor_stores(deployment: Deployment, tmp_path: Path) -> None:
    put(deployment, tmp_path, [MAPPING])
    document = deployment.json(apply, written(tmp_path, [OTHER]), dry_run=True)
    assert (document["version"], document["changed"], document["dryRun"]) == (1, False, True)
    changes = [(each["mapping"], each["change"]) for each in document["changes"]]
    assert changes == [("Other", "added"), ("Mine", "removed")]
    for version in ("0", "built-in"):
        deployment.json(revert, version, dry_run=True)
    assert in_force(deployment)["version"] == 1


NO_JSON = {"S": "{not json"}


@pytest.mark.parametrize(
    "held",
    [NO_JSON, {"S": '"text"'}, {"S": "null"}, {"S": "[" * 100_000}, {"M": {"version": {"N": "1"}}}],
    ids=["no JSON", "a text", "null", "nested too deeply", "no text at all"],
)
def test_unreadable_stored_mappings_are_reported_and_can_be_replaced(
    deployment: Deployment, tmp_path: Path, held: dict[str, Any]
) -> None:
    store(deployment, held)
    with pytest.raises(OperatorError, match="The stored mappings are unreadable") as caught:
        show(deployment.session())
    assert "audience-sync mappings apply" in caught.value.remedy
    deployment.answers = ["y"]
    assert deployment.json(apply, written(tmp_path, {"version": 7, "mappings": [MAPPING]}))["version"] == 1
    assert "unreadable and would be replaced" in deployment.questions[0]
    assert deployment.json(show)["version"] == 1


@pytest.mark.parametrize("held", [NO_JSON, {"version": 1, "mappings": [OTHER]}], ids=["unreadable", "valid"])
def test_apply_does_not_overwrite_mappings_replaced_since_they_were_read(
    deployment: Deployment, tmp_path: Path, held: Any
) -> None:
    store(deployment, held)

    def repair(_: str) -> str:
        store(deployment, {"version": 1, "mappings": []})
        return "y"

    session = Session(Screen(answers=repair), lambda: deployment.stack)
    with pytest.raises(OperatorError, match="Another version was applied"):
        apply(session, written(tmp_path, [MAPPING]))
    assert in_force(deployment) == {"version": 1, "mappings": []}


@pytest.mark.parametrize("version", ["x", -1, True, None, 1.5, "a list of mappings, without one"])
def test_a_version_that_is_not_a_number_counts_as_zero(deployment: Deployment, tmp_path: Path, version: Any) -> None:
    is_list = isinstance(version, str) and version.startswith("a list")
    held = {"S": json.dumps([MAPPING])} if is_list else {"version": version, "mappings": [MAPPING]}
    store(deployment, held)
    assert "Version 0." in deployment.printed(show).out
    seen = deployment.printed(show, as_json=True)
    assert ("counts as 0" in seen.err) is not is_list
    assert deployment.json(apply, written(tmp_path, [OTHER] if is_list else seen.json), yes=True)["version"] == 1


def test_invalid_stored_mappings_are_shown_with_faults_and_fixed_but_not_put_in_force_again(
    deployment: Deployment, tmp_path: Path
) -> None:
    store(deployment, REFUSED)
    seen = deployment.printed(show, as_json=True, raises=AlreadyReported)
    assert 'Mapping "Mine": trigger' in seen.err
    assert "mappings apply" in seen.err
    document = seen.json
    assert document == REFUSED
    document["mappings"][0]["trigger"] = MAPPING["trigger"]
    assert deployment.json(apply, written(tmp_path, document), yes=True)["version"] == 4
    assert "Version 3 has a fault:\nMapping " in str(deployment.refusal(OperatorError, revert, "3", yes=True))


def test_mappings_that_ignore_every_event_need_force_and_a_confirmation(deployment: Deployment, tmp_path: Path) -> None:
    deployment.answers = ["y"]
    apply(deployment.session(), written(tmp_path, [MAPPING | {"enabled": False}]), force=True)
    assert deployment.questions == ["Every event would be ignored. Put this in force as version 1? [y/N] "]
    put(deployment, tmp_path, [MAPPING])
    assert "would ignore every event" in str(deployment.refusal(OperatorError, revert, "1", yes=True))
    revert(deployment.session(yes=True), "1", force=True)


UNREADABLE_NOW = "The stored mappings are unreadable and would be replaced. "


@pytest.mark.parametrize("warning", ["", UNREADABLE_NOW], ids=["readable", "unreadable"])
def test_a_former_version_is_shown_and_stored_as_a_new_one_by_revert(
    deployment: Deployment, tmp_path: Path, warning: str
) -> None:
    for each in ([MAPPING], [OTHER]):
        put(deployment, tmp_path, each)
    assert deployment.json(show, version=1) == {"version": 1, "mappings": [MAPPING]}
    lines = deployment.printed(show, version=1).out.splitlines()
    assert lines[:4] == ["Version 1, applied 2027-01-15 08:00:00Z.", "", "Mine", 'when type = "track"']
    deployment.refusal(NotThere, show, version=7)
    if warning:
        store(deployment, NO_JSON)
    deployment.answers = ["y"]
    assert deployment.json(revert, "1")["version"] == 3
    assert deployment.questions == [f"{warning}Put version 1 in force again, as version 3? [y/N] "]
    assert in_force(deployment) == {"version": 3, "mappings": [MAPPING]}
    assert deployment.json(revert, "3")["changed"] is False


@pytest.mark.parametrize(("version", "problem"), [("7", "Version 7 is not stored"), (None, "No version is named")])
def test_revert_to_an_unknown_version_lists_the_stored_ones(
    deployment: Deployment, tmp_path: Path, version: str | None, problem: str
) -> None:
    put(deployment, tmp_path, [MAPPING])
    store(deployment, {"version": 5, "mappings": [OTHER]})
    put(deployment, tmp_path, [])
    with pytest.raises(NotThere if version else WrongUsage, match=problem) as caught:
        revert(deployment.session(yes=True), version)
    listed = [line.split(maxsplit=1) for line in str(caught.value).splitlines()[1:]]
    applied = "2027-01-15 08:00:00Z"
    assert listed == [["6", applied], ["5", "-"], ["1", applied], ["0", "-"]]


def test_revert_restores_the_built_in_mapping_as_a_new_version(deployment: Deployment, tmp_path: Path) -> None:
    put(deployment, tmp_path, [MAPPING])
    deployment.answers = ["y"]
    assert deployment.json(revert, "built-in")["version"] == 2
    assert deployment.questions == ["Put the built-in mapping in force, as version 2? [y/N] "]
    assert in_force(deployment) is None
    assert deployment.json(show) == {"version": 2, "mappings": BUILT_IN}
    assert deployment.json(revert, "built-in")["changed"] is False
    put(deployment, tmp_path, {"version": 2, "mappings": [OTHER]})
    assert in_force(deployment)["version"] == 3


def test_revert_replaces_a_stored_copy_of_the_built_in_mapping(deployment: Deployment) -> None:
    assert "Nothing to change: the built-in mapping is already in force." in deployment.printed(revert, "built-in").out
    store(deployment, {"version": 1, "mappings": BUILT_IN})
    reverted = deployment.json(revert, "built-in", yes=True)
    assert (reverted["version"], reverted["changed"], reverted["changes"]) == (2, True, [])
    assert in_force(deployment) is None


def test_mappings_and_history_take_one_table_row_each(deployment: Deployment, tmp_path: Path) -> None:
    deployment.list_audience()
    for number in range(MAX_VERSIONS + 5):
        put(deployment, tmp_path, [MAPPING | {"trigger": f'type = "track" and event = "{number}"'}])
    keys = {row["audienceId"]["S"] for row in deployment.rows("AudienceTable")}
    assert {each for each in keys if each.startswith("#")} == {MAPPINGS_KEY, MAPPINGS_HISTORY_KEY, VERSION_KEY}
    listing = AudienceListing(deployment.session().audiences, lambda: 0.0)
    assert len(listing.with_unlinked()) == 1
    (mapping,) = compiled(listing.mappings())
    assert mapping.name == "Mine"
    assert "mappings revert built-in`" in deployment.refusal(NotThere, revert, "0", yes=True).remedy
    revert(deployment.session(yes=True), "built-in")
    assert in_force(deployment) is None
