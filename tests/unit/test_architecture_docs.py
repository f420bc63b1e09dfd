"""docs/architecture.md agrees with the code."""

import json
import re
from pathlib import Path

import grimp
import pytest

from audience_sync.members.membership import Destination, MembershipChange
from audience_sync.members.messages import ChangeMessage, DeliveryHistory, change_as_json
from local.template import ROOT, read_document
from tests.markdown import section

PACKAGE = ROOT / "layers/shared/audience_sync"
COMMAND = ROOT / "audience_sync_cli"
TEXT = (ROOT / "docs/architecture.md").read_text()


@pytest.mark.parametrize(
    ("package", "heading"), [(PACKAGE, "| place | holds |"), (COMMAND, "| in `audience_sync_cli/` | holds |")]
)
def test_every_module_at_the_root_and_every_folder_has_its_row(package: Path, heading: str) -> None:
    table = section(TEXT, "Where things are").split(f"{heading}\n", 1)[1].split("\n\n", 1)[0]
    written = re.findall(r"`([\w/]+(?:\.py|/))`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    modules = [path.name for path in package.glob("*.py") if not path.name.startswith("__")]
    folders = [f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(written) == sorted(modules + folders)


def test_the_layer_holds_only_what_a_function_uses() -> None:
    graph = grimp.build_graph("audience_sync", "functions")
    used: set[str] = set()
    to_follow = [name for name in graph.modules if name.startswith("functions")]
    while to_follow:
        used.add(name := to_follow.pop())
        to_follow += graph.find_modules_directly_imported_by(name) - used
    unused = {name for name in graph.modules - used if not graph.find_children(name)}
    assert unused == {"audience_sync.aws.mappings_store"}  # writes the row whose format audience_table.py reads


def test_the_knobs_of_delivery_are_where_the_table_says() -> None:
    places = re.findall(r"((?:`\w+`,? )+)(?:in|of) `([\w/.]+)`", section(TEXT, "Delivery: the six knobs"))
    assert len(places) == 11
    for names, place in places:
        text = (PACKAGE / place).read_text() if "." in place else json.dumps(read_document()["Resources"][place])
        assert {name for name in re.findall(r"\w+", names) if not re.search(rf"\b{name}\b", text)} == set(), place


def test_the_example_is_a_message_that_the_worker_reads() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    message = ChangeMessage.from_body(example)
    assert [change.exits for change in message.changes] == [False]
    assert json.loads(example)["changes"] == [change_as_json(change) for change in message.changes]


def test_the_optional_fields_of_a_message_are_explained() -> None:
    envelope = DeliveryHistory(attempts=1, first_at=1, is_replay=True).as_json()
    record = {"externalUserId": "user-1", "action": "DELETE", "hashedPII": []}
    change = change_as_json(MembershipChange("1", Destination(), 0, "id", record, erase=True))
    explained = re.findall(r"`(\w+)`", section(TEXT, "A message of the change queue").split("| --- |", 1)[1])
    assert envelope.keys() | {"erase"} <= set(explained)
    assert "erase" in change
