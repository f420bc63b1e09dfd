"""docs/cli.md lists what an operator must be allowed: all that the commands call, and nothing unknown to AWS."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from cli import checks, keys, mappings, parked
from cli.audiences import Target, link, list_, show, unlink
from cli.creation import Settings, create, update
from cli.errors import AlreadyReported
from cli.mappings_store import read, replace
from cli.member import forget
from cli.member import show as show_member
from cli.parked import Filter
from tests.unit.cli.conftest import AUDIENCE, Simulation, change
from tests.unit.cli.reference import DOCUMENT

EVENT = Path(__file__).parents[3] / "events/segment/01-track-entered-full-pii.json"
ROWS = re.findall(r"^\| (.+?) \| (.*`\w+:\w+`.*) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
ALLOWED = {about: set(re.findall(r"`(\w+:\w+)`", actions)) for about, actions in ROWS}
# Calls that go by another permission than their name.
PERMISSIONS = {
    "sqs:SendMessageBatch": {"sqs:SendMessage"},
    "sqs:DeleteMessageBatch": {"sqs:DeleteMessage"},
    "sqs:ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "dynamodb:TransactWriteItems": {"dynamodb:PutItem", "dynamodb:UpdateItem"},
}


def _audiences(simulation: Simulation) -> None:
    create(simulation.session(), "VIP", Target("590071284455661234"), Settings(), country="US", key="vip")
    list_(simulation.session())
    show(simulation.session(), "vip")
    update(simulation.session(), "vip", Settings(renew=True))
    unlink(simulation.session(yes=True), "vip")
    link(simulation.session(), AUDIENCE.audience_id, key="lapsed")


def _mappings(simulation: Simulation) -> None:
    mappings.show(simulation.session())
    replace(simulation.session(), read(simulation.session()), '{"version": 1, "mappings": []}')
    mappings.try_(simulation.session(), EVENT)


def _member(simulation: Simulation) -> None:
    show_member(simulation.session(), AUDIENCE.audience_id, "m1")
    forget(simulation.session(yes=True), "m1")


def _parked(simulation: Simulation) -> None:
    parked.list_(simulation.session(), Filter())
    parked.redrive(simulation.session(), Filter(member="m1"), rate=1000)
    parked.drop(simulation.session(yes=True), Filter(member="m2"))


def _keys(simulation: Simulation) -> None:
    keys.rotate(simulation.session(yes=True), keys.Kind.EVENT)


def _test(simulation: Simulation) -> None:
    with suppress(AlreadyReported):
        checks.test(simulation.session())


@pytest.mark.parametrize(
    ("row", "play"),
    [
        pytest.param("`audiences`", _audiences, id="audiences"),
        pytest.param("`mappings`", _mappings, id="mappings"),
        pytest.param("`member`", _member, id="member"),
        pytest.param("`parked`", _parked, id="parked"),
        pytest.param("`keys`", _keys, id="keys"),
        pytest.param("`test`", _test, id="test"),
    ],
)
def test_what_a_command_calls_is_in_its_row(
    simulation: Simulation, row: str, play: Callable[[Simulation], None]
) -> None:
    simulation.connect()
    simulation.list_audience()
    simulation.park(change("m1"), change("m2"))
    called: set[str] = set()
    for service in ("dynamodb", "secretsmanager", "sqs"):
        events = simulation.stack.service(service).meta.events
        events.register(
            f"before-call.{service}", lambda model, service=service, **_: called.add(f"{service}:{model.name}")
        )
    play(simulation)
    needed = set[str]().union(*(PERMISSIONS.get(call, {call}) for call in called))
    assert called
    assert needed <= ALLOWED[row]


def _services() -> Iterator[tuple[str, str]]:
    for actions in ALLOWED.values():
        for action in actions:
            service, _, name = action.partition(":")
            yield service, name


def test_every_action_is_one_of_aws() -> None:
    session: Any = botocore.session.get_session()
    assert len(ALLOWED) == 11
    for service, name in set(_services()):
        call = "Invoke" if name == "InvokeFunction" else name
        assert call in session.get_service_model(service).operation_names, f"{service}:{name}"
