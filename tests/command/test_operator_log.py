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
from audience_sync_cli.dashboard.deployed import DeployedStack
from audience_sync_cli.frame.errors import AlreadyReported, NotThere, WrongUsage
from audience_sync_cli.frame.operator_log import FIELDS, UNWATCHED, OperatorLog
from audience_sync_cli.mappings.versions import revert
from audience_sync_cli.member_files.compare import compare
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.member_files.import_plan import ImportOptions
from audience_sync_cli.member_files.options import FileOptions
from audience_sync_cli.members.erasing import erase
from audience_sync_cli.members.member import show as show_member
from audience_sync_cli.parked import parked_commands as parked
from audience_sync_cli.parked.parked_commands import Filter
from audience_sync_cli.setup import keys
from audience_sync_cli.stack.change_sender import ChangeSender
from audience_sync_cli.stack.key_kinds import KeyKind
from audience_sync_cli.watch.operator_log import operator_log
from audience_sync_cli.watch.send import Follow, send
from local.template import ROOT
from tests.command.conftest import CLIENT_SECRET, NOW, Deployment, change
from tests.command.every_command import Ran
from tests.support.aws_fixtures import AUDIENCE
from tests.support.doubles.clocks import ManualClock
from tests.support.iam import allows, statements

EVENT = ROOT / "events/segment/01-track-entered-full-pii.json"
POLICY = ROOT / "docs/operator-policy.json"
MEMBERS = ROOT / "events/members.csv"
ID = AUDIENCE.audience_id
DRY = (str(MEMBERS), ID, ImportOptions(dry_run=True), FileOptions(at="1h"))


def rotate_and_import(deployment: Deployment) -> None:
    keys.rotate(deployment.session(yes=True), KeyKind.EVENT)
    import_members(deployment.session(yes=True), str(MEMBERS), ID, reading=FileOptions(at="1h"))


@pytest.fixture(autouse=True)
def _filled(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    deployment.connect()
    deployment.list_audience()


class Topic:
    """The topic of the alarms, which may refuse what is published."""

    def __init__(self, refusal: BaseException | None = None) -> None:
        self.messages: list[str] = []
        self._refusal = refusal

    def publish(self, *, TopicArn: str, Subject: str, Message: str) -> None:  # noqa: ARG002, N803 - boto3's names
        if isinstance(self._refusal, EndpointConnectionError):
            raise self._refusal
        self.messages.append(Message)


TOPIC = "arn:aws:sns:eu-west-1:123456789012:audience-sync-Alarms-1A2B"


@pytest.mark.parametrize(
    ("error", "published", "noted"),
    [
        (None, "done", False),
        (ValueError(), "failed: ValueError", False),
        (KeyboardInterrupt(), None, False),
        (EndpointConnectionError(endpoint_url="https://sns"), None, True),  # of the topic
    ],
    ids=["done", "failed", "interrupted", "a topic that refuses does not fail the command"],
)
def test_the_end_of_a_command_is_published_to_the_topic_of_the_alarms(
    deployment: Deployment, error: BaseException | None, published: str | None, noted: bool
) -> None:
    topic, clock, notes = Topic(error), ManualClock(NOW), list[str]()
    log = OperatorLog(deployment.stack, notes.append, clock)
    for seconds in UNWATCHED - 1, UNWATCHED:
        with suppress(ValueError, KeyboardInterrupt), log.published("audiences end", {"audienceId": "7", "changes": 0}):
            clock.now += seconds
            if error and not noted:
                raise error
        # A stack without the topic says nothing, and a short run is watched.
        deployment.stack._names["Alarms"], deployment.stack._clients["sns"] = TOPIC, topic
    ended = f"audience-sync audiences end: {published}. Stack tests, audience 7, changes 0."
    assert topic.messages == ([ended] if published else [])
    assert ["Nothing was published to the topic of the alarms" in note for note in notes] == [True] * noted
    assert allows(statements(POLICY), "sns:Publish", TOPIC)


PERSONAL = re.compile(r"m1|m2|cust_|@|amzn1|" + re.escape(CLIENT_SECRET))


def test_every_command_that_changes_something_is_logged(every_command: list[Ran]) -> None:
    for ran in every_command:
        assert len(ran.logged) == (ran.details is not None), ran.command
        for line in ran.logged:
            assert (line["command"].partition(" --")[0], line["outcome"]) == (ran.command, "done")
            assert line["who"].startswith("arn:aws:sts::")
            assert {name: str(line[name]) for name in ran.details or {}} == ran.details


def test_log_lines_hold_no_member_no_secret_and_only_known_fields(every_command: list[Ran]) -> None:
    kept = [{name: each[name] for name in each.keys() - {"who"}} for ran in every_command for each in ran.logged]
    keys_made = [made for ran in every_command if ran.command.startswith("keys") for made in ran.documents]
    values = {made["value"] for made in keys_made if "value" in made}
    assert not PERSONAL.search(json.dumps(kept))
    assert len(values) >= 2
    assert not any(value in json.dumps(kept) for value in values)
    assert {name for each in kept for name in each} <= {"at", "command", "outcome", *FIELDS}


def redrive(deployment: Deployment, reason: str) -> list[str]:
    """Redrive dead letters on the page."""
    shown = DeployedStack(deployment.stack, lambda: 1.8e9)
    sentences = shown.redrive(reason)
    shown.close()
    return sentences


def test_a_redrive_from_the_dashboard_is_logged(deployment: Deployment) -> None:
    deployment.park(change("m1"))
    redrive(deployment, "request_rejected")
    (line,) = deployment.operator_log()
    assert (line["command"], line["deadLetters"]) == ("dashboard redrive", 1)


def test_sent_events_are_logged(deployment: Deployment, gateway: list[Any]) -> None:
    gateway.append((200, {"accepted": 1, "ignored": 0, "rejected": 0, "rejections": []}))
    send(deployment.session(), EVENT)
    with suppress(AlreadyReported):
        send(deployment.session(), follow=Follow(round_trip=ID, timeout=0))
    assert [(each["command"], each.get("events")) for each in deployment.operator_log()] == [
        ("send", 1),
        ("send --round-trip", None),
    ]


@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(lambda found: found.declined(erase, ["m1"]), id="not confirmed"),
        pytest.param(lambda found: import_members(found.session(), *DRY), id="a dry run"),
        pytest.param(lambda found: parked.redrive(found.session(), Filter(), dry_run=True), id="a dry redrive"),
        pytest.param(lambda found: keys.show(found.session()), id="shown only"),
        pytest.param(lambda found: revert(found.session(yes=True), "built-in"), id="nothing to change"),
    ],
)
def test_reads_and_declined_commands_are_not_logged(
    deployment: Deployment, deed: Callable[[Deployment], object]
) -> None:
    deployment.record(change("m1"))
    deed(deployment)
    assert deployment.operator_log() == []


