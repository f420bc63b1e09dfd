"""docs/architecture.md and docs/delivery.md agree with the code."""

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
ARCHITECTURE, DELIVERY = (
    (ROOT / f"docs/{name}.md").read_text(encoding="utf-8") for name in ("architecture", "delivery")
)


@pytest.mark.parametrize("package", [PACKAGE, COMMAND], ids=lambda package: package.name)
def test_every_folder_is_listed_with_the_first_line_of_its_docstring(package: Path) -> None:
    listed = ARCHITECTURE.split(f"`{package.relative_to(ROOT)}/`:\n\n```text\n", 1)[1].split("```", 1)[0]
    folders = {path.parent: path.read_text(encoding="utf-8") for path in package.glob("*/__init__.py")}
    expected = [
        (f"{folder.name}/", text.strip('"').splitlines()[0].strip('"')) for folder, text in sorted(folders.items())
    ]
    assert [tuple(line.split(maxsplit=1)) for line in listed.splitlines()] == expected


def test_the_layer_holds_only_what_a_function_uses() -> None:
    graph = grimp.build_graph("audience_sync", "functions")
    used: set[str] = set()
    to_follow = [name for name in graph.modules if name.startswith("functions")]
    while to_follow:
        used.add(name := to_follow.pop())
        to_follow += graph.find_modules_directly_imported_by(name) - used
    unused = {name for name in graph.modules - used if not graph.find_children(name)}
    assert unused == {"audience_sync.aws.mappings_store"}  # writes the row whose format audience_table.py reads


def test_each_delivery_knob_is_in_the_file_that_the_document_names() -> None:
    places = re.findall(r"((?:`\w+`,? )+)(?:in|of) `([\w/.]+)`", section(DELIVERY, "Delivery: the six knobs"))
    assert len(places) == 11
    for names, place in places:
        text = (PACKAGE / place).read_text() if "." in place else json.dumps(read_document()["Resources"][place])
        assert {name for name in re.findall(r"\w+", names) if not re.search(rf"\b{name}\b", text)} == set(), place


def test_at_most_25_names_of_an_upload_have_to_be_known_and_each_is_in_its_file() -> None:
    rows = re.findall(
        r"^\| ((?:`\w+` ?)+) \| `([\w/.]+)` \|", section(DELIVERY, "Delivery, in eleven steps"), re.MULTILINE
    )
    named = [(name, place) for names, place in rows for name in re.findall(r"\w+", names)]
    assert 20 < len(named) <= 25
    missing = [pair for pair in named if not re.search(rf"\b{pair[0]}\b", (PACKAGE / pair[1]).read_text())]
    assert missing == []


def test_the_worker_reads_the_message_that_the_document_shows() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DELIVERY, re.DOTALL)
    message = ChangeMessage.from_body(example)
    assert [change.exits for change in message.changes] == [False]
    assert json.loads(example)["changes"] == [change_as_json(change) for change in message.changes]


def test_the_optional_fields_of_a_message_are_explained() -> None:
    envelope = DeliveryHistory(attempts=1, first_at=1, is_replay=True).as_json()
    record = {"externalUserId": "user-1", "action": "DELETE", "hashedPII": []}
    change = change_as_json(MembershipChange("1", Destination(), 0, "id", record, erase=True))
    explained = re.findall(r"`(\w+)`", section(DELIVERY, "A message of the change queue").split("| --- |", 1)[1])
    assert envelope.keys() | {"erase"} <= set(explained)
    assert "erase" in change
