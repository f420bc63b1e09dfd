"""The operator log has one line for each command that changed something: who, what, how many, and how it ended."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from audience_sync.errors import Unavailable
from audience_sync_cli.audiences.creation import Settings, create, update
from audience_sync_cli.audiences.linking import link, unlink
from audience_sync_cli.audiences.options import Target
from audience_sync_cli.dashboard.deployed import DeployedStack
from audience_sync_cli.errors import AlreadyReported, NotConfirmed
from audience_sync_cli.health.end_to_end import WholeWay
from audience_sync_cli.mappings.versions import apply, reset, revert
from audience_sync_cli.member_files.change_sender import ChangeSender
from audience_sync_cli.member_files.compare import compare
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.member_files.import_plan import ImportOptions
from audience_sync_cli.member_files.options import FileOptions
from audience_sync_cli.member_files.repair import RepairOptions
from audience_sync_cli.members.member import erase
from audience_sync_cli.members.restore_members import restore_members
from audience_sync_cli.operator_log import FIELDS
from audience_sync_cli.parked import command as parked
from audience_sync_cli.parked.command import Filter
from audience_sync_cli.setup import connections, keys, source_keys
from audience_sync_cli.setup.authorization import Application
from audience_sync_cli.setup.connect import authorize
from audience_sync_cli.setup.terms import ACCEPTANCE, accept_terms
from audience_sync_cli.watch.operator_log import operator_log
from audience_sync_cli.watch.send import send
from tests.aws_fixtures import AUDIENCE, create_membership_table
from tests.unit.cli import browser
from tests.unit.cli.conftest import CLIENT_ID, CLIENT_SECRET, Deployment, Json, change

EVENT = Path(__file__).parents[3] / "events/segment/01-track-entered-full-pii.json"
MEMBERS = Path(__file__).parents[3] / "events/members.csv"
ID = AUDIENCE.audience_id

type Deed = Callable[[Deployment, Path], object]


@pytest.fixture(autouse=True)
def _filled(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    deployment.connect()
    deployment.list_audience()


def lines(deployment: Deployment) -> list[dict[str, Any]]:
    events = deployment.logs.filter("OperatorLogGroup", 0, None)["events"]
    return [json.loads(each["message"]) for each in events]


def _connect(deployment: Deployment, _: Path) -> None:
    application = Application(CLIENT_ID, CLIENT_SECRET)
    authorize(deployment.session(), application, port=0, opener=lambda address: bool(browser.answer(address)))


def _compare(deployment: Deployment, _: Path) -> None:
    compare(deployment.session(yes=True), str(MEMBERS), ID, FileOptions(at="1h"), RepairOptions(repair=True))


def _restore(deployment: Deployment, _: Path) -> None:
    create_membership_table(deployment.stack.service("dynamodb"), "restored")
    restore_members(deployment.session(yes=True), "restored", since="1h")


def _apply(deployment: Deployment, folder: Path) -> None:
    (folder / "mappings.json").write_text('{"mappings": []}')
    apply(deployment.session(yes=True), folder / "mappings.json", force=True)


def _revert(deployment: Deployment, folder: Path) -> None:
    _apply(deployment, folder)
    revert(deployment.session(yes=True), 0)


def _reset(deployment: Deployment, folder: Path) -> None:
    _apply(deployment, folder)
    reset(deployment.session(yes=True))


def _retire(deployment: Deployment, _: Path) -> None:
    keys.rotate(deployment.session(yes=True), keys.Kind.EVENT)
    keys.retire(deployment.session(yes=True), keys.Kind.EVENT)


def _remove_source(deployment: Deployment, _: Path) -> None:
    source_keys.add(deployment.session(), source_keys.SourceKind.EVENT, "emea")
    source_keys.remove(deployment.session(yes=True), source_keys.SourceKind.EVENT, "emea")


def _delete_connection(deployment: Deployment, _: Path) -> None:
    connections.create(deployment.session(), amc_instance="amc-1")
    (made,) = deployment.session().amazon.connections()
    connections.delete(deployment.session(yes=True), str(made["connectionId"]))


def _parked_redrive(deployment: Deployment, _: Path) -> None:
    deployment.park(change("m1"), change("m2"))
    parked.redrive(deployment.session(), Filter(member="m1"), rate=1000)


def _parked_drop(deployment: Deployment, _: Path) -> None:
    deployment.park(change("m1"), change("m2"))
    parked.drop(deployment.session(yes=True), Filter(), everything=True)


def _dashboard(deployment: Deployment, _: Path) -> None:
    deployment.park(change("m1"))
    shown = DeployedStack(deployment.stack, lambda: 1.8e9)
    shown.redrive("request_rejected")
    shown.close()


def _erase_a_stranger(found: Deployment) -> None:
    with pytest.raises(AlreadyReported):  # the notice is queued all the same
        erase(found.session(yes=True), "m1")


DEEDS: list[tuple[str, Deed, dict[str, Any]]] = [
    ("connect", _connect, {}),
    ("keys rotate", lambda found, _: keys.rotate(found.session(yes=True), keys.Kind.EVENT), {"key": "event"}),
    ("keys retire", _retire, {"key": "event"}),
    (
        "keys add",
        lambda found, _: source_keys.add(found.session(), source_keys.SourceKind.EVENT, "emea"),
        {"key": "event", "source": "emea"},
    ),
    ("keys remove", _remove_source, {"key": "event", "source": "emea"}),
    (
        "audiences create",
        lambda found, _: create(found.session(), "VIP", Target("590071284455661234"), Settings(), country="US"),
        {},
    ),
    ("audiences update", lambda found, _: update(found.session(), ID, Settings(renew=True)), {"audienceId": ID}),
    ("audiences link", lambda found, _: link(found.session(), ID, key="lapsed"), {"audienceId": ID}),
    ("audiences unlink", lambda found, _: unlink(found.session(yes=True), ID), {"audienceId": ID}),
    ("connections create", lambda found, _: connections.create(found.session(), amc_instance="amc-1"), {}),
    ("connections delete", _delete_connection, {}),
    ("terms accept", lambda found, _: accept_terms(found.session(), ACCEPTANCE), {}),
    ("mappings apply", _apply, {"version": 1, "mappings": 0}),
    ("mappings revert", _revert, {"version": 2, "mappings": 1}),
    ("mappings reset", _reset, {"version": 2, "mappings": 1}),
    (
        "import",
        lambda found, _: import_members(found.session(yes=True), str(MEMBERS), ID, reading=FileOptions(at="1h")),
        {"audienceId": ID, "changes": 6},
    ),
    ("compare --repair", _compare, {"audienceId": ID, "changes": 6}),
    ("member erase", lambda found, _: _erase_a_stranger(found), {"audiences": 0}),
    ("parked redrive", _parked_redrive, {"deadLetters": 1}),
    ("parked drop", _parked_drop, {"deadLetters": 2}),
    ("parked acknowledge", lambda found, _: parked.acknowledge(found.session(), "known"), {}),
    ("dashboard redrive", _dashboard, {"deadLetters": 1}),
    ("restore-members", _restore, {"rows": 0}),
]
PERSONAL = re.compile(r"m1|m2|cust_|@|amzn1|" + re.escape(CLIENT_SECRET))


@pytest.mark.parametrize(("command", "deed", "details"), DEEDS, ids=[each[0] for each in DEEDS])
def test_a_command_that_changes_something_is_recorded(
    deployment: Deployment, tmp_path: Path, command: str, deed: Deed, details: dict[str, Any]
) -> None:
    deed(deployment, tmp_path)
    line = lines(deployment)[-1]
    assert line["command"] == command
    assert line["outcome"] == "done"
    assert line["who"].startswith("arn:aws:sts::")
    assert line.items() >= details.items()
    assert [each["command"] for each in lines(deployment)].count(command) == 1


@pytest.mark.parametrize(("command", "deed", "_details"), DEEDS, ids=[each[0] for each in DEEDS])
def test_no_line_holds_a_member_a_secret_or_a_field_of_no_list(
    deployment: Deployment, tmp_path: Path, command: str, deed: Deed, _details: dict[str, Any]
) -> None:
    deed(deployment, tmp_path)
    kept = [{name: value for name, value in each.items() if name != "who"} for each in lines(deployment)]
    assert kept
    stored = deployment.secret("IngestSecret")
    assert not PERSONAL.search(json.dumps(kept)), command
    assert not any(value in json.dumps(kept) for value in stored.values() if value not in ("", "kept"))
    assert {name for each in kept for name in each} <= {"at", "command", "outcome", *FIELDS}


def test_events_that_an_operator_sends_are_recorded(deployment: Deployment, gateway: list[Any]) -> None:
    gateway.append((200, {"accepted": 1, "ignored": 0, "rejected": 0, "rejections": []}))
    send(deployment.session(), EVENT)
    with suppress(AlreadyReported):
        WholeWay(deployment.session(), ID, timeout=0, sleep=lambda _: None).run()
    assert [(each["command"], each.get("events")) for each in lines(deployment)] == [
        ("send", 1),
        ("test --end-to-end", None),
    ]


def _declined(deployment: Deployment) -> None:
    deployment.answers.append("n")
    erase(deployment.session(), "m1")


@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(_declined, id="not confirmed"),
        pytest.param(
            lambda found: import_members(
                found.session(), str(MEMBERS), ID, ImportOptions(dry_run=True), FileOptions(at="1h")
            ),
            id="a dry run",
        ),
        pytest.param(lambda found: parked.redrive(found.session(), Filter(), dry_run=True), id="a dry redrive"),
        pytest.param(lambda found: keys.show(found.session()), id="shown only"),
        pytest.param(lambda found: reset(found.session(yes=True)), id="nothing to change"),
    ],
)
def test_what_changes_nothing_is_not_recorded(deployment: Deployment, deed: Callable[[Deployment], None]) -> None:
    with suppress(NotConfirmed):
        deed(deployment)
    assert lines(deployment) == []


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(KeyboardInterrupt(), "interrupted"), (Unavailable("m1 does not answer"), "failed: Unavailable")],
)
def test_a_command_that_ends_early_is_recorded_with_what_it_has_done(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, error: BaseException, outcome: str
) -> None:
    taken = ChangeSender.take

    def take(sender: ChangeSender, row: int, found: Any) -> None:
        if row == 3:
            raise error
        taken(sender, row, found)
        sender._send()

    monkeypatch.setattr(ChangeSender, "take", take)
    with pytest.raises(type(error)):
        import_members(deployment.session(yes=True), str(MEMBERS), ID, reading=FileOptions(at="1h"))
    (line,) = lines(deployment)
    assert (line["command"], line["outcome"], line["changes"]) == ("import", outcome, 2)


@pytest.fixture
def without_log(deployment: Deployment) -> None:
    """A stack from before the operator log."""
    deployment.stack._names.pop("OperatorLogGroup")


@pytest.mark.usefixtures("without_log")
def test_a_command_works_without_the_log_and_says_so(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.rotate(deployment.session(yes=True), keys.Kind.EVENT)
    assert "The operator log has no line about this command" in capsys.readouterr().err
    assert deployment.secret("IngestSecret")["previousEventKey"]


@pytest.mark.usefixtures("without_log")
def test_the_page_says_that_a_redrive_was_not_recorded(deployment: Deployment) -> None:
    deployment.park(change("m1"))
    shown = DeployedStack(deployment.stack, lambda: 1.8e9)
    sentences = shown.redrive("")
    shown.close()
    assert sentences[0].startswith("1 dead letter")
    assert "The operator log has no line about this command" in sentences[-1]


def test_where_sts_does_not_answer_the_profile_is_recorded(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "marketing-ops")

    def refuse(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://sts")

    deployment.stack.service("sts").meta.events.register("before-call.sts", refuse)
    keys.rotate(deployment.session(yes=True), keys.Kind.EVENT)
    assert [each["who"] for each in lines(deployment)] == ["profile marketing-ops"]


def test_the_log_can_be_read(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    keys.rotate(deployment.session(yes=True), keys.Kind.EVENT)
    import_members(deployment.session(yes=True), str(MEMBERS), ID, reading=FileOptions(at="1h"))
    capsys.readouterr()
    operator_log(deployment.session())
    *_, newest, oldest = capsys.readouterr().out.splitlines()
    assert re.search(r"Z +user/moto +import +done +audience 418273650912345678, changes 6", newest)
    assert re.search(r"Z +user/moto +keys rotate +done +key event", oldest)


def test_the_log_is_a_list_for_scripts(
    deployment: Deployment, printed: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.rotate(deployment.session(yes=True), keys.Kind.EVENT)
    deployment.log("Operator", "a line of another kind")
    capsys.readouterr()
    operator_log(deployment.session(as_json=True))
    assert [set(each) for each in printed()] == [{"at", "who", "command", "outcome", "key"}]


def test_an_empty_log_says_so(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    operator_log(deployment.session(), since="1h")
    assert "No changes since then." in capsys.readouterr().out