def test_a_comparison_and_a_failed_look_up_are_logged_without_the_value(deployment: Deployment) -> None:
    compare(deployment.session(), str(MEMBERS), ID)
    deployment.refusal(NotThere, show_member, "nobody", request="DSR-17")
    compared, failed = [{name: each[name] for name in each.keys() - {"who"}} for each in deployment.operator_log()]
    assert compared == {"command": "compare", "outcome": "done", "audienceId": ID, "rows": 6}
    assert failed == {"command": "member show", "outcome": "failed: NotThere", "people": 1, "request": "DSR-17"}


@pytest.mark.parametrize("number", ["ann@example.com", "x" * 65, "a\nb"])
def test_a_request_number_holds_no_address(deployment: Deployment, number: str) -> None:
    assert "--request" in str(deployment.refusal(WrongUsage, show_member, "m1", request=number))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(KeyboardInterrupt(), "interrupted"), (Unavailable("m1 does not answer"), "failed: Unavailable")],
)
def test_an_interrupted_command_is_logged_with_its_progress(
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
    (line,) = deployment.operator_log()
    assert (line["command"], line["outcome"], line["changes"]) == ("import", outcome, 2)


def test_operator_log_prints_the_newest_line_first_and_can_list_imports_alone(deployment: Deployment) -> None:
    assert "Nothing since then." in deployment.printed(operator_log, since="1h").out
    rotate_and_import(deployment)
    deployment.log("Operator", "a line of another kind")
    *_, newest, oldest = deployment.printed(operator_log).out.splitlines()
    assert re.search(r"Z +user/moto +import +done +audience 418273650912345678, changes 6, left out 2", newest)
    assert re.search(r"Z +user/moto +keys rotate +done +key event", oldest)
    imported, rotated = deployment.json(operator_log)
    assert (imported["command"], imported["changes"], imported["leftOut"]) == ("import", 6, 2)
    assert (rotated["command"], set(rotated)) == ("keys rotate", {"at", "who", "command", "outcome", "key"})
    assert deployment.json(operator_log, only=["import", "audiences move"]) == [imported]
    for name in (ID, AUDIENCE.computation_key):
        assert deployment.json(operator_log, audience=name) == [imported]
    deployment.refusal(NotThere, operator_log, audience="no_such_audience")


def test_a_command_works_without_the_log_and_notes_it_also_on_the_dashboard(deployment: Deployment) -> None:
    """A stack may be from before the operator log."""
    deployment.stack._names.pop("OperatorLogGroup")
    deployment.park(change("m1"))
    found = deployment.printed(keys.rotate, KeyKind.EVENT, yes=True).err
    assert deployment.secret("IngestSecret")["previousEventKey"]
    first, *_, last = redrive(deployment, "")
    assert first.startswith("1 dead letter")
    for note in (found, last):
        assert "The operator log has no line about this command" in note


def test_the_profile_is_logged_if_sts_does_not_answer(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("logs", "secretsmanager", "sts"):  # boto3 makes none for a profile that this machine lacks
        deployment.stack.service(service)
    monkeypatch.setenv("AWS_PROFILE", "marketing-ops")
    deployment.fail("sts", EndpointConnectionError(endpoint_url="https://sts"))
    keys.rotate(deployment.session(yes=True), KeyKind.EVENT)
    assert [each["who"] for each in deployment.operator_log()] == ["profile marketing-ops"]
