"""docs/cli.md lists the permissions that an operator needs: all that the commands call, and only real ones."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from audience_sync.record_rules import erasing_exit
from audience_sync_cli.app import PARTS
from audience_sync_cli.dashboard.deployed import DeployedStack
from audience_sync_cli.errors import TryLater
from audience_sync_cli.health.end_to_end import kept_audience
from audience_sync_cli.members.member import queue_deletion_notice
from audience_sync_cli.watch.following import Following
from audience_sync_cli.watch.posting import stated
from audience_sync_cli.watch.send import send
from audience_sync_cli.watch.ways import Posted
from tests.aws_fixtures import AUDIENCE
from tests.unit.cli.conftest import Deployment, change
from tests.unit.cli.every_command import Ran, aws_calls

EVENT = Path(__file__).parents[3] / "events/segment/01-track-entered-full-pii.json"
MEMBERS = Path(__file__).parents[3] / "events/members.csv"
DOCUMENT = Path(__file__).parents[3] / "docs" / "cli.md"
ROWS = re.findall(r"^\| (.+?) \| (.*`\w+:\w+`.*) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
LOGGED = "every command that changes something, for the [operator log](#the-operator-log)"
ALLOWED = {command: set(re.findall(r"`(\w+:\w+)`", actions)) for command, actions in ROWS}
READS = ("`tail`", "`operator-log`", "`rejections`", "`status`", "`diagnose`")
# Calls whose permission has another name.
PERMISSIONS = {
    "sqs:SendMessageBatch": {"sqs:SendMessage"},
    "sqs:DeleteMessageBatch": {"sqs:DeleteMessage"},
    "sqs:ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "dynamodb:BatchExecuteStatement": {"dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate"},
    "dynamodb:TransactWriteItems": set(),  # those of its parts: see aws_calls
}

CALLS = {  # the other way round
    "InvokeFunction": "Invoke",
    "PartiQLInsert": "BatchExecuteStatement",
    "PartiQLUpdate": "BatchExecuteStatement",
}


def _dashboard(deployment: Deployment) -> None:
    shown = DeployedStack(deployment.stack, time.time)
    shown.read("")
    shown.find({"id": "m1"})
    shown.acknowledge({"note": "known"})
    shown.redrive("")
    shown.close()


def _send_and_wait(deployment: Deployment) -> None:
    with suppress(TryLater):  # there is no gateway here
        send(deployment.session(), sample_name="track", audience=AUDIENCE.audience_id)
    changes = stated(deployment.session(), EVENT.read_bytes()).changes
    following = Following(
        deployment.session(), changes, posted=Posted(time.time()), on_hop=print, on_blocker=print, sleep=print
    )
    following.run(timeout=0)


def _end_to_end(deployment: Deployment) -> None:
    kept_audience(deployment.session(yes=True))
    _send_and_wait(deployment)
    queue_deletion_notice(deployment.session(), "m1")


def _lacking(part: str, calls: set[str]) -> set[str]:
    """Return the permissions for calls of a part of the command that are not in its row."""
    assert calls
    (row,) = (row for row in ALLOWED if f"`{part}`" in row.split(", "))
    needed = set[str]().union(*(PERMISSIONS.get(call, {call}) for call in calls))
    return needed - ALLOWED[row] - (set() if row in READS else ALLOWED[LOGGED])


def test_every_call_of_a_command_is_listed_in_its_row(every_command: list[Ran]) -> None:
    calls: defaultdict[str, set[str]] = defaultdict(set)
    for ran in every_command:
        calls[ran.command.split()[0]] |= ran.calls
    assert {part: lacking for part, called in calls.items() if called and (lacking := _lacking(part, called))} == {}
    assert {part for part, called in calls.items() if not called} == {"dashboard"}, "which has the next test"


@pytest.mark.parametrize(("part", "use"), [("dashboard", _dashboard), ("send", _send_and_wait), ("test", _end_to_end)])
def test_every_call_while_a_stack_is_watched_is_listed(
    deployment: Deployment, part: str, use: Callable[[Deployment], None]
) -> None:
    deployment.connect()
    deployment.list_audience()
    deployment.record(change("m1"), erasing_exit("m1", 9, "notice"))
    deployment.park(change("m1"), change("m2"))
    calls = aws_calls(deployment)
    use(deployment)
    assert _lacking(part, calls) == set()


def _services() -> Iterator[tuple[str, str]]:
    for actions in ALLOWED.values():
        for action in actions:
            service, _, name = action.partition(":")
            yield service, name


def test_every_part_of_the_command_has_a_row() -> None:
    named = {name for row, _ in ROWS for name in re.findall(r"`([a-z-]+)`", row)}
    assert set(PARTS) - named == set()


def test_every_listed_action_exists_at_aws() -> None:
    session: Any = botocore.session.get_session()
    assert ALLOWED
    assert len(ALLOWED) >= 12  # the table is found
    for service, name in set(_services()):
        call = CALLS.get(name, name)
        assert call in session.get_service_model(service).operation_names, f"{service}:{name}"
