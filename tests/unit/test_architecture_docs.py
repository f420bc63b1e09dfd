"""docs/architecture.md agrees with the code."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from audience_sync.membership import Destination, MembershipChange
from audience_sync.messages import ChangeMessage, DeliveryHistory, change_as_json
from audience_sync_cli.app import PARTS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers/shared/audience_sync"
COMMAND = ROOT / "audience_sync_cli"
TEXT = (ROOT / "docs/architecture.md").read_text()


def _section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize(
    ("package", "heading"), [(PACKAGE, "| place | holds |"), (COMMAND, "| in `audience_sync_cli/` | holds |")]
)
def test_every_module_at_the_root_and_every_folder_has_its_row(package: Path, heading: str) -> None:
    table = _section("Where things are").split(f"{heading}\n", 1)[1].split("\n\n", 1)[0]
    written = re.findall(r"`([\w/]+(?:\.py|/))`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    modules = [path.name for path in package.glob("*.py") if not path.name.startswith("__")]
    folders = [f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(written) == sorted(modules + folders)


def test_a_command_is_in_a_module_of_its_name_or_of_its_folders_name() -> None:
    named_otherwise = {"test": "health.checks", "import": "member_files.import_members"}  # a test module, and a keyword
    for name, part in PARTS.items():
        module = part.modules.split()[0]
        words = module.split(".")
        assert named_otherwise.get(name, module) == module
        assert name in named_otherwise or name.replace("-", "_") in words or words[1] == "command", name


def test_the_tests_of_the_command_are_in_folders_of_the_same_names() -> None:
    folders = {path.name for path in (ROOT / "tests/unit/cli").iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {path.parent.name for path in COMMAND.glob("*/__init__.py")}


def test_every_function_names_its_use_case_and_its_handler_imports_it() -> None:
    for handler in (ROOT / "functions").glob("*/handler.py"):
        text = handler.read_text()
        (module,) = re.findall(r"Use case: audience_sync/([\w/]+)", text.split('"""')[1])
        assert f"from audience_sync.{module.replace('/', '.')}" in text, handler.parent.name
        assert f"of `{handler.parent.name}`" in _section("Where things are")


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:[\w<>]+/)*\w+\.py)`", TEXT))
    missing = {
        name
        for name in named
        if not list(PACKAGE.rglob(name))
        and not any(list(folder.glob(name.replace("<name>", "*"))) for folder in (ROOT, COMMAND))
    }
    assert missing == set()


def test_the_example_is_a_message_that_the_worker_reads() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    message = ChangeMessage.from_body(example)
    assert [change.exits for change in message.changes] == [False]
    assert json.loads(example)["changes"] == [change_as_json(change) for change in message.changes]


def test_the_optional_fields_of_a_message_are_explained() -> None:
    envelope = DeliveryHistory(attempts=1, first_at=1, is_replay=True).as_json()
    record = {"externalUserId": "user-1", "action": "DELETE", "hashedPII": []}
    change = change_as_json(MembershipChange("1", Destination(), 0, "id", record, erase=True))
    explained = re.findall(r"`(\w+)`", _section("A message of the change queue").split("| --- |", 1)[1])
    assert envelope.keys() | {"erase"} <= set(explained)
    assert "erase" in change


def test_the_parameters_that_are_named_exist() -> None:
    template = (ROOT / "template.yaml").read_text()
    named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})(?:=\w+)?`", TEXT))
    telemetry = (PACKAGE / "metric_names.py").read_text()
    assert {name for name in named if f"  {name}:\n" not in template and f'"{name}"' not in telemetry} == set()


def test_the_picture_is_well_formed_and_as_wide_as_a_readme() -> None:
    picture = ET.parse(ROOT / "docs/images/architecture.svg").getroot()  # noqa: S314 - our own file
    assert picture.get("width") == "900"
    assert "prefers-color-scheme: dark" in ET.tostring(picture, encoding="unicode")
