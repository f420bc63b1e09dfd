"""docs/operator-policy.json allows what the commands call, and docs/deploy.md which command needs which statement."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import botocore.session
import pytest

from audience_sync.aws.membership_rows import Sharding
from audience_sync.aws.membership_table import MembershipTable
from audience_sync.clock import Clock
from audience_sync.member_state import Timing
from audience_sync.member_step import step
from audience_sync.record_rules import erasing_exit
from audience_sync_cli.app import PARTS
from audience_sync_cli.audiences.command import list_, show
from audience_sync_cli.audiences.creation import Settings, create, update
from audience_sync_cli.audiences.linking import link, unlink
from audience_sync_cli.audiences.options import Target
from audience_sync_cli.dashboard.deployed import DeployedStack
from audience_sync_cli.diagnosis.command import diagnose
from audience_sync_cli.errors import AlreadyReported, TryLater
from audience_sync_cli.health import checks
from audience_sync_cli.health.end_to_end import kept_audience
from audience_sync_cli.health.status import count_members
from audience_sync_cli.mappings import command as mappings
from audience_sync_cli.mappings.store import read, replace
from audience_sync_cli.mappings.trial import try_
from audience_sync_cli.mappings.versions import reset
from audience_sync_cli.member_files.compare import compare
from audience_sync_cli.member_files.import_members import import_members
from audience_sync_cli.member_files.import_plan import ImportOptions
from audience_sync_cli.member_files.options import FileOptions
from audience_sync_cli.member_files.repair import RepairOptions
from audience_sync_cli.members.member import erase, queue_deletion_notice
from audience_sync_cli.members.member import show as show_member
from audience_sync_cli.members.restore_members import restore_members
from audience_sync_cli.parked import command as parked
from audience_sync_cli.parked.command import Filter
from audience_sync_cli.setup import keys
from audience_sync_cli.state.blockers import waiting
from audience_sync_cli.state.counts import depth
from audience_sync_cli.watch.following import Following
from audience_sync_cli.watch.operator_log import operator_log
from audience_sync_cli.watch.posting import stated
from audience_sync_cli.watch.rejections import rejections
from audience_sync_cli.watch.send import send
from audience_sync_cli.watch.tail import tail
from audience_sync_cli.watch.ways import Posted
from local.template import ROOT
from scripts.deployer_policy import listed, statements
from tests.aws_fixtures import AUDIENCE, create_membership_table
from tests.unit.cli.conftest import Deployment, change

EVENT = ROOT / "events/segment/01-track-entered-full-pii.json"
MEMBERS = ROOT / "events/members.csv"
POLICY = ROOT / "docs/operator-policy.json"
STATEMENTS = {each["Sid"]: each for each in statements(POLICY)}
SECTION = (ROOT / "docs/deploy.md").read_text(encoding="utf-8").split("\n## Permissions of the operator\n")[1]
ROWS = re.findall(r"^\| (`.+?`) \| (.+) \|$", SECTION.split("\n## ")[0], re.MULTILINE)
READS = ("tail", "operator-log", "rejections", "status", "diagnose")
# Calls whose permission has another name.
PERMISSIONS = {
    "sqs:SendMessageBatch": {"sqs:SendMessage"},
    "sqs:DeleteMessageBatch": {"sqs:DeleteMessage"},
    "sqs:ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "dynamodb:BatchExecuteStatement": {"dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate"},
    "dynamodb:TransactWriteItems": set(),  # those of its parts: see _parts
}

CALLS = {  # the other way round
    "InvokeFunction": "Invoke",
    "PartiQLInsert": "BatchExecuteStatement",
    "PartiQLUpdate": "BatchExecuteStatement",
}


def _sids(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def _allowed(command: str) -> set[str]:
    """The actions of the statements whose row names the command."""
    named = rf"`{command}[` ]|^every command," + ("" if command in READS else "|^every command that changes")
    return {
        action
        for sids, uses in ROWS
        if re.search(named, uses)
        for sid in _sids(sids)
        for action in listed(STATEMENTS[sid]["Action"])
    }


def _audiences(deployment: Deployment) -> None:
    create(deployment.session(), "VIP", Target("590071284455661234"), Settings(), country="US", key="vip")
    list_(deployment.session())
    show(deployment.session(), "vip", with_history=True)
    update(deployment.session(), "vip", Settings(renew=True))
    unlink(deployment.session(yes=True), "vip")
    link(deployment.session(), AUDIENCE.audience_id, key="lapsed")


def _mappings(deployment: Deployment) -> None:
    mappings.show(deployment.session())
    replace(deployment.session(), read(deployment.session()), [])
    reset(deployment.session(yes=True))
    try_(deployment.session(), EVENT)


def _member(deployment: Deployment) -> None:
    show_member(deployment.session(), AUDIENCE.audience_id, "m1")
    erase(deployment.session(yes=True), "m1")


def _parked(deployment: Deployment) -> None:
    parked.list_(deployment.session(), Filter())
    parked.acknowledge(deployment.session(), "known")
    parked.redrive(deployment.session(), Filter(member="m1"), rate=1000)
    parked.drop(deployment.session(yes=True), Filter(member="m2"))


def _status(deployment: Deployment) -> None:
    depth(deployment.stack, "DeadLetterQueue")
    waiting(deployment.session())
    count_members(deployment.session())


def _dashboard(deployment: Deployment) -> None:
    shown = DeployedStack(deployment.stack, time.time)
    shown.read("")
    shown.find({"id": "m1"})
    shown.acknowledge({"note": "known"})
    shown.redrive("")
    shown.close()


def _restore(deployment: Deployment) -> None:
    table = MembershipTable(deployment.stack.service("dynamodb"), "restored", Sharding(8), Clock())
    table.write([step(None, [change("m3")], now=int(time.time()), timing=Timing(900)).state])
    restore_members(deployment.session(yes=True), "restored", since="1h")


def _import(deployment: Deployment) -> None:
    paced = ImportOptions(max_waiting=1_000)
    import_members(deployment.session(yes=True), str(MEMBERS), AUDIENCE.audience_id, paced, FileOptions(at="1h"))


def _compare(deployment: Deployment) -> None:
    at, repair = FileOptions(at="1h"), RepairOptions(repair=True)
    compare(deployment.session(yes=True), str(MEMBERS), AUDIENCE.audience_id, at, repair)


def _keys(deployment: Deployment) -> None:
    keys.rotate(deployment.session(yes=True), keys.Kind.EVENT)
    keys.show(deployment.session())


def _send(deployment: Deployment) -> None:
    with suppress(TryLater):  # there is no gateway here
        send(deployment.session(), sample_name="track", audience=AUDIENCE.audience_id)
    changes = stated(deployment.session(), EVENT.read_bytes()).changes
    following = Following(
        deployment.session(), changes, posted=Posted(time.time()), on_hop=print, on_blocker=print, sleep=print
    )
    following.run(timeout=0)


def _tail(deployment: Deployment) -> None:
    tail(deployment.session(), audience=AUDIENCE.audience_id, follow=False)


def _operator_log(deployment: Deployment) -> None:
    operator_log(deployment.session())


def _rejections(deployment: Deployment) -> None:
    rejections(deployment.session())


def _end_to_end(deployment: Deployment) -> None:
    kept_audience(deployment.session(yes=True))
    _send(deployment)
    queue_deletion_notice(deployment.session(), "m1")


def _test(deployment: Deployment) -> None:
    with suppress(AlreadyReported):
        checks.test(deployment.session())


def _diagnose(deployment: Deployment) -> None:
    with suppress(AlreadyReported):
        diagnose(deployment.session(), AUDIENCE.audience_id)


@pytest.mark.parametrize(
    ("command", "use"),
    [
        pytest.param("audiences", _audiences, id="audiences"),
        pytest.param("mappings", _mappings, id="mappings"),
        pytest.param("member", _member, id="member"),
        pytest.param("parked", _parked, id="parked"),
        pytest.param("dashboard", _dashboard, id="dashboard"),
        pytest.param("restore-members", _restore, id="restore-members"),
        pytest.param("compare", _compare, id="compare"),
        pytest.param("import", _import, id="import"),
        pytest.param("keys", _keys, id="keys"),
        pytest.param("send", _send, id="send"),
        pytest.param("tail", _tail, id="tail"),
        pytest.param("operator-log", _operator_log, id="operator-log"),
        pytest.param("rejections", _rejections, id="rejections"),
        pytest.param("status", _status, id="status"),
        pytest.param("test", _test, id="test"),
        pytest.param("test", _end_to_end, id="test --end-to-end"),
        pytest.param("diagnose", _diagnose, id="diagnose"),
    ],
)
def test_every_call_of_a_command_is_allowed_by_its_statements(
    deployment: Deployment, command: str, use: Callable[[Deployment], None]
) -> None:
    deployment.connect()
    deployment.list_audience()
    deployment.record(change("m1"), erasing_exit("m1", 9, "notice"))
    deployment.park(change("m1"), change("m2"))
    create_membership_table(deployment.stack.service("dynamodb"), "restored")
    called: set[str] = set()
    for service in ("cloudwatch", "dynamodb", "logs", "secretsmanager", "sqs"):
        events = deployment.stack.service(service).meta.events
        events.register(
            f"before-call.{service}", lambda model, service=service, **_: called.add(f"{service}:{model.name}")
        )
    parameters = deployment.stack.service("dynamodb").meta.events
    parameters.register(
        "before-parameter-build.dynamodb.TransactWriteItems", lambda params, **_: called.update(_parts(params))
    )
    use(deployment)
    needed = set[str]().union(*(PERMISSIONS.get(call, {call}) for call in called))
    assert called
    assert needed <= _allowed(command)


def _parts(transaction: Any) -> Iterator[str]:
    """The permissions that the parts of a transaction need."""
    for part in transaction["TransactItems"]:
        yield from (f"dynamodb:{kind}Item" for kind in part)


def test_every_part_of_the_command_and_every_statement_has_a_row() -> None:
    assert set(PARTS) - {name for _, uses in ROWS for name in re.findall(r"`([a-z-]+)", uses)} == set()
    assert [sid for sids, _ in ROWS for sid in _sids(sids)] == list(STATEMENTS)


def test_every_action_exists_at_aws_and_has_a_resource_of_its_service() -> None:
    session: Any = botocore.session.get_session()
    for statement in STATEMENTS.values():
        resources = {each.split(":")[2] if each != "*" else "*" for each in listed(statement["Resource"])}
        for action in listed(statement["Action"]):
            service, _, name = action.partition(":")
            assert CALLS.get(name, name) in session.get_service_model(service).operation_names, action
            assert resources & {service, "*"}, action


def test_the_policy_fits_into_a_managed_policy() -> None:
    assert len("".join(POLICY.read_text(encoding="utf-8").split())) <= 6_144  # IAM's limit
